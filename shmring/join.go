package shmring

import (
	"errors"
	"fmt"

	"github.com/mycelium-bus/mycelium/shmring/internal/shm"
)

// From says where in the ring a reader starts.
type From struct {
	kind  fromKind
	pos   uint64
	head  int
	match func(head []byte) bool
}

type fromKind uint8

const (
	fromNewest fromKind = iota
	fromOldest
	fromPosition
	fromFirst
)

// Newest starts with the next message to be claimed. It is the zero From.
func Newest() From { return From{} }

// Oldest starts with the oldest message that is safe from being overwritten while the reader joins.
func Oldest() From { return From{kind: fromOldest} }

// At starts with the frame at a position, as [Frame] told it.
func At(pos uint64) From { return From{kind: fromPosition, pos: pos} }

// First starts with the oldest message whose first bytes match accepts; where it accepts none, with the next message. It is shown up to n
// bytes of each message from Oldest on, in the ring's order, and must not keep them. Producers may go on while a gating reader scans, at
// its pace where they come round to it. The scan ends at the first claim that is still open: of what lies behind it, messages of other
// producers that match would not accept may follow.
func First(n int, match func(head []byte) bool) From {
	return From{kind: fromFirst, head: n, match: match}
}

// ReaderOptions say how a reader joins. The zero value joins at the newest message.
type ReaderOptions struct {
	Name string // for people who look at the topic; 32 bytes are kept
	From From
	// InPlace lends a reader that may be overtaken (drop, evict, lossy) the ring's own bytes instead of copies; Stayed and Intact tell
	// whether they were whole as long as they were looked at. To block readers it changes nothing.
	InPlace bool
}

// Reader makes a handle of a granted consumer slot; the slot's policy was fixed by the granter. It takes the grant's lock over,
// also on error. It returns [ErrPosition] if there is no frame at the position asked for; the error names the neighbours.
//
// Joining waits for nobody. A gating reader stores a stand-in cursor, becomes active (a full fence), and only then loads the
// limit l. A refresh that did not see it raises the limit to at most align_up(l, S) + S: its tail was at most l, a claim is at
// most S long, and a claim that ends at a boundary ends in the segment before it. So every position from
// align_up(l, S) + S - C on is safe from the refreshes under way, and later ones see the cursor. There the cursor moves at once, and on with
// the search for where the reader begins, as if it read what it passes: the stand-in lets producers have no room at all.
func (r *Ring) Reader(g Grant, o ReaderOptions) (*Reader, error) {
	if err := r.holdForConsumer(&g, "reading with a cursor"); err != nil {
		return nil, err
	}
	var rd *Reader
	err := r.guarded(func() error {
		if err := r.mustBeFree(g, r.consumerWord(uint64(g.Slot), cState)); err != nil {
			return err
		}
		rd = r.newReader(uint64(g.Slot), o.Name)
		rd.inPlace = o.InPlace && rd.copies
		return rd.join(g, o.From)
	})
	if err != nil {
		if rd != nil && rd.lease != nil {
			rd.lease.end()
		} else {
			g.Close()
			r.release()
		}
		return nil, err
	}
	r.populate(rd.pos)
	rd.cleanup = watchLeak(rd, rd.lease)
	if rd.inPlace {
		rd.lends()
	}
	rd.hand.reader = rd
	r.own(rd.slot, &rd.hand)
	return rd, nil
}

// holdForConsumer holds the mapping for who is to have the granted consumer slot; on error the grant is closed.
func (r *Ring) holdForConsumer(g *Grant, what string) (err error) {
	switch {
	case r.access < Consume || r.access == Produce: // behind a shield bytes that are gone are zeros, and would be lent
		err = fmt.Errorf("%w: %s needs access consume, this mapping has %s", ErrPermission, what, r.access)
	case g.Slot < 0 || uint64(g.Slot) >= r.consumers:
		err = fmt.Errorf("%w: consumer slot %d of %d", ErrLimit, g.Slot, r.consumers)
	default:
		err = r.hold()
	}
	if err != nil {
		g.Close()
	}
	return err
}

// newReader fills the slot's words that the state word will release.
func (r *Ring) newReader(slot uint64, name string) *Reader {
	w := func(off uint64) *shm.Word { return r.consumerWord(slot, off) }
	rd := &Reader{
		ring: r, data: r.data, nonce: r.nonce, maxFrame: r.maxFrame, segment: r.segment,
		cursor: w(cCursor), messages: w(cMessages), bytes: w(cBytes), missedBytes: w(cMissedBytes), laps: w(cLaps),
		dropped: r.droppedWord(slot),
		// order: acquire (these two), pair [policy] with Ring.GrantConsumer, who wrote them before it handed the slot out.
		policy: Slow(r.consumerEntry(slot, ePolicy).Load()),
		credit: r.creditOf(r.consumerEntry(slot, eCredit).Load()),
	}
	rd.step = min(r.capacity/16, rd.credit/4)
	rd.gates = rd.policy != Lossy
	rd.copies = rd.policy != Block
	if rd.copies {
		rd.buf = make([]byte, r.maxFrame)
	} else {
		rd.near = rd.step
	}
	for _, c := range []*shm.Word{rd.messages, rd.bytes, rd.missedBytes, rd.laps} {
		c.StoreRelaxed(0) // order: none, the state word releases it; only the tenant writes it.
	}
	w(cStartedNs).StoreRelaxed(uint64(now().UnixNano())) // order: none, see above
	w(cPid).StoreRelaxed(ownPid)                         // order: none, see above
	writeName(r.cursors.Bytes(r.offConsumers+consumerSlotSize*slot+cName, nameSize), name)
	rd.name = name
	return rd
}

func (rd *Reader) join(g Grant, from From) error {
	r := rd.ring
	kind, flags := slotLossy, uint8(0)
	if rd.gates {
		kind = slotReader
		flags = flagCatchingUp
		// The stand-in: the furthest back that any cursor could be.
		// order: release, pair [state]: before the state word that makes it count.
		rd.cursor.StoreRelease(r.limit.Load() - r.capacity) // order: acquire, pair [limit] with Producer.refresh.
	}
	l, err := r.activate(g, r.consumerWord(uint64(g.Slot), cState), r.usedConsumers, kind, flags, groupNobody)
	if err != nil {
		return err
	}
	rd.lease, rd.tenant = l, l.state.gen()
	// order: acquire, pair [join] with Producer.refresh: after the full fence of activate's CAS. Either the refresh's scan saw
	// the state word, or this load sees a limit that bounds what that refresh can reach.
	limit := r.limit.Load()
	moved := func(pos uint64) {
		// order: sequentially consistent, pair [cursor] with Producer.gateOfReaders.
		rd.cursor.Store(pos)
		if rd.gates {
			r.freed() // the gate moved up
		}
	}
	pos, err := r.start(from, r.safeFrom(limit), moved)
	if err != nil {
		return err
	}
	rd.pos, rd.next, rd.cursorAt = pos, pos, pos
	moved(pos)
	if rd.gates {
		rd.catchingUp = true
		rd.checkGate()
	}
	return nil
}

// safeFrom returns the first position that no refresh can have given away which missed a joiner that saw limit afterwards.
func (r *Ring) safeFrom(limit uint64) uint64 {
	return later(alignUp(limit, r.segment)+r.segment-r.capacity, r.capacity)
}

// start finds the position to start from; everything from safe on is intact history. It tells moved how far it has come, first of all
// that nothing before safe is wanted.
func (r *Ring) start(from From, safe uint64, moved func(pos uint64)) (uint64, error) {
	moved(safe)
	switch from.kind {
	case fromOldest:
		return safe, nil
	case fromPosition:
		return r.checkPosition(from.pos, safe)
	case fromFirst:
		return r.firstMatch(from, safe, moved)
	}
	return r.Tail() // open claims below it are not waited for
}

// walkTail finds a single producer's position: the first frame that is not there, from the last boundary before the tail word
// on, which the producer stores at each refresh and at Close. A producer at full speed may outrun the walk: then end is false,
// and the position is that of a frame.
func (r *Ring) walkTail() (pos uint64, end bool, err error) {
	// order: acquire, pair [tail] with Producer.refresh and Producer.Close.
	pos = later(alignDown(r.tail.Load(), r.segment), r.capacity)
	for range r.capacity / frameAlign {
		next, _, err := r.frameAt(pos)
		// order: acquire, pair [limit] with Producer.refresh: after the look at the frame.
		if limit := r.limit.Load(); int64(limit-pos) > int64(r.capacity) {
			pos = alignUp(limit-r.capacity/2, r.segment) // nothing gates for this walker, and the producers came round
			continue
		}
		if err != nil || next == pos {
			return pos, err == nil, err
		}
		pos = next
	}
	return pos, false, nil
}

// frameAt reads the frame header at pos: where the next frame is (pos itself if there is no frame) and its second word.
func (r *Ring) frameAt(pos uint64) (next, word uint64, err error) {
	// order: acquire, pair [commit] with Producer.Publish and Producer.finish.
	if r.data.Word(pos).Load() != pos^r.nonce {
		return pos, 0, nil
	}
	// order: none, the stamp's acquire covers it.
	w := r.data.Word(pos + 8).Load()
	n, kind := frameLength(w), frameKind(w)
	rest := r.segment - pos&(r.segment-1)
	if size := align16(frameHeaderSize + n); size <= rest && (kind == kindPad || kind == kindData && n-1 < r.maxFrame) {
		return pos + size, w, nil
	}
	return pos, w, corruptFrame(pos, "length and kind", fmt.Sprintf("%d and %d", n, kind),
		fmt.Sprintf("DATA of 1 to %d bytes, or PAD of up to %d", r.maxFrame, rest-frameHeaderSize))
}

// checkPosition accepts pos if a frame begins there, or the next one will.
func (r *Ring) checkPosition(pos, safe uint64) (uint64, error) {
	if before(pos, safe) {
		return 0, fmt.Errorf("%w: %d was overwritten; the oldest that can be read is %d", ErrPosition, pos, safe)
	}
	if tail, err := r.Tail(); err != nil || before(tail, pos) {
		return 0, errors.Join(fmt.Errorf("%w: %d is beyond the ring's end, %d", ErrPosition, pos, tail), err)
	}
	at := later(alignDown(pos, r.segment), r.capacity)
	for range r.segment / frameAlign {
		if at == pos {
			return pos, nil
		}
		next, _, err := r.frameAt(at)
		// order: acquire, pair [limit] with Producer.refresh: after the look at the frame.
		if limit := r.limit.Load(); int64(limit-at) > int64(r.capacity) {
			return 0, fmt.Errorf("%w: %d was overwritten; the limit is %d", ErrPosition, pos, limit)
		}
		if err != nil {
			return 0, err
		}
		if next == at || before(pos, next) {
			return 0, fmt.Errorf("%w: no frame begins at %d; the neighbours are %d and %d", ErrPosition, pos, at, next)
		}
		at = next
	}
	return 0, fmt.Errorf("%w: no frame begins at %d", ErrPosition, pos)
}

// firstMatch walks from safe on to the first message that is asked for, or to the first frame that is not there. Producers may come round
// where nobody gates for the walk: then it goes on half a ring behind them, as a lapped reader does. It tells moved of each segment.
func (r *Ring) firstMatch(from From, safe uint64, moved func(pos uint64)) (uint64, error) {
	head := make([]byte, from.head)
	pos := safe
	for range r.capacity / frameAlign { // a producer at full speed may outrun the walk, but not for ever
		next, w, err := r.frameAt(pos)
		b := head[:0]
		if err == nil && next != pos && frameKind(w) == kindData {
			n := min(frameLength(w), uint64(len(head)))
			b = head[:shm.Copy(head[:n], r.data.Bytes(pos+frameHeaderSize, n))]
		}
		// order: loads fence, pair [overwrite] with Producer.refresh: the copy comes before the look at the limit.
		shm.FenceLoads()
		// order: acquire, pair [limit] with Producer.refresh.
		if limit := r.limit.Load(); int64(limit-pos) > int64(r.capacity) {
			pos = alignUp(limit-r.capacity/2, r.segment)
			continue
		}
		if err != nil || next == pos || len(b) > 0 && from.match(b) {
			return pos, err
		}
		if pos = next; pos&(r.segment-1) == 0 {
			moved(pos)
		}
	}
	return pos, nil
}
