package shmring

import (
	"errors"
	"fmt"

	"github.com/mycelium-bus/mycelium/shmring/internal/shm"
)

// Joining a group, under the group's lock, which the joiner holds on its own description:
//
//	from = NONE, won = (head, number of the start)
//	slot MEMBER                                   a full fence
//	the group's generation raised                 what producers decided about the generation before is void
//	dropped looked at                             dropped since the last join: start anew
//	joined = the generation
//
// A producer drops a group by dropped, the group's word, then all slots; finding no member, it sets dropped to the generation that it
// loaded. So a dropped generation from joined on means that nobody who ever joined is a member any more: a member that had joined
// before the word was loaded would have been seen. And a decision whose generation is older than joined came too late to count: the
// word had been raised. Who dies between the steps leaves joined as it was, and the next joiner decides again.
//
// Starting anew: STARTING, a new number, the joiner's procedure (join.go) for the whole group, orphans below the safe bound recorded as
// lost and freed, others cut to it, the head moved, ACTIVE. Who finds STARTING does it again.

// underGroupLock runs f while holding the group's lock on the grant's description.
func (r *Ring) underGroupLock(group uint64, g Grant, f func() error) error {
	joiner := r.groupWord(group, gJoiner)
	ok, err := r.lockSoon(g.Lock, groupByte+int64(group))
	if err != nil || !ok {
		holder := "somebody"
		// order: none, information only.
		if w := joiner.Load(); w != 0 {
			holder = fmt.Sprintf("consumer %d", w-1)
		}
		return errors.Join(fmt.Errorf("%w: group %q of topic %s is being joined by %s", ErrInUse, readName(r.groupName(group)), r.name, holder), err)
	}
	joiner.StoreRelaxed(uint64(g.Slot) + 1) // order: none, information only.
	err = f()
	joiner.StoreRelaxed(0) // order: none, information only.
	return errors.Join(err, r.locks.unlock(consumerLocks, g.Lock, groupByte+int64(group)))
}

// joinGroup makes the granted slot a member's. The caller holds the group's lock.
func (r *Ring) joinGroup(g Grant, group uint64, flags uint8, from From) (l *lease, number uint64, err error) {
	slot := uint64(g.Slot)
	w := func(off uint64) *shm.Word { return r.groupWord(group, off) }
	// order: acquire, pair [start] with Ring.startGroup, which had the lock before.
	number = w(gStart).Load()
	// order: release (these two), pair [state] with every scan: before the slot is a member's. Nothing that this tenant takes will end
	// at the head or before; what is left in the words of the slot's last one must not count.
	r.consumerWord(slot, cFrom).StoreRelease(0)
	r.consumerWord(slot, cWon).StoreRelease(w(gHead).Load()&^(groupNobody<<54) | number<<54) // order: acquire, pair [head].
	l, err = r.activate(g, r.consumerWord(slot, cState), r.usedConsumers, slotMember, flags, uint16(group))
	if err != nil {
		return nil, 0, err
	}
	// order: acquire, pair [group]: under the lock nobody else writes it.
	old := state(w(gState).Load())
	raised := makeState(nextGeneration(old.gen()), old.kind(), 0, 0)
	// order: sequentially consistent, pair [group] with Ring.dropGroup: after the slot's state, before the look at dropped.
	if old.kind() == groupFree || !w(gState).CompareAndSwap(uint64(old), uint64(raised)) {
		return l, 0, fmt.Errorf("%w: group %d of topic %s was taken away", ErrInUse, group, r.name)
	}
	// order: acquire, pair [dropped] with Ring.dropGroup: after the generation was raised.
	dropped := uint32(r.droppedWord(r.consumers + group).Load())
	// order: acquire, pair [start]: written under the lock.
	joined := uint32(w(gJoined).Load())
	if old.kind() == groupStarting || dropped-joined <= old.gen()-joined {
		number, err = r.startGroup(group, g.Lock, from)
		// order: release (acquire for the head), pairs [won] with Member.confirm and [head]: as above, for the new start.
		r.consumerWord(slot, cWon).StoreRelease(w(gHead).Load()&^(groupNobody<<54) | number<<54)
		return l, number, err
	}
	// order: release, pair [start]: the last step.
	w(gJoined).StoreRelease(uint64(raised.gen()))
	return l, number, nil
}

// startGroup starts a group: for the first time, or anew after producers dropped it. An ephemeral one begins where from says, a durable
// one goes on where it was, as far as the ring still has it. The caller holds the group's lock on the description h, and nobody who
// joined before is a member.
func (r *Ring) startGroup(group uint64, h int, from From) (number uint64, err error) {
	w := func(off uint64) *shm.Word { return r.groupWord(group, off) }
	// order: acquire, pair [group]: under the lock nobody else writes it.
	s := state(w(gState).Load())
	// order: sequentially consistent, pair [group] with scans and the next joiner: if this one dies it is done again.
	w(gState).Store(uint64(makeState(s.gen(), groupStarting, 0, 0)))
	// order: acquire, pair [start]: written under the lock.
	goesOn := r.groupPolicy(group).Durable && w(gStart).Load() != 0
	number = r.nextStart()
	if !goesOn {
		// The stand-in, as of a joining reader: refreshes that see the group from here on must not go by a head that lies ahead of where
		// it will begin. NONE as the start's number: if this joiner dies, nobody goes on from there.
		w(gStart).StoreRelease(0) // order: release, pair [start] with the next joiner.
		// order: sequentially consistent, pair [head] with scans (acquire, pair [limit]): before the look at the limit below.
		w(gHead).Store(pack(alignDown(r.limit.Load(), frameAlign)-r.capacity, groupNobody))
	}
	// order: acquire, pair [join] with Producer.refresh: after the full fence. Either the refresh's scan saw the group, or this load
	// sees a limit that bounds what that refresh can reach.
	limit := r.limit.Load()
	safe := r.safeFrom(limit)
	// Orphans first, for they gate as the head does: producers are not to wait for what is lost while the search below goes on.
	if err := r.cutOrphans(group, h, limit, safe, number); err != nil {
		return 0, err
	}
	moved := func(pos uint64) {
		// order: sequentially consistent, pair [head] with Member.take and Ring.viewGroups.
		w(gHead).Store(pack(pos, groupNobody))
		r.freed() // the gate may have moved
	}
	var pos uint64
	if goesOn {
		// order: acquire, pair [head]: nobody takes while the group is starting.
		old := unpack(w(gHead).Load(), limit)
		if pos = later(old, safe); pos != old {
			r.recordLoss(r.lossOfGroup(group, s.gen(), old, pos))
		}
	} else if pos, err = r.start(from, safe, moved); err != nil {
		return 0, err
	}
	moved(pos)
	// order: release (these two), pair [start] with the next joiner, and with Ring.viewGroups: before the group is active.
	w(gStart).StoreRelease(number)
	w(gJoined).StoreRelease(uint64(s.gen()))
	// order: sequentially consistent, pair [group] with every scan.
	w(gState).Store(uint64(makeState(s.gen(), groupActive, 0, 0)))
	r.freed() // the gate may have moved
	return number, nil
}

// maxStart is how many numbers of starts there are; 10 bits, 0 left out.
const maxStart = 1023

func (r *Ring) lossOfGroup(group uint64, gen uint32, from, to uint64) Loss {
	return Loss{Slot: -1, Gen: gen, Group: int(group), Name: readName(r.groupName(group)), From: from, To: to}
}

// cutOrphans lets the orphans of a group that starts anew keep what is safe from being overwritten, under the new start's number.
func (r *Ring) cutOrphans(group uint64, h int, limit, safe, number uint64) error {
	// order: acquire, pair [used] with Ring.activate.
	for slot := range min(r.usedConsumers.Load(), r.consumers) {
		w := func(off uint64) *shm.Word { return r.consumerWord(slot, off) }
		// order: acquire, pair [state] with Ring.repairMember.
		s := state(w(cState).Load())
		if s.kind() != slotOrphan || s.group() != group {
			continue
		}
		locked, err := r.locks.lock(consumerLocks, h, int64(slot))
		if err != nil || !locked {
			return errors.Join(fmt.Errorf("%w: somebody holds orphan c%d.%d of topic %s", ErrInUse, slot, s.gen(), r.name), err)
		}
		// order: acquire (these three), pairs [state] and [from]: under the lock nobody else writes the slot of an orphan.
		if state(w(cState).Load()) == s {
			from, end := unpack(w(cFrom).Load(), limit), w(cEnd).Load()
			r.cutOrphan(slot, s, from, end, safe, number)
		}
		if err := r.locks.unlock(consumerLocks, h, int64(slot)); err != nil {
			return err
		}
	}
	return nil
}

// cutOrphan records what an orphan's range lost, and leaves the rest. The caller holds the slot's lock.
func (r *Ring) cutOrphan(slot uint64, s state, from, end, safe, number uint64) {
	w := func(off uint64) *shm.Word { return r.consumerWord(slot, off) }
	if before(from, safe) {
		lost := r.lossOfGroup(s.group(), s.gen(), from, earlier(safe, end))
		lost.Slot = int(slot)
		r.recordLoss(lost)
	}
	if !before(safe, end) {
		// The range's words stay: who dies before this has the loss recorded once more, and as it is. Who joins in the slot stores NONE.
		// order: sequentially consistent, pair [state] with every scan.
		w(cState).CompareAndSwap(uint64(s), uint64(makeState(s.gen(), slotFree, 0, 0)))
		return
	}
	// order: release, pair [won] with Ring.owns: the number of the start in which it will be adopted, before that.
	w(cWon).StoreRelease(pack(end, number))
	if before(from, safe) {
		// order: sequentially consistent, pair [from] with Ring.viewGroups. A segment's begin: a frame begins there.
		w(cFrom).Store(pack(safe, 1))
	}
}
