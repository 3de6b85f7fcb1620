package main

// Joining again: does a reader that was dropped gate again, whatever refreshes and decisions are under way?
//
// It stands for Producer.look, gateOfReaders and ungate (limit.go, slow.go) against Reader.regate (slow.go) of package shmring. One reader
// reads, is dropped, reads on, and joins anew under the next generation, with a stand-in, as any joiner does (join.go). Two
// producers refresh, and drop the reader when it holds them up: the tail, `dropped`, the state word, the cursor, a load a step, then
// the limit; and for the decision `dropped` and the state word once more, then the CAS. That its patience is over is taken for
// granted. A unit is a segment, the ring has four; the credit is three. Once the reader has joined again and is not dropped, the limit
// stays within its reach.

const (
	rejoinC      = 4
	rejoinCredit = 3
)

type rejoinState struct {
	tail, limit  int8
	gen, dropped int8 // the state word's generation, and the one that does not gate
	cursor       int8
	reader       struct{ pc, pos int8 }
	r            [2]struct{ pc, tail, dropped, gen, cursor int8 }
}

type rejoinSetup struct {
	slack int8
	order string // of a scan's loads: t tail, d dropped, s state word, c cursor
	end   int8

	stateFirst bool // a decision loads the state word before dropped
}

func (x rejoinSetup) refresher(i int) process[rejoinState] {
	return process[rejoinState]{"producer " + "12"[i:i+1], func(s *rejoinState) string {
		r, idle := &s.r[i], rejoinState{}.r[i]
		if int(r.pc) < len(x.order) {
			r.pc++
			switch x.order[r.pc-1] {
			case 't':
				r.tail = s.tail
				return "loads the tail"
			case 'd':
				r.dropped = s.dropped
				return "loads dropped"
			case 's':
				r.gen = s.gen
				return "loads the state word"
			}
			r.cursor = s.cursor
			return "loads the cursor"
		}
		switch r.pc {
		case 5, 6:
			if (r.pc == 5) == x.stateFirst {
				if r.pc++; s.gen != r.gen {
					*r = idle
				}
				return "decides: loads the state word"
			}
			r.dropped = s.dropped
			if r.pc++; r.dropped == r.gen {
				*r = idle
			}
			return "decides: loads dropped"
		case 7:
			if s.dropped == r.dropped {
				s.dropped = r.gen
			}
			*r = idle
			return "drops the generation, if dropped is as it was"
		}
		limit := r.tail + 1
		if r.dropped != r.gen {
			limit = min(limit, r.cursor+rejoinCredit)
		}
		if limit <= s.limit && r.dropped != r.gen {
			r.pc, r.tail, r.cursor, r.dropped = 5, 0, 0, 0
			return "is held up"
		}
		s.limit = max(s.limit, limit)
		*r = idle
		return "raises the limit"
	}}
}

func (x rejoinSetup) system() system[rejoinState] {
	crowd := func(s *rejoinState) string {
		if s.tail >= s.limit || s.tail >= x.end {
			return ""
		}
		s.tail++
		return "claims a segment"
	}
	read := func(s *rejoinState) string {
		r := &s.reader
		if r.pc != 0 || r.pos >= s.tail {
			return ""
		}
		r.pos++
		s.cursor = r.pos
		return "reads"
	}
	joinAgain := func(s *rejoinState) string {
		r := &s.reader
		switch r.pc {
		case 0:
			if s.dropped != s.gen || s.gen >= 2 {
				return ""
			}
			s.cursor, r.pc = s.limit-rejoinC, 1
			return "was dropped: stores its stand-in, the limit - C"
		case 1:
			s.gen, r.pc = s.gen+1, 2
			return "becomes active under the next generation"
		}
		r.pos, r.pc = max(r.pos, s.limit+x.slack-rejoinC), 0
		s.cursor = r.pos
		return "loads the limit, moves its cursor"
	}
	start := rejoinState{tail: rejoinC, limit: rejoinC + 1, gen: 1, cursor: rejoinC}
	start.reader.pos = rejoinC
	return system[rejoinState]{
		start: []rejoinState{start},
		procs: []process[rejoinState]{{"crowd", crowd}, {"reader", read}, {"reader", joinAgain}, x.refresher(0), x.refresher(1)},
		fault: func(s *rejoinState) string {
			if s.reader.pc == 0 && s.gen > 1 && s.dropped != s.gen && s.limit > s.cursor+rejoinC {
				return "the limit passes the cursor of a reader that gates again"
			}
			return ""
		},
	}
}

var rejoin = model{
	name:     "rejoin",
	question: "does a reader that was dropped gate again, whatever is under way?",
	variants: []variant{
		{name: "tail, dropped, state, cursor", run: func(b bounds) result {
			return explore(rejoinSetup{slack: 1, order: "tdsc", end: b.pick(7, 9, 11)}.system())
		}},
		{name: "a decision loads the state word before dropped", wrong: true, run: func(bounds) result {
			return explore(rejoinSetup{slack: 1, order: "tdsc", end: 9, stateFirst: true}.system())
		}},
		{name: "the tail after the slot", wrong: true, run: func(bounds) result { return explore(rejoinSetup{slack: 1, order: "dstc", end: 9}.system()) }},
		{name: "at the oldest byte", wrong: true, run: func(bounds) result { return explore(rejoinSetup{order: "tdsc", end: 9}.system()) }},
	},
}
