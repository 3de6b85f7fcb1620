package shmring

import (
	"fmt"
	"time"
)

// Held describes who left no room for a producer's last claim that failed with [ErrBackPressure].
type Held struct {
	What   string    // "reader", "group" or "claim" (another producer's, which is open)
	ID     string    // as in listings: the reader, the group's member that holds its oldest message, the producer; "" for a group where no member does
	Slot   int       // of ID, -1 without
	Group  string    // the group's name
	Name   string    // of ID's process, as it called itself
	PID    int       // of ID's process, as it wrote it down; information only
	Since  time.Time // the first of the claims in a row that failed because of it
	Behind uint64    // bytes of the ring between it and the newest claim
}

// same tells whether it is the same one that holds, wherever it stands.
func (h Holder) same(other Holder) bool { h.At = other.At; return h == other }

// HeldSince returns when the holder of the last claim that failed began to hold this producer up: with the same answer it is the same
// holder, without a break.
func (p *Producer) HeldSince() time.Time { return p.holdSince }

// Held looks at who bounded the last claim that failed. It allocates, and takes a microsecond, however
// large the ring; of a group it looks through the slots.
func (p *Producer) Held() (h Held) {
	if p.done {
		return h
	}
	_ = p.ring.Guard(func() { h = p.ring.heldBy(p.holder, p.tail()) }) // of a file that was cut short there is nothing to tell
	h.Since = p.holdSince
	return h
}

// tail is where the next claim begins. A single producer knows it: to find it in the ring ([Ring.Tail]) is a walk over a segment's frames.
func (p *Producer) tail() uint64 {
	if p.single {
		return p.pos
	}
	// order: acquire, pair [tail] with Producer.reserveShared.
	return p.ring.tail.Load()
}

// heldBy describes who it was that bounded a claim at tail.
func (r *Ring) heldBy(by Holder, tail uint64) Held {
	h := Held{What: by.What, Slot: -1}
	if before(by.At, tail) {
		h.Behind = tail - by.At
	}
	switch by.What {
	case "claim":
		h.Slot = by.Slot
		// order: acquire, pair [state] with Ring.activate.
		s := state(r.producerWord(uint64(by.Slot), pState).Load())
		h.ID = fmt.Sprintf("p%d.%d", by.Slot, s.gen())
		h.Name = readName(r.ring.Bytes(r.offProducers+producerSlotSize*uint64(by.Slot)+pName, nameSize))
		h.PID = int(r.producerWord(uint64(by.Slot), pPid).Load()) // order: none, information only.
	case "reader":
		r.describeConsumer(&h, uint64(by.Slot))
	case "group":
		h.Group = readName(r.groupName(uint64(by.Slot)))
		if slot, ok := r.memberAt(uint64(by.Slot), by.At); ok {
			r.describeConsumer(&h, slot)
		}
	}
	return h
}

func (r *Ring) describeConsumer(h *Held, slot uint64) {
	// order: acquire, pair [state] with Ring.activate.
	s := state(r.consumerWord(slot, cState).Load())
	h.Slot, h.ID = int(slot), fmt.Sprintf("c%d.%d", slot, r.tenantOf(slot, s))
	h.Name = readName(r.cursors.Bytes(r.offConsumers+consumerSlotSize*slot+cName, nameSize))
	h.PID = int(r.consumerWord(slot, cPid).Load()) // order: none, information only.
}

// memberAt returns the slot, a member's or an orphan's, whose range of the group begins at a position. As for the gate, a take there that
// is known to have lost, of a member that has not cleared it yet, is none.
func (r *Ring) memberAt(group, at uint64) (uint64, bool) {
	// order: acquire (these three), pairs [limit], [start] and [head], which comes before the members.
	limit := alignDown(r.limit.Load(), frameAlign)
	v := groupView{group: group, number: r.groupWord(group, gStart).Load(), head: r.groupWord(group, gHead).Load()}
	v.at = unpack(v.head, limit)
	// order: acquire, pair [used] with Ring.activate.
	for slot := range min(r.usedConsumers.Load(), r.consumers) {
		// order: acquire, pair [state] with Ring.activate and Member.adoptSlot.
		s := state(r.consumerWord(slot, cState).Load())
		if s.kind() != slotMember && s.kind() != slotOrphan || s.group() != group {
			continue
		}
		if from, end := r.rangeOf(slot, &v, limit); from != end && from == at {
			return slot, true
		}
	}
	return 0, false
}
