package shmring

import (
	"errors"
	"sync"
	"testing"
)

// leaveBehind has a member of a group close with the message in its hands.
func leaveBehind(t *testing.T, r *Ring, p *Producer, group, message string) {
	t.Helper()
	m := newMember(t, r, group, GroupPolicy{}, MemberOptions{})
	publish(t, p, "%s", message)
	wantTakes(t, m, 1, message)
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
}

// lost returns the groups of the ledger's entries.
func lost(t *testing.T, r *Ring) (groups []string) {
	t.Helper()
	all, _, err := r.Losses()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range all {
		groups = append(groups, l.Name)
	}
	return groups
}

// What an ephemeral group left behind waits for who joins it again, until another group needs its place.
func TestAGroupThatNobodyWorksForMakesWay(t *testing.T) {
	r := newHeapRing(t, Options{Capacity: 64 << 10, Groups: 2})
	p := newProducer(t, r)
	if err := r.MakeGroup("d", GroupPolicy{Durable: true}); err != nil {
		t.Fatal(err)
	}
	leaveBehind(t, r, p, "d", "0")
	leaveBehind(t, r, p, "a", "1")
	again := newMember(t, r, "a", GroupPolicy{}, MemberOptions{})
	if _, err := r.GrantMember("b", GroupPolicy{}); !errors.Is(err, ErrLimit) {
		t.Fatalf("in the place of a group with a member: %v", err)
	}
	wantTakes(t, again, 1, "1")
	again.Close()
	granted, err := r.GrantMember("a", GroupPolicy{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.GrantMember("b", GroupPolicy{}); !errors.Is(err, ErrLimit) {
		t.Fatalf("in the place of a group that somebody is about to join: %v", err)
	}
	granted.Close()
	if got := lost(t, r); len(got) != 0 {
		t.Fatalf("lost by %q, and nobody had needed the place", got)
	}
	b := newMember(t, r, "b", GroupPolicy{}, MemberOptions{})
	if got := lost(t, r); len(got) != 1 || got[0] != "a" {
		t.Errorf("lost by %q", got)
	}
	if used := len(consumersOf(t, r)); used != 2 {
		t.Errorf("%d slots in use, want b's and what d left behind", used)
	}
	publish(t, p, "2")
	wantTakes(t, b, 9, "2")
	d := newMember(t, r, "d", GroupPolicy{}, MemberOptions{})
	wantTakes(t, d, 9, "0", "1", "2") // a durable group makes way for nobody
}

func consumersOf(t *testing.T, r *Ring) []ConsumerInfo {
	t.Helper()
	info, err := r.Inspect()
	if err != nil {
		t.Fatal(err)
	}
	return info.Consumers
}

func TestTheOneGateIsFreeOnceNobodyWorksForItsGroup(t *testing.T) {
	for _, k := range []Kind{SPSC, MPSC} {
		for name, take := range map[string]func(t *testing.T, r *Ring){
			"a reader": func(t *testing.T, r *Ring) { newReader(t, r, Policy{Slow: Block}, Newest()) },
			"a member": func(t *testing.T, r *Ring) { newMember(t, r, "b", GroupPolicy{}, MemberOptions{}) },
			"a durable group": func(t *testing.T, r *Ring) {
				if err := r.MakeGroup("c", GroupPolicy{Durable: true}); err != nil {
					t.Fatal(err)
				}
			},
		} {
			t.Run(k.String()+"/"+name, func(t *testing.T) {
				r := newFileRing(t, Options{Kind: k, Capacity: 64 << 10, Groups: 3})
				p := newProducer(t, r)
				leaveBehind(t, r, p, "a", "1")
				take(t, r)
				if got := lost(t, r); len(got) != 1 || got[0] != "a" {
					t.Errorf("lost by %q", got)
				}
			})
		}
	}
}

// Who joins the group that left something behind, and who needs its place, come at once: one gets the message, or the ledger has it.
func TestAJoinerComesWhileItsGroupMakesWay(t *testing.T) {
	r := newFileRing(t, Options{Capacity: 64 << 10, Groups: 1})
	p := newProducer(t, r)
	got, gone := 0, 0
	for i := range 200 {
		leaveBehind(t, r, p, "a", "x")
		before := len(lost(t, r))
		var both sync.WaitGroup
		took := 0
		for _, name := range []string{"a", "b"} {
			both.Go(func() {
				g, err := r.GrantMember(name, GroupPolicy{})
				if errors.Is(err, ErrLimit) {
					return
				}
				var m *Member
				if err == nil {
					m, err = r.Member(g, MemberOptions{})
				}
				if err != nil {
					t.Error(err)
					return
				}
				if name == "a" {
					for range 2 {
						if _, ok := m.Next(); ok {
							took++
						}
					}
				}
				m.Release()
				m.Close()
			})
		}
		both.Wait()
		n := len(lost(t, r)) - before
		if took+n != 1 {
			t.Fatalf("run %d: taken %d times, lost %d times", i, took, n)
		}
		got, gone = got+took, gone+n
	}
	t.Logf("%d taken, %d lost", got, gone)
}
