//go:build stepped

package shmring

var stepOptions = Options{Capacity: 2 << 10, MaxClaim: 128, Producers: 4, Consumers: 3, Groups: 1}

func (o Options) kind(k Kind) Options { o.Kind = k; return o }

// scenarios are what the stepped runs try. Each body is what a process does; the engine does the rest.
var scenarios = []*scenario{
	{name: "two producers publish, one may die", options: stepOptions.kind(MPMC), preempts: 3, kills: 1, set: func(w *world) []*proc {
		return []*proc{w.publisher("A", 1, 8, 8), w.publisher("B", 2, 24, 8)}
	}},
	{name: "shorter commits and batches, one may die", options: stepOptions.kind(MPMC), preempts: 3, kills: 1, set: func(w *world) []*proc {
		a := w.process("A", true, nil)
		pa := w.producer(a)
		a.body = func() { w.sendShorter(pa, 101, 40, 8); w.sendBatch(pa, 8, 102, 103) }
		return []*proc{a, w.publisher("B", 2, 40, 8)}
	}},
	{name: "claims across a segment's end, one may die", options: stepOptions.kind(MPMC), preempts: 3, kills: 1, set: func(w *world) []*proc {
		a := w.process("A", true, nil)
		pa := w.producer(a)
		w.send(pa, 1, 40)
		w.send(pa, 2, 40)
		w.send(pa, 3, 40)
		w.send(pa, 4, 8) // 32 bytes are left
		a.body = func() { w.sendShorter(pa, 101, 40, 8); w.send(pa, 102, 8) }
		return []*proc{a, w.publisher("B", 2, 24, 8)}
	}},
	{name: "a repairer beside two producers, one of them may die", options: stepOptions.kind(MPMC), preempts: 2, kills: 1, set: func(w *world) []*proc {
		return []*proc{w.publisher("A", 1, 24), w.publisher("B", 2, 8), w.repairer("R")}
	}},
	{name: "a repairer beside one producer, either may die", options: stepOptions.kind(MPMC), preempts: 3, kills: 1, set: func(w *world) []*proc {
		a := w.process("A", true, nil)
		pa := w.producer(a)
		a.body = func() { w.sendShorter(pa, 101, 40, 8); w.sendBatch(pa, 8, 102, 103); w.close(pa) }
		return []*proc{a, w.repairer("R")}
	}},
	{name: "repairers die amid their repair", options: stepOptions.kind(MPMC), preempts: 2, kills: 2, set: func(w *world) []*proc {
		a := w.process("A", true, nil)
		pa := w.producer(a)
		for i := range uint64(3) {
			w.send(pa, 1+i, 48)
		}
		w.send(pa, 4, 8) // 32 bytes are left in the segment: the next claim takes them and goes on behind
		a.body = func() { w.sendShorter(pa, 101, 40, 8) }
		return []*proc{a, w.repairer("R"), w.repairer("S")}
	}},
	{name: "a repairer judges batches", options: stepOptions.kind(MPMC), preempts: 2, kills: 1, set: func(w *world) []*proc {
		a := w.process("A", true, nil)
		pa := w.producer(a)
		a.body = func() { w.sendBatch(pa, 8, 101, 102) }
		b := w.process("B", false, nil)
		pb := w.producer(b)
		b.body = func() { w.sendBatch(pb, 8, 201, 202, 203) }
		return []*proc{a, b, w.repairer("R")}
	}},
	{name: "a repairer judges a shorter commit", options: stepOptions.kind(MPMC), preempts: 3, kills: 1, set: func(w *world) []*proc {
		b := w.process("B", false, nil)
		pb := w.producer(b)
		b.body = func() { w.sendShorter(pb, 201, 40, 8) }
		r := w.repairer("R")
		r.mortal = false
		return []*proc{w.publisher("A", 1, 8), b, r}
	}},
	{name: "a loser's intent is laps old", options: stepOptions.kind(MPMC), preempts: 2, kills: 0, set: func(w *world) []*proc {
		// A died with its intent, B wins there, and C goes round while R judges.
		c := w.process("C", false, nil)
		c.steady = true
		pc := w.producer(c)
		c.body = func() {
			for i := range uint64(20) {
				w.sendBatch(pc, 48, 301+2*i, 302+2*i)
			}
		}
		r := w.repairer("R")
		r.mortal = false
		// A died between its intent and its CAS: the words are its, the lock has fallen.
		pa := w.producer(nil)
		pa.slotSize.Store(48)
		pa.slotPosition.Store(w.ring.tail.Load())
		w.locks.drop(pa.lease.grant.Lock)
		return []*proc{w.publisherUnhurt("B", 2, 24, 8), c, r}
	}},
	{name: "a full ring is given back only when it was read", options: stepOptions.kind(SPSC), preempts: 3, kills: 1, set: func(w *world) []*proc {
		a := w.process("A", true, nil)
		pa := w.producer(a)
		c := w.process("C", true, nil)
		rd := w.reader(c, "C", Policy{Slow: Block, Credit: 2 << 10}, Newest())
		id := uint64(1)
		for w.send(pa, id, 40) {
			id++
		}
		a.body = func() {
			for i := range uint64(3) {
				w.send(pa, 101+i, 40)
			}
		}
		c.body = func() { w.poll("C", rd, 1); w.poll("C", rd, 1) }
		return []*proc{a, c}
	}},
	{name: "readers see whole messages in one order", options: stepOptions.kind(MPMC), preempts: 2, kills: 1, set: func(w *world) []*proc {
		return []*proc{w.publisher("A", 1, 24), w.publisher("B", 2, 8), w.follower("C", Policy{Slow: Block}, 2)}
	}},
	{name: "a single producer and its reader", options: stepOptions.kind(SPSC), preempts: 3, kills: 1, set: func(w *world) []*proc {
		return []*proc{w.publisher("A", 1, 24, 8, 40), w.follower("C", Policy{Slow: Block}, 3)}
	}},
	{name: "a successor takes over from a single producer", options: stepOptions.kind(SPMC), preempts: 3, kills: 1, set: func(w *world) []*proc {
		a := w.process("A", true, nil)
		pa := w.producer(a)
		w.send(pa, 1, 40)
		w.send(pa, 2, 40)
		w.send(pa, 3, 40)
		a.body = func() { w.send(pa, 101, 24); w.sendShorter(pa, 102, 40, 8); w.send(pa, 103, 8); w.close(pa) }
		return []*proc{a, w.successor("B", 201, 8, 24)}
	}},
	{name: "two successors want a single producer's place", options: stepOptions.kind(SPSC), preempts: 2, kills: 1, set: func(w *world) []*proc {
		a := w.process("A", true, nil)
		pa := w.producer(a)
		w.send(pa, 1, 40)
		a.body = func() { w.send(pa, 101, 24); w.close(pa) }
		return []*proc{a, w.successor("B", 201, 8), w.successor("C", 301, 24)}
	}},
	{name: "an open claim is not run over", options: stepOptions.kind(MPMC), preempts: 2, kills: 0, set: func(w *world) []*proc {
		// Nobody gates. A refreshes, B claims, and C goes round until B's claim holds it up.
		a := w.process("A", false, nil)
		pa := w.producer(a)
		for i := range uint64(4) {
			w.send(pa, 1+i, 48)
		}
		a.body = func() { w.sendBatch(pa, 48, 101, 102) }
		c := w.process("C", false, nil)
		c.steady = true
		pc := w.producer(c)
		c.body = func() {
			for i := range uint64(15) {
				w.sendBatch(pc, 48, 301+2*i, 302+2*i)
			}
		}
		return []*proc{a, w.publisherUnhurt("B", 2, 24), c}
	}},
	{name: "a reader joins while producers refresh", options: stepOptions.kind(MPMC), preempts: 2, kills: 0, set: func(w *world) []*proc {
		a := w.process("A", false, nil)
		pa := w.producer(a)
		for i := range uint64(32) { // a lap: the next claim refreshes
			w.send(pa, 1+i, 48)
		}
		a.body = func() {
			for i := range uint64(3) {
				w.sendBatch(pa, 48, 101+2*i, 102+2*i)
			}
		}
		return []*proc{a, w.publisherUnhurt("B", 2, 48), w.joiner("J", Policy{Slow: Block}, Oldest(), 2)}
	}},
	{name: "a reader joins while a single producer refreshes", options: stepOptions.kind(SPMC), preempts: 3, kills: 0, set: func(w *world) []*proc {
		a := w.process("A", false, nil)
		pa := w.producer(a)
		for i := range uint64(32) {
			w.send(pa, 1+i, 48)
		}
		a.body = func() {
			for i := range uint64(6) {
				w.sendBatch(pa, 48, 101+2*i, 102+2*i)
			}
		}
		return []*proc{a, w.joiner("J", Policy{Slow: Block}, Oldest(), 4)}
	}},
	{name: "a lossy reader is overtaken", options: stepOptions.kind(SPMC), preempts: 3, kills: 0, set: func(w *world) []*proc {
		a := w.process("A", false, nil)
		pa := w.producer(a)
		c := w.process("C", false, nil)
		rd := w.reader(c, "C", Policy{Slow: Lossy}, Newest())
		id := uint64(1)
		for range 27 {
			w.send(pa, id, 40)
			id++
		}
		a.body = func() {
			for i := range uint64(12) {
				w.send(pa, 101+i, 24)
			}
		}
		c.body = func() { w.poll("C", rd, 2) }
		return []*proc{a, c}
	}},
	{name: "back pressure leaves no intent", options: stepOptions.kind(MPMC), preempts: 2, kills: 1, set: func(w *world) []*proc {
		a := w.process("A", true, nil)
		pa := w.producer(a)
		c := w.process("C", true, nil)
		rd := w.reader(c, "C", Policy{Slow: Block, Credit: 512}, Newest())
		id := uint64(1)
		for w.send(pa, id, 40) {
			id++
		}
		b := w.process("B", true, nil)
		pb := w.producer(b)
		a.body = func() { w.send(pa, 101, 40); w.send(pa, 102, 40) }
		b.body = func() { w.send(pb, 201, 40); w.send(pb, 202, 8) }
		c.body = func() { w.poll("C", rd, 2) }
		return []*proc{a, b, c}
	}},
	{name: "a slot's next tenant is not taken for the dead one", options: stepOptions.kind(MPMC), preempts: 2, kills: 1, set: func(w *world) []*proc {
		c := w.process("C", true, nil)
		rd := w.reader(c, "C", Policy{Slow: Block}, Newest())
		c.body = func() { w.leave("C", rd) }
		j := w.joiner("J", Policy{Slow: Block}, Newest(), 1)
		return []*proc{c, j, w.repairer("R")}
	}},
	{name: "a producer closes with a claim open", options: stepOptions.kind(MPMC), preempts: 3, kills: 1, set: func(w *world) []*proc {
		a := w.process("A", true, nil)
		pa := w.producer(a)
		for i := range uint64(3) {
			w.send(pa, 1+i, 48)
		}
		w.send(pa, 4, 8) // 32 bytes are left: the claim begins with a PAD
		a.body = func() { w.claim(pa, 40); w.close(pa) }
		return []*proc{a, w.publisher("B", 2, 8)}
	}},
	{name: "a repairer beside a producer that closes with a claim open", options: stepOptions.kind(MPMC), preempts: 2, kills: 1, set: func(w *world) []*proc {
		a := w.process("A", true, nil)
		pa := w.producer(a)
		a.body = func() { w.send(pa, 101, 8); w.claim(pa, 40); w.close(pa) }
		return []*proc{a, w.publisher("B", 2, 8), w.repairer("R")}
	}},
	{name: "a single producer closes with a claim open, and has a successor", options: stepOptions.kind(SPSC), preempts: 3, kills: 1, set: func(w *world) []*proc {
		a := w.process("A", true, nil)
		pa := w.producer(a)
		for i := range uint64(3) {
			w.send(pa, 1+i, 48)
		}
		a.body = func() { w.send(pa, 101, 8); w.claim(pa, 40); w.close(pa) }
		return []*proc{a, w.successor("B", 201, 8)}
	}},
	{name: "a reader closes while a producer waits for it", options: stepOptions.kind(MPMC), preempts: 2, kills: 1, set: func(w *world) []*proc {
		a := w.process("A", true, nil)
		pa := w.producer(a)
		c := w.process("C", true, nil)
		rd := w.reader(c, "C", Policy{Slow: Block, Credit: 512}, Newest())
		for id := uint64(1); w.send(pa, id, 40); {
			id++
		}
		a.body = func() { w.send(pa, 101, 40) }
		c.body = func() { w.lend("C", rd); w.leave("C", rd) }
		return []*proc{a, c, w.repairer("R")}
	}},
	{name: "a reader closes, one joins in its place", options: stepOptions.kind(SPSC), preempts: 3, kills: 1, set: func(w *world) []*proc {
		c := w.process("C", true, nil)
		rd := w.reader(c, "C", Policy{Slow: Block}, Newest())
		c.body = func() { w.lend("C", rd); w.leave("C", rd) }
		j := w.process("J", true, nil)
		r := w.view()
		j.body = func() {
			g, err := r.GrantConsumer(Policy{Slow: Block})
			if err != nil {
				return // C lives: it is the only gate
			}
			w.does("join")
			rj, err := r.Reader(g, ReaderOptions{From: Oldest()})
			if err != nil {
				w.fail("join of J: %v", err)
				return
			}
			w.follow("J", rj)
			w.poll("J", rj, 2)
			w.leave("J", rj)
		}
		pa := w.producer(nil)
		w.send(pa, 1, 40)
		w.send(pa, 2, 8)
		return []*proc{c, j}
	}},
}
