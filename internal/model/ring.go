package main

// The full ring: everything that many producers, one reliable reader and a repair do to each other, together.
//
// It stands for Producer.reserveShared, finish and pad (claim.go), look, gateOfReaders and gateOfClaims (limit.go),
// Reader.join and publish (join.go, reader.go), and repairUnder, repairConsumer, repairProducer, judge, judgeByEnds, intents and
// padRange (repair.go) of package shmring, access by access. Two producers, a reader and a repairer; all but the last one standing
// may be killed between any two steps, as many as an instance says. A killed repairer's successor begins anew.
//
// The ring has nine units and three segments. A frame takes one unit or two; one that does not fit before the end of its segment has
// a PAD before it. The walk begins in the middle of the first lap, and the longer instances go on for 13 units and more, to the end
// of the second. What is left out: several readers, credit below the capacity, policies that ungate, sleep, and successors in a slot
// that was freed (but for the end, below). Memory is sequentially consistent; the header word and the stamp are one step.
//
// What must never be, beyond what the steps themselves refuse (ringrepair.go has the repairer's):
//
//   - the limit passes what the reader has not released, or an open claim, by more than the ring; the tail passes the limit;
//   - a reader meets a frame that overlaps others, or that its writer did not claim;
//   - a repair touches what is not a dead producer's unstamped claim, or gives up one that is;
//   - a wedge: whenever the living stand between two operations, a repair that runs alone leaves no dead slot, and then the living,
//     with successors in the freed slots, publish and read a lap and more.

const (
	ringC = 9 // units in the ring
	ringS = 3 // units in a segment
)

type ringState struct {
	tail, limit int8
	cells       [ringC]cell
	p           [2]ringProducer
	r           ringReader
	m           mender
	kills       int8 // how many more may be killed
}

// cell is a unit of the ring, as the last header that was written there left it.
type cell struct {
	stamp     int8 // the position of the frame that begins here
	slot, len int8
	pad       bool
}

type ringProducer struct {
	pos, size, won int8 // its slot's words
	used, alive    bool // the slot's state, and its lock
	// its own
	pc      int8
	op      int8 // which operation is next
	wrote   bool // this operation's earlier attempt left an intent
	t       int8 // the tail that it loaded
	limit   int8 // as it saw it last
	bound   int8 // a refresh: the new limit so far
	seen, i int8 // a refresh: the limit that it compares intents with, and the other's intent
	next    int8 // where the next header goes
	// The truth, for the model alone: the claim that it won, until its last header is stamped or the repair has padded it.
	start, end int8
}

// operation is a claim of one or two units and the frames that are committed in it.
type operation struct {
	size   int8
	frames []int8
}

var (
	message = operation{1, []int8{1}}
	long    = operation{2, []int8{2}}
	shorter = operation{2, []int8{1}}
	batch   = operation{2, []int8{1, 1}}
	abort   = operation{1, nil}
)

// ringSetup is an instance, and its mistake, if any.
type ringSetup struct {
	ops    [2][]operation
	kills  int8
	reader int8 // where the reader is: ringNoReader, ringOldest, ringNewest, or the cursor of one that has joined
	slack  int8 // what a joiner adds to align_up(limit, S)
	fault  string
}

const (
	ringNoReader = -1 - iota
	ringOldest
	ringNewest
)

func alignUp(x, to int8) int8 { return (x + to - 1) / to * to }

// place is Producer.place: where a claim of size units goes at tail t, and where its first frame.
func place(t, size int8) (frame, end int8) {
	if boundary := t/ringS*ringS + ringS; t+size > boundary {
		return boundary, boundary + size
	}
	return t, t + size
}

func (s *ringState) cell(pos int8) *cell { return &s.cells[pos%ringC] }

func (s *ringState) stamped(pos int8) bool { return s.cell(pos).stamp == pos }

const (
	pTail = iota
	pLimit
	pGiveUp
	pRefresh
	pReaderState
	pCursor
	pClaimLimit
	pClaim
	pClaimStamp
	pRaise
	pSize
	pIntent
	pSwap
	pWon
	pStamp
	pClear
)

// produce is a producer's next access.
func (x *ringSetup) produce(s *ringState, slot int8) string {
	p := &s.p[slot]
	if !p.alive || int(p.op) >= len(x.ops[slot]) {
		return ""
	}
	op := x.ops[slot][p.op]
	switch p.pc {
	case pTail:
		p.t, p.pc = s.tail, pLimit
		if _, end := place(p.t, op.size); end <= p.limit {
			p.pc = pSize
		}
		return "loads the tail"
	case pLimit:
		p.limit, p.pc = s.limit, pSize
		if _, end := place(p.t, op.size); end > p.limit {
			p.pc = pRefresh
			if p.wrote {
				p.pc = pGiveUp
			}
		}
		return "loads the limit"
	case pGiveUp:
		p.pos, p.wrote, p.pc = 0, false, pRefresh
		return "clears its intent"
	case pRefresh:
		p.t, p.pc = s.tail, pReaderState
		_, end := place(p.t, op.size)
		p.bound = alignUp(end, ringS)
		return "refreshes: loads the tail"
	case pReaderState:
		p.pc = pClaimLimit
		if s.r.active {
			p.pc = pCursor
		}
		return "loads the reader's state"
	case pCursor:
		p.bound, p.pc = min(p.bound, s.r.cursor+ringC), pClaimLimit
		return "loads the cursor"
	case pClaimLimit:
		p.seen, p.pc = s.limit, pClaim
		return "loads the limit, for the intents"
	case pClaim:
		p.i, p.pc = s.p[1-slot].pos, pClaimStamp
		if p.i == 0 || p.i+ringC >= p.bound || p.i+ringC < p.seen || x.fault == noClaimGate {
			p.i, p.pc = 0, pRaise
		}
		p.seen = 0
		return "loads the other's intent"
	case pClaimStamp:
		if c := s.cell(p.i); c.stamp != p.i || c.slot == 1-slot {
			p.bound = p.i + ringC
		}
		p.i, p.pc = 0, pRaise
		return "loads the stamp at it"
	case pRaise:
		s.limit = max(s.limit, p.bound)
		p.limit, p.bound, p.t, p.pc = s.limit, 0, 0, pTail
		return "raises the limit"
	case pSize:
		_, end := place(p.t, op.size)
		p.pos, p.size, p.pc = 0, end-p.t, pIntent
		if x.fault == intentLate {
			p.pc = pSwap
		}
		return "clears its intent, stores the size"
	case pIntent:
		p.pos, p.wrote, p.pc = p.t, true, pSwap
		if x.fault == intentLate {
			p.pc = pWon
		}
		return "stores the intent"
	case pSwap:
		if s.tail != p.t {
			p.t, p.pc = 0, pTail
			return "loses the CAS"
		}
		_, s.tail = place(p.t, op.size)
		p.start, p.end, p.pc = p.t, s.tail, pWon
		if x.fault == intentLate {
			p.pc = pIntent
		}
		return "wins the CAS"
	case pWon:
		p.won, p.next, p.pc = p.t, p.t, pStamp
		return "stores won"
	case pStamp:
		return x.stamp(s, slot, op)
	}
	p.pos, p.wrote, p.t, p.pc = 0, false, 0, pTail
	p.op++
	return "clears its intent"
}

// stamp is Producer.finish, a header at a time.
func (x *ringSetup) stamp(s *ringState, slot int8, op operation) string {
	p := &s.p[slot]
	if p.start == 0 {
		return wrong("the claim of a live producer was repaired")
	}
	at := p.next
	frame, end := place(p.t, op.size)
	h := cell{stamp: at, slot: slot, len: end - at, pad: true}
	if at < frame {
		h.len = frame - at
	} else {
		pos := frame
		for _, n := range op.frames {
			if pos == at {
				h.len, h.pad = n, false
			}
			pos += n
		}
	}
	if s.stamped(at) {
		return wrong("a frame is stamped that is stamped already")
	}
	*s.cell(at) = h
	if x.fault == clearEarly {
		p.pos = 0
	}
	if p.next += h.len; p.next == end {
		p.start, p.end, p.next, p.pc = 0, 0, 0, pClear
	}
	if h.pad {
		return "stamps a PAD"
	}
	return "stamps a message"
}

// killProducer keeps what is in shared memory, and the truth.
func (x *ringSetup) killProducer(s *ringState, slot int8) string {
	p := &s.p[slot]
	if !p.alive || s.kills == 0 || int(p.op) >= len(x.ops[slot]) {
		return ""
	}
	s.kills--
	s.p[slot] = ringProducer{pos: p.pos, size: p.size, won: p.won, used: p.used, start: p.start, end: p.end}
	return "is killed"
}

type ringReader struct {
	active, alive bool // its slot's state, and its lock
	cursor        int8
	// its own
	pc     int8
	joined bool // its cursor counts from here on
	pos    int8
}

const (
	rStandIn = iota
	rActive
	rLoadLimit
	rLoadTail
	rCursor
	rLook
	rPublish
)

// read is the reader's next access.
func (x *ringSetup) read(s *ringState) string {
	r := &s.r
	if !r.alive {
		return ""
	}
	switch r.pc {
	case rStandIn:
		r.cursor, r.pc = s.limit-ringC, rActive
		return "stores its stand-in, the limit - C"
	case rActive:
		r.active, r.pc = true, rLoadLimit
		return "becomes active"
	case rLoadLimit:
		r.pos, r.pc = max(alignUp(s.limit, ringS)+x.slack-ringC, ringC), rCursor
		if x.reader == ringNewest {
			r.pc = rLoadTail
		}
		return "loads the limit"
	case rLoadTail:
		r.pos, r.pc = s.tail, rCursor
		return "loads the tail"
	case rCursor:
		r.cursor, r.joined, r.pc = r.pos, true, rLook
		return "stores its cursor"
	case rLook:
		c := s.cell(r.pos)
		if c.stamp != r.pos {
			return ""
		}
		if r.pos%ringS+c.len > ringS {
			return wrong("a frame crosses the end of its segment")
		}
		for inner := r.pos + 1; inner < r.pos+c.len; inner++ {
			if s.stamped(inner) {
				return wrong("the reader passes over a frame")
			}
		}
		if r.pos >= s.tail {
			return wrong("the reader meets a frame that nobody claimed")
		}
		r.pos, r.pc = r.pos+c.len, rPublish
		return "reads a frame"
	case rPublish:
		r.cursor, r.pc = r.pos, rLook
		return "publishes its cursor"
	}
	return ""
}

func (x *ringSetup) killReader(s *ringState) string {
	if !s.r.alive || s.kills == 0 {
		return ""
	}
	s.kills--
	s.r = ringReader{active: s.r.active, cursor: s.r.cursor}
	return "is killed"
}

// check is what must not be in any state.
func (x *ringSetup) check(s *ringState) string {
	if s.tail > s.limit {
		return "the tail is beyond the limit"
	}
	if s.r.joined && s.limit > s.r.cursor+ringC {
		return "the limit passes what the reader has not released"
	}
	for i := range s.p {
		if p := &s.p[i]; p.start != 0 && s.limit > p.start+ringC {
			return "the limit passes an open claim"
		}
	}
	if x.betweenOperations(s) {
		return x.goesOn(*s)
	}
	return ""
}

// betweenOperations reports whether everybody who lives could stop here for good without holding anything up.
func (x *ringSetup) betweenOperations(s *ringState) bool {
	for i := range s.p {
		if p := &s.p[i]; p.alive && (p.pc != pTail || p.pos != 0) {
			return false
		}
	}
	return s.m.pc == mIdle && (!s.r.alive || s.r.pc == rLook)
}

// goesOn lets first the repairer and then everybody run alone: nothing may stand still.
func (x *ringSetup) goesOn(s ringState) string {
	run := func(step func() string) string {
		for range 300 {
			switch name := step(); {
			case name == "":
				return ""
			case isWrong(name):
				return name[len(faultMark):]
			}
		}
		return "an operation that runs alone has no end"
	}
	s.kills = 0
	if f := run(func() string { return x.mend(&s) }); f != "" {
		return f
	}
	if s.r.active && !s.r.alive {
		return "a repair leaves a dead reader"
	}
	for i := range s.p {
		if p := &s.p[i]; !p.alive {
			if p.used {
				return "a repair leaves a dead producer"
			}
			s.p[i] = ringProducer{used: true, alive: true, won: p.won, size: p.size} // a successor
		}
	}
	y := ringSetup{ops: [2][]operation{{shorter}, {batch}}, reader: x.reader, slack: x.slack}
	for from, turn := s.tail, int8(0); s.tail < from+ringC+ringS; turn = 1 - turn {
		if f := run(func() string { return y.read(&s) }); f != "" {
			return f
		}
		if s.r.joined && s.r.pos != s.tail {
			return "the reader does not come to the end of the ring"
		}
		s.p[turn].op = 0
		if f := run(func() string { return y.produce(&s, turn) }); f != "" {
			return "a producer has no room for ever, or " + f
		}
	}
	return ""
}

// system is a setup as the engine takes it.
func (x ringSetup) system() system[ringState] {
	const tail = ringC + ringS + 1
	start := ringState{tail: tail, limit: ringC + 2*ringS, kills: x.kills}
	for pos := int8(ringC); pos < tail; pos++ {
		*start.cell(pos) = cell{stamp: pos, len: 1}
	}
	for i := range start.p {
		start.p[i].used, start.p[i].alive, start.p[i].limit = true, true, start.limit
	}
	start.r.alive = x.reader != ringNoReader
	if x.reader > 0 {
		start.r = ringReader{active: true, alive: true, cursor: x.reader, pos: x.reader, joined: true, pc: rLook}
	}
	return system[ringState]{
		start: []ringState{start},
		procs: []process[ringState]{
			{"A", func(s *ringState) string { return x.produce(s, 0) }},
			{"B", func(s *ringState) string { return x.produce(s, 1) }},
			{"reader", x.read},
			{"repairer", x.mend},
			{"A", func(s *ringState) string { return x.killProducer(s, 0) }},
			{"B", func(s *ringState) string { return x.killProducer(s, 1) }},
			{"reader", x.killReader},
			{"repairer", x.killMender},
		},
		fault: x.check,
	}
}

// lap is more than a ring full of claims.
var lap = []operation{batch, long, shorter, batch, long}

// tryRing walks an instance. kills is how many of the two producers, the reader and the repairers may die.
func tryRing(a, b []operation, kills, reader int8) func(bounds) result {
	return func(bounds) result {
		return explore(ringSetup{ops: [2][]operation{a, b}, kills: kills, reader: reader, slack: ringS}.system())
	}
}

// ringMistake walks an instance with a mistake in it.
func ringMistake(x ringSetup) func(bounds) result {
	return func(bounds) result { return explore(x.system()) }
}

var ring = model{
	name:     "ring",
	question: "claims, refreshes, a join, deaths and repairs together: torn, lost, doubled, ghost, wedge?",
	variants: []variant{
		{name: "with a reader, two die", run: tryRing([]operation{shorter}, []operation{batch}, 2, ringC)},
		{name: "a lap past a claim, one dies", run: tryRing([]operation{shorter}, lap, 1, ringNoReader)},
		{name: "a reader joins at the oldest, one dies", run: tryRing([]operation{shorter}, []operation{batch}, 1, ringOldest)},
		{name: "a reader joins at the newest, one dies", run: tryRing([]operation{shorter}, []operation{batch}, 1, ringNewest)},
		{name: "two claims each, with a reader, two die", least: full, run: tryRing([]operation{shorter, message}, []operation{batch, long}, 2, ringC)},
		{name: "a lap past a claim, three die", least: full, run: tryRing([]operation{shorter}, lap, 3, ringNoReader)},
		{name: "a lap past two claims, two die", least: full, run: tryRing([]operation{shorter, batch}, lap, 2, ringNoReader)},
		{name: "a lap past a claim, with a reader, one dies", least: full, run: tryRing([]operation{shorter}, lap, 1, ringC)},
		{name: "two claims each, a reader joins at the oldest, one dies", least: full, run: tryRing([]operation{shorter, abort}, []operation{batch, long}, 1, ringOldest)},
		{name: "two claims each, a reader joins at the newest, one dies", least: full, run: tryRing([]operation{shorter, abort}, []operation{batch, long}, 1, ringNewest)},
		{name: "two claims each, with a reader, three die", least: deep, run: tryRing([]operation{shorter, message}, []operation{batch, long}, 3, ringC)},
		{name: "a lap past two claims, three die", least: deep, run: tryRing([]operation{shorter, batch}, lap, 3, ringNoReader)},
		{name: "a lap past a claim, with a reader, two die", least: deep, run: tryRing([]operation{shorter}, lap, 2, ringC)},

		{name: intentLate, wrong: true, run: ringMistake(ringSetup{
			ops: [2][]operation{{shorter}, {batch}}, kills: 2, reader: ringNoReader, fault: intentLate})},
		{name: clearEarly, wrong: true, run: ringMistake(ringSetup{
			ops: [2][]operation{{shorter}, {batch}}, kills: 1, reader: ringNoReader, fault: clearEarly})},
		{name: noClaimGate, wrong: true, run: ringMistake(ringSetup{
			ops: [2][]operation{{shorter}, lap}, reader: ringNoReader, fault: noClaimGate})},
		{name: "a joiner begins at the oldest byte", wrong: true, run: ringMistake(ringSetup{
			ops: [2][]operation{{long, long, message}, {long, long}}, reader: ringOldest})},
		{name: stampFirst, wrong: true, run: ringMistake(ringSetup{
			ops: [2][]operation{{message}, {shorter}}, kills: 1, reader: ringNoReader, fault: stampFirst})},
		{name: noLimit, wrong: true, run: ringMistake(ringSetup{
			ops: [2][]operation{{shorter}, lap}, kills: 1, reader: ringNoReader, fault: noLimit})},
		{name: leavesReader, wrong: true, run: ringMistake(ringSetup{
			ops: [2][]operation{{shorter}, {batch}}, kills: 1, reader: ringC, fault: leavesReader})},
	},
}

// The mistakes that producers and a repairer can make; judge.go has the judge's.
const (
	intentLate   = "the intent after the claim"
	clearEarly   = "the intent cleared before the last stamp"
	noClaimGate  = "claims do not gate"
	leavesReader = "the repair leaves dead readers"
)
