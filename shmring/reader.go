package shmring

import (
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/mycelium-bus/mycelium/shmring/internal/shm"
)

// Reader reads a ring from its position on. It is for one goroutine.
//
//	Next ──> a frame, lent until the next call of Next, Release, Unread or Close
//	  └────> nothing: none is there yet (Err is nil), or reading ended or skipped (Err says why)
//
// The three ways of reading:
//
//	block        gates producers through its cursor, and is lent frames in place
//	drop, evict  gates, but may stop to: reads a copy and checks afterwards that nobody wrote there
//	lossy        does not gate; copies and checks
type Reader struct {
	data     shm.Area
	nonce    uint64
	pos      uint64 // of the frame that is lent, or of the next
	next     uint64 // pos, or the position after the frame that is lent
	word     uint64 // second header word of the frame that is lent
	cursorAt uint64 // what the shared cursor holds
	near     uint64 // Next takes its short way while the cursor is less than this behind: step, or 0 for readers that copy
	step     uint64 // bytes after which the cursor is published within a batch
	maxFrame uint64
	segment  uint64
	nMessages,
	nBytes uint64
	copies   bool // copy-and-check
	inPlace, // who might copy is lent the ring's own bytes, and checks afterwards
	conflates bool // Newest was called: what it passes over is no loss
	gates bool
	buf   []byte // where copies go

	cursor            *shm.Word
	messages, bytes   *shm.Word
	missedBytes, laps *shm.Word
	dropped           *shm.Word
	nMissed, nLaps    uint64
	lap               *LappedError // told once
	err               error        // final
	policy            Slow
	credit            uint64
	catchingUp        bool
	recorded          time.Time
	name              string // as the slot has it, for the ledger of losses
	nPassed           uint64 // bytes, by Newest
	vouched           uint64 // position of the frame of which Intact said yes
	adrift            bool   // dropped, and not gating again yet
	tenant            uint32 // the generation that this tenant began with; each return to the gates takes another

	ring *Ring
	hand hand
	*lease
	cleanup runtime.Cleanup
}

// Frame is one message in the ring.
type Frame struct {
	Payload  []byte
	Position uint64 // grows along the ring, in bytes; names the message within its topic
}

// Next consumes the frame that it lent before and returns the next message. It neither blocks nor allocates. ok is false
// when there is none; [Reader.Err] then says whether that is all. Payload is lent until the next call of a method that
// moves the reader; a block reader's lies in the ring itself.
func (r *Reader) Next() (f Frame, ok bool) {
	pos := r.next
	// The common case alone, so that it is short: a message is there, lies in place, and the cursor may wait.
	// order: acquire, pair [commit] with Producer.Publish and Producer.finish.
	if pos-r.cursorAt < r.near && r.data.Word(pos).Load() == pos^r.nonce {
		// order: none, the stamp's acquire covers it.
		w := r.data.Word(pos + 8).Load()
		n := frameLength(w)
		size := align16(frameHeaderSize + n)
		if frameKind(w) == kindData && n-1 < r.maxFrame && pos&(r.segment-1)+size <= r.segment {
			r.pos, r.next, r.word = pos, pos+size, w
			r.nMessages++
			r.nBytes += n
			return Frame{r.data.Bytes(pos+frameHeaderSize, n), pos}, true
		}
	}
	return r.nextSlow(pos)
}

// nextSlow is Next where a message does not simply follow.
func (r *Reader) nextSlow(pos uint64) (Frame, bool) {
	r.pos, r.lap = pos, nil
	if r.err == nil && pos-r.cursorAt >= r.step {
		r.publish()
	}
	if r.err != nil || r.adrift && r.closeBehind() && !r.regate() {
		return Frame{}, false
	}
	if r.copies {
		f, ok := r.nextCopy()
		if r.ring.shield.Cut() { // an observer's in a mapping for producers: what it copied may be zeros
			return r.fail(r.ring.cut())
		}
		return f, ok
	}
	for range maxPads {
		next, w, err := r.ring.frameAt(pos)
		if err != nil {
			return r.fail(err)
		}
		if next == pos {
			return r.empty(pos)
		}
		if n := frameLength(w); frameKind(w) == kindData {
			r.pos, r.next, r.word = pos, next, w
			r.nMessages++
			r.nBytes += n
			return Frame{r.data.Bytes(pos+frameHeaderSize, n), pos}, true
		}
		pos = next
		r.pos, r.next = pos, pos
	}
	r.publish() // PADs alone move the cursor too
	return Frame{}, false
}

// maxPads bounds how many PADs one call of Next passes: producers that abort for ever must not hold its caller.
const maxPads = 64

// empty ends a look that found no frame: what was read is given back to the producers.
func (r *Reader) empty(pos uint64) (Frame, bool) {
	moved := pos != r.cursorAt
	if moved {
		r.publish()
	}
	if r.err == nil && r.isDropped() {
		r.ungated()
	}
	if r.err == nil && r.mayRegate() && !r.regate() {
		return Frame{}, false
	}
	if !moved && r.ring.closing() {
		// Only if nothing was committed between the look at the frame and the one at the topic.
		// order: acquire, pair [commit] with Producer.finish.
		if r.data.Word(pos).Load() != pos^r.nonce {
			r.stop(ErrClosed)
		}
	}
	return Frame{}, false
}

// stop makes err final: from here on Next returns nothing.
func (r *Reader) stop(err error) {
	if r.err == nil {
		r.err = err
	}
	r.near = 0
}

func (r *Reader) fail(err error) (Frame, bool) {
	r.stop(err)
	return Frame{}, false
}

// Err returns why the last Next returned no frame: nil (there is none yet), [ErrClosed], [ErrCorrupt], [ErrEvicted], or
// a [LappedError]. A lapped reader goes on where the error says; it returns the error once. After the others it stays where
// it is.
func (r *Reader) Err() error {
	if lap := r.lap; lap != nil {
		r.lap = nil
		return lap
	}
	return r.err
}

// Release consumes the frame that is lent, if any, and lets producers have everything before the reader's position.
func (r *Reader) Release() {
	r.pos = r.next
	if r.pos != r.cursorAt && r.err == nil {
		r.publish()
	}
}

// Unread keeps the frame that is lent unconsumed: the next call of Next returns it again.
func (r *Reader) Unread() {
	if r.next != r.pos {
		r.next = r.pos
		r.nMessages--
		r.nBytes -= frameLength(r.word)
	}
}

// Position returns where the reader stands: of the frame that is lent, else of the next one.
func (r *Reader) Position() uint64 { return r.pos }

// Producer returns the slot of the producer that wrote the frame that is lent.
func (r *Reader) Producer() int { return int(frameSlot(r.word)) }

// ID names the handle in listings: c, slot, generation.
func (r *Reader) ID() string { return fmt.Sprintf("c%d.%d", r.slot, r.tenant) }

// Ring returns the ring that the handle belongs to.
func (r *Reader) Ring() *Ring { return r.ring }

// publish moves the shared cursor to the reader's position, and the counters with it.
func (r *Reader) publish() {
	// order: none (these two), only this handle writes the counters.
	r.messages.StoreRelaxed(r.nMessages)
	r.bytes.StoreRelaxed(r.nBytes)
	// order: none, only this handle writes its cursor; any other value means that somebody else did.
	if got := r.cursor.Load(); got != r.cursorAt {
		r.stop(&CorruptError{File: "cursors", Field: "cursor of " + r.ID(), Position: r.ring.offConsumers + consumerSlotSize*r.slot + cCursor,
			Got: fmt.Sprint(got), Want: fmt.Sprintf("%d, as this reader wrote it", r.cursorAt)})
		return
	}
	// From here the bytes before pos belong to the producers.
	// order: sequentially consistent, pair [cursor] with Producer.gateOfReaders: this reader's loads of the bytes come
	// before, and its later look at who is blocked comes after.
	r.cursor.Store(r.pos)
	r.cursorAt = r.pos
	if r.gates && !r.adrift {
		r.checkGate()
		r.ring.freed()
	}
}

// checkGate follows a move of a gating cursor: the end of catching up, and the promise that the limit stays within reach.
func (r *Reader) checkGate() {
	if r.isDropped() {
		r.ungated()
		return
	}
	// order: acquire, pair [limit] with Producer.refresh.
	limit := r.ring.limit.Load()
	if int64(limit-r.pos) > int64(r.ring.capacity) {
		r.outOfReach(limit)
		return
	}
	if r.catchingUp && int64(limit-r.pos) <= int64(r.credit) {
		r.catchingUp = false
		s := makeState(r.lease.state.gen(), slotReader, r.lease.state.flags()&^flagCatchingUp, groupNobody)
		// order: sequentially consistent, pair [state] with Producer.gateOfReaders.
		if r.lease.word.CompareAndSwap(uint64(r.lease.state), uint64(s)) {
			r.lease.state = s
		}
	}
}

// outOfReach judges a limit that a gating reader's cursor does not allow: it was dropped, or somebody scribbled.
func (r *Reader) outOfReach(limit uint64) {
	// order: acquire, pair [dropped] with Producer.ungate: after the limit.
	if r.policy == Block || r.dropped.Load() != uint64(r.lease.state.gen()) {
		r.stop(&CorruptError{File: "ring", Field: "limit", Position: offLimit, Got: fmt.Sprint(limit),
			Want: fmt.Sprintf("at most %d, this reader's cursor + capacity", r.pos+r.ring.capacity)})
	}
}

// Close consumes nothing: a frame that is lent counts as not read. It frees the slot and gives the handle's hold on
// the mapping up. It may be called more than once; frames that were lent must not be touched afterwards.
func (r *Reader) Close() error {
	if r.done {
		return nil
	}
	fault := r.ring.Guard(func() {
		// order: none (these two), only this handle writes the counters.
		r.messages.StoreRelaxed(r.nMessages)
		r.bytes.StoreRelaxed(r.nBytes)
	})
	r.next, r.cursorAt, r.lap, r.err, r.near = r.pos, r.pos, nil, ErrClosed, 0 // every later look finds the handle closed
	r.cleanup.Stop()
	r.ring.disown(r.slot)
	if r.inPlace {
		r.inPlace = false
		r.lendsNoMore()
	}
	return errors.Join(fault, r.lease.end())
}
