//go:build stepped

package shmring

import "errors"

func init() {
	for _, s := range retryScenarios {
		s.beyond, s.told = true, true
	}
	scenarios = append(scenarios, retryScenarios...)
	faults = append(faults, retryFaults...)
}

// redelivered is the id of the message that is handed out once more, and whether it was.
var redelivered struct {
	id uint64
	ok bool
}

// twice is the parked message that two retry at once, and what became of it.
var twice struct {
	p     Parked
	again [2]error
}

var retryScenarios = []*scenario{
	{name: "two retry the same parked message", options: groupOptions, preempts: 2, kills: 1, set: func(w *world) []*proc {
		c := newCrew(w)
		groupCrew = c
		pr := w.producer(w.process("P", false, nil))
		policy := GroupPolicy{Credit: 4 << 10, MaxDeliver: 1}
		m := c.hire(nil, "g", policy, MemberOptions{})
		w.send(pr, 1, 104)
		m.Next()
		m.Unread()
		m.Next() // parked
		m.Close()
		all, _, err := w.ring.Parked()
		if err != nil || len(all) != 1 {
			w.fail("parked %v, %v", all, err)
			return nil
		}
		twice.p, twice.again = all[0], [2]error{}
		var procs []*proc
		for i, name := range []string{"D", "E"} {
			d := w.process(name, true, nil)
			again := c.hire(d, "g", policy, MemberOptions{})
			d.body = func() { twice.again[i] = errors.New("died"); twice.again[i] = again.Retry(twice.p) }
			procs = append(procs, d)
		}
		return procs
	}, check: func(w *world) {
		c := groupCrew
		c.check("g")
		times, _ := c.times("last of g")
		all, _, err := w.ring.Parked()
		if err != nil || len(all)+int(times[1]) == 0 {
			w.fail("lost: %v, %v", all, err)
		}
		killed := false
		for _, p := range w.procs {
			killed = killed || p.killed
		}
		most := 1
		if killed {
			most = 2 // it was handed over by who died before it was off the list
		}
		if times[1] > most || !killed && len(all)+int(times[1]) != 1 {
			w.fail("it was handed over %d times, and is listed %d times: %v", times[1], len(all), twice.again)
		}
	}},
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
		d.body = func() {
			if again.Redeliver(at) == nil {
				redelivered.ok = true
				w.tell("redelivered", "")
			}
		}
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
	{"retried without a look at the list", "retry.go",
		"			if !m.parked(p) {", "			if !m.parked(p) && false {", "two retry"},
	{"retried without the group's lock", "retry.go",
		"		return m.ring.underGroupLock(m.group,", "		return func(_ uint64, _ Grant, f func() error) error { return f() }(m.group,", "two retry"},
	{"off the list before it is the group's", "retry.go",
		"			if err := m.redeliver(", "			m.ring.parked().remove(p.Number)\n			if err := m.redeliver(", "two retry"},
	{"redelivered without a look at the limit behind the gate", "retry.go",
		"	if before(pos, safe) {\n		err =", "	if before(pos, safe) && false {\n		err =", "a message comes again"},
	{"redelivered before it gates", "retry.go",
		"	h.from.Store(pack(pos, 0))\n	// order: acquire, pair [join]", "	defer h.from.Store(pack(pos, 0))\n	// order: acquire, pair [join]", "a message comes again"},
	{"owned before it is safe", "retry.go",
		"	h.won.StoreRelease(pack(passed, 0))\n	h.end", "	h.end", "a message comes again"},
}
