package shmring

import (
	"fmt"
	"slices"
	"time"

	"github.com/mycelium-bus/mycelium/shmring/internal/shm"
)

// Orphans: slots whose member died or was closed with messages in its hands. from, end and won stay where they are; whoever adopts the
// slot acknowledges there. The life of a member's slot:
//
//	FREE ──> MEMBER ──> FREE                      joined, closed with nothing in its hands
//	           │  ^
//	   died or │  │ lock, look, CAS, generation + 1
//	    closed v  │
//	          ORPHAN                              its range waits
//
// An adopted slot is a slot like any other: its lock, on the adopter's description, falls with the adopter, and it is an orphan again.
// Lock first: who swaps first and locks afterwards shares the range with the next one who does. Who finds the lock held looks again after
// a while: its holder may be stopped there, or die before it has the slot, of which nothing tells the group.

// adopt takes over the oldest range that was left behind in the group, if there is one that nobody else takes.
func (m *Member) adopt() bool {
	// order: acquire, pair [orphans] with Ring.leftOrphan: before the slots.
	seen := m.orphans.Load()
	if !m.mayAdopt(seen) {
		return false
	}
	busy := false
	for _, slot := range m.ring.orphansOf(m.group, m.held.until) {
		if m.adoptSlot(slot) {
			return m.err == nil
		}
		// order: acquire, pair [state] with Member.adoptSlot of another one, who may hold the lock and not have the slot yet, or a
		// granter, who looked and will let it go.
		busy = busy || state(m.ring.consumerWord(slot, cState).Load()).kind() == slotOrphan
	}
	m.looked(seen, busy)
	return false
}

// mayAdopt tells whether there is a reason to look for orphans, where the group's word of them is seen.
func (m *Member) mayAdopt(seen uint64) bool {
	return seen != m.orphansSeen || !m.again.IsZero() && !now().Before(m.again)
}

// looked notes a look for orphans that adopted none. Those that somebody has in his hands, who may be stopped there or die, are looked for
// once more after a while, and not before.
func (m *Member) looked(seen uint64, busy bool) {
	m.orphansSeen, m.again = seen, time.Time{}
	if busy {
		m.again = now().Add(unseenOrphan)
	}
}

// orphansOf returns the group's orphaned slots, oldest range first.
func (r *Ring) orphansOf(group, near uint64) (slots []uint64) {
	begin := map[uint64]uint64{}
	// order: acquire, pair [used] with Ring.activate.
	for slot := range min(r.usedConsumers.Load(), r.consumers) {
		// order: acquire, pair [state] with Ring.repairMember and Member.giveBack.
		if s := state(r.consumerWord(slot, cState).Load()); s.kind() == slotOrphan && s.group() == group {
			slots = append(slots, slot)
			begin[slot] = unpack(r.consumerWord(slot, cFrom).Load(), near) // order: acquire, pair [from]: for the sequence only.
		}
	}
	slices.SortFunc(slots, func(a, b uint64) int { return int(int64(begin[a]-begin[b]) >> 4) })
	return slots
}

// adoptSlot makes an orphan's range the one that this member holds.
func (m *Member) adoptSlot(slot uint64) bool {
	r := m.ring
	w := func(off uint64) *shm.Word { return r.consumerWord(slot, off) }
	if locked, err := r.locks.lock(consumerLocks, m.grant.Lock, int64(slot)); err != nil || !locked {
		return false // another one adopts it; if that dies, a repair tells
	}
	// order: acquire, pair [state]: under the lock. What was seen before may be somebody else's by now.
	s := state(w(cState).Load())
	adopted := makeState(nextGeneration(s.gen()), slotMember, 0, uint16(m.group))
	// order: sequentially consistent, pair [state] with every scan.
	if s.kind() != slotOrphan || s.group() != m.group || !w(cState).CompareAndSwap(uint64(s), uint64(adopted)) {
		r.locks.unlock(consumerLocks, m.grant.Lock, int64(slot))
		return false
	}
	near := m.held.until
	m.held = holding{slot: slot, from: w(cFrom), end: w(cEnd), won: w(cWon), adopted: true, word: w(cState), state: adopted}
	// order: acquire (these two), pair [from] with whoever had the slot before, by way of its state.
	m.held.fromAs = m.held.from.Load()
	m.held.until = m.held.end.Load()
	if m.held.fromAs == 0 {
		m.pos = m.held.until
	} else {
		m.pos = unpack(m.held.fromAs, near)
	}
	m.next, m.known = m.pos, int(packedTag(m.held.fromAs))
	if m.held.until%frameAlign != 0 || before(m.held.until, m.pos) || m.held.until-m.pos > r.capacity {
		m.stop(&CorruptError{File: "cursors", Field: fmt.Sprintf("range of orphan c%d", slot), Position: r.offConsumers + consumerSlotSize*slot + cFrom,
			Got: fmt.Sprintf("%d to %d", m.pos, m.held.until), Want: "a range of the ring"})
		return true
	}
	m.inReach(m.pos)
	return true
}

// putDown ends an adoption: the slot is free when its range was worked through, else an orphan again.
func (m *Member) putDown(to slotKind) {
	h, r := m.held, m.ring
	group := uint16(0)
	if to == slotOrphan {
		group = uint16(m.group)
	}
	// order: sequentially consistent, pair [state] with every scan: before the lock falls, so that who gets it sees the state.
	h.word.CompareAndSwap(uint64(h.state), uint64(makeState(h.state.gen(), to, 0, group)))
	r.locks.unlock(consumerLocks, m.grant.Lock, int64(h.slot)) // if it fails, closing the description does it
	m.held = m.own(m.slot)
	m.held.until = m.pos
	m.next = m.pos
	if to == slotOrphan {
		r.leftOrphan(m.group)
	}
}

// leftOrphan tells the members of a group that there is something to adopt, those that sleep, too.
func (r *Ring) leftOrphan(group uint64) {
	// order: sequentially consistent, pair [orphans] with Member.adopt and Member.Ready: after the slot's state and lock.
	r.groupWord(group, gOrphans).Add(1)
	shm.FutexWake(r.orphansHalf(group))
}

// orphansHalf is the half of a group's orphans that changes with each (words are little-endian): the kernel's futexes are of 32 bits.
func (r *Ring) orphansHalf(group uint64) *shm.Word32 {
	return r.cursors.Word32(r.offGroups + groupSize*group + gOrphans)
}

// repairMember frees the slot of a dead member, or leaves it as an orphan if it has messages in its hands.
func (r *Ring) repairMember(slot uint64, s state, dry bool) []Mended {
	if !r.died(consumerLocks, slot, r.consumerWord(slot, cState), s) {
		return nil
	}
	m := Mended{fmt.Sprintf("c%d.%d", slot, s.gen()), readName(r.cursors.Bytes(r.offConsumers+consumerSlotSize*slot+cName, nameSize)),
		"member died with nothing in its hands: its slot is freed"}
	w := func(off uint64) *shm.Word { return r.consumerWord(slot, off) }
	to := makeState(s.gen(), slotFree, 0, 0)
	// order: acquire, pair [from] with Member.take.
	if from := w(cFrom).Load(); from != 0 && s.group() < r.groups {
		if end, ok := r.owns(slot, s.group()); ok {
			to = makeState(s.gen(), slotOrphan, 0, uint16(s.group()))
			// order: acquire, pair [limit] with Producer.refresh.
			m.What = fmt.Sprintf("member of group %q died with the messages from %d to %d: they are left to the others",
				readName(r.groupName(s.group())), unpack(from, alignDown(r.limit.Load(), frameAlign)), end)
		} // else it is of a take that it did not win: who joins next stores NONE before it is a member
	}
	// order: sequentially consistent, pair [state] with every scan. A CAS on the word as it was before the lock was probed.
	if !dry && !w(cState).CompareAndSwap(uint64(s), uint64(to)) {
		return nil
	}
	return []Mended{m}
}

// owns judges whether a dead member won the take that its from and end tell of: the head names it, or it has won at least that far in
// this start of the group. The head is loaded before won: whoever replaces a head confirms its taker first.
func (r *Ring) owns(slot, group uint64) (end uint64, ok bool) {
	// order: acquire, pair [from] with Member.take: it wrote end before from.
	end = r.consumerWord(slot, cEnd).Load()
	// order: acquire, pair [head] with Member.take: before won.
	head := r.groupWord(group, gHead).Load()
	// order: acquire, pair [start] with Ring.startGroup: nobody starts a group anew that has a member, dead or alive.
	number := r.groupWord(group, gStart).Load()
	// order: acquire, pair [won] with Member.confirm.
	won := r.consumerWord(slot, cWon).Load()
	return end, head == pack(end, slot) || packedTag(won) == number && !before(unpack(won, end), end)
}

// announceOrphans tells each group that has orphans that they are there: those of this repair, and those that a repairer or adopter left
// that died before it could tell.
func (r *Ring) announceOrphans() {
	var told [maxGroups]bool
	// order: acquire, pair [used] with Ring.activate.
	for slot := range min(r.usedConsumers.Load(), r.consumers) {
		// order: acquire, pair [state] with Ring.repairMember.
		s := state(r.consumerWord(slot, cState).Load())
		if s.kind() == slotOrphan && s.group() < r.groups && !told[s.group()] {
			told[s.group()] = true
			r.leftOrphan(s.group())
		}
	}
}
