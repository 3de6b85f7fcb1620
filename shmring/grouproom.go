package shmring

// An ephemeral group that nobody works for any more keeps what its last members had in their hands for whoever joins it next: a worker
// that died and is started again gets its message again. It keeps it as long as nobody needs the place: of a name, or of the one gate of a
// single-gate kind. Who needs it takes it, and what is lost by that stands in the ledger.
//
//	the makers' lock             nobody is granted a slot in the group
//	the group's lock             nobody who was granted one becomes a member
//	no member, dead or alive, nobody with a grant      so nobody adopts either
//	each orphan                  its lock, its state once more, the loss recorded, FREE
//
// Who dies in between leaves the orphans that it did not come to, for the next one. Without the group's lock somebody who was granted a
// slot may come and go under a look: the slot's state is loaded before its lock is looked at, and once more afterwards.

// makeWay takes the place of an ephemeral group that has orphans alone, and reports whether there is such a place now. The caller holds the
// makers' lock on the description h, which gets the other locks for the moment.
func (r *Ring) makeWay(group uint64, h int) bool {
	lock := groupByte + int64(group)
	if ok, err := r.locks.lock(consumerLocks, h, lock); err != nil || !ok {
		return false // somebody joins
	}
	defer r.locks.unlock(consumerLocks, h, lock)
	if worked, _ := r.slotsOfGroup(group); worked || r.groupPolicy(group).Durable {
		return false
	}
	// order: acquire, pair [limit] with Producer.refresh. All that members took lies before it.
	limit := alignDown(r.limit.Load(), frameAlign)
	err := r.cutOrphans(group, h, limit, limit, 0)
	r.freed() // it gated with what it kept, and after an error with what is left of that
	// Once more: a slot may have gone from an orphan's to a dead member's and back under the look.
	return err == nil && !r.groupInUse(group)
}

// slotsOfGroup reports whether the group has members, dead or alive, or somebody who was granted a slot to be one, and whether it has orphans.
func (r *Ring) slotsOfGroup(group uint64) (worked, left bool) {
	for slot := range r.consumers {
		word := r.consumerWord(slot, cState)
		// order: acquire, pair [state] with Ring.activate.
		s := state(word.Load())
		switch s.kind() {
		case slotMember:
			worked = worked || s.group() == group
		case slotOrphan:
			left = left || s.group() == group
		case slotFree:
			// order: acquire (these two), pair [policy] with Ring.writeMemberEntry.
			named := r.consumerEntry(slot, eGroup).Load() == group+1
			named = named && r.consumerEntry(slot, eGeneration).Load() == uint64(nextGeneration(s.gen()))
			if named && !r.died(consumerLocks, slot, word, s) { // or it came meanwhile, and is perhaps gone and has left something behind
				return true, left
			}
		}
	}
	return worked, left
}
