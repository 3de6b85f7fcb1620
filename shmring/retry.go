package shmring

import "fmt"

// Redeliver hands the message at pos, which the group has passed over (parked, or acknowledged), to the group once more, and closes the
// member: its slot becomes an orphan with that message as its range, which another member adopts before it takes anything. The message
// counts as never delivered; that member sees it as redelivered. Nobody outside of the group gets it again.
//
// Until it is handled it is the group's oldest: producers wait for it as for any message that the group has not acknowledged. So see to
// it that the group has members that live, or producers drop it once the message is further back than its keep.
//
// The member must hold nothing: one that has not called Next. It returns [ErrPosition] where no message begins at pos, where it was
// overwritten or is about to be, and where the group has not come to it. The member is closed in any case.
func (m *Member) Redeliver(pos uint64) error {
	return m.last(func() error { return m.redeliver(pos) })
}

// Retry redelivers a message that the member's group has parked, as [Ring.Parked] lists it, and takes it off the list: one after the other of
// those who try it at once, so that one of them does, and the others get [ErrNotParked]. In between the message is in both places: who dies
// there has it delivered and listed still, and never lost. It waits at most 100 ms for whoever retries in the group, or joins it
// ([ErrInUse]). Otherwise as [Member.Redeliver].
func (m *Member) Retry(p Parked) error {
	return m.last(func() error {
		return m.ring.underGroupLock(m.group, m.grant, func() error {
			if !m.parked(p) {
				return fmt.Errorf("%w: message %d of the list, at %d, of group %q", ErrNotParked, p.Number, p.Position, p.GroupName)
			}
			if err := m.redeliver(p.Position); err != nil {
				return err
			}
			m.ring.parked().remove(p.Number)
			return nil
		})
	})
}

// parked looks whether a message of the member's group is still listed.
func (m *Member) parked(p Parked) bool {
	e, ok := m.ring.parked().entry(p.Number)
	return p.Number != 0 && ok && e[1] == p.Position && unpackName(e[3:7]) == p.GroupName && readName(m.ring.groupName(m.group)) == p.GroupName
}

// last does the last thing that the member is there for, and closes it.
func (m *Member) last(do func() error) error {
	if m.done {
		return ErrClosed
	}
	var err error
	fault := m.ring.Guard(func() { err = do() })
	if fault != nil {
		err = fault
	}
	if closed := m.Close(); err == nil {
		err = closed
	}
	return err
}

// redeliver makes [pos, its end) the range that the member holds, by the joiner's procedure (join.go): the gate first, then the limit.
//
//	won = (0, no start)          who dies from here on owns nothing (owns), and yet gates (rangeOf)
//	end, from = pos              a full fence
//	limit looked at              safe: every refresh to come sees from, and those under way do not reach it
//	won as it was                from here on the range is owned; closing leaves it as an orphan
func (m *Member) redeliver(pos uint64) error {
	r, h := m.ring, &m.held
	if m.pos != h.until || h.fromAs != 0 || h.adopted || m.err != nil {
		return fmt.Errorf("%w: member %s of topic %s holds messages", ErrInUse, m.ID(), r.name)
	}
	// order: acquire, pair [won]: what the join left there: the group's head at that time.
	won := h.won.Load()
	passed := unpack(won, m.pos)
	if pos%frameAlign != 0 || !before(pos, passed) {
		return fmt.Errorf("%w: group %q has not passed over %d: it is at %d", ErrPosition, readName(r.groupName(m.group)), pos, passed)
	}
	// order: acquire, pair [limit] with Producer.refresh: so that nothing is held up for what is gone.
	if safe := r.safeFrom(r.limit.Load()); before(pos, safe) {
		return r.overwritten(pos, safe)
	}
	// order: release (these two, in this order), pairs [won] with Ring.owns and [from] with Ring.rangeOf.
	h.won.StoreRelease(pack(passed, 0))
	h.end.StoreRelease(pos + frameAlign)
	// order: sequentially consistent, pair [from] with Ring.rangeOf: the full fence before the look at the limit.
	h.from.Store(pack(pos, 0))
	// order: acquire, pair [join] with Producer.refresh: after the full fence.
	safe := r.safeFrom(r.limit.Load())
	err := error(nil)
	var next uint64
	if before(pos, safe) {
		err = r.overwritten(pos, safe)
	} else if next, err = r.messageAt(pos); err == nil && before(passed, next) {
		err = fmt.Errorf("%w: the message at %d ends at %d, and group %q is at %d", ErrPosition, pos, next, readName(r.groupName(m.group)), passed)
	}
	if err != nil {
		m.clearFrom()
		h.won.StoreRelease(won) // order: release, pair [won] with Ring.owns: from is NONE.
		r.freed()               // the gate moved up again
		return err
	}
	// order: release (these two, in this order), pair [from] with Ring.rangeOf, which may have seen a shorter range, and [won] with Ring.owns.
	h.end.StoreRelease(next)
	h.won.StoreRelease(won)
	h.fromAs = pack(pos, 0)
	h.until, m.pos, m.next, m.known = next, pos, pos, 0
	return nil
}

func (r *Ring) overwritten(pos, safe uint64) error {
	return fmt.Errorf("%w: %d was overwritten, or is about to be; the oldest that is safe is %d", ErrPosition, pos, safe)
}

// messageAt returns where the message at pos ends. The caller gates there.
func (r *Ring) messageAt(pos uint64) (next uint64, err error) {
	next, w, err := r.frameAt(pos)
	if err == nil && (next == pos || frameKind(w) != kindData) {
		err = fmt.Errorf("%w: no message begins at %d", ErrPosition, pos)
	}
	return next, err
}

// Unpark takes a parked message off the list, by its number, and reports whether it was still there: nobody retries it any more. It needs access [Consume] at least.
func (r *Ring) Unpark(number uint64) (found bool, err error) {
	if r.access < Consume {
		return false, fmt.Errorf("%w: taking a parked message off the list needs access consume, this mapping has %s", ErrPermission, r.access)
	}
	if err := r.holdCursors(); err != nil {
		return false, err
	}
	defer r.release()
	err = r.Guard(func() { found = r.parked().remove(number) })
	return found, err
}

// remove makes the entry of a number one that is not whole. Who writes a later entry over it makes it so first, and is not disturbed.
func (l list) remove(number uint64) bool {
	if number == 0 {
		return false
	}
	at := l.entries + listEntrySize*((number-1)%l.n)
	e, ok := l.entry(number)
	// order: sequentially consistent, pair [list] with list.append and list.all.
	return ok && l.mem.Word(at).CompareAndSwap(e.sealed(number), 0)
}
