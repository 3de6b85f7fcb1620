package main

// Sleeping: is a wake ever lost?
//
// On processors with store buffers (buffer.go). Two parts:
//
// Readers sleep (Sleep, Ring.fallAsleep, Producer.wakeReaders of package shmring). A reader loads `wake`, raises `asleep` to it, executes the
// barrier unless `fenced` tells that another sleeper of this generation did, stores `fenced`, looks once more, and waits while
// `wake` is what it was. A producer stamps, loads `asleep` and `wake`, and only if they are equal CASes `wake` to the next and wakes
// all. The barrier reaches the processors of registered producers alone; one that is not registered fences each commit, and
// registers at any time. Two readers who want every message, two producers; the first reader may be killed at any step.
//
// Producers sleep (Producer.AwaitSpace, Ring.freed). A reader moves its cursor, loads `blocked` and `space`, and CASes and wakes if they
// are equal; a producer loads `space`, raises `blocked` to it, refreshes once more, and waits. One of each.

type sleepState struct {
	frames               [2]int8 // of each producer, as memory has them: all that a reader sees
	asleep, fenced, wake int8
	p                    [2]sleepProducer
	r                    [2]sleepReader
}

type sleepProducer struct {
	buf                buffer // its stamps
	pc, left           int8
	registered, fences bool
	asleep             int8 // as it loaded it
	wake               int8
}

type sleepReader struct {
	pc, wake, got int8
	dead          bool
}

const inFutex = 9 // a reader's pc

func (s *sleepState) visible() int8 { return s.frames[0] + s.frames[1] }

type sleepSetup struct {
	frames                               int8 // that each producer commits
	fencedFirst, neverFences, noLastLook bool
}

func (x sleepSetup) producer(i int) func(s *sleepState) string {
	return func(s *sleepState) string {
		p := &s.p[i]
		switch p.pc {
		case 0:
			if p.left == 0 || !p.buf.store(int8(i), x.frames-p.left+1) {
				return ""
			}
			p.left--
			if p.pc = 2; p.fences && !x.neverFences {
				p.pc = 1
			}
			return "stamps a message"
		case 1:
			p.buf.fence(s.frames[:])
			p.fences, p.pc = !p.registered, 2
			return "fences"
		case 2:
			p.asleep, p.pc = s.asleep, 3
			return "loads asleep"
		case 3:
			if p.wake, p.pc = s.wake, 4; p.asleep != s.wake {
				p.wake, p.pc = 0, 0
			}
			p.asleep = 0
			return "loads wake"
		case 4:
			p.buf.fence(s.frames[:]) // a locked instruction
			if s.wake == p.wake {
				s.wake++
			}
			p.wake, p.pc = 0, 5
			return "CASes wake to the next"
		}
		for j := range s.r {
			if s.r[j].pc == inFutex {
				s.r[j].wake, s.r[j].pc = 0, 0
			}
		}
		p.pc = 0
		return "wakes all"
	}
}

func (x sleepSetup) reader(i int) func(s *sleepState) string {
	return func(s *sleepState) string {
		r := &s.r[i]
		if r.dead {
			return ""
		}
		switch r.pc {
		case 0:
			if r.got != s.visible() {
				r.got = s.visible()
				return "reads"
			}
			if r.got == 2*x.frames {
				return ""
			}
			r.pc = 1
			return "finds nothing"
		case 1:
			r.wake, r.pc = s.wake, 2
			return "loads wake"
		case 2:
			s.asleep, r.pc = max(s.asleep, r.wake), 3
			return "raises asleep"
		case 3:
			if r.pc = 4; s.fenced == r.wake {
				r.pc = 6
			} else if x.fencedFirst {
				s.fenced = r.wake
			}
			return "loads fenced"
		case 4:
			for j := range s.p {
				if s.p[j].registered {
					s.p[j].buf.fence(s.frames[:])
				}
			}
			r.pc = 5
			return "executes the barrier"
		case 5:
			s.fenced, r.pc = r.wake, 6
			return "stores fenced"
		case 6:
			if r.pc = 7; r.got != s.visible() && !x.noLastLook {
				r.wake, r.pc = 0, 0
			}
			return "looks once more"
		case 7:
			if r.pc = inFutex; s.wake != r.wake {
				r.wake, r.pc = 0, 0
			}
			return "calls FUTEX_WAIT"
		}
		return ""
	}
}

func (x sleepSetup) system() system[sleepState] {
	start := sleepState{asleep: -1, fenced: -1}
	sys := system[sleepState]{atRest: func(s *sleepState) string {
		for _, r := range s.r {
			if r.pc == inFutex && !r.dead && r.got != s.visible() {
				return "a reader sleeps beside a message"
			}
		}
		return ""
	}}
	for i := range 2 {
		start.p[i].left, start.p[i].fences, start.p[i].registered = x.frames, i == 1, i == 0
		name := "producer " + "01"[i:i+1]
		sys.procs = append(sys.procs,
			process[sleepState]{name, x.producer(i)},
			process[sleepState]{name + "'s buffer", func(s *sleepState) string {
				if !s.p[i].buf.drain(s.frames[:]) {
					return ""
				}
				return "reaches memory with a stamp"
			}},
			process[sleepState]{name, func(s *sleepState) string {
				if s.p[i].registered {
					return ""
				}
				s.p[i].registered = true
				return "is registered"
			}},
			process[sleepState]{"reader " + "01"[i:i+1], x.reader(i)})
	}
	sys.procs = append(sys.procs, process[sleepState]{"reader 0", func(s *sleepState) string {
		if s.r[0].dead || s.r[0].pc == 0 {
			return ""
		}
		s.r[0] = sleepReader{dead: true}
		return "is killed"
	}})
	sys.start = []sleepState{start}
	return sys
}

const (
	spaceCursor = iota
	spaceBlocked
	spaceSpace
	spaceWords
)

type spaceState struct {
	mem    [spaceWords]int8 // the cursor has moved; the generations
	reader struct {
		pc, blocked int8
		buf         buffer
	}
	producer struct{ pc, space int8 }
}

func spaceSystem(fullStore bool) system[spaceState] {
	reader := func(s *spaceState) string {
		r := &s.reader
		switch r.pc {
		case 0:
			if r.buf.store(spaceCursor, 1); fullStore {
				r.buf.fence(s.mem[:])
			}
			r.pc = 1
			return "stores its cursor"
		case 1:
			r.blocked, r.pc = r.buf.load(s.mem[:], spaceBlocked), 2
			return "loads blocked"
		case 2:
			if r.pc = 3; r.blocked != r.buf.load(s.mem[:], spaceSpace) {
				r.pc = 4
			}
			return "loads space"
		case 3:
			r.buf.fence(s.mem[:])
			s.mem[spaceSpace]++
			if r.pc = 4; s.producer.pc == inFutex {
				s.producer.pc = 5
			}
			return "CASes space to the next, wakes"
		}
		return ""
	}
	producer := func(s *spaceState) string {
		p := &s.producer
		switch p.pc {
		case 0:
			p.space, p.pc = s.mem[spaceSpace], 1
			return "loads space"
		case 1:
			s.mem[spaceBlocked], p.pc = p.space, 2
			return "raises blocked"
		case 2:
			if p.pc = 3; s.mem[spaceCursor] != 0 {
				p.pc = 5
			}
			return "refreshes"
		case 3:
			if p.pc = inFutex; s.mem[spaceSpace] != p.space {
				p.pc = 5
			}
			return "calls FUTEX_WAIT"
		}
		return ""
	}
	drain := func(s *spaceState) string {
		if !s.reader.buf.drain(s.mem[:]) {
			return ""
		}
		return "reaches memory with a store"
	}
	return system[spaceState]{
		start: []spaceState{{mem: [spaceWords]int8{spaceBlocked: -1}}},
		procs: []process[spaceState]{{"reader", reader}, {"reader's buffer", drain}, {"producer", producer}},
		atRest: func(s *spaceState) string {
			if s.producer.pc == inFutex {
				return "a producer sleeps beside free space"
			}
			return ""
		},
	}
}

var sleep = model{
	name:     "sleep",
	question: "is the wake of a sleeper ever lost?",
	variants: []variant{
		{name: "readers: one barrier a generation", run: func(b bounds) result { return explore(sleepSetup{frames: b.pick(1, 2)}.system()) }},
		{name: "fenced is stored before the barrier", wrong: true, run: func(bounds) result { return explore(sleepSetup{frames: 1, fencedFirst: true}.system()) }},
		{name: "an unregistered producer does not fence", wrong: true, run: func(bounds) result { return explore(sleepSetup{frames: 1, neverFences: true}.system()) }},
		{name: "no look after the barrier", wrong: true, run: func(bounds) result { return explore(sleepSetup{frames: 1, noLastLook: true}.system()) }},
		{name: "producers: the cursor is a full store", run: func(bounds) result { return explore(spaceSystem(true)) }},
		{name: "the cursor is a plain store", wrong: true, run: func(bounds) result { return explore(spaceSystem(false)) }},
	},
}
