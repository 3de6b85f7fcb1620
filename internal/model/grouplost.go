package main

// Lost takes: may a group's gate ignore what a stopped member wrote before it lost its CAS?
//
// The code for groups comes with delivery. Two members take as in group, and live. A refresh loads the head, then of each member
// from, end, from again, and `won`; it ignores a from that the head has passed, if the head is not (end, the member's slot)
// and `won` has not come to the end: that attempt lost. The gate must never pass a range that is owned.

type groupLostState struct {
	head groupHead
	m    [2]groupMember
	r    struct {
		pc, i     int8 // which load, of which member
		head      groupHead
		from, end int8
		won       [2]int8 // loaded too early, in the wrong variant
		gate      int8    // the smallest so far
	}
	done bool // a scan has just ended
}

func groupLostSystem(wonLast bool, last int8) system[groupLostState] {
	refresh := func(s *groupLostState) string {
		r := &s.r
		m := &s.m[r.i]
		if s.done {
			s.done, s.r = false, groupLostState{}.r
			return "begins anew"
		}
		switch r.pc {
		case 0:
			if r.pc = 1; !wonLast {
				r.won = [2]int8{s.m[0].won, s.m[1].won}
			}
			return "begins"
		case 1:
			r.head, r.gate, r.pc = s.head, s.head.pos, 2
			return "loads the head"
		case 2:
			r.from, r.pc = m.from, 3
			return "loads from"
		case 3:
			r.end, r.pc = m.end, 4
			return "loads the end"
		case 4:
			if r.pc = 5; m.from != r.from {
				r.from, r.end, r.pc = 0, 0, 2
			}
			return "loads from again"
		}
		won := r.won[r.i]
		if wonLast {
			won = m.won
		}
		from := r.from - 1
		lost := r.head.pos > from && r.head != groupHead{r.end, r.i} && won < r.end
		if r.from != 0 && !lost {
			r.gate = min(r.gate, from)
		}
		r.from, r.end, r.pc = 0, 0, 2
		if r.i++; int(r.i) == len(s.m) {
			r.i, s.done = 0, true
		}
		return "loads won"
	}
	sys := system[groupLostState]{
		start: []groupLostState{{head: groupHead{0, nobody}}},
		procs: []process[groupLostState]{{"refresh", refresh}},
		fault: func(s *groupLostState) string {
			for _, m := range s.m {
				if s.done && m.owns && m.from-1 < s.r.gate {
					return "the gate passes a range that a member owns"
				}
			}
			return ""
		},
	}
	for i := range 2 {
		for size := int8(1); size <= 2; size++ {
			sys.procs = append(sys.procs, process[groupLostState]{"member " + "01"[i:i+1], func(s *groupLostState) string {
				if s.m[i].pc == 3 && s.m[i].head.pos+size > last {
					return ""
				}
				return take(s.m[:], i, &s.head, size, last, true)
			}})
		}
	}
	return sys
}

var groupLost = model{
	name:     "group_lost",
	question: "may a refresh ignore what a stopped member wrote before it lost?",
	variants: []variant{
		{name: "won is loaded last", run: func(b bounds) result { return explore(groupLostSystem(true, b.pick(2, 4, 5))) }},
		{name: "won is loaded before the head", wrong: true, run: func(bounds) result { return explore(groupLostSystem(false, 3)) }},
	},
}
