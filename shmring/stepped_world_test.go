//go:build stepped

package shmring

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/mycelium-bus/mycelium/shmring/internal/shm"
)

func init() { now = func() time.Time { return time.Unix(1, 0) } }

// pristine keeps one ring for each set of options, and what its memory was when it was new.
var pristine = map[pristineKey]*pristineRing{}

type pristineKey struct {
	kind     Kind
	capacity uint64
}

type pristineRing struct {
	ring  *Ring
	parts []memoryPart
}

type memoryPart struct{ now, then []byte }

func newRingOf(o Options) *Ring {
	p := pristine[pristineKey{o.Kind, o.Capacity}]
	if p == nil {
		r, err := NewHeap("stepped", o)
		if err != nil {
			panic(err)
		}
		p = &pristineRing{ring: r}
		for _, m := range []struct {
			mem shm.Memory
			n   uint64
		}{{r.ring, r.ringSize}, {r.cursors, r.offLosses}, {r.control, r.controlSize}} {
			b := m.mem.Bytes(headerSize, m.n-headerSize)
			p.parts = append(p.parts, memoryPart{b, append([]byte(nil), b...)})
		}
		pristine[pristineKey{o.Kind, o.Capacity}] = p
	}
	for _, m := range p.parts {
		copy(m.now, m.then)
	}
	return p.ring
}

func newWorld(e *engine) *world {
	w := &world{engine: e, attempted: map[uint64]bool{}, committed: map[uint64]bool{}, seen: map[string][]seenMessage{},
		starts: map[string]uint64{}, readers: map[string]*Reader{}, ends: map[string]bool{}}
	w.ring = newRingOf(e.s.options)
	w.ring.locks = e.locks
	w.ring.users = 0
	return w
}

// view maps the ring for another process.
func (w *world) view() *Ring {
	r := &Ring{header: w.ring.header, access: Own, dir: -1, locks: w.locks, ring: w.ring.ring, cursors: w.ring.cursors, control: w.ring.control}
	r.bind()
	return r
}

// process makes a process of the test; body runs in steps. A mortal one may be killed.
func (w *world) process(name string, mortal bool, body func(p *proc)) *proc {
	p := &proc{name: name, mortal: mortal}
	p.body = func() { body(p) }
	return p
}

// producer attaches before the steps begin.
func (w *world) producer(p *proc) *Producer {
	r := w.view()
	g, err := r.GrantProducer(0)
	if err != nil {
		panic(err)
	}
	w.locks.give(g.Lock, p)
	pr, err := r.Producer(g, "")
	if err != nil {
		panic(err)
	}
	return pr
}

// reader attaches before the steps begin.
func (w *world) reader(p *proc, name string, policy Policy, from From) *Reader {
	r := w.view()
	g, err := r.GrantConsumer(policy)
	if err != nil {
		panic(err)
	}
	w.locks.give(g.Lock, p)
	rd, err := r.Reader(g, ReaderOptions{From: from})
	if err != nil {
		panic(err)
	}
	w.follow(name, rd)
	return rd
}

func (w *world) follow(name string, rd *Reader) {
	w.starts[name] = rd.Position()
	w.readers[name] = rd
}

// message is an id in n bytes (a multiple of 8): the id and its complement in turn.
func message(id uint64, n int) []byte {
	b := make([]byte, n)
	for i := 0; i < n; i += 8 {
		x := id
		if i/8%2 == 1 {
			x = ^id
		}
		binary.LittleEndian.PutUint64(b[i:], x)
	}
	return b
}

// send publishes and keeps the account; it reports whether there was room.
func (w *world) send(pr *Producer, id uint64, n int) bool {
	w.attempted[id] = true
	err := pr.Publish(message(id, n))
	return w.sent(err, id)
}

func (w *world) sent(err error, id uint64) bool {
	switch {
	case err == nil:
		w.committed[id] = true
		return true
	case errors.Is(err, ErrBackPressure):
		delete(w.attempted, id)
		return false
	}
	w.fail("publish %d: %v", id, err)
	return false
}

// sendShorter claims room for n bytes and commits used of them.
func (w *world) sendShorter(pr *Producer, id uint64, n, used int) bool {
	c, err := pr.Claim(n)
	if err != nil {
		return w.sent(err, id)
	}
	w.attempted[id] = true
	pr.data.Copy(c.pos+frameHeaderSize, message(id, used))
	return w.sent(c.Commit(used), id)
}

// sendBatch publishes several messages of n bytes at once.
func (w *world) sendBatch(pr *Producer, n int, ids ...uint64) bool {
	b, err := pr.Batch(len(ids) * FrameSize(n))
	if err != nil {
		return w.sent(err, ids[0])
	}
	for _, id := range ids {
		w.attempted[id] = true
		if _, err := b.Next(n); err != nil {
			w.fail("batch: %v", err)
		}
		pr.data.Copy(b.next-uint64(FrameSize(n))+frameHeaderSize, message(id, n))
	}
	err = b.Commit()
	for _, id := range ids {
		w.sent(err, id)
	}
	return true
}

// poll reads at most n messages and checks their bytes; it returns how many there were.
func (w *world) poll(name string, rd *Reader, n int) int {
	for i := range n {
		f, ok := rd.Next()
		if !ok {
			var lap *LappedError
			if err := rd.Err(); errors.As(err, &lap) {
				w.seen[name] = append(w.seen[name], seenMessage{lap.To, 0})
			} else if err != nil {
				w.fail("reader %s: %v", name, err)
			}
			return i
		}
		w.seen[name] = append(w.seen[name], seenMessage{f.Position, w.id(f)})
	}
	rd.Release()
	return n
}

// id reads a message, in steps where it lies in the ring.
func (w *world) id(f Frame) uint64 {
	b := make([]byte, len(f.Payload))
	if w.ring.ring.Holds(f.Payload) {
		shm.Copy(b, f.Payload)
	} else {
		copy(b, f.Payload)
	}
	id := binary.LittleEndian.Uint64(b)
	for i := 0; i+8 <= len(b); i += 8 {
		want := id
		if i/8%2 == 1 {
			want = ^id
		}
		if got := binary.LittleEndian.Uint64(b[i:]); got != want {
			w.fail("torn message at %d: word %d is %#x, want %#x", f.Position, i/8, got, want)
		}
	}
	return id
}

// checkAll looks at the world when all processes have ended or were killed, after a repair.
func (w *world) checkAll() {
	for _, p := range w.procs {
		if p.killed {
			delete(w.readers, p.name)
		}
	}
	for range 2 {
		if _, err := w.view().Repair(false); err != nil {
			w.fail("repair: %v", err)
			return
		}
	}
	if _, err := w.ring.Verify(); err != nil {
		w.fail("verify: %v", err)
		return
	}
	w.checkOrder()
	w.checkReaders()
	if w.s.check != nil {
		w.s.check(w)
	}
	w.checkProgress()
}

// checkOrder reads what is in the ring: every message that was committed once, none that nobody sent, each producer's in its
// order (ids grow within a producer: producer*100 + number).
func (w *world) checkOrder() {
	rd, err := w.view().Observer(Oldest())
	if err != nil {
		w.fail("observe: %v", err)
		return
	}
	begin := rd.Position()
	last := map[uint64]uint64{}
	present := map[uint64]uint64{}
	for {
		f, ok := rd.Next()
		if !ok {
			if err := rd.Err(); err != nil {
				w.fail("observer: %v", err)
			}
			break
		}
		id := w.id(f)
		w.order = append(w.order, id)
		if !w.attempted[id] {
			w.fail("ghost: message %d at %d was never sent", id, f.Position)
		}
		if at, twice := present[id]; twice {
			w.fail("message %d is at %d and at %d", id, at, f.Position)
		}
		present[id] = f.Position
		if id <= last[id/100] {
			w.fail("message %d comes after message %d", id, last[id/100])
		}
		last[id/100] = id
	}
	for id := range w.committed {
		// What went round the ring is accounted for by those who gate: checkReaders.
		if _, there := present[id]; !there && begin == w.ring.capacity {
			w.fail("message %d was committed, and is not in the ring %v", id, w.order)
		}
	}
	// Nothing may stop a reader before the tail: after the repair there is no open claim.
	if tail, err := w.ring.Tail(); err != nil || rd.Position() != tail {
		w.fail("readers get to %d, the tail is %d (%v)", rd.Position(), tail, err)
	}
	rd.Close()
}

// checkReaders lets each reader that lives read to the end, and compares: it must have seen, from its start on, what the others
// saw, without a gap.
func (w *world) checkReaders() {
	for name, rd := range w.readers {
		gates := rd.gates
		if s := state(rd.lease.word.Load()); s != rd.lease.state {
			w.fail("reader %s lives, and its slot is %s of generation %d", name, s.kind(), s.gen())
		}
		for w.poll(name, rd, 1000) > 0 {
		}
		got := map[uint64]uint64{}
		var before uint64
		lapped := false
		for _, m := range w.seen[name] {
			if m.id == 0 {
				lapped = true
				continue
			}
			if m.pos <= before {
				w.fail("reader %s saw %d after %d", name, m.pos, before)
			}
			before = m.pos
			got[m.id] = m.pos
			if !w.attempted[m.id] {
				w.fail("reader %s saw message %d, which was never sent", name, m.id)
			}
		}
		if lapped && gates {
			w.fail("reader %s gates, and was lapped", name)
		}
		for id := range w.committed {
			if _, ok := got[id]; !ok && gates && w.starts[name] == w.ring.capacity {
				w.fail("reader %s did not see message %d; it saw %v", name, id, w.seen[name])
			}
		}
	}
}

// checkProgress sends more than a lap of messages past every reader that lives: nothing that died may hold them up.
func (w *world) checkProgress() {
	if w.failure != "" {
		return
	}
	r := w.view()
	var pr *Producer
	g, err := r.GrantProducer(0)
	if errors.Is(err, ErrInUse) {
		return // the single producer lives
	}
	if err == nil {
		pr, err = r.Producer(g, "")
	}
	if err != nil {
		w.fail("a new producer: %v", err)
		return
	}
	for i := range w.ring.capacity / 32 * 2 {
		for tries := 0; !w.send(pr, 90000+i, 8); tries++ {
			if tries == 3 {
				w.fail("wedged: a new producer is held up by %+v", pr.Holder())
				return
			}
			for name, rd := range w.readers {
				w.poll(name, rd, 1000)
			}
		}
	}
}

// information reports whether a word is a counter, a time or a pid.
func (w *world) information(p *uint64) bool {
	r := w.ring
	if off, ok := r.ring.OffsetOf(p); ok && off >= r.offProducers && off < r.offData {
		return (off-r.offProducers)%producerSlotSize >= lineSize
	} else if ok {
		return off >= offRepairer && off < offRepairer+lineSize
	}
	if off, ok := r.cursors.OffsetOf(p); ok && off >= r.offConsumers && off < r.offLosses {
		return (off-r.offConsumers)%consumerSlotSize >= lineSize
	}
	return false
}

// place names a word.
func (w *world) place(p *uint64) string {
	for _, f := range []struct {
		name string
		mem  shm.Memory
	}{{"ring", w.ring.ring}, {"cursors", w.ring.cursors}, {"control", w.ring.control}} {
		off, ok := f.mem.OffsetOf(p)
		if !ok {
			continue
		}
		switch r := w.ring; {
		case f.name == "ring" && off == offTail:
			return "tail"
		case f.name == "ring" && off == offLimit:
			return "limit"
		case f.name == "ring" && off >= r.offData:
			return fmt.Sprintf("data[%d]", off-r.offData)
		case f.name == "ring" && off >= r.offProducers:
			slot, word := (off-r.offProducers)/producerSlotSize, (off-r.offProducers)%producerSlotSize
			return fmt.Sprintf("producer %d word %d", slot, word)
		case f.name == "cursors" && off >= r.offConsumers:
			slot, word := (off-r.offConsumers)/consumerSlotSize, (off-r.offConsumers)%consumerSlotSize
			return fmt.Sprintf("consumer %d word %d", slot, word)
		}
		return fmt.Sprintf("%s[%d]", f.name, off)
	}
	return "private"
}
