package main

// Open claims: may the limit pass the claim of a producer that is stopped between its CAS and its stamp?
//
// It stands for the order of the loads in Producer.look and gateOfClaims (limit.go): the tail first, then the intents. One
// slow producer makes one claim, a crowd claims and commits whatever the limit allows, and two refreshers scan at the same time,
// each a load at a time; no reader gates. A unit is a segment; the ring has five. The crowd goes two laps far and more.
//
// One refresher alone is right in either order. With two, the one that loaded the intents first may have missed the intent, and the
// other has meanwhile let the tail come far enough that the first one's late load of it is beyond the claim's reach.

const openC = 5

type openState struct {
	tail, limit int8
	intent      int8 // position + 1 of the slow producer's; 0: none
	p           struct{ pc, t int8 }
	r           [2]struct{ pc, t, intent int8 }
}

func openClaimsSystem(tailFirst bool, end int8) system[openState] {
	slow := func(s *openState) string {
		p := &s.p
		switch p.pc {
		case 0:
			if s.tail >= s.limit {
				return ""
			}
			p.t, p.pc = s.tail, 1
			return "loads the tail"
		case 1:
			s.intent, p.pc = p.t+1, 2
			return "stores its intent"
		case 2:
			if s.tail != p.t {
				s.intent, p.t, p.pc = 0, 0, 0
				return "loses the CAS, clears its intent"
			}
			s.tail, p.pc = s.tail+1, 3
			return "wins the CAS"
		case 3:
			s.intent, p.pc = 0, 4
			return "stamps, clears its intent"
		}
		return ""
	}
	crowd := func(s *openState) string {
		if s.tail >= s.limit || s.tail >= end {
			return ""
		}
		s.tail++
		return "claims and commits"
	}
	refresher := func(i int) process[openState] {
		return process[openState]{"refresher " + "12"[i:i+1], func(s *openState) string {
			r := &s.r[i]
			loadTail := (r.pc == 0) == tailFirst
			r.pc++
			switch {
			case r.pc == 3:
				raised := r.t + 1
				if r.intent != 0 {
					raised = min(raised, r.intent-1+openC)
				}
				s.limit = max(s.limit, raised)
				r.pc, r.t, r.intent = 0, 0, 0
				return "raises the limit"
			case loadTail:
				r.t = s.tail
				return "loads the tail"
			}
			r.intent = s.intent
			return "loads the intent"
		}}
	}
	return system[openState]{
		start: []openState{{limit: 1}},
		procs: []process[openState]{{"slow producer", slow}, {"crowd", crowd}, refresher(0), refresher(1)},
		fault: func(s *openState) string {
			if s.p.pc == 3 && s.limit > s.p.t+openC {
				return "the limit passes an open claim"
			}
			return ""
		},
	}
}

var openClaims = model{
	name:     "open_claims",
	question: "may the limit pass an uncommitted claim of a producer that sleeps?",
	variants: []variant{
		{name: "the tail, then the intents", run: func(b bounds) result { return explore(openClaimsSystem(true, b.pick(9, 13, 15))) }},
		{name: "the intents, then the tail", wrong: true, run: func(b bounds) result { return explore(openClaimsSystem(false, 13)) }},
	},
}
