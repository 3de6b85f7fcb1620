package shmring

import (
	"sync"
	"weak"

	"github.com/mycelium-bus/mycelium/shmring/internal/shm"
)

// Who waits for room in a ring while it works through that ring's messages may wait for itself:
//
//	goroutine: Begin ──> Next lends ──> Publish: no room, because of this reader ──> waits, and never comes to the next Next
//
// The slots tell which reader holds a producer up; this process's own handles tell which goroutine is at which of them.

// hand is by whom a reader or member is worked with.
type hand struct {
	by     shm.Word // the goroutine's number, or 0
	reader *Reader
	member *Member
}

type handKey struct{ nonce, slot uint64 }

// hands are this process's handles that may be in somebody's way. They do not keep a forgotten one from being collected.
var hands struct {
	mu sync.Mutex
	of map[handKey]weak.Pointer[hand]
}

func (r *Ring) own(slot uint64, h *hand) {
	hands.mu.Lock()
	defer hands.mu.Unlock()
	if hands.of == nil {
		hands.of = map[handKey]weak.Pointer[hand]{}
	}
	hands.of[handKey{r.nonce, slot}] = weak.Make(h)
}

// disown comes before the slot is freed, or it could be the next tenant's entry.
func (r *Ring) disown(slot uint64) {
	hands.mu.Lock()
	defer hands.mu.Unlock()
	delete(hands.of, handKey{r.nonce, slot})
}

// Begin notes that the calling goroutine works through the reader's messages until End, so that a producer that it waits with in
// between does not wait for the reader ([Producer.SelfBlocked]). It costs a nanosecond or two.
func (r *Reader) Begin() { r.hand.begin() }

// End ends what Begin began.
func (r *Reader) End() { r.hand.end() }

// Begin is [Reader.Begin].
func (m *Member) Begin() { m.hand.begin() }

// End ends what Begin began.
func (m *Member) End() { m.hand.end() }

func (h *hand) begin() {
	h.by.StoreRelaxed(shm.Goroutine()) // order: none, the goroutine that it is about reads its own store; to others it is another's.
}

func (h *hand) end() {
	h.by.StoreRelaxed(0) // order: none, see begin.
}

// SelfBlocked tells whether what bounded the last claim that failed is a reader, or a member's range, of this process that the calling
// goroutine works through just now, between Begin and End: then no waiting makes room but a Drop or Evict
// reader's patience. What it has worked through is
// given back first, so blocked is said only of the message at hand; where that gave something back it returns false, and the next claim
// tells.
//
// It does not see a goroutine whose messages another one pulls (iter.Pull), nor an open claim of the goroutine's own second producer, nor
// that an orphan of a group holds, which no other member is there to adopt than the goroutine's own. It takes some ten nanoseconds, and a
// lock of the process's.
func (p *Producer) SelfBlocked() (blocked bool) {
	me := shm.Goroutine()
	if me == 0 || p.done {
		return false
	}
	switch p.holder.What {
	case "reader":
		h := p.ring.handOf(uint64(p.holder.Slot), me)
		return h != nil && h.reader != nil && h.reader.stuck()
	case "group":
		var slot uint64
		ok := false
		if p.ring.Guard(func() { slot, ok = p.ring.memberAt(uint64(p.holder.Slot), p.holder.At) }) == nil && ok {
			h := p.ring.handOfHolder(slot, me)
			return h != nil && h.member.stuck()
		}
	}
	return false
}

// handOf returns the handle of a slot, if it is in the hand of goroutine me.
func (r *Ring) handOf(slot, me uint64) *hand {
	hands.mu.Lock()
	h := hands.of[handKey{r.nonce, slot}].Value()
	hands.mu.Unlock()
	// order: none, see begin.
	if h == nil || h.by.Load() != me {
		return nil
	}
	return h
}

// handOfHolder is handOf for a slot that may be one that a member adopted.
func (r *Ring) handOfHolder(slot, me uint64) *hand {
	hands.mu.Lock()
	defer hands.mu.Unlock()
	for key, weakly := range hands.of {
		// order: none, see begin.
		if h := weakly.Value(); key.nonce == r.nonce && h != nil && h.by.Load() == me && h.member != nil && h.member.held.slot == slot {
			return h
		}
	}
	return nil
}

// stuck gives back what was worked through, and tells whether there was nothing.
func (r *Reader) stuck() bool {
	if r.err != nil || r.adrift {
		return false
	}
	if r.pos == r.cursorAt {
		return true
	}
	_ = r.ring.Guard(r.publish) // a fault comes back at the reader's next step
	return false
}

// stuck gives back what was worked through, and tells whether there was nothing.
func (m *Member) stuck() bool {
	if m.err != nil || m.pos == m.held.until {
		return false
	}
	from := pack(m.pos, uint64(min(m.known, maxTag)))
	if m.held.fromAs == from {
		return true
	}
	_ = m.ring.Guard(func() { m.acknowledge(from) }) // a fault comes back at the member's next step
	return false
}
