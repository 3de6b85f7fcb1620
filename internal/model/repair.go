package main

// Judging: three producers died around their claims, or live; who owns what?
//
// It stands for Ring.judge, judgeByEnds and intents (repair.go) against Producer.reserveShared and finish (claim.go), with one
// producer more than the full ring has, since three can try for one position. The judge loads a word at a time. Producer 0 lives and
// claims batches, again and again, for more than a lap; producers 1 and 2 claim one unit and may be killed at any step. A ring of
// four units without segments; the limit is raised by itself, as far as two units and the open intents allow. Each unit is a frame.

const (
	repairN = 3
	repairC = 4
)

type repairState struct {
	tail, limit int8
	cells       [repairC]struct{ stamp, slot int8 }
	p           [repairN]repairProducer
	m           struct { // the judge
		pc, slot, i int8
		e           evidence
	}
}

type repairProducer struct {
	pos, size, won int8 // the slot
	dead           bool
	pc, t, next    int8
	left           int8 // claims that it still makes
	start, end     int8 // the truth: its claim, until all of it is stamped
}

type repairSetup struct {
	sizes, claims [repairN]int8
	mistake       string
}

func (s *repairState) stamped(pos int8) bool { return s.cells[pos%repairC].stamp == pos }

func (x *repairSetup) produce(slot int) process[repairState] {
	return process[repairState]{"producer " + "012"[slot:slot+1], func(s *repairState) string {
		p := &s.p[slot]
		if p.dead {
			return ""
		}
		switch p.pc {
		case 0:
			if p.left == 0 || s.tail+x.sizes[slot] > s.limit {
				return ""
			}
			p.left--
			p.t, p.pc = s.tail, 1
			return "loads the tail"
		case 1:
			p.size, p.pc = x.sizes[slot], 2
			return "stores the intent's size"
		case 2:
			p.pos, p.pc = p.t, 3
			return "stores the intent"
		case 3:
			if s.tail != p.t {
				p.pos, p.t, p.pc = 0, 0, 0
				return "loses the CAS, clears its intent"
			}
			s.tail += x.sizes[slot]
			p.start, p.end, p.pc = p.t, s.tail, 4
			return "wins the CAS"
		case 4:
			p.won, p.next, p.pc = p.t, p.t, 5
			return "stores won"
		case 5:
			s.cells[p.next%repairC].stamp, s.cells[p.next%repairC].slot = p.next, int8(slot)
			if p.next++; p.next == p.end {
				p.start, p.end, p.next, p.pc = 0, 0, 0, 6
			}
			return "stamps a frame"
		}
		p.pos, p.t, p.pc = 0, 0, 0
		return "clears its intent"
	}}
}

func kill(slot int) process[repairState] {
	return process[repairState]{"producer " + "012"[slot:slot+1], func(s *repairState) string {
		p := &s.p[slot]
		if p.dead || p.pc == 0 && p.left == 0 {
			return ""
		}
		*p = repairProducer{dead: true, pos: p.pos, size: p.size, won: p.won, start: p.start, end: p.end}
		return "is killed"
	}}
}

func raise(s *repairState) string {
	limit := s.tail + 2
	for _, p := range s.p {
		if p.pos != 0 {
			limit = min(limit, p.pos+repairC)
		}
	}
	if limit <= s.limit {
		return ""
	}
	s.limit = limit
	return "is raised"
}

// judge is the judge's next load.
func (x *repairSetup) judge(s *repairState) string {
	m := &s.m
	p := &s.p[m.i%repairN]
	in := &m.e.in[m.i%repairN]
	t := s.p[m.slot].pos
	loadStamp := func() { m.e.stamped, m.e.by = s.stamped(t), s.cells[t%repairC].slot }
	switch m.pc {
	case 0:
		for slot, d := range s.p {
			if d.dead && d.pos != 0 {
				m.slot, m.e.tail, m.pc = int8(slot), s.tail, 1
				return "loads the tail"
			}
		}
		return ""
	case 1:
		in.pos, m.pc = p.pos, 2
		return "loads a position"
	case 2:
		in.size, m.pc = p.size, 3
		return "loads a size"
	case 3:
		if p.pos != in.pos {
			*in, m.pc = intent{}, 1
			return "finds another position"
		}
		in.won, in.alive = p.won, !p.dead
		if m.i, m.pc = m.i+1, 1; m.i == repairN {
			if m.i, m.pc = 0, 4; x.mistake == stampFirst {
				loadStamp()
			}
		}
		return "finds the position again, loads won, probes the lock"
	case 4:
		if in.pos == t {
			in.stamped = s.stamped(t + in.size)
		}
		if m.i++; m.i == repairN {
			m.i, m.pc = 0, 5
		}
		return "loads the stamp at an end"
	case 5:
		if m.pc = 6; x.mistake != stampFirst {
			loadStamp()
		}
		return "loads the stamp at t"
	}
	m.e.limit = s.limit
	return x.execute(s)
}

// execute carries a sentence out at once; the truth says whether it is just.
func (x *repairSetup) execute(s *repairState) string {
	slot, verdict := s.m.slot, s.m.e.judge(s.m.slot, repairC, x.mistake)
	s.m = repairState{}.m
	d := &s.p[slot]
	t, size := d.pos, d.size
	switch verdict {
	case lookAgain:
		return "cannot tell yet"
	case padAll, padRest:
		var owner *repairProducer
		for i := range s.p {
			if p := &s.p[i]; p.dead && p.start == t && p.end == t+size {
				owner = p
			}
		}
		if owner == nil && !(verdict == padRest && s.stamped(t+size-1)) {
			return wrong("the repair pads what is no dead producer's open claim")
		}
		for pos := t; pos < t+size; pos++ {
			if verdict == padAll || !s.stamped(pos) {
				s.cells[pos%repairC].stamp, s.cells[pos%repairC].slot = pos, slot
			}
		}
		if owner != nil {
			owner.start, owner.end = 0, 0
		}
	}
	if d.start != 0 {
		return wrong("the repair clears the intent of an open claim")
	}
	*d = repairProducer{dead: true, size: size, won: d.won}
	return "pads and clears"
}

func (x repairSetup) explore(ahead int8) result {
	start := repairState{tail: repairC, limit: repairC + 2}
	for i := range start.p {
		start.p[i].left = x.claims[i]
	}
	stop := repairC + ahead
	atMost := func(p process[repairState]) process[repairState] {
		return process[repairState]{p.name, func(s *repairState) string {
			if name := p.step(s); s.tail <= stop || isWrong(name) {
				return name
			}
			return ""
		}}
	}
	return explore(system[repairState]{
		start: []repairState{start},
		procs: []process[repairState]{
			atMost(x.produce(0)), atMost(x.produce(1)), atMost(x.produce(2)), kill(1), kill(2), {"limit", raise}, {"judge", x.judge},
		},
		fault: func(s *repairState) string {
			if s.m.pc != 0 || s.p[0].pc != 0 {
				return ""
			}
			// Whoever lives stands between two claims: a judge that is alone has to come to an end with all the dead.
			alone := *s
			for i := 1; i < repairN; i++ {
				if p := alone.p[i]; !p.dead && p.pc != 0 {
					return ""
				}
			}
			for range 20 * repairN {
				if name := x.judge(&alone); name == "" {
					return ""
				} else if isWrong(name) {
					return name[len(faultMark):]
				}
			}
			return "a repair that runs alone cannot tell"
		},
	})
}

var repair = model{
	name:     "repair",
	question: "producers died around their claims: who owns what?",
	variants: []variant{
		{name: "the rule, with batches", run: func(b bounds) result {
			return repairSetup{sizes: [3]int8{2, 1, 1}, claims: [3]int8{b.pick(2, 3), 1, 1}}.explore(b.pick(4, 5))
		}},
		{name: "the rule, over a lap", run: func(b bounds) result {
			return repairSetup{sizes: [3]int8{1, 1, 1}, claims: [3]int8{5, 1, 0}}.explore(b.pick(5, 6))
		}},
		{name: stampFirst, wrong: true, run: func(bounds) result {
			return repairSetup{sizes: [3]int8{2, 1, 1}, claims: [3]int8{3, 1, 1}, mistake: stampFirst}.explore(5)
		}},
		{name: noLimit, wrong: true, run: func(bounds) result {
			return repairSetup{sizes: [3]int8{1, 1, 1}, claims: [3]int8{5, 1, 0}, mistake: noLimit}.explore(5)
		}},
	},
}
