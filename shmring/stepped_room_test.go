//go:build stepped

package shmring

import "errors"

// An ephemeral group with nothing but what it left behind: somebody joins it while another group wants its place.

func init() {
	for _, s := range roomScenarios {
		s.beyond = true
	}
	scenarios = append(scenarios, roomScenarios...)
	faults = append(faults, roomFaults...)
}

var roomOptions = Options{Kind: SPMC, Capacity: 2 << 10, MaxClaim: 128, Producers: 1, Consumers: 5, Groups: 1}

// abandoned prepares a group whose only member took a message, and an empty ledger, which outlives a run otherwise.
func (c *crew) abandoned() *Member {
	clear(c.w.ring.cursors.Bytes(c.w.ring.offLosses, lossEntrySize*lossEntries))
	m := c.hire(nil, "a", GroupPolicy{}, MemberOptions{})
	c.w.send(c.w.producer(nil), 1, 40)
	if _, ok := m.Next(); !ok {
		panic("no message")
	}
	return m
}

// comes is a process that joins a group, if there is a place, takes a message and closes.
func (c *crew) comes(name, group string, mortal bool) *proc {
	p := c.w.process(name, mortal, nil)
	r := c.w.view()
	p.body = func() {
		g, err := r.GrantMember(group, GroupPolicy{})
		if errors.Is(err, ErrLimit) || errors.Is(err, ErrInUse) {
			return // the other one was first
		}
		if err != nil {
			c.w.fail("grant for %s: %v", name, err)
			return
		}
		m, err := r.Member(g, MemberOptions{})
		if errors.Is(err, ErrInUse) {
			return
		}
		if err != nil {
			c.w.fail("join of %s: %v", name, err)
			return
		}
		c.work(name, m, 1)
		if err := m.Close(); err != nil {
			c.w.fail("close of %s: %v", name, err)
		}
	}
	return p
}

// accounted checks that what group a left behind is processed by who joined it, or is in the ledger as its loss, and is not both, but for
// what a killed one had in its hands.
func (c *crew) accounted(id uint64) {
	w := c.w
	lost, _, err := w.ring.Losses()
	if err != nil {
		w.fail("losses: %v", err)
	}
	at, gone := w.ring.capacity+64*(id-1), 0
	for _, l := range lost {
		if l.Name != "a" || l.From != at || l.To != at+64 {
			w.fail("a loss of what was not left behind, or of more: %+v", l)
		}
		gone++
	}
	all, err := w.ring.Groups()
	if err != nil {
		w.fail("groups: %v", err)
	}
	for _, g := range all {
		if g.Name == "a" {
			m := c.hire(nil, "a", GroupPolicy{}, MemberOptions{})
			c.work("last of a", m, 1000)
			m.Close()
		}
	}
	times, vain := c.times("J", "last of a")
	n, killed := times[id]+gone, 0
	for _, p := range w.procs {
		if p.killed {
			killed = 1 // a loss that was recorded by who died before it had freed the slot is found again
		}
	}
	if n == 0 || n > 1+vain[id]+killed {
		w.fail("message %d was processed %d times, and is %d times in the ledger: %v %+v", id, times[id], gone, c.got, lost)
	}
}

var roomScenarios = []*scenario{
	{name: "a group is joined while another one takes its place", options: roomOptions, preempts: 2, kills: 1, set: func(w *world) []*proc {
		c := newCrew(w)
		groupCrew = c
		c.abandoned().Close()
		return []*proc{c.comes("J", "a", true), c.comes("K", "b", true)}
	}, check: func(w *world) { groupCrew.accounted(1) }},
	{name: "a dead worker's group makes way while it is repaired", options: roomOptions, preempts: 2, kills: 1, set: func(w *world) []*proc {
		c := newCrew(w)
		groupCrew = c
		w.locks.drop(c.abandoned().grant.Lock)
		return []*proc{c.comes("K", "b", true), w.repairer("R")}
	}, check: func(w *world) { groupCrew.accounted(1) }},
	{name: "a group makes way for one that dies and for another one", options: roomOptions, preempts: 0, kills: 1, set: func(w *world) []*proc {
		c := newCrew(w)
		groupCrew = c
		c.abandoned().Close()
		return []*proc{c.comes("K", "b", true)}
	}, check: func(w *world) {
		groupCrew.hire(nil, "c", GroupPolicy{}, MemberOptions{}).Close()
		groupCrew.accounted(1)
	}},
}

var roomFaults = []fault{
	{"a place taken without a look for members", "grouproom.go",
		"	if worked, _ := r.slotsOfGroup(group); worked || r.groupPolicy(group).Durable {\n		return false\n	}\n	// order: acquire, pair [limit] with Producer.refresh. All that members took lies before it.\n	limit := alignDown(r.limit.Load(), frameAlign)\n	err := r.cutOrphans(group, h, limit, limit, 0)\n	r.freed() // it gated with what it kept, and after an error with what is left of that\n	// Once more: a slot may have gone from an orphan's to a dead member's and back under the look.\n	return err == nil && !r.groupInUse(group)\n",
		"	// order: acquire, pair [limit] with Producer.refresh. All that members took lies before it.\n	limit := alignDown(r.limit.Load(), frameAlign)\n	err := r.cutOrphans(group, h, limit, limit, 0)\n	r.freed() // it gated with what it kept, and after an error with what is left of that\n	return err == nil\n", "a group is joined"},
	{"a place taken without a ledger's entry", "groupjoin.go",
		"		r.recordLoss(lost)\n", "", "a group is joined"},
}
