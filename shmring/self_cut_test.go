package shmring

import "testing"

// Where the cursors are cut short nobody waits for himself, and no look ends the process, with a shield or without.
func TestTruncatedCursorsAndWhoWaitsForHimself(t *testing.T) {
	for _, access := range []Access{Own, Produce} {
		r := cutRing(t, Options{Kind: MPMC, Capacity: 64 << 10, Consumers: 8, Groups: 2})
		m := newMemberOn(t, r, again(t, r, Consume), "g", GroupPolicy{}, MemberOptions{})
		p := newProducerOn(t, r, again(t, r, access))
		for p.Publish(make([]byte, 1000)) == nil {
		}
		if _, ok := m.Next(); !ok {
			t.Fatal("no message")
		}
		m.Begin()
		if !p.SelfBlocked() {
			t.Errorf("access %v: not blocked by itself before", access)
		}
		cut(t, r, nameCursors, 0)
		if p.SelfBlocked() {
			t.Errorf("access %v: blocked by itself", access)
		}
	}
}
