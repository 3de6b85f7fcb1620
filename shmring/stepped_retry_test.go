//go:build stepped

package shmring

func init() {
	for _, s := range retryScenarios {
		s.beyond = true
	}
	scenarios = append(scenarios, retryScenarios...)
	faults = append(faults, retryFaults...)
}

// redelivered is the id of the message that is handed out once more, and whether it was.
var redelivered struct {
	id uint64
	ok bool
}

var retryScenarios = []*scenario{
	{name: "a message comes again beside a producer", options: groupOptions, preempts: 1, kills: 1, set: func(w *world) []*proc {
		c := newCrew(w)
		groupCrew = c
		p := w.process("P", false, nil)
		pr := w.producer(p)
		policy := GroupPolicy{Credit: 4 << 10}
		m := c.hire(nil, "g", policy, MemberOptions{})
		for id := range uint64(35) { // more than a lap, 128 bytes each
			w.send(pr, id+1, 104)
			c.work("before", m, 1)
		}
		m.Close()
		at := w.ring.safeFrom(w.ring.limit.Load())
		redelivered.id, redelivered.ok = (at-w.ring.capacity)/128+1, false
		d := w.process("D", true, nil)
		again := c.hire(d, "g", policy, MemberOptions{})
		d.body = func() { redelivered.ok = again.Redeliver(at) == nil }
		p.body = func() {
			for i := range uint64(6) { // so many that the message is overwritten, unless it gates
				w.send(pr, 101+i, 104)
			}
		}
		a := c.worker("A", "g", false, 1)
		return []*proc{d, p, a}
	}, check: func(w *world) {
		c := groupCrew
		c.check("g")
		times, vain := c.times("before", "A", "last of g")
		for id := range w.committed {
			want, most := 1, 1
			if id == redelivered.id {
				most = 2 // it may have been handed over by who died before it could say so
				if redelivered.ok {
					want = 2
				}
			}
			if n := times[id]; n < want || n > most+vain[id] {
				w.fail("message %d was processed %d times, want %d to %d: %v", id, n, want, most, c.got)
			}
		}
	}},
}

var retryFaults = []fault{
	{"redelivered without a look at the limit behind the gate", "retry.go",
		"	if before(pos, safe) {\n		err =", "	if before(pos, safe) && false {\n		err =", "a message comes again"},
	{"redelivered before it gates", "retry.go",
		"	h.from.Store(pack(pos, 0))\n	// order: acquire, pair [join]", "	defer h.from.Store(pack(pos, 0))\n	// order: acquire, pair [join]", "a message comes again"},
	{"owned before it is safe", "retry.go",
		"	h.won.StoreRelease(pack(passed, 0))\n	h.end", "	h.end", "a message comes again"},
}
