package main

// intent is a producer slot as a judge read it: position, size, position again, won, lock.
type intent struct {
	pos, size, won int8
	alive          bool
	stamped        bool // the end that it names carries its stamp
}

// evidence is all that a judge of a dead producer's intent has loaded, in the order of Ring.judge (repair.go).
type evidence struct {
	tail    int8
	in      [3]intent
	stamped bool // the stamp at t
	by      int8 // the slot in the header there
	limit   int8
}

// sentence is what the judge decides.
type sentence int8

const (
	lookAgain sentence = iota
	clearOnly
	padAll
	padRest
)

// judge is Ring.judge after its loads, and Ring.judgeByEnds: what is to be done about the dead slot's intent in a ring of the given
// capacity? A mistake leaves out one of the rules.
func (e *evidence) judge(dead, capacity int8, mistake string) sentence {
	t := e.in[dead].pos
	switch {
	case t+capacity < e.limit && mistake != noLimit:
		return clearOnly // lost laps ago
	case t >= e.tail:
		return clearOnly // never claimed
	case e.stamped && e.by != dead:
		return clearOnly
	case e.stamped:
		return padRest
	}
	for slot, i := range e.in {
		if i.won == t {
			if int8(slot) == dead {
				return padAll
			}
			return clearOnly
		}
	}
	end, live := int8(0), false
	for _, i := range e.in {
		if at := t + i.size; i.pos == t && e.shows(i, at) {
			switch {
			case end == 0 || at < end:
				end, live = at, i.alive
			case at == end:
				live = live || i.alive
			}
		}
	}
	switch {
	case end == 0 || live:
		return lookAgain
	case end == t+e.in[dead].size:
		return padAll
	}
	return clearOnly
}

// shows reports whether something lies behind the end that an intent names.
func (e *evidence) shows(i intent, end int8) bool {
	if end == e.tail || i.stamped {
		return true
	}
	for _, other := range e.in {
		if other.pos == end {
			return true
		}
	}
	return false
}

// The mistakes that a judge can make.
const (
	noLimit    = "no look at the limit"
	stampFirst = "the stamp at t before those at the ends"
)
