package shmring

import (
	"fmt"
	"time"
)

// What becomes of a reader that holds producers up:
//
//	gating ──(a producer: held for its patience)──> dropped ──> Evict: ErrEvicted
//	   ^                                               └─────> Drop: goes on as a lossy reader does
//	   └──(the reader: close behind again)── re-gate <──────────────┘
//
// Nobody but who is held up decides, so it works without a broker. The decision is one CAS on the slot's word in dropped: the
// generation of the reader that no longer gates. Each return to the gates takes the next generation, so a decision that comes
// late counts for nobody.

// patience is a producer's clock for the reader that holds it up. It runs from the first claim that failed because of that
// reader, and starts anew when the reader has consumed half its credit since, or something else bounds a refresh: a healthy
// reader at the edge of its credit is never dropped.
type patience struct {
	slot  int
	gen   uint32
	from  uint64 // its cursor when the clock began
	since time.Time
}

// bounded notes what bounded a refresh that succeeded.
func (c *patience) bounded(by Holder) {
	if by.What != "reader" || by.Slot != c.slot || by.Gen != c.gen {
		*c = patience{}
	}
}

// ungate drops the reader that bounded a claim, if its policy allows that and its patience is over. It reports whether a
// gate was taken away.
func (p *Producer) ungate(by Holder) bool {
	p.patience.bounded(by)
	if by.What != "reader" {
		return false
	}
	r, c, slot := p.ring, &p.patience, uint64(by.Slot)
	begin := func(cursor uint64) { *c = patience{by.Slot, by.Gen, cursor, now()} }
	if c.since.IsZero() {
		begin(by.At)
		return false
	}
	dropped := r.droppedWord(slot)
	// order: acquire, pair [dropped] with the CAS below: loaded before the state word, or a late decision would count for the
	// slot's next tenant.
	was := dropped.Load()
	// order: acquire, pair [state] with Ring.activate and Reader.regate.
	s := state(r.consumerWord(slot, cState).Load())
	if s.kind() != slotReader || s.gen() != by.Gen || was == uint64(s.gen()) {
		return false // it went, or another producer decided: the next look will see it
	}
	// order: acquire (these three), pair [policy] with Ring.GrantConsumer: after the state word.
	policy := Slow(r.consumerEntry(slot, ePolicy).Load())
	allowed := time.Duration(r.consumerEntry(slot, ePatienceNs).Load())
	credit := r.creditOf(r.consumerEntry(slot, eCredit).Load())
	// order: acquire, pair [cursor] with Reader.publish: once more, before the decision.
	if cursor := r.consumerWord(slot, cCursor).Load(); cursor-c.from >= credit/2 {
		begin(cursor)
		return false
	}
	if policy != Drop && policy != Evict || now().Sub(c.since) < allowed {
		return false
	}
	// order: sequentially consistent, pair [dropped] with every scan and with Reader.checkGate.
	if !dropped.CompareAndSwap(was, uint64(s.gen())) {
		return false
	}
	*c = patience{}
	r.wakeAll()
	return true
}

// ungated is how a reader learns that producers do not wait for it any more.
func (r *Reader) ungated() {
	if r.policy == Evict {
		r.stop(fmt.Errorf("%w: it held producers up for longer than its patience", ErrEvicted))
		return
	}
	r.adrift = true
}

// regate makes a dropped reader gate again, by the joiner's procedure in a generation of its own (join.go): stand-in, state
// word, limit. What is not safe from the refreshes under way is skipped and told. It reports whether the reader stayed where it
// is.
func (r *Reader) regate() bool {
	ring := r.ring
	// order: release, pair [state]: before the state word that makes it count.
	r.cursor.StoreRelease(ring.limit.Load() - ring.capacity) // order: acquire, pair [limit] with Producer.refresh.
	next := makeState(nextGeneration(r.lease.state.gen()), slotReader, r.lease.state.flags()|flagCatchingUp, groupNobody)
	// order: sequentially consistent, pair [state] with every scan; it is the full fence before the look at the limit.
	if !r.lease.word.CompareAndSwap(uint64(r.lease.state), uint64(next)) {
		r.stop(&CorruptError{File: "cursors", Field: "state of " + r.ID(), Position: ring.offConsumers + consumerSlotSize*r.slot + cState,
			Got: "another one's", Want: "as this reader wrote it"})
		return true
	}
	r.lease.state = next
	r.adrift, r.catchingUp = false, true
	// order: acquire, pair [join] with Producer.refresh: after the full fence.
	safe := ring.safeFrom(ring.limit.Load())
	from := r.pos
	r.pos = later(r.pos, safe)
	// order: sequentially consistent, pair [cursor] with Producer.gateOfReaders.
	r.cursor.Store(r.pos)
	r.cursorAt = r.pos
	r.checkGate()
	if r.pos == from {
		return true
	}
	r.missed(from, r.pos)
	return false
}

// closeBehind reports whether a dropped reader has come near enough to gate again without being in the way at once.
func (r *Reader) closeBehind() bool {
	// order: acquire, pair [limit] with Producer.refresh; the tail is at most the limit.
	return int64(r.ring.limit.Load()-r.pos) <= int64(r.credit/2)
}

// tenantOf returns the generation that a consumer slot's tenant began with, where s is the slot's state word now: returns to the
// gates take generations of their own. It names the tenant, in listings and before a broker.
func (r *Ring) tenantOf(slot uint64, s state) uint32 {
	// order: acquire, pair [policy] with Ring.GrantConsumer: after the state word.
	if began := uint32(r.consumerEntry(slot, eGeneration).Load()); began != 0 {
		return began
	}
	return s.gen()
}

// nextGeneration follows gen; generations begin at 1, also after 4 billion tenants.
func nextGeneration(gen uint32) uint32 { return max(gen+1, 1) }
