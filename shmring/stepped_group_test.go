//go:build stepped

package shmring

import (
	"maps"
	"slices"
)

func init() {
	for _, s := range groupScenarios {
		s.beyond, s.told = true, true
	}
	scenarios = append(scenarios, groupScenarios...)
	faults = append(faults, groupFaults...)
}

var groupOptions = Options{Kind: SPMC, Capacity: 4 << 10, MaxClaim: 128, Producers: 1, Consumers: 5, Groups: 2}

// crew is what a run's members did. A member's last hand-outs may come again if it was killed; all others may not.
type crew struct {
	w       *world
	members map[string]*Member // by process, those that live
	got     map[string][]uint64
}

func newCrew(w *world) *crew {
	return &crew{w: w, members: map[string]*Member{}, got: map[string][]uint64{}}
}

// hire makes a member before the steps begin; the process p has its lock.
func (c *crew) hire(p *proc, group string, policy GroupPolicy, o MemberOptions) *Member {
	r := c.w.view()
	g, err := r.GrantMember(group, policy)
	if err != nil {
		panic(err)
	}
	if p != nil {
		c.w.locks.give(g.Lock, p)
	}
	m, err := r.Member(g, o)
	if err != nil {
		panic(err)
	}
	if p != nil {
		c.members[p.name] = m
		p.keeps = true
	}
	return m
}

// work takes at most n messages and reads each; what it read is acknowledged.
func (c *crew) work(name string, m *Member, n int) {
	for range n {
		f, ok := m.Next()
		if !ok {
			if err := m.Err(); err != nil {
				c.w.fail("member %s: %v", name, err)
			}
			return
		}
		// Read to its end: from here on it may come again only if this member is killed before it acknowledged it.
		id := c.w.id(f)
		c.w.tell("got", name, uint64(len(c.got[name])), id)
		c.got[name] = append(c.got[name], id)
	}
	m.Release()
}

// worker is a process whose member works n times.
func (c *crew) worker(name, group string, mortal bool, n int) *proc {
	p := c.w.process(name, mortal, nil)
	m := c.hire(p, group, GroupPolicy{}, MemberOptions{})
	p.body = func() { c.work(name, m, n) }
	return p
}

// check lets the members that live close, and one more do what is left of each group. Then nothing may be left behind.
func (c *crew) check(groups ...string) {
	w := c.w
	killed := map[string]bool{}
	for _, p := range w.procs {
		killed[p.name] = p.killed
	}
	for name, m := range c.members {
		if !killed[name] {
			if err := m.Close(); err != nil {
				w.fail("close of %s: %v", name, err)
			}
		}
	}
	for _, group := range groups {
		name := "last of " + group
		m := c.hire(nil, group, GroupPolicy{}, MemberOptions{})
		c.work(name, m, 1000)
		if err := m.Close(); err != nil {
			w.fail("close: %v", err)
		}
	}
	all, err := w.ring.Groups()
	for _, g := range all {
		if err == nil && (g.Members != 0 || g.Orphans != 0 || g.Unacknowledged != 0) {
			w.fail("left behind: %+v", g)
		}
	}
}

// times returns how often each message was handed out to the named processes, and how often of that it may have been in vain.
func (c *crew) times(names ...string) (times, vain map[uint64]int) {
	times, vain = map[uint64]int{}, map[uint64]int{}
	for _, name := range names {
		ids := c.got[name]
		for _, id := range ids {
			times[id]++
		}
		for _, p := range c.w.procs {
			if p.name == name && p.killed && len(ids) > 0 {
				vain[ids[len(ids)-1]]++
			}
		}
	}
	return times, vain
}

// once checks that the named processes and the last member of the group processed the messages exactly once, but for those that a killed
// member had in its hands, and, if lost is set, those that the ledger tells of.
func (c *crew) once(group string, ids []uint64, names ...string) {
	c.check(group)
	c.exactly(ids, append(names, "last of "+group)...)
}

func (c *crew) exactly(ids []uint64, names ...string) {
	times, vain := c.times(names...)
	for _, id := range ids {
		if !c.w.committed[id] {
			continue
		}
		if n := times[id]; n == 0 {
			c.w.fail("message %d was processed by nobody: %v", id, c.got)
		} else if n > 1+vain[id] {
			c.w.fail("message %d was processed %d times: %v", id, n, c.got)
		}
	}
}

func upTo(n uint64) (ids []uint64) {
	for i := range n {
		ids = append(ids, i+1)
	}
	return ids
}

// prepared publishes n messages of one word before the steps begin.
func (w *world) prepared(n uint64) (*Producer, []uint64) {
	pr := w.producer(nil)
	for _, id := range upTo(n) {
		w.send(pr, id, 8)
	}
	return pr, upTo(n)
}

var groupCrew *crew // of the run; scenarios' checks look at it

var groupScenarios = []*scenario{
	{name: "members take and one may die", options: groupOptions, preempts: 3, kills: 1, set: func(w *world) []*proc {
		c := newCrew(w)
		groupCrew = c
		a, b := c.worker("A", "g", true, 2), c.worker("B", "g", true, 2)
		w.prepared(3)
		return []*proc{a, b}
	}, check: func(w *world) { groupCrew.once("g", upTo(3), "A", "B") }},
	{name: "a repairer beside members", options: groupOptions, preempts: 2, kills: 1, set: func(w *world) []*proc {
		c := newCrew(w)
		groupCrew = c
		a, b := c.worker("A", "g", true, 1), c.worker("B", "g", false, 2)
		w.prepared(3)
		r := w.repairer("R")
		r.mortal = false
		return []*proc{a, b, r}
	}, check: func(w *world) { groupCrew.once("g", upTo(3), "A", "B") }},
	{name: "an orphan is adopted by one", options: groupOptions, preempts: 2, kills: 1, set: func(w *world) []*proc {
		c := newCrew(w)
		groupCrew = c
		dead := c.hire(nil, "g", GroupPolicy{}, MemberOptions{})
		a, b := c.worker("A", "g", true, 1), c.worker("B", "g", true, 1)
		w.prepared(1)
		if _, ok := dead.Next(); !ok {
			panic("no message")
		}
		w.locks.drop(dead.grant.Lock)
		if _, err := w.view().Repair(false); err != nil {
			panic(err)
		}
		r := w.repairer("R")
		r.mortal = false
		return []*proc{a, b, r}
	}, check: func(w *world) { groupCrew.once("g", upTo(1), "A", "B") }},
	{name: "a member closes while others look", options: groupOptions, preempts: 2, kills: 1, set: func(w *world) []*proc {
		c := newCrew(w)
		groupCrew = c
		a := w.process("A", true, nil)
		m := c.hire(a, "g", GroupPolicy{}, MemberOptions{Batch: 2})
		b := c.worker("B", "g", true, 2)
		w.prepared(2)
		if _, ok := m.Next(); !ok {
			panic("no message")
		}
		a.body = func() { m.Close() } // gives both back
		return []*proc{a, b}
	}, check: func(w *world) { groupCrew.once("g", upTo(2), "A", "B") }},
	{name: "what a member holds is not overwritten", options: groupOptions, preempts: 2, kills: 0, set: func(w *world) []*proc {
		c := newCrew(w)
		groupCrew = c
		p := w.process("P", false, nil)
		pr := w.producer(p)
		a := w.process("A", false, nil)
		ma := c.hire(a, "g", GroupPolicy{Credit: 4 << 10}, MemberOptions{})
		b := c.worker("B", "g", false, 1)
		n := uint64(0)
		for w.send(pr, n+1, 40) {
			n++
		}
		a.body = func() { c.work("A", ma, 1) }
		p.body = func() {
			for i := range uint64(2) {
				w.send(pr, 101+i, 40)
			}
		}
		return []*proc{p, a, b}
	}, check: func(w *world) { groupCrew.once("g", append(upTo(60), 101, 102), "A", "B") }},
	{name: "another group's member confirms", options: groupOptions, preempts: 2, kills: 1, set: func(w *world) []*proc {
		// Slot 0 was a member's of group x, which names it as its last taker; now it is a member's of group y, which is behind.
		c := newCrew(w)
		groupCrew = c
		first := c.hire(nil, "x", GroupPolicy{}, MemberOptions{})
		yard := c.hire(nil, "y", GroupPolicy{}, MemberOptions{})
		w.prepared(3)
		for range 2 {
			first.Next()
		}
		first.Release()
		first.Close()
		b := c.worker("B", "y", true, 1) // in slot 0
		m := c.worker("M", "y", false, 1)
		n := c.worker("N", "x", false, 1)
		yard.Close()
		return []*proc{n, b, m}
	}, check: func(w *world) {
		groupCrew.check("x", "y")
		groupCrew.exactly([]uint64{3}, "N", "last of x")
		groupCrew.exactly(upTo(3), "B", "M", "last of y")
	}},
	{name: "a group without members is dropped while one joins", options: groupOptions, preempts: 2, kills: 1, set: func(w *world) []*proc {
		c := newCrew(w)
		groupCrew = c
		p := w.process("P", false, nil)
		pr := w.producer(p)
		// It keeps nearly a lap: P drops it with its second message, which overwrites the first one of the group's.
		c.hire(nil, "d", GroupPolicy{Durable: true, Credit: 4 << 10, Keep: 4 << 10}, MemberOptions{}).Close()
		for n := range uint64(4<<10-128) / 64 {
			w.send(pr, n+1, 40)
		}
		p.body = func() {
			for i := range uint64(4) {
				w.send(pr, 101+i, 40)
			}
		}
		j := w.process("J", true, nil)
		r := w.view()
		j.body = func() {
			g, err := r.GrantMember("d", GroupPolicy{})
			if err != nil {
				w.fail("grant: %v", err)
				return
			}
			m, err := r.Member(g, MemberOptions{})
			if err != nil {
				w.fail("join: %v", err)
				return
			}
			c.members["J"] = m
			w.tell("member", "J")
			j.keeps = true
			c.work("J", m, 2)
		}
		return []*proc{p, j}
	}, check: func(w *world) {
		c := groupCrew
		c.check("d")
		times, vain := c.times("J", "last of d")
		lost, _, err := w.ring.Losses()
		if err != nil {
			w.fail("losses: %v", err)
		}
		committed := slices.Sorted(maps.Keys(w.committed))
		for i, id := range committed {
			at := w.ring.capacity + 64*uint64(i) // one producer, 64 bytes a message
			gone := false
			for _, l := range lost {
				gone = gone || !before(at, l.From) && before(at, l.To)
			}
			if n := times[id]; n == 0 && !gone {
				w.fail("message %d at %d is neither processed nor in the ledger: %v %+v", id, at, c.got, lost)
			} else if n > 1+vain[id] {
				w.fail("message %d was processed %d times: %v", id, n, c.got)
			}
		}
	}},
}

// groupFaults are seeded with the others.
var groupFaults = []fault{
	{"no confirmation before replacement", "take.go", "		m.confirm(head)\n", "", "members take and one may die"},
	{"won without the group's number", "take.go",
		"		if packedTag(old) != m.number || packedTag(old) == m.number && !before(m.position(old), end) {\n			return\n		}\n		// order: sequentially consistent, pair [won] with Ring.owns and Ring.rangeOf: before the head is replaced.\n		if won.CompareAndSwap(old, pack(end, m.number)) {\n",
		"		if !before(m.position(old), end) {\n			return\n		}\n		if won.CompareAndSwap(old, pack(end, packedTag(old))) {\n", "another group's member confirms"},
	{"members scanned before the head", "groupgate.go",
		"		r.viewMembers(views, limit)\n	}\n	return views\n",
		"		r.viewMembers(views, limit)\n		for i := range views {\n			if v := &views[i]; v.gate == v.at {\n				v.gate = unpack(r.groupWord(v.group, gHead).Load(), limit)\n			}\n		}\n	}\n	return views\n",
		"what a member holds is not overwritten"},
	{"adoption before the lock", "adopt.go",
		"	if locked, err := r.locks.lock(consumerLocks, m.grant.Lock, int64(slot)); err != nil || !locked {\n		return false // another one adopts it; if that dies, a repair tells\n	}\n",
		"	defer r.locks.lock(consumerLocks, m.grant.Lock, int64(slot))\n", "an orphan is adopted by one"},
	{"won loaded before the head by who judges", "adopt.go",
		"	head := r.groupWord(group, gHead).Load()\n", "	early := r.consumerWord(slot, cWon).Load()\n	head := r.groupWord(group, gHead).Load()\n//WON", "a repairer beside members"},
	{"a message acknowledged when it is handed out", "member.go",
		"		m.nMessages++\n		m.nBytes += frameLength(w)\n		return f, true\n", "		m.nMessages++\n		m.nBytes += frameLength(w)\n		m.acknowledge(0)\n		return f, true\n", "members take and one may die"},
	{"a join that keeps the generation", "groupjoin.go",
		"	raised := makeState(nextGeneration(old.gen()), old.kind(), 0, 0)\n", "	raised := old\n", "a group without members is dropped"},
	{"a joiner that does not look at dropped", "groupjoin.go",
		"	if old.kind() == groupStarting || dropped-joined <= old.gen()-joined {\n", "	if old.kind() == groupStarting || dropped == 1<<31 && joined == 0 {\n", "a group without members is dropped"},
	{"a member's slot freed with its range", "adopt.go",
		"			to = makeState(s.gen(), slotOrphan, 0, uint16(s.group()))\n", "			to = makeState(s.gen(), slotFree, 0, 0)\n", "members take and one may die"},
}
