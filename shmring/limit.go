package shmring

import (
	"fmt"
	"time"

	"github.com/mycelium-bus/mycelium/shmring/internal/shm"
)

// refresh raises the limit far enough for a claim of size bytes at the present tail, if the gates let it; else it returns
// [ErrBackPressure] and p.holder tells who does not. The limit becomes the smallest of
//
//	the end of the segment that the claim ends in,
//	cursor + credit of every gating reader (cursor + capacity while it is catching up),
//	open claim + capacity of every other producer.
//
// Order of the scan: the tail, then the consumers, then the open claims. A claim older than the tail that was read is
// visible, because its intent was stored before its CAS; the other order lets the limit pass a claim. A joiner that the scan
// missed allows for one refresh (join.go).
// A reader that has been the gate for its patience is one no longer (slow.go). What others may write they may cut short: the
// look runs under the ring's guard.
func (p *Producer) refresh(size uint64) (err error) {
	if fault := p.ring.Guard(func() { err = p.refreshed(size) }); fault != nil {
		return p.fail(fault)
	}
	return err
}

func (p *Producer) refreshed(size uint64) error {
	by, end, err := p.look(size)
	if p.shield.Cut() {
		return p.cut() // before anything is made of what the look saw
	}
	if (err == nil || err == ErrBackPressure) && p.ungate(end, err != nil) && err != nil {
		by, _, err = p.look(size)
	}
	switch {
	case err == ErrBackPressure:
		p.held(by)
	case err == nil:
		if !p.blockedSince.IsZero() {
			// order: none, only this handle writes the counter.
			p.backPressured.StoreRelaxed(p.backPressured.Load() + uint64(now().Sub(p.blockedSince)))
			p.blockedSince, p.holdSince = time.Time{}, time.Time{}
		}
	}
	return err
}

// look is one scan: it raises the limit as far as the gates allow, and tells what bounded it, and where the claim would end.
func (p *Producer) look(size uint64) (holder Holder, end uint64, err error) {
	r := p.ring
	if r.closing() {
		return holder, 0, ErrClosed
	}
	var t uint64
	if p.single {
		t = p.pos
		// order: sequentially consistent, pair [join] with Ring.join: the store is visible before the scan below loads. With
		// plain stores this producer's limit could still sit in its store buffer while a joiner looks.
		r.tail.Store(t)
	} else {
		// order: acquire, pair [tail] with Producer.reserveShared: before the slots.
		t = r.tail.Load()
		if t%frameAlign != 0 {
			return holder, 0, r.corruptTail(t)
		}
	}
	end = p.place(t, size).end
	bound := alignUp(end, p.segment)
	bound = p.gateOfReaders(bound, &holder)
	bound = p.gateOfGroups(bound, end, &holder)
	if !p.single {
		bound = p.gateOfClaims(bound, &holder)
	}
	r.cursors.TouchEnd()
	r.control.TouchEnd()
	if p.shield.Cut() { // after the loads: gates that are gone look like none
		return holder, 0, p.cut()
	}
	if p.single {
		if before(p.limit, bound) {
			p.limit = bound
			// order: release, pair [limit] with joiners and lossy readers; only this producer writes it.
			r.limit.StoreRelease(bound)
		}
	} else {
		// order: sequentially consistent, pair [limit] with joiners, lossy readers and other producers.
		p.limit = r.limit.RaiseTo(bound)
	}
	// order: stores fence, pair [overwrite] with Reader.nextCopy: a reader that copied a byte written from here on sees the
	// limit that allowed it.
	shm.FenceStores()
	if before(p.limit, end) {
		return holder, end, ErrBackPressure
	}
	return holder, end, nil
}

// repairAfter is how long a producer waits for the same claim or cursor before it looks whether its owner is dead.
const repairAfter = 50 * time.Millisecond

// held notes what holds this producer up, and repairs when that has not moved for repairAfter.
func (p *Producer) held(by Holder) {
	t := now()
	if p.blockedSince.IsZero() {
		p.blockedSince = t
	}
	if !by.same(p.holder) || p.holdSince.IsZero() {
		p.holdSince = t
	}
	if by != p.holder || p.heldSince.IsZero() {
		p.holder, p.heldSince = by, t
	}
	if t.Sub(p.heldSince) >= repairAfter && by.What != "" {
		p.heldSince = t
		// Whoever else repairs does it for all; what fails now is tried again.
		p.ring.repairUnder(p.lease.grant.Lock, repairer{p.slot + 1, p.lease.state.gen()}, false)
	}
}

// now is the clock; tests that step through the code stop it.
var now = time.Now

// gateOfReaders lowers bound to what the gating readers allow.
func (p *Producer) gateOfReaders(bound uint64, holder *Holder) uint64 {
	r := p.ring
	// order: acquire, pair [used] with Ring.activate.
	used := min(r.usedConsumers.Load(), r.consumers)
	for slot := range used {
		// order: acquire, pair [dropped] with who drops: loaded before the state word, or a late decision would count for the
		// slot's next tenant.
		dropped := r.droppedWord(slot).Load()
		// order: acquire, pair [state] with Ring.activate and Ring.join.
		s := state(r.consumerWord(slot, cState).Load())
		if s.kind() != slotReader || dropped == uint64(s.gen()) {
			continue
		}
		// order: acquire, pair [policy] with Ring.GrantConsumer, by way of the state word.
		credit := r.creditOf(r.consumerEntry(slot, eCredit).Load())
		if s.flags()&flagCatchingUp != 0 {
			credit = r.capacity
		}
		// order: acquire, pair [cursor] with Reader.publish: what the reader has left may be overwritten.
		if g := r.consumerWord(slot, cCursor).Load() + credit; before(g, bound) {
			bound = g
			*holder = Holder{What: "reader", Slot: int(slot), Gen: s.gen(), At: g - credit}
		}
	}
	return bound
}

// creditOf reads a control entry's credit: one that no broker writes counts as the whole ring.
func (r *Ring) creditOf(entry uint64) uint64 {
	if entry < frameAlign || entry > r.capacity {
		return r.capacity
	}
	return entry
}

func (r *Ring) corruptTail(t uint64) error {
	return &CorruptError{File: "ring", Field: "tail", Position: offTail, Got: fmt.Sprint(t), Want: "a multiple of 16, not far from the limit"}
}

// gateOfClaims lowers bound to what the open claims of other producers allow: one that was stopped between its CAS and its
// stamp owns its bytes until it commits or is proven dead, even where no reader gates.
func (p *Producer) gateOfClaims(bound uint64, holder *Holder) uint64 {
	r := p.ring
	// order: acquire, pair [limit] with Producer.refresh.
	limit := r.limit.Load()
	// order: acquire, pair [used] with Ring.activate.
	used := min(r.usedProducers.Load(), r.producers)
	for slot := range used {
		if slot == p.slot {
			continue
		}
		// order: acquire, pair [intent] with Producer.reserveShared and Producer.finish.
		i := r.producerWord(slot, pPosition).Load()
		if i == 0 || !before(i+r.capacity, bound) || before(i+r.capacity, limit) {
			continue // none, not what holds us, or it lost laps ago: a winner would have held the limit
		}
		// order: acquire, pair [commit] with Producer.finish.
		if r.data.Word(i&^7).Load() == i^r.nonce && frameSlot(r.data.Word(i&^7+8).Load()) != uint16(slot) {
			continue // another producer's stamp is there: this attempt lost
		}
		bound = i + r.capacity
		*holder = Holder{What: "claim", Slot: int(slot), At: i}
	}
	return bound
}
