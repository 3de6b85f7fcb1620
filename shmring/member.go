package shmring

import (
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/mycelium-bus/mycelium/shmring/internal/shm"
)

// Member is a group's worker: each message of the group goes to one of its members. It is for one goroutine.
//
//	Next ──> a frame, lent until the next call of Next, Release, Unread, Unseen or Close
//	  └────> nothing: none is there for this member now (Err is nil), or Err says why
//
// A member holds one range of the ring at a time: one that it took from the group's head, or one that a dead member, or one that gave
// it back, left behind. It acknowledges in the ring's order. A range that it does not come to the end of, because it is closed or dies,
// goes to another member: a message is processed once as long as members live and close at a message's end, at least once otherwise.
//
// A take, and what is told by its words when the member dies between any two stores (owns):
//
//	confirm the head's last taker             or its own take would leave no trace once the head is replaced
//	from = NONE, end, from                    the intent
//	CAS head (h, last taker) -> (end, self)   won
//	won = end
//	   ... from moves on, NONE at the end ... acknowledged
type Member struct {
	data   shm.Area
	nonce  uint64
	pos    uint64 // of the frame that is lent, else of the next one; held.end when there is none
	next   uint64 // pos, or the position after the frame that is lent
	word   uint64 // second header word of the frame that is lent
	known  int    // deliveries of the message at pos that the slot's words tell of
	held   holding
	number uint64 // of the group's start
	group  uint64

	batchMessages int
	batchBytes    uint64
	maxDeliver    int
	onPark        func(f Frame, deliveries int) error

	head, orphans   *shm.Word
	messages, bytes *shm.Word
	nMessages,
	nBytes uint64
	counted     uint64 // of nMessages, what the group's counter has
	orphansSeen uint64
	again       time.Time // zero, or when to look for orphans in any case
	err         error     // final
	once        error     // told once

	ring *Ring
	hand hand
	*lease
	cleanup runtime.Cleanup
}

// holding is a slot's range in a member's hands: its own slot's, or an orphan's that it adopted.
type holding struct {
	slot           uint64
	from, end, won *shm.Word
	fromAs         uint64 // as this member wrote it
	until          uint64 // where the range ends
	adopted        bool
	word           *shm.Word // an adopted slot's state
	state          state
}

// MemberOptions say how a member works. The zero value takes one message at a time.
type MemberOptions struct {
	Name string // for people who look at the topic; 32 bytes are kept
	From From   // where an ephemeral group begins, if it begins with this member
	// Retrier says that the member will not call Next: it is there for [Member.Retry], or while another one does that. Producers wait for
	// its group as for one with members; [ConsumerInfo] tells it from those that work.
	Retrier bool
	Batch   int // most messages of a take, up to 65,536; acknowledged together unless Release is called before; default 1
	// OnPark is called, in Next, with a message that was delivered max_deliver times, before it is recorded and passed over. The frame is
	// lent during the call. When it returns an error the message stays, Next returns no frame and Err that error, and the next call of
	// Next tries again. When the process dies in between, another member parks the message again.
	OnPark func(f Frame, deliveries int) error
}

const maxBatch = 1 << 16

// Member makes a handle of a slot that [Ring.GrantMember] granted. It takes the grant's lock over, also on error. It waits at most 100 ms
// for another one that joins the same group ([ErrInUse] names it). Otherwise as [Ring.Reader].
func (r *Ring) Member(g Grant, o MemberOptions) (*Member, error) {
	if err := r.holdForConsumer(&g, "taking from a group"); err != nil {
		return nil, err
	}
	var m *Member
	var err error
	if fault := r.Guard(func() { m, err = r.newMember(g, o) }); fault != nil {
		err = fault
	}
	if err != nil {
		if m != nil && m.lease != nil {
			m.lease.end()
		} else {
			g.Close()
			r.release()
		}
		return nil, err
	}
	r.populate(m.pos)
	m.cleanup = watchLeak(m, m.lease)
	m.hand.member = m
	r.own(m.slot, &m.hand)
	return m, nil
}

// newMember fills the slot's words and joins; with an error comes the member if it has a lease.
func (r *Ring) newMember(g Grant, o MemberOptions) (*Member, error) {
	slot := uint64(g.Slot)
	w := func(off uint64) *shm.Word { return r.consumerWord(slot, off) }
	if err := r.mustBeFree(g, w(cState)); err != nil {
		return nil, err
	}
	// order: acquire, pair [policy] with Ring.writeMemberEntry.
	group := r.consumerEntry(slot, eGroup).Load() - 1
	if group >= r.groups {
		return nil, fmt.Errorf("%w: consumer slot %d of topic %s was not granted to a member of a group", ErrPermission, slot, r.name)
	}
	p := r.groupPolicy(group)
	m := &Member{
		ring: r, data: r.data, nonce: r.nonce, group: group, maxDeliver: p.MaxDeliver, onPark: o.OnPark,
		batchMessages: min(max(o.Batch, 1), maxBatch), batchBytes: min(r.capacity/16, p.Credit/4),
		head: r.groupWord(group, gHead), orphans: r.groupWord(group, gOrphans), messages: w(cMessages), bytes: w(cBytes),
		orphansSeen: 1 << 63, // never seen: look at once
	}
	m.held = m.own(slot)
	for _, c := range []*shm.Word{m.messages, m.bytes, w(cMissedBytes), w(cLaps), w(cCursor)} {
		c.StoreRelaxed(0) // order: none, the state word releases it; only the tenant writes it.
	}
	w(cStartedNs).StoreRelaxed(uint64(now().UnixNano())) // order: none, see above
	w(cPid).StoreRelaxed(ownPid)                         // order: none, see above
	writeName(r.cursors.Bytes(r.offConsumers+consumerSlotSize*slot+cName, nameSize), o.Name)
	flags := uint8(0)
	if o.Retrier {
		flags = flagRetrier
	}
	err := r.underGroupLock(group, g, func() (err error) {
		m.lease, m.number, err = r.joinGroup(g, group, flags, o.From)
		return err
	})
	// order: acquire (these two), pairs [head] and [limit]: where the group is now.
	m.pos = unpack(m.head.Load(), alignDown(r.limit.Load(), frameAlign))
	m.next, m.held.until = m.pos, m.pos
	return m, err
}

// own is the empty range of the member's own slot.
func (m *Member) own(slot uint64) holding {
	w := func(off uint64) *shm.Word { return m.ring.consumerWord(slot, off) }
	return holding{slot: slot, from: w(cFrom), end: w(cEnd), won: w(cWon)}
}

// Next acknowledges the frame that it lent before, at the latest when its batch is at its end, and returns the next message for this
// member. It does not block, but for a system call or two when it adopts what another member left behind; it allocates only then. ok is
// false when there is none; [Member.Err] then says whether that is all. Payload lies in the ring, and is lent until the next call of
// a method that moves the member.
func (m *Member) Next() (f Frame, ok bool) {
	m.consume()
	for range maxRanges {
		if m.err != nil {
			return Frame{}, false
		}
		if m.pos == m.held.until {
			if !m.finish() || !m.adopt() && !m.take() {
				return Frame{}, false
			}
		}
		f, ok := m.lend()
		if ok || m.once != nil {
			return f, ok
		}
	}
	return Frame{}, false
}

// maxRanges bounds how many ranges without a message for the caller one call of Next passes.
const maxRanges = 64

// consume passes over the frame that is lent; in an adopted range each message is acknowledged by itself.
func (m *Member) consume() {
	m.once = nil
	if m.next == m.pos {
		return
	}
	m.pos, m.known = m.next, 0
	if m.held.adopted && m.pos != m.held.until {
		m.acknowledge(pack(m.pos, 0)) // not delivered yet
	}
}

// lend hands out the next message of the range; false when only PADs were left, or when it was parked.
func (m *Member) lend() (Frame, bool) {
	for m.pos != m.held.until {
		next, w, err := m.ring.frameAt(m.pos)
		if err == nil && (next == m.pos || before(m.held.until, next)) {
			err = corruptFrame(m.pos, "stamp", "not there", fmt.Sprintf("frames up to %d, where the range of c%d ends", m.held.until, m.held.slot))
		}
		if err != nil {
			m.stop(err)
			return Frame{}, false
		}
		if frameKind(w) == kindPad {
			// In an adopted range the word moves along, so that it tells how often the message behind was delivered.
			if m.held.adopted && next != m.held.until && !m.acknowledge(pack(next, uint64(min(m.known, maxTag)))) {
				return Frame{}, false
			}
			m.pos, m.next = next, next
			continue
		}
		f := Frame{m.data.Bytes(m.pos+frameHeaderSize, frameLength(w)), m.pos}
		m.word = w
		if m.maxDeliver > 0 && m.known >= m.maxDeliver {
			if err := m.park(f); err != nil {
				m.once = err
				return Frame{}, false
			}
			m.pos, m.next, m.known = next, next, 0
			if next != m.held.until && !m.acknowledge(pack(next, 0)) {
				return Frame{}, false
			}
			continue
		}
		if again := uint64(min(m.known+1, maxTag)); m.known > 0 || m.position(m.held.fromAs) == m.pos && packedTag(m.held.fromAs) != again {
			m.acknowledge(pack(m.pos, again)) // the slot's words tell the next one how often
		}
		m.known++
		m.next = next
		m.nMessages++
		m.nBytes += frameLength(w)
		return f, true
	}
	return Frame{}, false
}

// acknowledge moves the held range's begin.
func (m *Member) acknowledge(from uint64) bool {
	h := &m.held
	if h.fromAs == from {
		return true
	}
	// order: none, only who holds the range writes the word; any other value means that somebody else did.
	if got := h.from.Load(); got != h.fromAs {
		m.stop(&CorruptError{File: "cursors", Field: fmt.Sprintf("from of c%d", h.slot),
			Position: m.ring.offConsumers + consumerSlotSize*h.slot + cFrom, Got: fmt.Sprint(got), Want: fmt.Sprintf("%d, as %s wrote it", h.fromAs, m.ID())})
		return false
	}
	// From here the bytes before it belong to the producers.
	// order: sequentially consistent, pair [from] with Ring.rangeOf: this member's loads of the bytes come before.
	h.from.Store(from)
	h.fromAs = from
	m.ring.freed()
	return true
}

// finish acknowledges a range that was worked through; an adopted slot becomes free.
func (m *Member) finish() bool {
	if !m.acknowledge(0) {
		return false
	}
	if m.held.adopted {
		m.putDown(slotFree)
	}
	if m.nMessages-m.counted >= countEvery {
		m.count()
	}
	return true
}

// countEvery is after how many messages the counters are published; a look that finds nothing publishes them, too.
const countEvery = 64

// clearFrom takes the intent of an attempt back.
func (m *Member) clearFrom() {
	// order: release, pair [from] with Ring.rangeOf.
	m.held.from.StoreRelease(0)
	m.held.fromAs = 0
}

// stop makes err final: from here on Next returns nothing.
func (m *Member) stop(err error) {
	if m.err == nil {
		m.err = err
	}
}

// count publishes the counters.
func (m *Member) count() {
	// order: none (these two), only this handle writes the counters.
	m.messages.StoreRelaxed(m.nMessages)
	m.bytes.StoreRelaxed(m.nBytes)
	if n := m.nMessages - m.counted; n != 0 {
		m.ring.groupWord(m.group, gMessages).Add(n) // order: none, a counter of all members.
		m.counted = m.nMessages
	}
}

// Err returns why the last Next returned no frame: nil (there is none yet), what OnPark returned, once, or what is final: [ErrClosed]
// or [ErrCorrupt].
func (m *Member) Err() error {
	if m.once != nil {
		return m.once
	}
	return m.err
}

// Release acknowledges the frame that is lent, if any, and everything before it, and publishes the counters.
func (m *Member) Release() {
	if m.done { // by its owner's callback: the slot may be another's
		return
	}
	m.consume()
	m.count()
	if m.err != nil {
		return
	}
	if m.pos == m.held.until {
		m.finish()
	} else {
		m.acknowledge(pack(m.pos, uint64(min(m.known, maxTag))))
	}
}

// Unread keeps the frame that is lent: the next call of Next delivers it again, or parks it. To give it to another member, close.
func (m *Member) Unread() {
	if m.next != m.pos {
		m.next = m.pos
		m.nMessages--
		m.nBytes -= frameLength(m.word)
	}
}

// Unseen is Unread for a frame that nobody has worked on: it does not count as delivered.
func (m *Member) Unseen() {
	if m.next != m.pos {
		m.Unread()
		m.known--
	}
}

// Delivery returns how often the message that is lent was delivered, this time included, as far as is known: of a batch that a dead
// member left behind only the first message's deliveries are.
func (m *Member) Delivery() int { return m.known }

// Redelivered reports whether the message that is lent may have been delivered before.
func (m *Member) Redelivered() bool { return m.held.adopted || m.known > 1 }

// Ready reports whether a Next would find something: a message at the group's head, a range to go on with, or one that was left behind.
// To sleep, look at it after the last look at Next.
func (m *Member) Ready() bool {
	if m.pos != m.held.until || m.err != nil {
		return true
	}
	// order: acquire, pair [orphans] with Ring.leftOrphan.
	if seen := m.orphans.Load(); m.mayAdopt(seen) {
		if len(m.ring.orphansOf(m.group, m.held.until)) > 0 {
			return true
		}
		m.looked(seen, false)
	}
	// order: acquire (these two), pairs [head] and [commit].
	h := m.position(m.head.Load())
	return m.data.Word(h).Peek() == h^m.nonce
}

// Position returns where the member stands: of the frame that is lent, else of what it holds, else the group's head, or, where the file
// was cut short, what the member had last.
func (m *Member) Position() uint64 {
	if m.pos != m.held.until || m.err != nil {
		return m.pos
	}
	head := uint64(0)
	// order: acquire, pair [head] with Member.take.
	if m.ring.Guard(func() { head = m.head.Load() }) != nil {
		return m.pos
	}
	return m.position(head)
}

// Producer returns the slot of the producer that wrote the frame that is lent.
func (m *Member) Producer() int { return int(frameSlot(m.word)) }

// ID names the handle in listings: c, slot, generation.
func (m *Member) ID() string { return fmt.Sprintf("c%d.%d", m.slot, m.lease.state.gen()) }

// Ring returns the ring that the handle belongs to.
func (m *Member) Ring() *Ring { return m.ring }

// Tenancy returns what names the member's slot. The member's goroutine calls it; the result stays true until Close.
func (m *Member) Tenancy() Tenancy { return Tenancy{int(m.slot), m.lease.state.gen(), m.grant.Lock} }

// Close gives back what the member has not worked through, the frame that is lent included, for another member to adopt. It frees the slot
// and gives the handle's hold on the mapping up. It may be called more than once; frames that were lent must not be touched
// afterwards.
func (m *Member) Close() error {
	if m.done {
		return nil
	}
	m.cleanup.Stop()
	m.ring.disown(m.slot)
	fault := m.ring.Guard(func() {
		m.count()
		m.giveBack()
	})
	m.next = m.pos
	m.held.until, m.err, m.once = m.pos, ErrClosed, nil
	return errors.Join(fault, m.lease.end())
}

// giveBack leaves the range that is held as an orphan, if there is anything in it.
func (m *Member) giveBack() {
	switch {
	case m.err != nil: // somebody scribbled, or the topic is closed: what is held stays as it is
	case m.pos == m.held.until:
		m.finish()
	default:
		m.acknowledge(pack(m.pos, uint64(min(m.known, maxTag))))
	}
	if m.held.fromAs == 0 {
		return
	}
	if m.held.adopted {
		m.putDown(slotOrphan)
		return
	}
	// order: sequentially consistent, pair [state] with every scan and Member.adoptSlot.
	if m.lease.word.CompareAndSwap(uint64(m.lease.state), uint64(makeState(m.lease.state.gen(), slotOrphan, 0, uint16(m.group)))) {
		m.ring.locks.unlock(consumerLocks, m.grant.Lock, int64(m.slot)) // if it fails, closing the description does it
		m.ring.leftOrphan(m.group)
	}
}
