package shmring

import (
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/mycelium-bus/mycelium/shmring/internal/shm"
)

// Producer writes messages into a ring. It is for one goroutine. A claim that was neither committed nor aborted is aborted
// by the next call or by Close.
//
// A single producer (spsc, spmc) owns the tail: its position is in this struct, and it executes no atomic
// read-modify-write. Many producers (mpsc, mpmc) take their claims from the shared tail by compare-and-swap.
type Producer struct {
	// What a publish needs, together.
	data     shm.Area
	pos      uint64 // single: where the next frame goes
	bound    uint64 // single: no frame that begins at pos may end beyond: the smaller of limit and the end of pos's segment
	nonce    uint64
	tag      uint64 // the second header word of this slot's frames, without length
	maxFrame uint64
	nMessages,
	nBytes uint64
	messages, bytes *shm.Word
	asleep, wake    *shm.Word32
	shield          *shm.Shield // the ring's
	fences          bool        // each commit executes a fence: the sleepers' barrier does not do it

	limit   uint64 // as last seen; the shared word may be further
	claim   reservation
	serial  uint64 // of the claim; a Claim with another one is finished
	segment uint64
	single  bool
	open    bool
	final   error // nothing more is published: the topic was deleted, or a file was cut short

	slotPosition, slotSize, slotWon, aborted, backPressured *shm.Word
	blockedSince, heldSince, holdSince                      time.Time // no room; the same holder in the same place; the same holder
	holder                                                  Holder
	clocks                                                  []patience  // of the readers, by slot
	running                                                 bool        // one of the clocks does
	groups                                                  []groupView // as the last refresh saw them

	ring *Ring
	*lease
	cleanup runtime.Cleanup
}

// reservation is what a claim took of the ring: a PAD [start, frame) if the rest of a segment was too short, then the frames.
type reservation struct{ start, frame, end uint64 }

// Holder says what bounded the last claim that failed.
type Holder struct {
	What string // "reader", "group", "claim", or "" when nothing did
	Slot int    // or the group's number
	Gen  uint32 // of a reader or group
	At   uint64 // its cursor, the group's oldest unacknowledged position, or the claim's position
}

// Producer makes a handle of a granted slot. It takes the grant's lock over, also on error. Name is for people who look
// at the topic; 32 bytes of it are kept.
func (r *Ring) Producer(g Grant, name string) (*Producer, error) {
	if r.access < Produce {
		g.Close()
		return nil, fmt.Errorf("%w: producing needs access produce, this mapping has %s", ErrPermission, r.access)
	}
	if g.Slot < 0 || uint64(g.Slot) >= r.producers || r.kind.singleProducer() && g.Slot != 0 {
		g.Close()
		return nil, fmt.Errorf("%w: producer slot %d of %d", ErrLimit, g.Slot, r.producers)
	}
	if err := r.hold(); err != nil {
		g.Close()
		return nil, err
	}
	var p *Producer
	err := r.guarded(func() (err error) {
		p, err = r.newProducer(g, name)
		return err
	})
	if err != nil {
		if p != nil {
			p.lease.end()
		} else {
			g.Close()
			r.release()
		}
		return nil, err
	}
	p.cleanup = watchLeak(p, p.lease)
	return p, nil
}

// newProducer fills the slot's words and makes it active.
func (r *Ring) newProducer(g Grant, name string) (*Producer, error) {
	slot := uint64(g.Slot)
	if err := r.mustBeFree(g, r.producerWord(slot, pState)); err != nil {
		return nil, err
	}
	w := func(off uint64) *shm.Word { return r.producerWord(slot, off) }
	p := &Producer{
		ring: r, data: r.data, shield: r.shield, nonce: r.nonce, maxFrame: r.maxFrame, segment: r.segment, single: r.kind.singleProducer(),
		tag:          frameWord(0, slot, kindData),
		slotPosition: w(pPosition), slotSize: w(pSize), slotWon: w(pWon),
		groups: make([]groupView, 0, r.groups), clocks: make([]patience, r.consumers),
		asleep: r.cursors.Word32(offAsleep), wake: r.ring.Word32(offWake),
		messages: w(pMessages), bytes: w(pBytes), aborted: w(pAborted), backPressured: w(pBackPressuredNs),
	}
	// order: none (these), only this slot's tenant writes them, and readers of counters want no more than a recent value.
	p.slotPosition.StoreRelaxed(0)
	p.nMessages, p.nBytes = p.messages.Load(), p.bytes.Load()  // order: none, see above
	w(pStartMessages).StoreRelaxed(p.nMessages)                // order: none, see above
	w(pStartBytes).StoreRelaxed(p.nBytes)                      // order: none, see above
	w(pStartBackPressure).StoreRelaxed(p.backPressured.Load()) // order: none, see above
	w(pStartedNs).StoreRelaxed(uint64(now().UnixNano()))       // order: none, see above
	w(pPid).StoreRelaxed(ownPid)                               // order: none, see above
	writeName(r.ring.Bytes(r.offProducers+producerSlotSize*slot+pName, nameSize), name)
	if r.sleep == SleepAuto {
		shm.RegisterBarrier()
	}
	p.fences = r.sleep == SleepFence || !shm.BarrierReady()
	if p.single {
		pos, err := r.takeOver()
		if err != nil {
			return nil, err
		}
		p.pos = pos
	}
	// order: acquire, pair [limit] with Producer.refresh.
	p.limit = r.limit.Load()
	p.setBound()
	r.populate(r.tail.Load()) // order: none, a hint
	l, err := r.activate(g, w(pState), r.usedProducers, slotProducer, 0, groupNobody)
	if err != nil {
		return nil, err
	}
	p.lease = l
	return p, nil
}

// takeOver finds where a single producer's predecessor ended: at its last stamp.
func (r *Ring) takeOver() (uint64, error) {
	pos, _, err := r.walkTail()
	// order: acquire, pair [limit] with Producer.refresh.
	if limit := r.limit.Load(); err == nil && (before(limit, pos) || before(pos+2*r.segment, limit)) {
		err = r.corruptTail(pos)
	}
	return pos, err
}

// ID names the handle in listings: p, slot, generation.
func (p *Producer) ID() string { return fmt.Sprintf("p%d.%d", p.slot, p.lease.state.gen()) }

// Close aborts a forgotten claim, frees the slot and gives the handle's hold on the mapping up. It may be called more than
// once.
func (p *Producer) Close() error {
	if p.done {
		return nil
	}
	fault := p.ring.Guard(func() {
		p.abandonClaim()
		if p.single {
			// order: release, pair [tail] with Ring.walkTail: a hint for where to begin the walk.
			p.ring.tail.StoreRelease(p.pos)
		}
	})
	p.open = false
	p.bound = p.pos // every later publish goes the slow way and finds the handle closed
	p.cleanup.Stop()
	return errors.Join(fault, p.lease.end())
}

// Holder tells what bounded the last claim that failed with [ErrBackPressure].
func (p *Producer) Holder() Holder { return p.holder }

// Ring returns the ring that the handle belongs to.
func (p *Producer) Ring() *Ring { return p.ring }

// setBound follows a move of pos or limit.
func (p *Producer) setBound() {
	if !p.single {
		return // pos and bound stay 0: every claim goes by way of the shared tail
	}
	p.bound = earlier(p.limit, alignDown(p.pos, p.segment)+p.segment)
}
