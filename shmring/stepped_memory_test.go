//go:build stepped

package shmring

import "github.com/mycelium-bus/mycelium/shmring/internal/shm"

type entry struct {
	w *uint64
	x uint64
}

// touch is which processes load and store a word, as bits. Only where two do, and one of them stores, does it matter who comes
// first: elsewhere a process is not interrupted. What is learnt late begins the search anew.
type touch struct {
	loads, stores uint8
	own           bool // a counter, a time or a pid
}

func (t touch) contested() bool {
	all := t.loads | t.stores
	return all&(all-1) != 0 && t.stores != 0
}

// words is what is known of each word of a memory.
type words struct {
	mem   shm.Memory
	known []touch
}

// wordsOf makes the tables for a ring's memories, which are the same in all runs of a scenario.
func (e *engine) wordsOf(r *Ring) {
	for i, mem := range []shm.Memory{r.ring, r.cursors, r.control} {
		e.words[i] = words{mem, make([]touch, mem.Len()/8)}
	}
	information := func(words []touch, from, size, slots uint64) { // what lies behind each slot's first line
		for off := from; off < from+size*slots; off += 8 {
			words[off/8].own = (off-from)%size >= lineSize
		}
	}
	information(e.words[0].known, r.offProducers, producerSlotSize, r.producers)
	information(e.words[1].known, r.offConsumers, consumerSlotSize, r.consumers)
	for off := uint64(offRepairer); off < offRepairer+lineSize; off += 8 {
		e.words[0].known[off/8].own = true
	}
}

// word returns what is known of a word.
func (e *engine) word(w *uint64) *touch {
	for i := range e.words {
		if off, ok := e.words[i].mem.OffsetOf(w); ok {
			return &e.words[i].known[off/8]
		}
	}
	t := e.private[w]
	if t == nil {
		t = new(touch)
		e.private[w] = t
	}
	return t
}

// write changes memory.
func (e *engine) write(w *uint64, x uint64) {
	a := shm.Address(w)
	e.memory ^= mix(a, *w) ^ mix(a, x)
	*w = x
}

// drain makes the first n entries of p's store buffer visible.
func (e *engine) drain(p *proc, n int) {
	for _, b := range p.buffer[:n] {
		e.write(b.w, b.x)
	}
	p.buffer = p.buffer[n:]
}

// settle tries both: a store to w that waits in another process's buffer is visible to this access, or is not yet.
func (e *engine) settle(w *uint64) {
	for _, q := range e.procs {
		if q == e.cur {
			continue
		}
		for i := len(q.buffer) - 1; i >= 0; i-- {
			if q.buffer[i].w == w {
				if e.delays < maxDelays && e.choose(2) == 1 {
					e.delays++
					e.note("   the stores of %s to this word are still in its buffer", q.name)
				} else {
					e.drain(q, i+1)
				}
				break
			}
		}
	}
}

func (e *engine) place(w *uint64) string { return e.world.place(w) }

// touch notes who uses a word.
func (e *engine) touch(w *uint64, store bool) {
	e.cur.history = mix(e.cur.history, 1) // how far it came: stores alone leave no trace in what it loaded
	t, bit := e.word(w), uint8(1)<<e.cur.id
	old := *t
	if store {
		t.stores |= bit
	} else {
		t.loads |= bit
	}
	if *t != old {
		if store && e.place(w) == "limit" {
			e.did["refresh"] = true
		}
		e.grown = e.grown || t.contested() && !old.contested()
	}
}

// own reports whether a word is a counter or the like, which the protocol does not rest on: no step.
func (e *engine) own(w *uint64) bool { return e.word(w).own }

func (e *engine) Load(w *uint64) uint64 {
	if e.own(w) && !e.cur.done {
		return *w
	}
	e.touch(w, false)
	e.point("load", w)
	p := e.cur
	for i := len(p.buffer) - 1; i >= 0; i-- {
		if p.buffer[i].w == w {
			return p.buffer[i].x // forwarded; the process's own history determines it
		}
	}
	e.settle(w)
	x := *w
	p.history = mix(p.history, x)
	if e.tracing {
		e.note("%s loads %s: %#x", p.name, e.place(w), x)
	}
	return x
}

func (e *engine) Store(w *uint64, x uint64) {
	if e.own(w) && !e.cur.done {
		*w = x
		return
	}
	e.touch(w, true)
	e.point("store", w)
	p := e.cur
	p.buffer = append(p.buffer, entry{w, x})
	if e.tracing {
		e.note("%s stores %s: %#x", p.name, e.place(w), x)
	}
}

func (e *engine) StoreFull(w *uint64, x uint64) {
	e.touch(w, true)
	e.point("full store", w)
	p := e.cur
	e.drain(p, len(p.buffer))
	e.settle(w)
	e.write(w, x)
	if e.tracing {
		e.note("%s stores %s: %#x, drained", p.name, e.place(w), x)
	}
}

func (e *engine) CompareAndSwap(w *uint64, old, x uint64) bool {
	e.touch(w, true)
	e.point("compare-and-swap", w)
	p := e.cur
	e.drain(p, len(p.buffer))
	e.settle(w)
	ok := *w == old
	p.history = mix(p.history, *w)
	if e.tracing {
		e.note("%s swaps %s from %#x to %#x: %v (it was %#x)", p.name, e.place(w), old, x, ok, *w)
	}
	if ok {
		e.write(w, x)
	}
	return ok
}

func (e *engine) Fence() { e.drain(e.cur, len(e.cur.buffer)) }
