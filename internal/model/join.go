package main

// Joining: can a reader join without waiting for the refreshes that are under way?
//
// It stands for Reader.join (join.go) against Producer.look and gateOfReaders (limit.go). One joiner, two refreshers that each
// load the tail and the reader's slot in two steps, and a crowd that claims what the limit allows. A unit is a segment (S = 1), the
// ring has eight. A claim is at most a segment long, so a refresh that loaded the tail t raises the limit to t + S at most.

const (
	joinC = 8
	joinS = 1
)

type joinState struct {
	tail, limit int8
	active      bool
	cursor      int8
	pc          int8 // the joiner's
	r           [2]struct{ pc, t, gate int8 }
}

func joinSystem(slack int8, tailFirst bool, end int8) system[joinState] {
	joiner := func(s *joinState) string {
		s.pc++
		switch s.pc {
		case 1:
			s.cursor = s.limit - joinC
			return "stores its stand-in, the limit - C"
		case 2:
			s.active = true
			return "becomes active"
		case 3:
			s.cursor = s.limit + slack - joinC
			return "loads the limit, moves its cursor"
		}
		return ""
	}
	crowd := func(s *joinState) string {
		if s.tail >= s.limit || s.tail >= end {
			return ""
		}
		s.tail++
		return "claims a segment"
	}
	refresher := func(i int) process[joinState] {
		return process[joinState]{"refresher " + "12"[i:i+1], func(s *joinState) string {
			r := &s.r[i]
			loadTail := (r.pc == 0) == tailFirst
			r.pc++
			switch {
			case r.pc == 3:
				raised := r.t + joinS
				if r.gate != 0 {
					raised = min(raised, r.gate)
				}
				s.limit = max(s.limit, raised)
				r.pc, r.t, r.gate = 0, 0, 0
				return "raises the limit"
			case loadTail:
				r.t = s.tail
				return "loads the tail"
			case s.active:
				r.gate = s.cursor + joinC
				return "loads the cursor"
			}
			return "sees no reader"
		}}
	}
	return system[joinState]{
		start: []joinState{{tail: joinC, limit: joinC + 1}},
		procs: []process[joinState]{{"joiner", joiner}, {"crowd", crowd}, refresher(0), refresher(1)},
		fault: func(s *joinState) string {
			if s.pc == 3 && s.limit > s.cursor+joinC {
				return "the limit passes the cursor of a reader that has joined"
			}
			return ""
		},
	}
}

var join = model{
	name:     "join",
	question: "can a reader join without waiting for the refreshes under way?",
	variants: []variant{
		{name: "one segment above the oldest byte", run: func(b bounds) result { return explore(joinSystem(joinS, true, b.pick(14, 20, 32))) }},
		{name: "at the oldest byte", wrong: true, run: func(b bounds) result { return explore(joinSystem(0, true, 20)) }},
		{name: "a refresh loads the reader's slot before the tail", wrong: true, run: func(b bounds) result { return explore(joinSystem(joinS, false, 20)) }},
	},
}
