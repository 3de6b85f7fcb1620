package shmring

import "fmt"

// take takes the next messages from the group's head.
func (m *Member) take() bool {
	wrote := false
	for range takeAttempts {
		// order: acquire, pair [head] with the CAS below: who sees it sees the words of its taker's slot.
		head := m.head.Load()
		h := m.position(head)
		end, messages := m.measure(h)
		if end == h {
			// order: acquire, pair [head]: the same head, or the look at the frame says nothing.
			if m.head.Load() != head {
				continue
			}
			m.empty(h)
			break
		}
		m.confirm(head)
		// order: release (these three, in this order), pair [from] with Ring.rangeOf and Ring.owns; the CAS that follows makes them visible
		// before the head moves.
		m.held.from.StoreRelease(0)
		m.held.end.StoreRelease(end)
		m.held.from.StoreRelease(pack(h, 1))
		wrote = true
		// order: sequentially consistent, pair [head] with every load of it: who sees the head beyond h sees the range.
		if !m.head.CompareAndSwap(head, pack(end, m.slot)) {
			continue
		}
		// From here the range is this member's, until it acknowledges it or dies.
		// order: release, pair [won] with Ring.owns, which judges this member after the next take.
		m.held.won.StoreRelease(pack(end, m.number))
		m.held.fromAs = pack(h, 1)
		m.held.until = end
		m.pos, m.next, m.known = h, h, 0
		if messages != 0 {
			return m.inReach(h)
		}
		m.pos, m.next, wrote = end, end, false
		if !m.finish() { // PADs alone: nobody works on them
			return false
		}
	}
	if wrote {
		// The attempts end: an intent left behind would hold the group's gate.
		m.clearFrom()
	}
	return false
}

// takeAttempts bounds how many takes in a row may be lost to other members.
const takeAttempts = 1 << 16

// position is where a head word points to.
func (m *Member) position(head uint64) uint64 {
	return unpack(head, m.held.until)
}

// measure returns where a take from h ends: whole frames that are there, up to the batch; PADs on the way are taken as well. What it
// finds counts only if the head is still at h: else the bytes may be anybody's by now.
func (m *Member) measure(h uint64) (end uint64, messages int) {
	end = h
	for range m.batchMessages + maxPads {
		// order: acquire, pair [commit] with Producer.Publish and Producer.finish.
		if m.data.Word(end).Peek() != end^m.nonce {
			break
		}
		// order: none, the stamp's acquire covers it.
		w := m.data.Word(end + 8).Peek()
		n, kind := frameLength(w), frameKind(w)
		size := align16(frameHeaderSize + n)
		switch {
		case size > m.ring.segment-end&(m.ring.segment-1):
			return end, messages
		case kind == kindData && n-1 < m.ring.maxFrame:
			if messages > 0 && (messages == m.batchMessages || end+size-h > m.batchBytes) {
				return end, messages
			}
			messages++
		case kind != kindPad:
			return end, messages
		}
		end += size
	}
	return end, messages
}

// confirm makes sure that the head's last taker is known to have won before the head that says so is replaced. Only a word of this start
// of this group is changed: the slot may have another tenant by now.
func (m *Member) confirm(head uint64) {
	taker := packedTag(head)
	if taker == m.slot || taker >= m.ring.consumers {
		return
	}
	won := m.ring.consumerWord(taker, cWon)
	end := m.position(head)
	for range takeAttempts {
		// order: acquire, pair [won] with Member.take and the other confirmers.
		old := won.Load()
		if packedTag(old) != m.number || packedTag(old) == m.number && !before(m.position(old), end) {
			return
		}
		// order: sequentially consistent, pair [won] with Ring.owns and Ring.rangeOf: before the head is replaced.
		if won.CompareAndSwap(old, pack(end, m.number)) {
			return
		}
	}
}

// empty ends a look that found no frame at h.
func (m *Member) empty(h uint64) {
	m.count()
	closing := m.ring.closing()
	// order: acquire, pair [commit] with Producer.finish: only if nothing was committed between the two looks.
	if stamp := m.data.Word(h).Peek(); stamp != h^m.nonce {
		// order: acquire (these two, in this order), pairs [limit] with Producer.refresh and [head] with Member.take: while the head is here,
		// the group gates here; one that moved meanwhile says nothing.
		limit := m.ring.limit.Load()
		if m.position(m.head.Load()) != h {
			return
		}
		if m.inReachOf(limit, h) && closing {
			m.stop(ErrClosed)
		}
		return
	}
	// A stamp is there. It was committed meanwhile, or other members have taken it by now, or it is of a frame that cannot be.
	// order: none, the stamp's acquire covers it.
	w := m.data.Word(h + 8).Peek()
	// order: acquire, pair [head] with Member.take: after the frame, which is this group's only if the head is still there.
	if end, _ := m.measure(h); end == h && m.position(m.head.Load()) == h {
		m.stop(corruptFrame(h, "length and kind", fmt.Sprintf("%d and %d", frameLength(w), frameKind(w)),
			fmt.Sprintf("DATA of 1 to %d bytes, or PAD up to the segment's end", m.ring.maxFrame)))
	}
}

// inReach checks the promise that what a group gates is not overwritten.
func (m *Member) inReach(h uint64) bool {
	return m.inReachOf(m.ring.limit.Load(), h) // order: acquire, pair [limit] with Producer.refresh.
}

func (m *Member) inReachOf(limit, h uint64) bool {
	if int64(limit-h) > int64(m.ring.capacity) {
		m.stop(&CorruptError{File: "ring", Field: "limit", Position: offLimit, Got: fmt.Sprint(limit),
			Want: fmt.Sprintf("at most %d, what %s took + capacity", h+m.ring.capacity, m.ID())})
	}
	return m.err == nil
}
