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

// patience is a producer's clock for one reader that holds it up. It runs from the first claim that failed because of that reader,
// among others perhaps, and starts anew when the reader has consumed half its credit since, and stops when it lags less than that: a
// healthy reader at the edge of its credit is never dropped, and one that consumes a little now and then is.
type patience struct {
	gen   uint32
	from  uint64    // its cursor when the clock began
	since time.Time // zero: the clock stands
	seen  uint64    // its cursor when it last held a claim up, and when that was
	last  time.Time
}

// ungate lets the clocks of the readers run that hold up a claim which ends at end, if held is set, and stops those of readers that have
// come near. It drops readers whose policy allows that and whose patience is over, and reports whether it did.
func (p *Producer) ungate(end uint64, held bool) (dropped bool) {
	r := p.ring
	if !held && !p.running {
		return false
	}
	running := false
	// order: acquire, pair [used] with Ring.activate.
	for slot := range min(r.usedConsumers.Load(), r.consumers) {
		c := &p.clocks[slot]
		if !held && c.since.IsZero() {
			continue
		}
		// order: acquire, pair [dropped] with the CAS in Producer.drop: loaded before the state word, or a late decision would count
		// for the slot's next tenant.
		was := r.droppedWord(slot).Load()
		// order: acquire, pair [state] with Ring.activate and Reader.regate.
		s := state(r.consumerWord(slot, cState).Load())
		if s.kind() != slotReader || was == uint64(s.gen()) {
			*c = patience{}
			continue
		}
		// order: acquire, pair [policy] with Ring.GrantConsumer: after the state word.
		credit := r.creditOf(r.consumerEntry(slot, eCredit).Load())
		reach := credit
		if s.flags()&flagCatchingUp != 0 {
			reach = r.capacity
		}
		// order: acquire, pair [cursor] with Reader.publish.
		cursor := r.consumerWord(slot, cCursor).Load()
		switch {
		case int64(end-cursor) <= int64(reach/2):
			*c = patience{}
			continue
		case held && before(cursor+reach, end):
			dropped = p.drop(c, slot, was, s, credit) || dropped
		}
		running = running || !c.since.IsZero()
	}
	p.running = running
	if dropped {
		r.wakeAll()
	}
	return dropped
}

// drop looks at one reader that holds the producer up, whose words were loaded in the order dropped, state. It reports whether it has
// taken the gate away.
func (p *Producer) drop(c *patience, slot, was uint64, s state, credit uint64) bool {
	r := p.ring
	// order: acquire (these two), pair [policy] with Ring.GrantConsumer: after the state word.
	policy := Slow(r.consumerEntry(slot, ePolicy).Load())
	allowed := time.Duration(r.consumerEntry(slot, ePatienceNs).Load())
	if policy != Drop && policy != Evict {
		*c = patience{}
		return false
	}
	t := now()
	// order: acquire, pair [cursor] with Reader.publish: once more, before the decision.
	cursor := r.consumerWord(slot, cCursor).Load()
	// order: acquire, pair [commit] with Producer.finish: where no frame is, an open claim may hold the reader up as well. If none does,
	// it is the stand-in of a reader that stopped on its way to the gates, or scribbled.
	waits := !p.single && r.data.Word(cursor&^7).Peek() != cursor^r.nonce && r.openClaimAt(cursor)
	idle := before(c.seen, cursor) && t.Sub(c.last) > allowed // this producer wanted nothing in between, and it moved
	if c.since.IsZero() || c.gen != s.gen() || int64(cursor-c.from) >= int64(credit/2) || waits || idle {
		*c = patience{gen: s.gen(), from: cursor, since: t, seen: cursor, last: t}
		return false
	}
	c.seen, c.last = cursor, t
	if t.Sub(c.since) < allowed {
		return false
	}
	*c = patience{}
	// order: acquire, pair [cursor] with Reader.publish: while this producer looked for claims it may have gone on.
	if r.consumerWord(slot, cCursor).Load() != cursor || p.shield.Cut() {
		return false
	}
	// order: sequentially consistent, pair [dropped] with every scan and with Reader.checkGate.
	return r.droppedWord(slot).CompareAndSwap(was, uint64(s.gen()))
}

// ungated is how a reader learns that producers do not wait for it any more.
func (r *Reader) ungated() {
	if r.policy == Evict {
		// order: none (these two), only this handle writes the counters: it will not publish its cursor any more.
		r.messages.StoreRelaxed(r.nMessages)
		r.bytes.StoreRelaxed(r.nBytes)
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
	ring.freed() // the gate moved up from the stand-in
	if r.pos == from {
		return true
	}
	r.missed(from, r.pos)
	return false
}

// isDropped reports whether producers have stopped waiting for a reader that does not know it yet.
func (r *Reader) isDropped() bool {
	// order: acquire, pair [dropped] with Producer.ungate. A block reader is never dropped.
	return r.gates && r.copies && !r.adrift && r.dropped.Load() == uint64(r.lease.state.gen())
}

// mayRegate reports whether a dropped reader that finds nothing may gate again without skipping what it could still read.
func (r *Reader) mayRegate() bool {
	// order: acquire, pair [limit] with Producer.refresh.
	return r.adrift && !before(r.pos, r.ring.safeFrom(r.ring.limit.Load()))
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
