package shmring

import "fmt"

// GroupInfo is what a look at a group shows.
type GroupInfo struct {
	ID             string // g, number, generation
	Group          int
	Name           string
	State          string // starting, active, dropped: producers do not wait for it any more
	Policy         GroupPolicy
	Head           uint64 // position of the next message to be taken
	Gate           uint64 // oldest position that is neither acknowledged nor after the head
	LagBytes       uint64 // from the gate to the tail
	Unacknowledged uint64 // bytes in the hands of members, and of orphans
	Members        int    // slots, a member's own and those that it adopted
	Orphans        int
	Messages       uint64 // handed out by all members ever; each publishes its part now and then
	Parked         int    // of the messages that the list still holds
	LostBytes      uint64 // of the ring, by losses that the ledger still holds
}

// Groups looks at the topic's groups. It takes no lock and writes nothing.
func (r *Ring) Groups() (all []GroupInfo, err error) {
	if err := r.holdCursors(); err != nil {
		return nil, err
	}
	defer r.release()
	if fault := r.Guard(func() { all, err = r.inspectGroups() }); fault != nil {
		err = fault
	}
	return all, err
}

func (r *Ring) inspectGroups() ([]GroupInfo, error) {
	views := r.viewGroups(nil, true)
	tail, err := r.Tail() // after the views, so that no head seems to be beyond it
	if err != nil || len(views) == 0 {
		return nil, err
	}
	parked, losses := map[string]int{}, map[string]uint64{}
	entries, _ := r.parked().all()
	for _, e := range entries {
		parked[unpackName(e.listEntry[3:7])]++
	}
	lost, _ := r.losses().all()
	for _, e := range lost {
		if l := e.loss(); l.Group >= 0 {
			losses[l.Name] += l.Bytes()
		}
	}
	all := make([]GroupInfo, 0, len(views))
	for _, v := range views {
		g := GroupInfo{ID: fmt.Sprintf("g%d.%d", v.group, v.state.gen()), Group: int(v.group), Name: readName(r.groupName(v.group)),
			State: "active", Policy: v.policy, Head: v.at, Gate: v.gate, Unacknowledged: v.unacked, Members: v.members, Orphans: v.orphans,
			// order: none, a counter.
			Messages: r.groupWord(v.group, gMessages).Load()}
		switch {
		case v.state.kind() == groupStarting:
			g.State = "starting"
		case !v.gates():
			g.State = "dropped"
		}
		g.Parked, g.LostBytes = parked[g.Name], losses[g.Name[:min(len(g.Name), lossNameSize)]]
		if before(g.Gate, tail) {
			g.LagBytes = tail - g.Gate
		}
		all = append(all, g)
	}
	return all, nil
}

// inspectMember fills in what a member's or an orphan's slot shows; a member that holds nothing stands at the group's head.
func (r *Ring) inspectMember(c *ConsumerInfo, s state) {
	if s.kind() != slotMember && s.kind() != slotOrphan || s.group() >= r.groups {
		return
	}
	// order: acquire (these three), pairs [limit], [head] and [start].
	limit := alignDown(r.limit.Load(), frameAlign)
	v := groupView{group: s.group(), head: r.groupWord(s.group(), gHead).Load(), number: r.groupWord(s.group(), gStart).Load()}
	v.at = unpack(v.head, limit)
	c.Group, c.Position = readName(r.groupName(s.group())), v.at
	if from, end := r.rangeOf(uint64(c.Slot), &v, limit); from != end {
		c.Position, c.Unacknowledged = from, end-from
	}
}
