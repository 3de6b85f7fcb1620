//go:build stepped

package shmring

import (
	"encoding/binary"
	"errors"
	"maps"
	"slices"
)

// checkAll looks at the world when all processes have ended or were killed, after a repair.
func (w *world) checkAll() {
	for _, p := range w.procs {
		if p.killed {
			delete(w.readers, p.name)
		}
	}
	if state := w.ring.control.Word(offTopicState); state.Load() == topicClosing {
		state.Store(topicActive) // to look at what is in it
		maps.DeleteFunc(w.readers, func(_ string, rd *Reader) bool { return rd.err == ErrClosed && rd.Close() == nil })
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
		blocks := rd.policy == Block
		if s := state(rd.lease.word.Load()); s != rd.lease.state {
			w.fail("reader %s lives, and its slot is %s of generation %d", name, s.kind(), s.gen())
		}
		for at := ^rd.Position(); at != rd.Position(); {
			at = rd.Position()
			w.poll(name, rd, 1000)
		}
		got := map[uint64]bool{}
		var last uint64
		for _, m := range w.seen[name] {
			if m.pos <= last {
				w.fail("reader %s saw %d after %d", name, m.pos, last)
			}
			last = m.pos
			got[m.id] = true
			if !w.attempted[m.id] {
				w.fail("reader %s saw message %d, which was never sent", name, m.id)
			}
		}
		if len(w.gaps[name]) > 0 && blocks {
			w.fail("reader %s gates, and was lapped", name)
		}
		for id := range w.committed {
			if at := w.at[id]; before(at, w.starts[name]) || rd.err != nil {
				continue
			} else if missed := inGaps(w.gaps[name], at); got[id] == missed {
				w.fail("reader %s: message %d at %d was seen: %v, told to be missed: %v; it saw %v, and was told of %v",
					name, id, at, got[id], missed, w.seen[name], w.gaps[name])
			}
		}
	}
}

func inGaps(gaps []LappedError, pos uint64) bool {
	return slices.ContainsFunc(gaps, func(g LappedError) bool { return !before(pos, g.From) && before(pos, g.To) })
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
	w.progress = true
	for i := range w.ring.capacity / 32 * 2 {
		b := binary.LittleEndian.AppendUint64(nil, 90000+i)
		for tries := 0; ; tries++ {
			err := pr.Publish(b)
			if err == nil {
				break
			}
			if !errors.Is(err, ErrBackPressure) {
				w.fail("a new producer: %v", err)
				return
			}
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
