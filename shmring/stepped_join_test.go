//go:build stepped

package shmring

import "encoding/binary"

// Joiners that look for where to begin: producers go on behind them, and not beyond.

func init() {
	for _, s := range joinScenarios {
		s.beyond, s.told = true, true
	}
	scenarios = append(scenarios, joinScenarios...)
	faults = append(faults, joinFaults...)
}

// search is what a joiner was shown in its run, and where it began.
var search struct {
	wanted uint64 // the first id from here on
	shown  []uint64
	begin  uint64
	joined bool
}

// searching returns where a joiner begins that looks for an id or a greater one.
func (w *world) searching(wanted uint64) From {
	search.wanted, search.shown, search.begin, search.joined = wanted, nil, 0, false
	return First(8, func(head []byte) bool {
		id := binary.LittleEndian.Uint64(head)
		w.tell("shown", "", uint64(len(search.shown)), id)
		search.shown = append(search.shown, id)
		return id >= search.wanted
	})
}

// checkSearch wants a search to have been shown message after message, up to the first that was wanted, where it begins. A joiner that was
// killed has seen a part of that.
func (w *world) checkSearch(found []uint64) {
	s := &search
	for i, id := range s.shown {
		follows := i == 0 || id == s.shown[i-1]+1 || id == 101 && s.shown[i-1] < 100
		if !follows || id >= s.wanted && i+1 < len(s.shown) {
			w.fail("it was shown %v, and looked for %d", s.shown, s.wanted)
		}
	}
	if !s.joined || len(s.shown) == 0 {
		return
	}
	last := s.shown[len(s.shown)-1]
	if at := w.at[last]; last < s.wanted || s.begin != at {
		w.fail("it begins at %d: it looked for %d, and was shown %v, the last at %d", s.begin, s.wanted, s.shown, at)
	}
	if len(found) > 0 && found[0] != last {
		w.fail("it found %d, and reads %v", last, found)
	}
}

var joinScenarios = []*scenario{
	{name: "a reader searches while a producer goes round", options: stepOptions.kind(SPMC), preempts: 2, kills: 1, set: func(w *world) []*proc {
		a := w.process("A", false, nil)
		pa := w.producer(a)
		for i := range uint64(32) { // a lap
			w.send(pa, 1+i, 48)
		}
		a.body = func() {
			for i := range uint64(7) { // so many that what is looked for is overwritten, unless it gates
				w.sendBatch(pa, 48, 101+2*i, 102+2*i)
			}
		}
		from := w.searching(12)
		j := w.process("J", true, nil)
		r := w.view()
		j.body = func() {
			w.does("join")
			g, err := r.GrantConsumer(Policy{Slow: Block, Credit: 512})
			if err != nil {
				w.fail("grant: %v", err)
				return
			}
			rd, err := r.Reader(g, ReaderOptions{From: from})
			if err != nil {
				w.fail("join: %v", err)
				return
			}
			search.joined, search.begin = true, rd.Position()
			w.tell("joined", "", search.begin)
			w.follow("J", rd)
			w.poll("J", rd, 2)
		}
		return []*proc{a, j}
	}, check: func(w *world) {
		var found []uint64
		for _, m := range w.seen["J"] {
			found = append(found, m.id)
		}
		w.checkSearch(found)
	}},
	{name: "a group begins by a search while a producer goes round", options: groupOptions, preempts: 1, kills: 1, set: func(w *world) []*proc {
		c := newCrew(w)
		groupCrew = c
		a := w.process("A", false, nil)
		pa := w.producer(a)
		for i := range uint64(35) { // more than a lap, 128 bytes each
			w.send(pa, 1+i, 104)
		}
		a.body = func() {
			for i := range uint64(14) {
				w.send(pa, 101+i, 104)
			}
		}
		from := w.searching(16)
		j := w.process("J", true, nil)
		r := w.view()
		j.body = func() {
			w.does("join")
			g, err := r.GrantMember("g", GroupPolicy{Credit: 1 << 10})
			if err != nil {
				w.fail("grant: %v", err)
				return
			}
			m, err := r.Member(g, MemberOptions{From: from})
			if err != nil {
				w.fail("join: %v", err)
				return
			}
			search.joined, search.begin = true, m.Position()
			w.tell("joined", "", search.begin)
			c.members["J"] = m
			j.keeps = true
			c.work("J", m, 2)
		}
		return []*proc{a, j}
	}, check: func(w *world) {
		c := groupCrew
		if !search.joined {
			c.check()
			return
		}
		c.check("g")
		w.checkSearch(append(c.got["J"], c.got["last of g"]...))
		times, vain := c.times("J", "last of g")
		for id := range w.committed {
			if n := times[id]; before(w.at[id], search.begin) {
				if n != 0 {
					w.fail("message %d comes before the group's begin", id)
				}
			} else if n == 0 || n > 1+vain[id] {
				w.fail("message %d at %d was processed %d times: %v", id, w.at[id], n, c.got)
			}
		}
	}},
}

// joinFaults are seeded with the others.
var joinFaults = []fault{
	{"a reader's cursor ahead of its search", "join.go",
		"		if pos = next; pos&(r.segment-1) == 0 {\n			moved(pos)\n", "		if pos = next; pos&(r.segment-1) == 0 {\n			moved(pos + r.segment)\n", "a reader searches"},
	{"a group's head ahead of the search", "join.go",
		"		if pos = next; pos&(r.segment-1) == 0 {\n			moved(pos)\n", "		if pos = next; pos&(r.segment-1) == 0 {\n			moved(pos + r.segment)\n", "a group begins by a search"},
}
