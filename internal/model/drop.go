package main

// Dropping: two producers decide at once to stop waiting for a reader; may the decision hit another reader, or be taken back?
//
// It stands for Producer.ungate (slow.go) and Ring.GrantConsumer (slots.go) of package shmring. A slot has tenants one after the
// other: the first may be dropped, may gate again under the next generation, and closes; the next one's policy is written before
// it becomes active under the next generation, and may be block, which nobody may drop. A producer that drops loads `dropped`, the
// state word and the policy, and then CASes `dropped` from what it loaded to the generation. Two deciders, three tenants, four
// generations. Two deciders may find the patience over at any time.

type dropState struct {
	active, block bool // the slot's state word and policy
	gen           int8
	dropped       int8 // the generation that does not gate
	writing       bool // the next tenant has written its policy, and is not active yet
	tenants       int8
	d             [2]struct {
		pc, dropped, gen int8
		mayDrop          bool
	}
}

type dropSetup struct{ plainStore, policyFirst bool }

func (x dropSetup) decider(i int) process[dropState] {
	return process[dropState]{"producer " + "12"[i:i+1], func(s *dropState) string {
		d := &s.d[i]
		loadPolicy := (d.pc == 1) == x.policyFirst
		d.pc++
		switch {
		case d.pc == 1:
			d.dropped = s.dropped
			return "loads dropped"
		case d.pc == 4:
			hit := x.plainStore || s.dropped == d.dropped
			gen := d.gen
			d.pc, d.dropped, d.gen, d.mayDrop = 0, 0, 0, false
			if !hit {
				return "loses the CAS of dropped"
			}
			if s.active && s.gen == s.dropped && gen != s.gen {
				return wrong("a generation that was dropped gates again")
			}
			if s.dropped = gen; s.active && s.block && gen == s.gen {
				return wrong("a block reader is dropped")
			}
			return "drops the generation that it loaded"
		case loadPolicy:
			if d.mayDrop = !s.block; !d.mayDrop {
				d.pc, d.dropped, d.gen = 0, 0, 0
			}
			return "loads the policy"
		}
		if d.gen = s.gen; !s.active || s.gen == d.dropped {
			d.pc, d.dropped, d.gen, d.mayDrop = 0, 0, 0, false
		}
		return "loads the state word"
	}}
}

func (x dropSetup) system() system[dropState] {
	rejoin := func(s *dropState) string {
		if !s.active || s.block || s.dropped != s.gen || s.gen >= 4 {
			return ""
		}
		s.gen++
		return "was dropped, joins again"
	}
	leave := func(s *dropState) string {
		if !s.active || s.tenants == 2 {
			return ""
		}
		s.active = false
		return "closes"
	}
	write := func(block bool) func(s *dropState) string {
		return func(s *dropState) string {
			if s.active || s.writing {
				return ""
			}
			s.block, s.writing = block, true
			return "writes its policy"
		}
	}
	activate := func(s *dropState) string {
		if !s.writing {
			return ""
		}
		s.active, s.writing = true, false
		s.gen++
		s.tenants++
		return "becomes active"
	}
	return system[dropState]{
		start: []dropState{{active: true, gen: 1}},
		procs: []process[dropState]{
			{"reader", rejoin}, {"reader", leave}, {"next reader, drop,", write(false)}, {"next reader, block,", write(true)},
			{"next reader", activate}, x.decider(0), x.decider(1),
		},
	}
}

var drop = model{
	name:     "drop",
	question: "two producers drop a reader that joins again, or whose slot is granted anew: whom do they hit?",
	variants: []variant{
		{name: "CAS from the value loaded first; state, then policy", run: func(bounds) result { return explore(dropSetup{}.system()) }},
		{name: "a plain store", wrong: true, run: func(bounds) result { return explore(dropSetup{plainStore: true}.system()) }},
		{name: "the policy, then the state word", wrong: true, run: func(bounds) result { return explore(dropSetup{policyFirst: true}.system()) }},
	},
}
