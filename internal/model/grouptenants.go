package main

// Tenants: does a slot's `won` tell of the member that is in it now?
//
// The code for groups comes with delivery. Slot 0 was a member of group 1, took up to position 3 there, and closed: group 1's head
// still names it, and its `won` is 3. B joins group 2 in that slot; M is a live member of group 2 that takes and acknowledges at
// once, confirming first; N is a member of group 1 that confirms group 1's old taker. B may be killed at any step, and is then judged
// by its words, as in group. `won` has the number of the group's start beside it; B stores (0, number) before it becomes a member,
// and who confirms changes only a `won` with its own group's number.

type numbered struct{ group, pos int8 }

type tenantsState struct {
	won  numbered  // of slot 0
	head groupHead // group 2's
	b    struct {
		from, end int8 // from is a position + 1
		dead      bool
		pc, left  int8
		head      groupHead
		owns      bool // the truth
	}
	m struct {
		pc   int8
		head groupHead
	}
	n struct {
		pc  int8
		won numbered
	}
}

type tenantsSetup struct{ reset, number bool }

// confirm raises slot 0's won on behalf of a group's member, who loaded it as it is.
func (x tenantsSetup) confirm(won numbered, group, pos int8) numbered {
	if !x.number || won.group == group {
		won.pos = max(won.pos, pos)
	}
	return won
}

func (x tenantsSetup) b(s *tenantsState) string {
	b := &s.b
	if b.dead {
		return ""
	}
	switch b.pc {
	case 0:
		if b.pc = 1; x.reset {
			s.won = numbered{2, 0}
		}
		return "joins group 2 in slot 0"
	case 1:
		if b.left == 0 {
			return ""
		}
		b.left--
		b.head, b.pc = s.head, 2
		return "loads the head"
	case 2:
		b.from, b.pc = 0, 3
		return "stores from = NONE"
	case 3:
		b.end, b.pc = b.head.pos+1, 4
		return "stores the end"
	case 4:
		b.from, b.pc = b.head.pos+1, 5
		return "stores from"
	case 5:
		if s.head != b.head {
			b.pc = 1
			return "loses the CAS of the head"
		}
		s.head = groupHead{b.end, 0}
		b.owns, b.pc = true, 6
		return "wins the CAS of the head"
	case 6:
		s.won.pos, b.pc = b.end, 7
		return "stores won"
	}
	b.from, b.owns, b.pc = 0, false, 1
	return "acknowledges"
}

func (x tenantsSetup) system() system[tenantsState] {
	killB := func(s *tenantsState) string {
		if s.b.dead || s.b.pc == 0 {
			return ""
		}
		s.b.dead, s.b.head = true, groupHead{}
		return "is killed"
	}
	m := func(s *tenantsState) string {
		m := &s.m
		switch m.pc {
		case 0:
			if s.head.pos >= 3 {
				return ""
			}
			m.head, m.pc = s.head, 1
			return "loads the head"
		case 1:
			if m.pc = 2; m.head.by == 0 {
				s.won = x.confirm(s.won, 2, m.head.pos)
			}
			return "confirms the head's taker"
		}
		if s.head == m.head {
			s.head = groupHead{m.head.pos + 1, 1}
		}
		m.head, m.pc = groupHead{}, 0
		return "tries the CAS of the head"
	}
	n := func(s *tenantsState) string {
		n := &s.n
		switch n.pc {
		case 0:
			n.won, n.pc = s.won, 1
			return "loads won of its group's old taker"
		case 1:
			if n.pc = 2; s.won == n.won {
				s.won = x.confirm(s.won, 1, 3)
			} else {
				n.pc = 0
			}
			n.won = numbered{}
			return "tries the CAS of won"
		}
		return ""
	}
	start := tenantsState{won: numbered{1, 3}, head: groupHead{1, 9}}
	start.b.left = 2
	return system[tenantsState]{
		start: []tenantsState{start},
		procs: []process[tenantsState]{{"B", x.b}, {"B", killB}, {"M", m}, {"N", n}},
		fault: func(s *tenantsState) string {
			won := s.won.pos >= s.b.end && (!x.number || s.won.group == 2)
			says := won || s.head == groupHead{s.b.end, 0}
			if s.b.dead && s.b.from != 0 && s.b.owns != says {
				return "a dead member's words do not tell what it owns"
			}
			return ""
		},
	}
}

var groupTenants = model{
	name:     "group_tenants",
	question: "does won tell of the member that is in the slot now?",
	variants: []variant{
		{name: "with the number of the group's start beside it", run: func(bounds) result { return explore(tenantsSetup{true, true}.system()) }},
		{name: "set back by the joiner alone", wrong: true, run: func(bounds) result { return explore(tenantsSetup{true, false}.system()) }},
		{name: "left as it was", wrong: true, run: func(bounds) result { return explore(tenantsSetup{}.system()) }},
	},
}
