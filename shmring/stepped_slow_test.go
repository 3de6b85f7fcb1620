//go:build stepped

package shmring

// Slow readers: dropped by whoever they hold up, told, and back at the gates.

func init() { scenarios = append(scenarios, slowScenarios...); faults = append(faults, slowFaults...) }

// held fills the ring up to the credit of a reader, and is held up by it once: the producer's clock runs.
func (w *world) held(pr *Producer, n int) {
	for id := uint64(1); w.send(pr, id, n); {
		id++
	}
}

var dropAtOnce = Policy{Slow: Drop, Credit: 512} // no patience: at the second claim that fails

var slowScenarios = []*scenario{
	{name: "a slow reader is dropped, and gates again", options: stepOptions.kind(SPSC), preempts: 3, kills: 1, set: func(w *world) []*proc {
		a := w.process("A", true, nil)
		pa := w.producer(a)
		c := w.process("C", true, nil)
		rd := w.reader(c, "C", dropAtOnce, Newest())
		w.held(pa, 40)
		a.body = func() {
			w.send(pa, 101, 40)
			w.send(pa, 102, 8)
		}
		c.body = func() { w.poll("C", rd, 2); w.poll("C", rd, 9) }
		return []*proc{a, c}
	}},
	{name: "two producers drop a reader that comes back", options: stepOptions.kind(MPMC), preempts: 2, kills: 0, set: func(w *world) []*proc {
		a := w.process("A", false, nil)
		pa := w.producer(a)
		b := w.process("B", false, nil)
		pb := w.producer(b)
		c := w.process("C", false, nil)
		rd := w.reader(c, "C", dropAtOnce, Newest())
		w.held(pa, 40)
		w.send(pb, 201, 40) // its clock runs as well
		a.body = func() { w.send(pa, 101, 40) }
		b.body = func() { w.send(pb, 202, 8) }
		c.body = func() { w.poll("C", rd, 9) }
		return []*proc{a, b, c}
	}},
	{name: "a dropped reader's slot has a next tenant", options: stepOptions.kind(MPMC), preempts: 3, kills: 0, set: func(w *world) []*proc {
		a := w.process("A", false, nil)
		pa := w.producer(a)
		c := w.process("C", false, nil)
		rd := w.reader(c, "C", dropAtOnce, Newest())
		w.held(pa, 40)
		a.body = func() {
			for i := range uint64(17) { // a lap
				w.sendBatch(pa, 48, 101+2*i, 102+2*i)
			}
		}
		c.body = func() {
			w.leave("C", rd)
			w.tenant("N", Policy{Slow: Block}, Newest())
		}
		return []*proc{a, c}
	}},
	{name: "a slow reader is evicted", options: stepOptions.kind(SPMC), preempts: 3, kills: 0, set: func(w *world) []*proc {
		a := w.process("A", false, nil)
		pa := w.producer(a)
		c := w.process("C", false, nil)
		rd := w.reader(c, "C", Policy{Slow: Evict, Credit: 512}, Newest())
		w.held(pa, 40)
		a.body = func() {
			for i := range uint64(3) {
				w.send(pa, 101+i, 40)
			}
		}
		c.body = func() { w.poll("C", rd, 2); w.poll("C", rd, 2); w.leave("C", rd) }
		return []*proc{a, c}
	}},
	{name: "a slow reader is dropped while it releases", options: stepOptions.kind(SPSC), preempts: 3, kills: 1, set: func(w *world) []*proc {
		a := w.process("A", true, nil)
		pa := w.producer(a)
		c := w.process("C", true, nil)
		rd := w.reader(c, "C", dropAtOnce, Newest())
		w.held(pa, 40)
		a.body = func() { w.send(pa, 101, 40); w.send(pa, 102, 40) }
		c.body = func() {
			for range 2 {
				w.lend("C", rd)
				rd.Release()
			}
		}
		return []*proc{a, c}
	}},
	{name: "a reader gates again while a producer refreshes", options: stepOptions.kind(SPMC), preempts: 3, kills: 0, set: func(w *world) []*proc {
		a := w.process("A", false, nil)
		pa := w.producer(a)
		c := w.process("C", false, nil)
		rd := w.reader(c, "C", dropAtOnce, Newest())
		w.held(pa, 40)
		w.send(pa, 97, 40) // drops it
		w.poll("C", rd, 9) // it does not know yet
		a.body = func() {
			for i := range uint64(5) { // more than its credit
				w.sendBatch(pa, 48, 101+2*i, 102+2*i)
			}
		}
		c.body = func() { w.poll("C", rd, 1); w.poll("C", rd, 1) }
		return []*proc{a, c}
	}},
	{name: "a decision about a reader comes when it gates again", options: stepOptions.kind(MPMC), preempts: 3, kills: 0, set: func(w *world) []*proc {
		// A has been held up for long enough. C is dropped by another producer, gates again, and is dropped anew and lapped.
		a := w.process("A", false, nil)
		pa := w.producer(a)
		c := w.process("C", false, nil)
		c.steady = true
		pc := w.producer(c)
		rd := w.reader(c, "C", dropAtOnce, Newest())
		w.held(pc, 40)
		w.send(pa, 101, 40)
		a.body = func() { w.send(pa, 101, 40) }
		c.body = func() {
			w.send(pc, 201, 40)
			w.poll("C", rd, 20)
			w.batches(pc, 22) // until it is held up, and a lap
		}
		return []*proc{a, c}
	}},
	{name: "a decision about a reader comes when its slot has a next tenant", options: stepOptions.kind(MPMC), preempts: 3, kills: 0, set: func(w *world) []*proc {
		// A has been held up for long enough. C closes; the next one in its slot is dropped as well, and lapped.
		a := w.process("A", false, nil)
		pa := w.producer(a)
		c := w.process("C", false, nil)
		c.steady = true
		pc := w.producer(c)
		rd := w.reader(c, "C", dropAtOnce, Newest())
		w.held(pa, 40)
		a.body = func() { w.send(pa, 101, 40) }
		c.body = func() {
			w.leave("C", rd)
			w.tenant("N", dropAtOnce, Oldest())
			w.batches(pc, 22)
		}
		return []*proc{a, c}
	}},
}

// batches publishes n batches of two messages.
func (w *world) batches(pr *Producer, n uint64) {
	for i := range n {
		w.sendBatch(pr, 48, 301+2*i, 302+2*i)
	}
}

// tenant joins in steps, and reads nothing until all is over.
func (w *world) tenant(name string, policy Policy, from From) {
	r := w.view()
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
}

// slowFaults are seeded with the others. A reader that gates again in its old generation is none of them: it finds itself dropped at
// once. Neither is one that goes back to the oldest byte: it gates again within half a ring of the producers, where no refresh under way
// comes to.
var slowFaults = []fault{
	{"the state word loaded before dropped", "slow.go",
		"		was := r.droppedWord(slot).Load()\n		// order: acquire, pair [state] with Ring.activate and Reader.regate.\n		s := state(r.consumerWord(slot, cState).Load())\n",
		"		s := state(r.consumerWord(slot, cState).Load())\n		was := r.droppedWord(slot).Load()\n", "a decision about a reader comes when its slot"},
	{"a reader dropped by a plain store", "slow.go",
		"	return r.droppedWord(slot).CompareAndSwap(was, uint64(s.gen()))\n", "	r.droppedWord(slot).StoreRelaxed(uint64(s.gen()))\n	return true\n", "a decision about a reader comes when it gates"},
	{"a bit instead of a generation", "limit.go",
		"dropped == uint64(s.gen())", "dropped != 0", "a dropped reader's slot"},
}
