package main

// Gates: may a queue group's gate pass a message that a member works on?
//
// The code for groups comes with delivery; this settles the order of a refresh's loads. A group gates with the oldest position that is not
// acknowledged: a refresh loads the head, then the members' intents. One slow member takes, works and acknowledges, the other
// members take and acknowledge at once, and one refresher scans. Eight messages; nobody dies (see group for that).

type gateState struct {
	head, gate int8
	intent     int8 // the slow member's from + 1; 0: none
	m          struct{ pc, head int8 }
	r          struct{ pc, head, intent int8 }
}

func gatesSystem(headFirst bool, end int8) system[gateState] {
	member := func(s *gateState) string {
		m := &s.m
		switch m.pc {
		case 0:
			if s.head >= end {
				return ""
			}
			m.head, m.pc = s.head, 1
			return "loads the head"
		case 1:
			s.intent, m.pc = m.head+1, 2
			return "stores its intent"
		case 2:
			if s.head != m.head {
				m.head, m.pc = 0, 0
				return "loses the CAS" // the intent stays until the next one
			}
			s.head, m.pc = s.head+1, 3
			return "takes a message"
		}
		s.intent, m.head, m.pc = 0, 0, 0
		return "acknowledges it"
	}
	others := func(s *gateState) string {
		if s.head >= end {
			return ""
		}
		s.head++
		return "take and acknowledge"
	}
	refresher := func(s *gateState) string {
		r := &s.r
		loadHead := (r.pc == 0) == headFirst
		r.pc++
		switch {
		case r.pc == 3:
			open := r.head
			if r.intent != 0 {
				open = min(open, r.intent-1)
			}
			s.gate = max(s.gate, open)
			r.pc, r.head, r.intent = 0, 0, 0
			return "raises the gate"
		case loadHead:
			r.head = s.head
			return "loads the head"
		}
		r.intent = s.intent
		return "loads the intent"
	}
	return system[gateState]{
		start: []gateState{{}},
		procs: []process[gateState]{{"member", member}, {"others", others}, {"refresher", refresher}},
		fault: func(s *gateState) string {
			if s.m.pc == 3 && s.gate > s.m.head {
				return "the gate passes a message that a member works on"
			}
			return ""
		},
	}
}

var gates = model{
	name:     "gates",
	question: "may a group's gate pass a message that a member works on?",
	variants: []variant{
		{name: "the head, then the members", run: func(b bounds) result { return explore(gatesSystem(true, b.pick(8, 16, 32))) }},
		{name: "the members, then the head", wrong: true, run: func(b bounds) result { return explore(gatesSystem(false, 8)) }},
	},
}
