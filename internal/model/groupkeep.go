package main

// Keeping: may a producer stop waiting for a group without members, while a member joins?
//
// The code for groups comes with delivery. A producer that a memberless group holds up loads `dropped`, the group's generation and then
// each member slot, and if none is a member it CASes `dropped` to that generation. A joiner's slot becomes MEMBER, it raises the
// group's generation, and then looks at `dropped`: if it finds the group dropped it starts it anew, under the next
// generation. Two slots: one's member dies at any time, the other is the joiner's. A joiner that has looked must not be in a group
// that was dropped without its noticing.

type keepState struct {
	gen, dropped int8
	member       [2]bool
	joiner       struct{ pc int8 }
	p            struct{ pc, dropped, gen int8 }
}

func groupKeepSystem(raise bool) system[keepState] {
	die := func(s *keepState) string {
		if !s.member[0] {
			return ""
		}
		s.member[0] = false
		return "dies, its slot is freed"
	}
	joiner := func(s *keepState) string {
		s.joiner.pc++
		switch s.joiner.pc {
		case 1:
			s.member[1] = true
			return "becomes a member"
		case 2:
			if raise {
				s.gen++
			}
			return "raises the generation"
		case 3:
			if s.dropped == s.gen {
				s.gen++
				return "finds the group dropped, starts it anew"
			}
			return "finds the group as it was"
		}
		return ""
	}
	producer := func(s *keepState) string {
		p := &s.p
		p.pc++
		switch p.pc {
		case 1:
			p.dropped = s.dropped
			return "loads dropped"
		case 2:
			if p.gen = s.gen; p.gen == p.dropped {
				s.p = keepState{}.p
			}
			return "loads the generation"
		case 3, 4:
			if s.member[p.pc-3] {
				s.p = keepState{}.p
				return "finds a member"
			}
			return "finds a slot free"
		}
		if s.dropped == p.dropped {
			s.dropped = p.gen
		}
		s.p = keepState{}.p
		return "drops the generation, if dropped is as it was"
	}
	return system[keepState]{
		start: []keepState{{gen: 1, member: [2]bool{true, false}}},
		procs: []process[keepState]{{"member", die}, {"joiner", joiner}, {"producer", producer}},
		fault: func(s *keepState) string {
			if s.joiner.pc == 3 && s.dropped == s.gen {
				return "a member works in a group that was dropped behind its back"
			}
			return ""
		},
	}
}

var groupKeep = model{
	name:     "group_keep",
	question: "may a producer drop a memberless group while a member joins?",
	variants: []variant{
		{name: "each join raises the group's generation", run: func(bounds) result { return explore(groupKeepSystem(true)) }},
		{name: "the generation stays", wrong: true, run: func(bounds) result { return explore(groupKeepSystem(false)) }},
	},
}
