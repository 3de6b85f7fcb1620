package shmring

import (
	"fmt"
	"time"

	"github.com/mycelium-bus/mycelium/shmring/internal/shm"
)

// Info is what a look at a ring shows. Positions and counters are as of one moment each, not all of the same.
type Info struct {
	Name       string
	Kind       Kind
	Routing    uint8
	Sleep      uint8
	Capacity   uint64 // bytes
	MaxFrame   uint64 // payload bytes
	MaxClaim   uint64 // bytes with headers
	CreatedNs  uint64 // wall clock
	Nonce      uint64
	Closing    bool
	Tail       uint64 // position of the next claim
	TailWalked bool   // found by walking stamps, as with a single producer
	Limit      uint64
	Messages   uint64 // committed since creation, by all producers ever
	Bytes      uint64 // payload bytes of them
	Producers  []ProducerInfo
	Consumers  []ConsumerInfo
}

// ProducerInfo is one producer slot in use.
type ProducerInfo struct {
	ID              string // p, slot, generation
	Slot            int
	Name            string
	PID             int // information only: it means nothing in another pid namespace
	StartedNs       uint64
	Messages, Bytes uint64 // by this tenant
	BackPressuredNs uint64
	Aborted         uint64 // claims given up, by all tenants ever
	OpenClaim       uint64 // position of the claim it holds, 0 for none
	Alive           bool   // its lock is held
}

// ConsumerInfo is one consumer slot in use.
type ConsumerInfo struct {
	ID              string // c, slot, generation that its tenant began with
	Slot            int
	Name            string
	PID             int    // information only: it means nothing in another pid namespace
	StartedNs       uint64 // wall clock
	Mode            string // block, drop, evict, lossy, member, orphan
	Position        uint64 // of the next message that it has not given back
	LagBytes        uint64 // of the ring, from there to the tail
	Group           string // of a member or orphan; "" for readers
	Unacknowledged  uint64 // bytes of the range that a member or orphan holds
	Credit          uint64 // bytes
	CatchingUp      bool   // it gates with the capacity until it has come within its credit
	Dropped         bool   // it no longer gates
	Messages, Bytes uint64 // read by this tenant, as it published them last
	MissedBytes     uint64 // of the ring
	Laps            uint64 // how often it missed some
	Alive           bool   // its lock is held
	Retrier         bool   // a member that takes nothing: it is there to retry what the group has parked
}

// Gates reports whether producers wait for this consumer.
func (c ConsumerInfo) Gates() bool {
	return c.Mode == "orphan" || c.Mode != "lossy" && !c.Dropped && c.Alive
}

// Inspect looks at the ring. It takes no lock and writes nothing; it returns [ErrCorrupt] where a file shows what the
// protocol never writes.
func (r *Ring) Inspect() (info Info, err error) {
	if err := r.hold(); err != nil {
		return Info{}, err
	}
	defer r.release()
	if fault := r.Guard(func() { info, err = r.inspect() }); fault != nil {
		err = fault
	}
	return info, err
}

func (r *Ring) inspect() (Info, error) {
	info := Info{Name: r.name, Kind: r.kind, Routing: r.routing, Sleep: r.sleep, Capacity: r.capacity, MaxFrame: r.maxFrame,
		MaxClaim: r.maxClaim, CreatedNs: r.createdNs, Nonce: r.nonce, Closing: r.closing()}
	// Consumers before the tail, so that no cursor seems to be beyond it.
	if r.cursors.Len() != 0 {
		r.inspectConsumers(&info)
	}
	tail, err := r.Tail()
	if err != nil {
		return info, err
	}
	info.Tail, info.TailWalked = tail, r.kind.singleProducer()
	// order: acquire, pair [limit] with Producer.refresh.
	info.Limit = r.limit.Load()
	for i := range info.Consumers {
		c := &info.Consumers[i]
		if before(c.Position, tail) {
			c.LagBytes = tail - c.Position
		}
	}
	r.inspectProducers(&info)
	return info, nil
}

// Tail returns the position where the next claim begins.
func (r *Ring) Tail() (pos uint64, err error) {
	err = r.look(func() error {
		pos, err = r.findTail()
		return err
	})
	return pos, err
}

func (r *Ring) findTail() (uint64, error) {
	if r.kind.singleProducer() {
		pos, _, err := r.walkTail()
		return pos, err
	}
	// order: acquire, pair [tail] with Producer.reserveShared.
	t := r.tail.Load()
	if t%frameAlign != 0 {
		return 0, r.corruptTail(t)
	}
	return t, nil
}

func (r *Ring) inspectConsumers(info *Info) {
	// order: acquire, pair [used] with Ring.activate.
	for slot := range min(r.usedConsumers.Load(), r.consumers) {
		w := func(off uint64) uint64 {
			// order: acquire, pair [cursor], and counters that want no more than a recent value.
			return r.consumerWord(slot, off).Load()
		}
		// order: acquire, pair [dropped] with who drops: before the state word.
		dropped := r.droppedWord(slot).Load()
		// order: acquire, pair [state] with Ring.activate.
		s := state(r.consumerWord(slot, cState).Load())
		if s.kind() == slotFree {
			continue
		}
		c := ConsumerInfo{ID: fmt.Sprintf("c%d.%d", slot, r.tenantOf(slot, s)), Slot: int(slot), Mode: s.kind().String(),
			Name: readName(r.cursors.Bytes(r.offConsumers+consumerSlotSize*slot+cName, nameSize)),
			PID:  int(w(cPid)), StartedNs: w(cStartedNs), Position: w(cCursor), CatchingUp: s.flags()&flagCatchingUp != 0,
			Messages: w(cMessages), Bytes: w(cBytes), MissedBytes: w(cMissedBytes), Laps: w(cLaps),
			Dropped: dropped == uint64(s.gen()), Alive: r.alive(consumerLocks, slot),
			Retrier: s.kind() == slotMember && s.flags()&flagRetrier != 0,
			// order: acquire, pair [policy] with Ring.GrantConsumer.
			Credit: r.consumerEntry(slot, eCredit).Load()}
		if s.kind() == slotReader {
			// order: acquire, pair [policy] with Ring.GrantConsumer.
			c.Mode = Slow(r.consumerEntry(slot, ePolicy).Load()).String()
		}
		r.inspectMember(&c, s)
		info.Consumers = append(info.Consumers, c)
	}
}

func (r *Ring) inspectProducers(info *Info) {
	// order: acquire, pair [used] with Ring.activate.
	for slot := range min(r.usedProducers.Load(), r.producers) {
		w := func(off uint64) uint64 {
			// order: acquire, pair [intent] for the position, and counters that want no more than a recent value.
			return r.producerWord(slot, off).Load()
		}
		info.Messages += w(pMessages)
		info.Bytes += w(pBytes)
		// order: acquire, pair [state] with Ring.activate.
		s := state(r.producerWord(slot, pState).Load())
		if s.kind() == slotFree {
			continue
		}
		info.Producers = append(info.Producers, ProducerInfo{ID: fmt.Sprintf("p%d.%d", slot, s.gen()), Slot: int(slot),
			Name: readName(r.ring.Bytes(r.offProducers+producerSlotSize*slot+pName, nameSize)),
			PID:  int(w(pPid)), StartedNs: w(pStartedNs), Messages: w(pMessages) - w(pStartMessages), Bytes: w(pBytes) - w(pStartBytes),
			BackPressuredNs: w(pBackPressuredNs) - w(pStartBackPressure), Aborted: w(pAborted), OpenClaim: w(pPosition),
			Alive: r.alive(producerLocks, slot)})
	}
}

// alive probes a slot's lock; where it cannot be told, nobody is declared dead.
func (r *Ring) alive(f lockFile, slot uint64) bool {
	held, known := r.locks.held(f, int64(slot))
	return held || !known
}

// Observer is a reader without a slot, for tools: it gates nobody, writes nothing, and nobody sees it. Otherwise it is a
// lossy [Reader]; close it.
func (r *Ring) Observer(from From) (*Reader, error) {
	if err := r.hold(); err != nil {
		return nil, err
	}
	private := new([8]shm.Word)
	rd := &Reader{
		ring: r, data: r.data, nonce: r.nonce, maxFrame: r.maxFrame, segment: r.segment, policy: Lossy, copies: true,
		buf: make([]byte, r.maxFrame), step: r.capacity, credit: r.capacity,
		cursor: &private[0], messages: &private[1], bytes: &private[2], missedBytes: &private[3], laps: &private[4], dropped: &private[5],
		lease: &lease{ring: r, grant: Grant{Lock: -1}, word: &private[6]},
	}
	var err error
	fault := r.Guard(func() {
		// order: acquire, pair [limit] with Producer.refresh.
		oldest := later(alignUp(r.limit.Load()-r.capacity, r.segment), r.capacity)
		rd.pos, err = r.start(from, oldest, func(uint64) {})
	})
	if fault != nil {
		err = fault
	}
	if err != nil {
		r.release()
		return nil, err
	}
	rd.next, rd.cursorAt = rd.pos, rd.pos
	rd.cursor.StoreRelaxed(rd.pos) // order: none, the word is private.
	rd.cleanup = watchLeak(rd, rd.lease)
	return rd, nil
}

// copiedOver reports whether pos, though producers came to it, cannot be found any more in a copy of the ring.
func (r *Ring) copiedOver(pos uint64) bool {
	// order: acquire, pair [tail] with Producer.reserveShared and Producer.refresh.
	return before(pos, r.tail.Load()) && r.inMotion()
}

// Age is how long ago a wall-clock time of a slot was; never negative.
func Age(ns uint64) time.Duration { return max(0, time.Since(time.Unix(0, int64(ns)))) }
