package shmring

// How groups gate. A group's gate is the oldest position that is neither acknowledged nor after its head.
//
// Order of the scan: of each group dropped, its word, its head; then the members. A take that is older than the head that was read is
// visible, because its range was stored before its CAS; members first would miss a take between the two looks.

// groupView is what one scan saw of a group.
type groupView struct {
	group   uint64
	dropped uint64
	state   state
	head    uint64 // the word
	at      uint64 // its position
	number  uint64 // of the start
	gate    uint64
	unacked uint64 // bytes of ranges that members and orphans hold
	members int    // slots, a member's own and those that it adopted
	orphans int
	policy  GroupPolicy
}

// gates reports whether the group holds producers up at all.
func (v *groupView) gates() bool { return v.dropped != uint64(v.state.gen()) }

// mayLag returns how many bytes the group may lag, in a ring of that capacity.
func (v *groupView) mayLag(capacity uint64) uint64 {
	switch {
	case v.members > 0 && v.state.kind() == groupStarting:
		return capacity // as a reader that catches up: the joiner looks for where to begin
	case v.members > 0:
		return v.policy.Credit
	case v.state.kind() == groupActive && (v.policy.Durable || v.orphans > 0):
		return v.policy.Keep
	}
	return 0
}

// viewGroups scans the groups, or only those that gate, into views, whose room is used again.
func (r *Ring) viewGroups(views []groupView, all bool) []groupView {
	views = views[:0]
	// order: acquire, pair [limit] with Producer.refresh: positions are told by 54 bits that are near it.
	limit := alignDown(r.limit.Load(), frameAlign)
	for g := range r.groups {
		v := groupView{group: g}
		// order: acquire, pair [dropped] with Producer.dropGroup: before the group's word.
		v.dropped = r.droppedWord(r.consumers + g).Load()
		// order: acquire, pair [group] with Ring.joinGroup: before the members.
		v.state = state(r.groupWord(g, gState).Load())
		if v.state.kind() == groupFree || !all && !v.gates() {
			continue
		}
		v.policy = r.groupPolicy(g)
		// order: acquire, pair [start] with Ring.startGroup.
		v.number = r.groupWord(g, gStart).Load()
		// order: acquire, pair [head] with Member.take: before the members.
		v.head = r.groupWord(g, gHead).Load()
		v.at = unpack(v.head, limit)
		v.gate = v.at
		views = append(views, v)
	}
	if len(views) != 0 {
		r.viewMembers(views, limit)
	}
	return views
}

// viewMembers looks at the slots of the groups' members and orphans.
func (r *Ring) viewMembers(views []groupView, limit uint64) {
	var index [maxGroups]uint16 // of a group's view, from 1
	for i, v := range views {
		index[v.group] = uint16(i + 1)
	}
	// order: acquire, pair [used] with Ring.activate.
	for slot := range min(r.usedConsumers.Load(), r.consumers) {
		// order: acquire, pair [state] with Ring.activate and Member.adoptSlot.
		s := state(r.consumerWord(slot, cState).Load())
		if s.kind() != slotMember && s.kind() != slotOrphan {
			continue
		}
		if s.group() >= maxGroups || index[s.group()] == 0 {
			continue
		}
		v := &views[index[s.group()]-1]
		if s.kind() == slotOrphan {
			v.orphans++
		} else {
			v.members++
		}
		if from, end := r.rangeOf(slot, v, limit); from != end {
			v.gate = earlier(v.gate, from)
			v.unacked += end - from
		}
	}
}

// rangeOf returns the range that a member's slot holds, as far as it may be the group's oldest: an attempt that is known to have lost,
// of a member that was stopped before it cleared it, is none. from = end means none.
func (r *Ring) rangeOf(slot uint64, v *groupView, limit uint64) (from, end uint64) {
	for range 1000 { // a live member may be quick, but each change means that it went on
		// order: acquire (these three, in this order), pair [from] with Member.take, which writes NONE, end, from.
		f := r.consumerWord(slot, cFrom).Load()
		if f == 0 {
			return 0, 0
		}
		// order: acquire (these two), pair [from]: see above.
		from, end = unpack(f, limit), r.consumerWord(slot, cEnd).Load()
		if r.consumerWord(slot, cFrom).Load() != f {
			continue
		}
		// order: acquire, pair [won] with Member.confirm: last, and after the head.
		won := r.consumerWord(slot, cWon).Load()
		if before(from, v.at) && v.head != pack(end, slot) && packedTag(won) == v.number && before(unpack(won, limit), end) {
			return 0, 0
		}
		return from, end
	}
	return from, from + frameAlign // it takes and acknowledges all the time: nothing older than what it held last
}

// gateOfGroups lowers bound to what the groups allow; a claim that is to end at end drops those that nobody works for.
func (p *Producer) gateOfGroups(bound, end uint64, holder *Holder) uint64 {
	r := p.ring
	// order: acquire, pair [groups] with Ring.nextStart: none was ever started.
	if r.cursors.Word(offGroupStarts).Load() == 0 {
		return bound
	}
	p.groups = r.viewGroups(p.groups, false)
	r.cursors.TouchEnd()
	for i := range p.groups {
		v := &p.groups[i]
		g := v.gate + v.mayLag(r.capacity)
		if !before(g, bound) || v.members == 0 && before(g, end) && !p.shield.Cut() && r.dropGroup(v) { // members that are gone look like none
			continue
		}
		bound = g
		*holder = Holder{What: "group", Slot: int(v.group), Gen: v.state.gen(), At: v.gate}
	}
	return bound
}

// dropGroup stops a group that has no member from gating, and reports whether it did. A join that the scan missed raised the group's
// generation: the decision is void then.
func (r *Ring) dropGroup(v *groupView) bool {
	// order: sequentially consistent, pair [dropped] with Ring.joinGroup. From the value that was loaded before the group's word.
	if !r.droppedWord(r.consumers+v.group).CompareAndSwap(v.dropped, uint64(v.state.gen())) {
		return false
	}
	r.freed() // others may wait for the same group
	// order: acquire, pair [group] with Ring.joinGroup: after the CAS; who raises the generation from now on sees it.
	return state(r.groupWord(v.group, gState).Load()).gen() == v.state.gen()
}
