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
	sleep    uint8
	capacity uint64
}

type pristineRing struct {
	ring  *Ring
	parts []memoryPart
}

type memoryPart struct{ now, then []byte }

func newRingOf(o Options) *Ring {
	key := pristineKey{o.Kind, o.Sleep, o.Capacity}
	p := pristine[key]
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
		pristine[key] = p
	}
	for _, l := range []struct{ next, from, size, most uint64 }{
		{offLossesNext, p.ring.offLosses, lossEntrySize, lossEntries}, {offParkedNext, p.ring.offParked, parkedEntrySize, parkedEntries}} {
		clear(p.ring.cursors.Bytes(l.from, l.size*min(p.ring.cursors.Word(l.next).Load(), l.most))) // what the last run listed
	}
	for _, m := range p.parts {
		copy(m.now, m.then)
	}
	return p.ring
}

func newWorld(e *engine) *world {
	w := e.world
	if w == nil {
		w = &world{engine: e, attempted: map[uint64]bool{}, committed: map[uint64]bool{}, at: map[uint64]uint64{},
			seen: map[string][]seenMessage{}, gaps: map[string][]LappedError{}, starts: map[string]uint64{}, readers: map[string]*Reader{}}
		e.world, w.ring = w, newRingOf(e.s.options)
		e.wordsOf(w.ring)
	} else {
		newRingOf(e.s.options)
	}
	clear(w.attempted)
	clear(w.committed)
	clear(w.at)
	clear(w.seen)
	clear(w.gaps)
	clear(w.starts)
	clear(w.readers)
	w.order, w.progress, e.viewed = w.order[:0], false, 0
	w.ring.locks = e.locks
	w.ring.users = 0
	return w
}

// view maps the ring for another process.
func (w *world) view() *Ring {
	if w.viewed == len(w.views) {
		w.views = append(w.views, new(Ring))
	}
	r := w.views[w.viewed]
	w.viewed++
	*r = Ring{header: w.ring.header, access: Own, dir: -1, locks: w.locks, ring: w.ring.ring, cursors: w.ring.cursors, control: w.ring.control}
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
	if p != nil {
		p.keeps = true
	}
	return rd
}

func (w *world) follow(name string, rd *Reader) {
	w.starts[name] = rd.Position()
	w.readers[name] = rd
	w.tell("follows", name, rd.Position())
	if shm.Steps != nil {
		w.cur.keeps = true
	}
}

// tell notes what the checks go by beside memory: a state's hash is without what a process has loaded once it has come to its end, unless
// it keeps a handle that is asked afterwards. What is told twice is taken back.
func (e *engine) tell(what, name string, values ...uint64) {
	h := uint64(len(what))
	for _, s := range [...]string{what, name} {
		for i := range len(s) {
			h = h*31 + uint64(s[i])
		}
	}
	for _, v := range values {
		h = mix(h, v)
	}
	e.account ^= mix(h, uint64(len(values)))
}

func (w *world) attempt(id uint64) {
	w.attempted[id] = true
	w.tell("attempted", "", id)
}

func (w *world) saw(name string, f Frame) {
	m := seenMessage{f.Position, w.id(f)}
	if !w.progress {
		w.tell("saw", name, uint64(len(w.seen[name])), m.pos, m.id)
		w.seen[name] = append(w.seen[name], m)
	}
}

// does notes what a process does in steps.
func (w *world) does(operation string) {
	if shm.Steps != nil {
		w.did[operation] = true
	}
}

// contents is an id in n bytes (a multiple of 8): the id and its complement in turn.
func contents(id uint64, n int) []byte {
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
	w.does("claim and commit")
	w.attempt(id)
	err := pr.Publish(contents(id, n))
	if err == nil {
		w.at[id] = w.placed(pr, n)
	}
	return w.sent(err, id)
}

// placed returns where the message of n bytes went that the producer published last.
func (w *world) placed(pr *Producer, n int) uint64 {
	if pr.single {
		return pr.pos - uint64(FrameSize(n))
	}
	won := w.peek(pr.slotWon)
	if pr.claim.start == won {
		return pr.claim.frame // behind a PAD, perhaps
	}
	return won
}

func (w *world) sent(err error, id uint64) bool {
	switch {
	case err == nil:
		w.committed[id] = true
		w.tell("committed", "", id, w.at[id])
		return true
	case errors.Is(err, ErrBackPressure), errors.Is(err, ErrClosed) && w.peek(w.ring.control.Word(offTopicState)) == topicClosing:
		if w.attempted[id] {
			delete(w.attempted, id)
			w.tell("attempted", "", id)
		}
		return false
	}
	w.fail("publish %d: %v", id, err)
	return false
}

// sendShorter claims room for n bytes and commits used of them.
func (w *world) sendShorter(pr *Producer, id uint64, n, used int) bool {
	w.does("claim and commit")
	c, err := pr.Claim(n)
	if err != nil {
		return w.sent(err, id)
	}
	w.attempt(id)
	w.at[id] = c.pos
	pr.data.Copy(c.pos+frameHeaderSize, contents(id, used))
	return w.sent(c.Commit(used), id)
}

// sendBatch publishes several messages of n bytes at once.
func (w *world) sendBatch(pr *Producer, n int, ids ...uint64) bool {
	w.does("claim and commit")
	b, err := pr.Batch(len(ids) * FrameSize(n))
	if err != nil {
		return w.sent(err, ids[0])
	}
	for _, id := range ids {
		w.attempt(id)
		if _, err := b.Next(n); err != nil {
			w.fail("batch: %v", err)
		}
		w.at[id] = b.next - uint64(FrameSize(n))
		pr.data.Copy(w.at[id]+frameHeaderSize, contents(id, n))
	}
	err = b.Commit()
	for _, id := range ids {
		w.sent(err, id)
	}
	return true
}

// poll reads at most n messages and checks their bytes; it returns how many there were.
func (w *world) poll(name string, rd *Reader, n int) int {
	w.does("poll")
	for i := range n {
		f, ok := rd.Next()
		if !ok {
			var lap *LappedError
			if err := rd.Err(); errors.As(err, &lap) {
				w.tell("missed", name, uint64(len(w.gaps[name])), lap.From, lap.To)
				w.gaps[name] = append(w.gaps[name], *lap)
			} else if err != nil && !(rd.policy == Evict && errors.Is(err, ErrEvicted)) {
				w.fail("reader %s: %v", name, err)
			}
			return i
		}
		w.saw(name, f)
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

// publisher sends messages of the given lengths, ids n01, n02, ...
func (w *world) publisher(name string, n uint64, lengths ...int) *proc {
	p := w.process(name, true, nil)
	pr := w.producer(p)
	p.body = func() {
		for i, length := range lengths {
			w.send(pr, 100*n+uint64(i)+1, length)
		}
	}
	return p
}

// publisherUnhurt is a publisher that is not killed.
func (w *world) publisherUnhurt(name string, n uint64, lengths ...int) *proc {
	p := w.publisher(name, n, lengths...)
	p.mortal = false
	return p
}

func (w *world) follower(name string, policy Policy, n int) *proc {
	p := w.process(name, true, nil)
	rd := w.reader(p, name, policy, Newest())
	p.body = func() {
		for range n {
			w.poll(name, rd, 2)
		}
	}
	return p
}

func (w *world) joiner(name string, policy Policy, from From, n int) *proc {
	p := w.process(name, false, nil)
	r := w.view()
	p.body = func() {
		w.does("join")
		g, err := r.GrantConsumer(policy)
		if err != nil {
			w.fail("grant for %s: %v", name, err)
			return
		}
		rd, err := r.Reader(g, ReaderOptions{From: from})
		if err != nil {
			w.fail("join of %s: %v", name, err)
			return
		}
		w.follow(name, rd)
		for range n {
			w.poll(name, rd, 2)
		}
	}
	return p
}

func (w *world) repairer(name string) *proc {
	p := w.process(name, true, nil)
	r := w.view()
	p.body = func() {
		w.does("repair")
		if _, err := r.Repair(false); err != nil && err != ErrRepairing {
			w.fail("repair: %v", err)
		}
	}
	return p
}

// successor is a process that becomes the single producer, if it may, and sends messages from an id on.
func (w *world) successor(name string, id uint64, lengths ...int) *proc {
	p := w.process(name, true, nil)
	r := w.view()
	p.body = func() {
		g, err := r.GrantProducer(0)
		if err != nil {
			return // the other one lives
		}
		w.does("takeover")
		pr, err := r.Producer(g, "")
		if err != nil {
			w.fail("the successor: %v", err)
			return
		}
		for i, length := range lengths {
			w.send(pr, id+uint64(i), length)
		}
	}
	return p
}

// claim leaves a claim open in which a whole message stands that nobody may read.
func (w *world) claim(pr *Producer, n int) {
	w.does("claim and commit")
	if c, err := pr.Claim(n); err == nil {
		pr.data.Copy(c.pos+frameHeaderSize, contents(999, n))
	} else if !errors.Is(err, ErrBackPressure) {
		w.fail("claim: %v", err)
	}
}

// lend has a reader take a message and keep it.
func (w *world) lend(name string, rd *Reader) {
	w.does("poll")
	if f, ok := rd.Next(); ok {
		w.saw(name, f)
	}
}

// close closes a producer in steps.
func (w *world) close(pr *Producer) {
	w.does("close a producer")
	if err := pr.Close(); err != nil {
		w.fail("close: %v", err)
	}
}

// leave closes a reader in steps. Only one that closed is not asked in the end for what it missed.
func (w *world) leave(name string, rd *Reader) {
	w.does("close a reader")
	if err := rd.Close(); err != nil {
		w.fail("close of %s: %v", name, err)
	}
	delete(w.readers, name)
	w.tell("left", name)
}

// wordNames are those that stand alone in their file.
var wordNames = map[string]map[uint64]string{
	"ring":    {offTail: "tail", offLimit: "limit", offWake: "wake", offBlocked: "blocked", offUsedProducers: "used producers"},
	"cursors": {offAsleep: "asleep", offFenced: "fenced", offSpace: "space", offUsedConsumers: "used consumers"},
	"control": {offTopicState: "the topic's state"},
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
		if name := wordNames[f.name][off]; name != "" {
			return name
		}
		switch r := w.ring; {
		case f.name == "ring" && off >= r.offDropped && off < r.offProducers:
			return fmt.Sprintf("dropped[%d]", (off-r.offDropped)/8)
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
