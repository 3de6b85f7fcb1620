package shmring

import (
	"fmt"
	"time"

	"github.com/mycelium-bus/mycelium/shmring/internal/shm"
)

// nextCopy is Next for readers whose bytes may be overwritten while they look: stamp, length, bounds, copy, fence, limit. A
// frame at p is intact if and only if the limit was at most p + capacity after the copy, since nobody writes a byte at
// p + capacity or beyond before the limit allows it.
func (r *Reader) nextCopy() (Frame, bool) {
	pos := r.pos
	for range maxPads {
		// order: acquire, pair [commit] with Producer.Publish and Producer.finish.
		if r.data.Word(pos).Load() != pos^r.nonce {
			if limit, ok := r.intact(pos); !ok {
				return r.lapped(pos, limit)
			}
			if r.ring.copied && r.ring.copiedOver(pos) {
				return r.skip(pos, alignDown(pos, r.segment)+r.segment) // a copy whose data is newer than its limit
			}
			return r.empty(pos)
		}
		// order: acquire, pair [overwrite] with Producer.refresh: checked by the look at the limit below.
		w := r.data.Word(pos + 8).Load()
		n := frameLength(w)
		size := align16(frameHeaderSize + n)
		kind := frameKind(w)
		fits := pos&(r.segment-1)+size <= r.segment
		if !fits || kind != kindPad && (kind != kindData || n-1 >= r.maxFrame) {
			if limit, ok := r.intact(pos); !ok {
				return r.lapped(pos, limit)
			}
			return r.fail(corruptFrame(pos, "length and kind", fmt.Sprintf("%d and %d", n, kind),
				fmt.Sprintf("1 to %d and 1, or up to the segment's end and 2", r.maxFrame)))
		}
		if kind == kindPad {
			if limit, ok := r.intact(pos); !ok {
				return r.lapped(pos, limit)
			}
			pos += size
			r.pos, r.next = pos, pos
			continue
		}
		payload := r.data.Bytes(pos+frameHeaderSize, n)
		if !r.inPlace {
			shm.Copy(r.buf[:n], payload)
			payload = r.buf[:n]
		}
		if limit, ok := r.intact(pos); !ok {
			return r.lapped(pos, limit)
		}
		r.pos, r.next, r.word, r.vouched = pos, pos+size, w, 0
		r.nMessages++
		r.nBytes += n
		return Frame{payload, pos}, true
	}
	r.publish()
	return Frame{}, false
}

// intact reports whether everything this goroutine loaded from position pos on was still there when it loaded it, and the limit
// that tells.
func (r *Reader) intact(pos uint64) (limit uint64, ok bool) { return r.ring.intact(pos) }

func (r *Ring) intact(pos uint64) (limit uint64, ok bool) {
	// order: loads fence, pair [overwrite] with Producer.refresh: the copy comes before the look at the limit.
	shm.FenceLoads()
	// order: acquire, pair [limit] with Producer.refresh.
	limit = r.limit.Load()
	r.ring.TouchEnd() // what was cut off reads as zeros
	return limit, int64(limit-pos) <= int64(r.capacity)
}

// lapped moves the reader to where bytes are still safe, and to stay safe for a while: a segment's begin about half the ring
// behind the producers.
func (r *Reader) lapped(pos, limit uint64) (Frame, bool) {
	if r.gates && !r.adrift {
		if r.outOfReach(limit); r.err == nil {
			r.ungated()
		}
		if r.err != nil {
			return Frame{}, false
		}
	}
	return r.skip(pos, alignUp(limit-r.ring.capacity/2, r.segment))
}

// skip goes on at to, and tells what lies between.
func (r *Reader) skip(pos, to uint64) (Frame, bool) {
	r.pos = to
	r.missed(pos, to)
	r.publish()
	return Frame{}, false
}

// missed notes a loss, for Err to tell and for who looks at the topic. The reader stands at to.
func (r *Reader) missed(pos, to uint64) {
	r.next = to
	if r.conflates {
		r.nPassed += to - pos
		return
	}
	r.lap = &LappedError{From: pos, To: to}
	r.nMissed += to - pos
	r.nLaps++
	// order: none (these two), only this handle writes the counters.
	r.missedBytes.StoreRelaxed(r.nMissed)
	r.laps.StoreRelaxed(r.nLaps)
	if r.mayRecord() {
		r.ring.recordLoss(Loss{Slot: int(r.slot), Gen: r.tenant, Group: -1, Name: r.name, From: pos, To: to})
	}
}

// recordLossy lies between two entries of a lossy reader in the ledger: one that is lapped all the time must not push out the losses of
// those who are waited for. Its counters have them all.
const recordLossy = time.Second

// mayRecord reports whether a loss goes into the ledger; an observer, who has no slot, writes nothing.
func (r *Reader) mayRecord() bool {
	if r.gates || r.tenant == 0 {
		return r.gates
	}
	t := now()
	if !r.recorded.IsZero() && t.Sub(r.recorded) < recordLossy {
		return false
	}
	r.recorded = t
	return true
}
