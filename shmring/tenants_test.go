package shmring

import "testing"

// probed is a locker whose probes of one slot's lock are interrupted: another process does something just before, and just after.
type probed struct {
	locker
	file          lockFile
	off           int64
	before, after func()
}

func (l *probed) held(f lockFile, off int64) (held, known bool) {
	if f != l.file || off != l.off || l.before == nil {
		return l.locker.held(f, off)
	}
	before, after := l.before, l.after
	l.before = nil
	before()
	held, known = l.locker.held(f, off)
	after()
	return held, known
}

// TestRepairLeavesTheNextTenantAlone has a tenant close, and another one come, between a repairer's look at the slot's state and its
// looks at the slot's other words: the lock was free when it was probed, and what is in the words is a live process's.
func TestRepairLeavesTheNextTenantAlone(t *testing.T) {
	t.Run("producer", func(t *testing.T) {
		r := newHeapRing(t, Options{Capacity: 64 << 10})
		rd := newReader(t, r, Policy{Slow: Block}, Newest())
		first := newProducer(t, r)
		var claim Claim
		r.locks = &probed{locker: r.locks, file: producerLocks, off: int64(first.slot),
			before: func() { first.Close() },
			after: func() {
				next := newProducer(t, r)
				if next.slot != first.slot {
					t.Fatalf("slot %d, want %d again", next.slot, first.slot)
				}
				var err error
				if claim, err = next.Claim(8); err != nil {
					t.Fatal(err)
				}
			}}
		if done := mustRepair(t, r); len(done) != 0 {
			t.Errorf("repaired %+v", done)
		}
		copy(claim.Bytes(), "its bytes")
		if err := claim.Commit(8); err != nil {
			t.Fatal(err)
		}
		if got := readAll(t, rd); len(got) != 1 || got[0] != "its byte" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("member", func(t *testing.T) {
		r := newHeapRing(t, Options{Capacity: 64 << 10, Groups: 1})
		p := newProducer(t, r)
		first := newMember(t, r, "g", GroupPolicy{}, MemberOptions{})
		keeps := newMember(t, r, "g", GroupPolicy{}, MemberOptions{})
		var next *Member
		r.locks = &probed{locker: r.locks, file: consumerLocks, off: int64(first.slot),
			before: func() { first.Close() },
			after: func() {
				next = newMember(t, r, "g", GroupPolicy{}, MemberOptions{})
				if next.slot != first.slot {
					t.Fatalf("slot %d, want %d again", next.slot, first.slot)
				}
				publish(t, p, "in its hands")
				if f, ok := next.Next(); !ok || string(f.Payload) != "in its hands" {
					t.Fatal(next.Err())
				}
			}}
		if done := mustRepair(t, r); len(done) != 0 {
			t.Errorf("repaired %+v", done)
		}
		next.Release()
		if err := next.Err(); err != nil {
			t.Errorf("%v: its range was taken from it", err)
		}
		wantTakes(t, keeps, 1)
	})
}

// lockedIn is a locker that does something when one slot's lock is taken.
type lockedIn struct {
	locker
	file lockFile
	off  int64
	do   func()
}

func (l *lockedIn) lock(f lockFile, h int, off int64) (bool, error) {
	if do := l.do; do != nil && f == l.file && off == l.off {
		l.do = nil
		do()
	}
	return l.locker.lock(f, h, off)
}

// TestGroupThatBeginsBehindItsOldHead starts an ephemeral group anew at the oldest message, while a producer refreshes that sees the
// group with its old head: what the group is to read is not overwritten.
func TestGroupThatBeginsBehindItsOldHead(t *testing.T) {
	r := newHeapRing(t, Options{Kind: MPMC, Capacity: 64 << 10, Groups: 1})
	p := newProducer(t, r)
	first := newMember(t, r, "g", GroupPolicy{Keep: 16}, MemberOptions{})
	message := make([]byte, 1000)
	send := func() {
		if err := p.Publish(message); err != nil {
			t.Fatal(err)
		}
	}
	for range 100 {
		send()
		if _, ok := first.Next(); !ok {
			t.Fatal(first.Err())
		}
	}
	if err := first.Close(); err != nil { // with the last message in its hands: an orphan
		t.Fatal(err)
	}
	for range 16 { // more than it keeps: it is dropped
		send()
	}
	// The joiner is stopped after its look at the limit, when it comes to the orphan.
	r.locks = &lockedIn{locker: r.locks, file: consumerLocks, off: int64(first.slot), do: func() { fillToGate(t, p, 1000) }}
	g, err := r.GrantMember("g", GroupPolicy{})
	if err != nil {
		t.Fatal(err)
	}
	m, err := r.Member(g, MemberOptions{From: Oldest()})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if limit := r.limit.Load(); int64(limit-m.Position()) > int64(r.capacity) {
		t.Errorf("the limit is %d bytes beyond the group's begin, in a ring of %d", limit-m.Position(), r.capacity)
	}
	n := 0
	for _, ok := m.Next(); ok; _, ok = m.Next() {
		n++
	}
	if n == 0 || m.Err() != nil {
		t.Errorf("%d messages, then %v", n, m.Err())
	}
	send()
}
