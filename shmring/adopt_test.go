package shmring

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// What members leave behind: adopted, parked, cut.

func TestADeadMembersRangeIsAdopted(t *testing.T) {
	kindsTimesMemory(t, func(t *testing.T, r *Ring) {
		p := newProducer(t, r)
		a := newMember(t, r, "g", GroupPolicy{}, MemberOptions{Batch: 3})
		b := newMember(t, r, "g", GroupPolicy{}, MemberOptions{})
		for i := range 5 {
			publish(t, p, "%d", i)
		}
		wantTakes(t, a, 2, "0", "1")
		a.Release() // 0 and 1 are done, 2 is not
		a.dies()
		wantTakes(t, b, 1, "3")
		if done := mustRepair(t, r); len(done) != 1 || !strings.Contains(done[0].What, `group "g" died with the messages`) {
			t.Fatalf("repaired %+v", done)
		}
		if g := groupNamed(t, r, "g"); g.Members != 1 || g.Orphans != 1 || g.Unacknowledged == 0 {
			t.Errorf("%+v", g)
		}
		wantTakes(t, b, 1, "2")
		if !b.Redelivered() || b.Delivery() != 1 { // a had taken it, and never looked at it
			t.Errorf("redelivered %v, delivery %d", b.Redelivered(), b.Delivery())
		}
		wantTakes(t, b, 9, "4")
		if g := groupNamed(t, r, "g"); g.Members != 1 || g.Orphans != 0 || g.LagBytes != 0 {
			t.Errorf("%+v", g)
		}
		if done := mustRepair(t, r); len(done) != 0 {
			t.Errorf("repaired again: %+v", done)
		}
	})
}

func TestWhatAMemberClosesWithIsAdopted(t *testing.T) {
	r := newHeapRing(t, Options{Capacity: 64 << 10, Groups: 2})
	p := newProducer(t, r)
	var members []*Member
	for range 4 {
		members = append(members, newMember(t, r, "g", GroupPolicy{}, MemberOptions{Batch: 2}))
	}
	publish(t, p, "0")
	publish(t, p, "1")
	wantTakes(t, members[0], 1, "0")
	// From hand to hand: given back while it is lent, each time; then a death while adopted; then processed.
	for i, m := range members[1:] {
		if i == 1 {
			members[i].dies()
			mustRepair(t, r)
		} else {
			members[i].Close()
		}
		wantTakes(t, m, 1, "0")
		if m.Delivery() != i+2 || !m.Redelivered() {
			t.Errorf("delivery %d, want %d", m.Delivery(), i+2)
		}
	}
	last := members[3]
	wantTakes(t, last, 9, "1")
	last.Close()
	last.Close()
	if g := groupNamed(t, r, "g"); g.Members+g.Orphans != 0 || g.LagBytes != 0 {
		t.Errorf("%+v", g)
	}
	if _, ok := last.Next(); ok || !errors.Is(last.Err(), ErrClosed) {
		t.Errorf("a closed member goes on: %v", last.Err())
	}
}

func TestMaxDeliverParks(t *testing.T) {
	r := newHeapRing(t, Options{Capacity: 64 << 10, Groups: 2})
	p := newProducer(t, r)
	var published []string
	refuse := errors.New("no dead-letter topic")
	onPark := func(f Frame, deliveries int) error {
		if refuse != nil {
			return refuse
		}
		published = append(published, fmt.Sprintf("%s after %d", f.Payload, deliveries))
		return nil
	}
	m := newMember(t, r, "g", GroupPolicy{MaxDeliver: 3}, MemberOptions{Batch: 2, OnPark: onPark})
	poison := r.mustTail(t)
	publish(t, p, "poison")
	publish(t, p, "good")
	wantTakes(t, m, 1, "poison")
	m.Close() // the first delivery
	m = newMember(t, r, "g", GroupPolicy{}, MemberOptions{OnPark: onPark})
	for range 2 {
		wantTakes(t, m, 1, "poison")
		m.Unread()
	}
	if _, ok := m.Next(); ok || m.Err() != refuse {
		t.Fatalf("parked, though nobody wants it: %v", m.Err())
	}
	refuse = nil
	wantTakes(t, m, 9, "good")
	if !slices.Equal(published, []string{"poison after 3"}) {
		t.Errorf("published %q", published)
	}
	parked, total, err := r.Parked()
	if err != nil || total != 1 || len(parked) != 1 {
		t.Fatalf("%+v, %d, %v", parked, total, err)
	}
	if k := parked[0]; k.Number != 1 || k.GroupName != "g" || k.Position != poison || k.Bytes != len("poison") || k.Deliveries != 3 || k.At.IsZero() {
		t.Errorf("%+v", k)
	}
	if g := groupNamed(t, r, "g"); g.Parked != 1 || g.LagBytes != 0 {
		t.Errorf("%+v", g)
	}
}

func TestAnOrphanIsCutWhereItMayBeOverwritten(t *testing.T) {
	r := newHeapRing(t, Options{Capacity: 64 << 10, Groups: 1})
	p := newProducer(t, r)
	message := strings.Repeat("x", 1000) // 1 KiB with its header, eight in a segment
	a := newMember(t, r, "d", GroupPolicy{Durable: true, Keep: 16}, MemberOptions{})
	b := newMember(t, r, "d", GroupPolicy{}, MemberOptions{Batch: 4})
	for range 10 {
		publish(t, p, "%s", message)
	}
	takes(t, a, 2)
	a.Close() // 0 is done; 1 is an orphan
	b.orphansSeen = b.orphans.Load()
	takes(t, b, 5) // 2 to 5 are done; 6 to 9 are in its hands
	b.Unread()
	b.dies()
	mustRepair(t, r)
	for range 50 {
		publish(t, p, "%s", message)
	}
	c := newMember(t, r, "d", GroupPolicy{}, MemberOptions{})
	base := r.capacity
	losses, _, err := r.Losses()
	if err != nil || len(losses) != 2 {
		t.Fatalf("losses %+v, %v", losses, err)
	}
	for i, want := range []Loss{{From: base + 1<<10, To: base + 2<<10}, {From: base + 6<<10, To: base + 8<<10}} {
		if l := losses[i]; l.From != want.From || l.To != want.To || l.Slot != i || l.Name != "d" {
			t.Errorf("lost %+v, want %+v", l, want)
		}
	}
	for want := base + 8<<10; want < base+60<<10; want += 1 << 10 {
		if f, ok := c.Next(); !ok || f.Position != want || c.Redelivered() != (want < base+10<<10) {
			t.Fatalf("took %d (%v, %v), want %d", f.Position, ok, c.Err(), want)
		}
	}
	wantTakes(t, c, 1)
}

// TestAMessageNobodyLookedAtIsNotParked has a member take a message only to see that it is there, and close.
func TestAMessageNobodyLookedAtIsNotParked(t *testing.T) {
	r := newHeapRing(t, Options{Capacity: 64 << 10, Groups: 1})
	policy := GroupPolicy{MaxDeliver: 1}
	p, a := newProducer(t, r), newMember(t, r, "g", policy, MemberOptions{})
	b := newMember(t, r, "g", policy, MemberOptions{})
	publish(t, p, "x")
	if _, ok := a.Next(); !ok {
		t.Fatal(a.Err())
	}
	a.Unseen()
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	wantTakes(t, b, 1, "x")
}
