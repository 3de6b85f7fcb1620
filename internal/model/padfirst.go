package main

// Headers of one claim: in which order are they stamped?
//
// It stands for Producer.finish (claim.go), Ring.walkTail and takeOver (join.go, producer.go) of the single-producer kinds. A claim of
// three units has two headers, a PAD or a message of one unit and then one of two. The producer may be killed between the two;
// its successor walks the stamps to find the end of the ring, and commits two messages of one unit there. A reader that follows
// the stamps must never stand beyond what was committed: a stamp that nobody committed is a ghost.

type padState struct {
	len     [6]int8 // of the frame stamped at a position; 0: no stamp
	pc      int8    // the producer's headers so far
	dead    bool
	started bool // the successor has walked to the end
	tail    int8 // the successor's; the producer's until then
	left    int8 // messages that the successor still commits
	reader  int8
}

func padFirstSystem(order [2]int8) system[padState] {
	size := [2]int8{1, 2} // of the headers at positions 0 and 1
	producer := func(s *padState) string {
		if s.dead || s.pc == 2 {
			return ""
		}
		at := order[s.pc]
		s.len[at] = size[at]
		if s.pc++; s.pc == 2 {
			s.tail = 3
		}
		return "stamps a header"
	}
	kill := func(s *padState) string {
		if s.dead {
			return ""
		}
		s.dead = true
		return "is killed"
	}
	successor := func(s *padState) string {
		switch {
		case !s.dead || s.started && s.left == 0:
			return ""
		case !s.started:
			s.started, s.tail = true, 0
			for s.tail < 3 && s.len[s.tail] != 0 {
				s.tail += s.len[s.tail]
			}
			return "walks the stamps to the end"
		}
		s.len[s.tail] = 1
		s.tail++
		s.left--
		return "commits a message"
	}
	reader := func(s *padState) string {
		if int(s.reader) == len(s.len) || s.len[s.reader] == 0 {
			return ""
		}
		if s.started && s.reader >= s.tail {
			return wrong("the reader meets a frame that nobody committed")
		}
		s.reader += s.len[s.reader]
		return "reads a frame"
	}
	return system[padState]{
		start: []padState{{left: 2}},
		procs: []process[padState]{{"producer", producer}, {"producer", kill}, {"successor", successor}, {"reader", reader}},
	}
}

var padFirst = model{
	name:     "padfirst",
	question: "in which order are the headers of one claim stamped?",
	variants: []variant{
		{name: "in the order of their positions", run: func(bounds) result { return explore(padFirstSystem([2]int8{0, 1})) }},
		{name: "the later one first", wrong: true, run: func(bounds) result { return explore(padFirstSystem([2]int8{1, 0})) }},
	},
}
