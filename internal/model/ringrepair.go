package main

// mender is the repairer of the full ring: its place in the program and what it has loaded. There is one at a time, for it holds
// the repair lock; a killed one's successor begins anew.
type mender struct {
	pc       int8
	slot     int8 // whose death it mends
	e        evidence
	from, to int8 // what remains to be padded
}

const (
	mIdle = iota
	mReader
	mProbe
	mTail
	mPosition
	mSize
	mAgain
	mWon
	mAlive
	mEndA
	mEndB
	mHere
	mLimit
	mPad
	mClear
	mFree
)

// mend is the repairer's next access: Ring.repairUnder, repairProducer, judge and intents. It begins whenever somebody is dead,
// prompted or not. The dead one's own words do not change, and are read at once.
func (x *ringSetup) mend(s *ringState) string {
	m := &s.m
	d, o := &s.p[m.slot], &s.p[1-m.slot]
	in := &m.e.in[1-m.slot]
	switch m.pc {
	case mIdle:
		dead := s.r.active && !s.r.alive
		for i := range s.p {
			dead = dead || s.p[i].used && !s.p[i].alive
		}
		if !dead {
			return ""
		}
		m.pc = mReader
		return "takes the repair lock"
	case mReader:
		m.pc = mProbe
		if s.r.active && !s.r.alive && x.fault != leavesReader {
			s.r = ringReader{}
			return "frees the reader's slot"
		}
		return "finds no dead reader"
	case mProbe:
		switch {
		case !d.used || d.alive:
			m.nextSlot()
		case d.pos == 0:
			m.pc = mFree
		default:
			m.pc = mTail
		}
		return "looks at a slot, its lock and its intent"
	case mTail:
		m.e.tail, m.pc = s.tail, mPosition
		m.e.in[m.slot] = intent{pos: d.pos, size: d.size, won: d.won}
		return "loads the tail"
	case mPosition:
		in.pos, m.pc = o.pos, mSize
		if o.pos == 0 {
			m.pc = mWon
		}
		return "loads the other's position"
	case mSize:
		in.size, m.pc = o.size, mAgain
		return "loads the other's size"
	case mAgain:
		m.pc = mWon
		if o.pos != in.pos {
			*in, m.pc = intent{}, mPosition
		}
		return "loads the other's position again"
	case mWon:
		in.won, m.pc = o.won, mAlive
		return "loads the other's won"
	case mAlive:
		in.alive, m.pc = o.used && o.alive, mEndA
		if x.fault == stampFirst {
			m.loadStamp(s)
		}
		return "probes the other's lock"
	case mEndA, mEndB:
		if i := &m.e.in[m.pc-mEndA]; i.pos == d.pos {
			i.stamped = s.stamped(i.pos + i.size)
		}
		m.pc++
		return "loads the stamp at an end"
	case mHere:
		if m.pc = mLimit; x.fault != stampFirst {
			m.loadStamp(s)
		}
		return "loads the stamp at t"
	case mLimit:
		m.e.limit = s.limit
		return x.sentence(s)
	case mPad:
		return x.pad(s)
	case mClear:
		if m.pc = mFree; d.start != 0 {
			return wrong("the repair clears the intent of an open claim")
		}
		d.pos = 0
		return "clears the intent"
	}
	if d.start != 0 {
		return wrong("the repair frees the slot of an open claim")
	}
	d.used = false
	m.nextSlot()
	return "frees the slot"
}

func (m *mender) loadStamp(s *ringState) {
	t := s.p[m.slot].pos
	m.e.stamped, m.e.by = s.stamped(t), s.cell(t).slot
}

// nextSlot forgets what was read.
func (m *mender) nextSlot() {
	slot := m.slot + 1
	*m = mender{}
	if slot == 1 {
		m.slot, m.pc = 1, mProbe
	}
}

// sentence executes the judge's, and forgets what was read.
func (x *ringSetup) sentence(s *ringState) string {
	m := &s.m
	t := s.p[m.slot].pos
	end := t + s.p[m.slot].size
	verdict := m.e.judge(m.slot, ringC, x.fault)
	*m = mender{slot: m.slot, pc: mPad, from: t, to: end}
	switch verdict {
	case lookAgain:
		m.nextSlot()
		return "loads the limit, cannot tell yet"
	case clearOnly:
		m.from = end
	case padRest: // Ring.firstUnstamped
		for m.from < end && s.stamped(m.from) {
			m.from += s.cell(m.from).len
		}
	}
	if m.from == end {
		m.from, m.to, m.pc = 0, 0, mClear
		return "loads the limit, finds nothing to pad"
	}
	return "loads the limit, finds an open claim"
}

// pad is Ring.padRange, a PAD at a time: the part behind a segment's end first. The truth says whose claim that has to be.
func (x *ringSetup) pad(s *ringState) string {
	m := &s.m
	var owner *ringProducer
	for i := range s.p {
		if p := &s.p[i]; !p.alive && p.start != 0 && p.start <= m.from && m.to <= p.end {
			owner = p
		}
	}
	from := m.from
	if boundary := from/ringS*ringS + ringS; boundary < m.to {
		from = boundary
	}
	switch {
	case owner == nil:
		return wrong("the repair pads what is no dead producer's open claim")
	case s.stamped(from) && !s.cell(from).pad:
		return wrong("the repair pads over a message")
	case m.to != owner.end && !s.stamped(m.to):
		return wrong("the repair pads a part of a claim")
	}
	*s.cell(from) = cell{stamp: from, slot: m.slot, len: m.to - from, pad: true}
	if m.to = from; from == m.from {
		owner.start, owner.end = 0, 0
		m.from, m.to, m.pc = 0, 0, mClear
	}
	return "pads"
}

func (x *ringSetup) killMender(s *ringState) string {
	if s.m.pc == mIdle || s.kills == 0 {
		return ""
	}
	s.kills--
	s.m = mender{}
	return "is killed"
}
