package shmring

import "fmt"

// Report is what [Ring.Verify] went through.
type Report struct {
	Frames, Pads uint64
	Bytes        uint64 // payload bytes of the frames
	From, To     uint64 // positions: the intact history
	OpenClaims   int
	Overwritten  int // segments that producers took while, or before, they were looked at
}

// Verify checks everything that a ring's files can show (invariants R2 to R6 of the package documentation) and returns the
// first fault as a [CorruptError]. The ring may be live; what moves is loaded in an order in which the invariants hold all
// the same. In a copy of a live ring, frames that are newer than the copied limit are not faults.
func (r *Ring) Verify() (rep Report, err error) {
	if err := r.hold(); err != nil {
		return Report{}, err
	}
	defer r.release()
	if fault := r.Guard(func() { err = r.verify(&rep) }); fault != nil {
		err = fault
	}
	return rep, err
}

func (r *Ring) verify(rep *Report) error {
	for _, check := range []func(*Report) error{r.verifyWords, r.verifyProducers, r.verifyConsumers, r.verifyGroups, r.verifyFrames} {
		if err := check(rep); err != nil {
			return err
		}
	}
	return nil
}

// verifyWords checks R2, and that positions are aligned and behind the beginning.
func (r *Ring) verifyWords(rep *Report) error {
	// order: acquire (these two), pairs [tail] and [limit] with Producer.refresh: limit only grows, so tail first.
	word := r.tail.Load()
	limit := r.limit.Load()
	bad := func(field string, off, got uint64, want string) error {
		return &CorruptError{File: "ring", Field: field, Position: off, Got: fmt.Sprint(got), Want: want}
	}
	switch {
	case word%frameAlign != 0 || before(word, r.capacity):
		return bad("tail", offTail, word, fmt.Sprintf("a multiple of 16 from %d", r.capacity))
	case limit%frameAlign != 0 || before(limit, r.capacity):
		return bad("limit", offLimit, limit, fmt.Sprintf("a multiple of 16 from %d", r.capacity))
	case before(limit, word):
		return bad("tail", offTail, word, fmt.Sprintf("at most the limit, %d", limit))
	}
	// order: acquire (these two), pairs [limit] and [tail] with Producer.refresh: the tail only grows, so here the limit comes
	// first. A single producer stores the tail word before each raise of the limit, so it holds for the word, too.
	limit = r.limit.Load()
	if tail := r.tail.Load(); before(tail+2*r.segment, limit) && !r.copied { // a copy's words are of different moments
		return bad("limit", offLimit, limit, fmt.Sprintf("at most two segments beyond the tail, %d", tail))
	}
	return nil
}

// verifyProducers checks the open claims' part of R3, and the slots' words.
func (r *Ring) verifyProducers(rep *Report) error {
	// order: acquire, pair [used] with Ring.activate.
	used := r.usedProducers.Load()
	if used > r.producers {
		return &CorruptError{File: "ring", Field: "used producers", Position: offUsedProducers, Got: fmt.Sprint(used), Want: fmt.Sprintf("at most %d", r.producers)}
	}
	for slot := range used {
		bad := func(field string, off, got uint64, want string) error {
			return &CorruptError{File: "ring", Field: fmt.Sprintf("%s of producer %d", field, slot),
				Position: r.offProducers + producerSlotSize*slot + off, Got: fmt.Sprint(got), Want: want}
		}
		// order: acquire, pair [state] with Ring.activate.
		if s := state(r.producerWord(slot, pState).Load()); s.kind() > slotProducer {
			return bad("state", pState, uint64(s), "free or producer")
		}
		// order: acquire, pair [intent] with Producer.reserveShared and Producer.finish.
		pos := r.producerWord(slot, pPosition).Load()
		if pos == 0 {
			continue
		}
		rep.OpenClaims++
		// order: acquire (these two), pairs [won] and [limit]: a claim that was won holds the limit.
		won, limit := r.producerWord(slot, pWon).Load(), r.limit.Load()
		// order: acquire, pair [intent] with Producer.finish: the same claim as before the loads.
		if won == pos && before(pos+r.capacity, limit) && r.producerWord(slot, pPosition).Load() == pos {
			return bad("claim", pPosition, pos, fmt.Sprintf("at least limit - capacity, %d", limit-r.capacity))
		}
		if pos%frameAlign != 0 || before(pos, r.capacity) {
			return bad("claim", pPosition, pos, fmt.Sprintf("0 or a multiple of 16 from %d", r.capacity))
		}
	}
	return nil
}

// verifyConsumers checks the readers' part of R3, that no cursor is beyond the tail, and the generations.
func (r *Ring) verifyConsumers(rep *Report) error {
	if r.cursors.Len() == 0 {
		return nil
	}
	// order: acquire, pair [used] with Ring.activate.
	used := r.usedConsumers.Load()
	if used > r.consumers {
		return &CorruptError{File: "cursors", Field: "used consumers", Position: offUsedConsumers, Got: fmt.Sprint(used), Want: fmt.Sprintf("at most %d", r.consumers)}
	}
	for slot := range used {
		bad := func(file, field string, got uint64, want string) error {
			return &CorruptError{File: file, Field: fmt.Sprintf("%s of consumer %d", field, slot),
				Position: r.offConsumers + consumerSlotSize*slot, Got: fmt.Sprint(got), Want: want}
		}
		// order: acquire, pair [dropped] with who drops: before the state word.
		dropped := r.droppedWord(slot).Load()
		// order: acquire, pair [limit] with Producer.refresh: before the cursor, which only moves away from it.
		limit := r.limit.Load()
		// order: acquire, pair [state] with Ring.activate.
		s := state(r.consumerWord(slot, cState).Load())
		if s.kind() == slotProducer || s.kind() > slotOrphan {
			return bad("cursors", "state", uint64(s), "free, reader, lossy, member or orphan")
		}
		if dropped > 0xffffffff || int32(uint32(dropped)-s.gen()) > 0 {
			return bad("ring", "dropped", dropped, fmt.Sprintf("at most the generation, %d", s.gen()))
		}
		if s.kind() != slotReader {
			continue
		}
		// order: acquire, pair [cursor] with Reader.publish.
		cursor := r.consumerWord(slot, cCursor).Load()
		tail, atEnd, err := r.end()
		if err != nil {
			return err
		}
		// order: acquire, pair [state]: the same tenant as before the loads.
		if state(r.consumerWord(slot, cState).Load()) != s || r.copied {
			continue // in a copy, cursors and tail are of different moments
		}
		if atEnd && before(tail, cursor) {
			return bad("cursors", "cursor", cursor, fmt.Sprintf("at most the tail, %d", tail))
		}
		// While it joins, a reader's cursor is a stand-in of any age, which its catching-up flag shows.
		if dropped != uint64(s.gen()) && s.flags()&flagCatchingUp == 0 && int64(limit-cursor) > int64(r.capacity) {
			return bad("cursors", "cursor", cursor, fmt.Sprintf("at least limit - capacity, %d", limit-r.capacity))
		}
	}
	return nil
}

// end returns the tail; atEnd is false where a single producer outran the look for it.
func (r *Ring) end() (tail uint64, atEnd bool, err error) {
	if r.kind.singleProducer() {
		return r.walkTail()
	}
	tail, err = r.Tail()
	return tail, true, err
}

// verifyGroups checks that no group's head is beyond the tail, the groups' part of R3, and the generations.
func (r *Ring) verifyGroups(*Report) error {
	if r.cursors.Len() == 0 || r.copied {
		return nil
	}
	// order: acquire, pair [limit] with Producer.refresh: before the gates, which only move away from it.
	limit := r.limit.Load()
	for group := range r.groups {
		// order: acquire, pair [head] with Member.take: before the tail.
		head := unpack(r.groupWord(group, gHead).Load(), alignDown(limit, frameAlign))
		tail, atEnd, err := r.end()
		if err != nil {
			return err
		}
		if atEnd && before(tail, head) {
			return &CorruptError{File: "cursors", Field: fmt.Sprintf("head of group %d", group), Position: r.offGroups + groupSize*group,
				Got: fmt.Sprint(head), Want: fmt.Sprintf("at most the tail, %d", tail)}
		}
	}
	for _, v := range r.viewGroups(nil, true) {
		bad := func(file, field string, got any, want string) error {
			return &CorruptError{File: file, Field: fmt.Sprintf("%s of group %d", field, v.group), Position: r.offGroups + groupSize*v.group,
				Got: fmt.Sprint(got), Want: want}
		}
		// order: acquire (these two), pairs [start] and [group] with Ring.startGroup: the same start as before the loads.
		joined, s := r.groupWord(v.group, gJoined).Load(), state(r.groupWord(v.group, gState).Load())
		switch {
		case s != v.state:
			continue
		case s.kind() > groupActive:
			return bad("cursors", "state", uint64(s), "free, starting or active")
		case v.dropped > 0xffffffff || int32(uint32(v.dropped)-s.gen()) > 0:
			return bad("ring", "dropped", v.dropped, fmt.Sprintf("at most the generation, %d", s.gen()))
		case s.kind() == groupActive && int32(uint32(v.dropped)-uint32(joined)) < 0 && int64(limit-v.gate) > int64(r.capacity):
			return bad("cursors", "gate", v.gate, fmt.Sprintf("at least limit - capacity, %d", limit-r.capacity))
		}
	}
	return nil
}

// verifyFrames walks every intact segment from its boundary (R4) to its end, an open claim (R6) or the tail.
func (r *Ring) verifyFrames(rep *Report) error {
	// order: acquire, pair [limit] with Producer.refresh.
	from := alignUp(r.limit.Load()-r.capacity, r.segment)
	if r.copied {
		from += r.segment // a producer may have been in the oldest one while it was copied
	}
	rep.From = later(from, r.capacity) // before the first lap's end nobody comes there
	tail, _, err := r.end()
	if err != nil {
		return err
	}
	rep.To = tail
	// The words may be anybody's by now: no more segments than there are, and one that was begun meanwhile.
	for b := rep.From; before(b, earlier(tail, rep.From+r.capacity+r.segment)); b += r.segment {
		if err := r.verifySegment(rep, b, tail); err != nil {
			return err
		}
	}
	return nil
}

func (r *Ring) verifySegment(rep *Report, begin, tail uint64) error {
	end := earlier(begin+r.segment, tail)
	for pos := begin; before(pos, end); {
		next, w, err := r.frameAt(pos)
		// order: acquire, pair [limit] with Producer.refresh: after the frame.
		lapped := int64(r.limit.Load()-pos) > int64(r.capacity)
		if lapped || r.copied && (err != nil || next == pos) && r.inMotion() {
			rep.Overwritten++
			return nil
		}
		if err != nil {
			return err
		}
		if next == pos {
			if r.kind.singleProducer() || !r.openClaimAt(pos) {
				// A claim that was committed between the two looks has its stamp by now, if it was not overwritten since.
				next, _, err = r.frameAt(pos)
				// order: acquire, pair [limit] with Producer.refresh: after the frame.
				if err == nil && next == pos && int64(r.limit.Load()-pos) <= int64(r.capacity) {
					return corruptFrame(pos, "stamp", fmt.Sprintf("%#x", r.data.Word(pos).Load()), // order: none, for the message
						fmt.Sprintf("%#x, or an open claim", pos^r.nonce))
				}
				continue
			}
			return nil
		}
		if frameKind(w) == kindPad {
			rep.Pads++
		} else {
			rep.Frames++
			rep.Bytes += frameLength(w)
		}
		pos = next
	}
	return nil
}

// inMotion reports whether a copy was made while producers went round: it holds frames beyond its limit. What is amiss in it
// may be of the copying. One such frame alone, and not the very next one, is taken for damage.
func (r *Ring) inMotion() bool {
	// order: acquire, pair [limit] with Producer.refresh.
	limit := r.limit.Load()
	newer := 0
	for at := uint64(0); at < r.capacity && newer < 2; at += frameAlign {
		// order: acquire, pair [commit] with Producer.finish.
		found := r.data.Word(at).Load() ^ r.nonce
		if (found-at)&(r.capacity-1) == 0 && !before(found, limit) && found < 1<<62 {
			newer++
			if before(found, limit+r.segment) {
				return true
			}
		}
	}
	return newer >= 2
}

// openClaimAt reports whether a producer's open claim covers pos.
func (r *Ring) openClaimAt(pos uint64) bool {
	// order: acquire, pair [used] with Ring.activate.
	for slot := range min(r.usedProducers.Load(), r.producers) {
		// order: acquire (these two), pair [intent] with Producer.reserveShared, which writes size before position.
		at := r.producerWord(slot, pPosition).Load()
		size := r.producerWord(slot, pSize).Load()
		if at != 0 && !before(pos, at) && before(pos, at+size) {
			return true
		}
	}
	return false
}
