package shmring

import "testing"

// looked runs something just before somebody looks whether a slot's lock is held.
type looked struct {
	locker
	slot int
	then func()
}

func (l *looked) held(f lockFile, off int64) (held, known bool) {
	if then := l.then; then != nil && f == consumerLocks && off == int64(l.slot) {
		l.then = nil
		then()
	}
	return l.locker.held(f, off)
}

// Who was granted a slot in a group joins, takes a message and is gone again while somebody looks whether the group is in use: what was
// left behind is the group's, and not that of the next one in its place.
func TestAMemberComesAndGoesUnderALookAtItsGroup(t *testing.T) {
	r := newHeapRing(t, Options{Capacity: 64 << 10, Groups: 1})
	p := newProducer(t, r)
	granted, err := r.GrantMember("a", GroupPolicy{})
	if err != nil {
		t.Fatal(err)
	}
	r.locks = &looked{locker: r.locks, slot: granted.Slot, then: func() {
		a, err := r.Member(granted, MemberOptions{})
		if err != nil {
			t.Fatal(err)
		}
		publish(t, p, "a's")
		wantTakes(t, a, 1, "a's")
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
	}}
	b := newMember(t, r, "b", GroupPolicy{}, MemberOptions{})
	if got := lost(t, r); len(got) != 1 || got[0] != "a" {
		t.Errorf("lost by %q", got)
	}
	publish(t, p, "b's")
	wantTakes(t, b, 9, "b's")
}

// A slot that was granted to a member who never came is a reader's like any other.
func TestAReaderInTheSlotOfAMemberWhoNeverCame(t *testing.T) {
	for _, k := range []Kind{SPSC, MPSC} {
		r := newFileRing(t, Options{Kind: k, Capacity: 64 << 10, Groups: 1})
		g, err := r.GrantMember("a", GroupPolicy{})
		if err != nil {
			t.Fatal(err)
		}
		g.Close()
		newReader(t, r, Policy{Slow: Block}, Newest())
	}
}

// A group that is made durable keeps what comes from then on, also where one of its name was there that nobody came to.
func TestAGroupThatIsMadeDurableKeepsWhatComes(t *testing.T) {
	r := newHeapRing(t, Options{Capacity: 64 << 10, Groups: 2})
	p := newProducer(t, r)
	g, err := r.GrantMember("a", GroupPolicy{})
	if err != nil {
		t.Fatal(err)
	}
	g.Close()
	publish(t, p, "before")
	if err := r.MakeGroup("a", GroupPolicy{Durable: true}); err != nil {
		t.Fatal(err)
	}
	publish(t, p, "after")
	wantTakes(t, newMember(t, r, "a", GroupPolicy{}, MemberOptions{}), 9, "after")
}
