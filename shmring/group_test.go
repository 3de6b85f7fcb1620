package shmring

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func newMember(t testing.TB, r *Ring, group string, p GroupPolicy, o MemberOptions) *Member {
	t.Helper()
	return newMemberOn(t, r, r, group, p, o)
}

// newMemberOn grants a slot of r to a member that looks through another mapping of it.
func newMemberOn(t testing.TB, r, mapping *Ring, group string, p GroupPolicy, o MemberOptions) *Member {
	t.Helper()
	g, err := r.GrantMember(group, p)
	if err != nil {
		t.Fatal(err)
	}
	m, err := mapping.Member(g, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// dies lets the member's lock fall, as at its process's death.
func (m *Member) dies() {
	m.cleanup.Stop()
	m.lease.abandon()
}

// takes returns the payloads that the member can have now, at most n.
func takes(t testing.TB, m *Member, n int) (got []string) {
	t.Helper()
	for len(got) < n {
		f, ok := m.Next()
		if !ok {
			if err := m.Err(); err != nil {
				t.Fatal(err)
			}
			return got
		}
		got = append(got, string(f.Payload))
	}
	return got
}

func wantTakes(t testing.TB, m *Member, n int, want ...string) {
	t.Helper()
	if got := takes(t, m, n); !slices.Equal(got, want) {
		t.Fatalf("took %q, want %q", got, want)
	}
}

func groupNamed(t testing.TB, r *Ring, name string) GroupInfo {
	t.Helper()
	all, err := r.Groups()
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range all {
		if g.Name == name {
			return g
		}
	}
	t.Fatalf("there is no group %q: %+v", name, all)
	return GroupInfo{}
}

func mustRepair(t testing.TB, r *Ring) []Mended {
	t.Helper()
	done, err := r.Repair(false)
	if err != nil {
		t.Fatal(err)
	}
	return done
}

// fillUp publishes messages of n bytes until there is no room, and returns how many.
func fillToGate(t testing.TB, p *Producer, n int) (count int) {
	t.Helper()
	b := make([]byte, n)
	for ; ; count++ {
		if err := p.Publish(b); errors.Is(err, ErrBackPressure) {
			return count
		} else if err != nil {
			t.Fatal(err)
		}
		if count == 1<<20 {
			t.Fatal("nothing holds the producer up")
		}
	}
}

func kindsTimesMemory(t *testing.T, f func(t *testing.T, r *Ring)) {
	for _, k := range []Kind{SPSC, SPMC, MPSC, MPMC} {
		o := Options{Kind: k, Capacity: 64 << 10, Producers: 4, Consumers: 16, Groups: 4}
		if k.singleProducer() {
			o.Producers = 1
		}
		t.Run(k.String()+"/heap", func(t *testing.T) { f(t, newHeapRing(t, o)) })
		t.Run(k.String()+"/files", func(t *testing.T) { f(t, newFileRing(t, o)) })
	}
}

func TestEachMessageGoesToOneMember(t *testing.T) {
	kindsTimesMemory(t, func(t *testing.T, r *Ring) {
		p := newProducer(t, r)
		a := newMemberOn(t, r, again(t, r, Consume), "g", GroupPolicy{}, MemberOptions{})
		b := newMemberOn(t, r, again(t, r, Consume), "g", GroupPolicy{}, MemberOptions{})
		for i := range 5 {
			publish(t, p, "%d", i)
		}
		wantTakes(t, a, 1, "0")
		wantTakes(t, b, 2, "1", "2")
		wantTakes(t, a, 9, "3", "4")
		wantTakes(t, b, 9)
		if g := groupNamed(t, r, "g"); g.LagBytes != 0 || g.Unacknowledged != 0 || g.Members != 2 || g.State != "active" || g.Messages != 5 {
			t.Errorf("%+v", g)
		}
	})
}

func TestABatchIsAcknowledgedTogether(t *testing.T) {
	r := newHeapRing(t, Options{Capacity: 64 << 10, Groups: 2})
	p, m := newProducer(t, r), newMember(t, r, "g", GroupPolicy{}, MemberOptions{Batch: 3})
	var at []uint64
	for i := range 5 {
		at = append(at, r.mustTail(t))
		publish(t, p, "%d", i)
	}
	gate := func(want uint64) {
		t.Helper()
		if g := groupNamed(t, r, "g"); g.Gate != want {
			t.Fatalf("the group gates at %d, want %d of %d", g.Gate, want, at)
		}
	}
	wantTakes(t, m, 3, "0", "1", "2")
	gate(at[0])
	m.Unread()
	m.Release()
	gate(at[2])
	if got := takes(t, m, 1); !slices.Equal(got, []string{"2"}) || m.Delivery() != 2 || !m.Redelivered() {
		t.Fatalf("again: %q, delivery %d", got, m.Delivery())
	}
	wantTakes(t, m, 9, "3", "4")
	if m.Delivery() != 0 {
		t.Errorf("nothing is lent, delivery %d", m.Delivery())
	}
	gate(r.mustTail(t))
}

func (r *Ring) mustTail(t testing.TB) uint64 {
	t.Helper()
	tail, err := r.Tail()
	if err != nil {
		t.Fatal(err)
	}
	return tail
}

func TestAGroupGates(t *testing.T) {
	kindsTimesMemory(t, func(t *testing.T, r *Ring) {
		p := newProducer(t, r)
		a := newMember(t, r, "g", GroupPolicy{}, MemberOptions{})
		b := newMember(t, r, "g", GroupPolicy{}, MemberOptions{})
		publish(t, p, "first")
		wantTakes(t, a, 1, "first")
		n := fillToGate(t, p, 1000)
		for range n {
			if len(takes(t, b, 1)) != 1 {
				t.Fatal("a message is missing")
			}
		}
		b.Release()
		if err := p.Publish(make([]byte, 1000)); !errors.Is(err, ErrBackPressure) {
			t.Fatalf("a message that nobody acknowledged does not gate: %v", err)
		}
		if h := p.Holder(); h.What != "group" || h.At != a.Position() {
			t.Errorf("held by %+v, want the group at %d", h, a.Position())
		}
		a.Release()
		if fillToGate(t, p, 1000) == 0 {
			t.Error("acknowledging gave no room")
		}
	})
}

func TestPadsGateNobody(t *testing.T) {
	r := newHeapRing(t, Options{Kind: MPMC, Capacity: 64 << 10, Groups: 2})
	p, m := newProducer(t, r), newMember(t, r, "g", GroupPolicy{}, MemberOptions{Batch: 100})
	for range 100 {
		c, err := p.Claim(1000)
		if err != nil {
			t.Fatal(err)
		}
		c.Abort()
		wantTakes(t, m, 1)
	}
	publish(t, p, "x")
	wantTakes(t, m, 2, "x")
	if g := groupNamed(t, r, "g"); g.LagBytes != 0 {
		t.Errorf("%+v", g)
	}
}

func TestGroupsDoNotTakeFromEachOther(t *testing.T) {
	r := newHeapRing(t, Options{Capacity: 64 << 10, Groups: 3, Routing: routingQueue})
	p := newProducer(t, r)
	a := newMember(t, r, "a", GroupPolicy{}, MemberOptions{})
	b := newMember(t, r, "b", GroupPolicy{}, MemberOptions{})
	d := newMember(t, r, DefaultGroup, GroupPolicy{}, MemberOptions{})
	rd := newReader(t, r, Policy{Slow: Block}, Newest())
	publish(t, p, "x")
	for _, m := range []*Member{a, b, d} {
		wantTakes(t, m, 9, "x")
	}
	if got := readAll(t, rd); len(got) != 1 {
		t.Errorf("the reader got %q", got)
	}
	if _, err := r.GrantMember("c", GroupPolicy{}); !errors.Is(err, ErrLimit) {
		t.Errorf("a fourth group of three: %v", err)
	}
	a.Close()
	newMember(t, r, "c", GroupPolicy{}, MemberOptions{}) // takes the place of a, which is ephemeral and has no members
	if _, err := r.GrantMember("a", GroupPolicy{}); !errors.Is(err, ErrLimit) {
		t.Errorf("a group in the place of a granted one: %v", err)
	}
}

func TestAGrantedSlotKeepsItsGroup(t *testing.T) {
	r := newHeapRing(t, Options{Capacity: 64 << 10, Groups: 1})
	g, err := r.GrantMember("a", GroupPolicy{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.GrantMember("b", GroupPolicy{}); !errors.Is(err, ErrLimit) {
		t.Errorf("the group was given away under a grant: %v", err)
	}
	g.Close() // its holder died before it joined
	newMember(t, r, "b", GroupPolicy{}, MemberOptions{})
}

func TestDurableGroupsKeep(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(t *testing.T, r *Ring) string
	}{
		{"the default group of a queue topic", func(t *testing.T, r *Ring) string { return DefaultGroup }},
		{"one that was made", func(t *testing.T, r *Ring) string {
			if err := r.MakeGroup("d", GroupPolicy{Durable: true}); err != nil {
				t.Fatal(err)
			}
			return "d"
		}},
		{"one whose members closed", func(t *testing.T, r *Ring) string {
			newMember(t, r, "d", GroupPolicy{Durable: true}, MemberOptions{}).Close()
			return "d"
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newHeapRing(t, Options{Capacity: 64 << 10, Groups: 2, Routing: routingQueue})
			name := c.make(t, r)
			p := newProducer(t, r)
			publish(t, p, "kept")
			m := newMember(t, r, name, GroupPolicy{}, MemberOptions{})
			wantTakes(t, m, 9, "kept")
			m.Close()

			// Beyond keep producers go on, and what falls out is recorded.
			from := r.mustTail(t)
			for range 200 {
				publish(t, p, "%s", strings.Repeat("x", 1000))
			}
			if g := groupNamed(t, r, name); g.State != "dropped" {
				t.Errorf("%+v", g)
			}
			m = newMember(t, r, name, GroupPolicy{}, MemberOptions{Batch: 7})
			at := m.Position()
			losses, total, err := r.Losses()
			if err != nil || total != 1 || losses[0].From != from || losses[0].To != at || losses[0].Name != name || losses[0].Slot != -1 {
				t.Fatalf("losses %+v, %v; want %d to %d", losses, err, from, at)
			}
			if len(takes(t, m, 1000)) < 30 {
				t.Error("the joiner got less than the ring holds")
			}
			if g := groupNamed(t, r, name); g.State != "active" || g.LagBytes != 0 || g.LostBytes != at-from {
				t.Errorf("%+v", g)
			}
			if fillToGate(t, p, 1000) == 0 {
				t.Error("no room")
			}
		})
	}
}

func TestAnEphemeralGroupGatesWithMembersOrOrphans(t *testing.T) {
	r := newHeapRing(t, Options{Capacity: 64 << 10, Groups: 1})
	p := newProducer(t, r)
	lap := func() {
		t.Helper()
		for range 200 {
			publish(t, p, "%s", strings.Repeat("x", 1000))
		}
	}
	m := newMember(t, r, "e", GroupPolicy{}, MemberOptions{})
	publish(t, p, "0")
	wantTakes(t, m, 1, "0")
	m.Close() // with 0 in its hands
	for range 30 {
		publish(t, p, "%s", strings.Repeat("x", 1000))
	}
	m = newMember(t, r, "e", GroupPolicy{}, MemberOptions{})
	wantTakes(t, m, 1, "0") // the orphan gated
	m.Close()
	lap() // an orphan gates up to keep
	m = newMember(t, r, "e", GroupPolicy{}, MemberOptions{})
	wantTakes(t, m, 1)
	losses, _, err := r.Losses()
	if err != nil || len(losses) != 1 || losses[0].Slot < 0 || losses[0].Bytes() != 32 {
		t.Fatalf("the orphan's loss: %+v, %v", losses, err)
	}
	m.Close()
	lap() // nothing in its hands: nothing gates, nothing is lost
	m = newMember(t, r, "e", GroupPolicy{}, MemberOptions{From: Oldest()})
	if len(takes(t, m, 1000)) < 30 {
		t.Error("oldest began late")
	}
	if _, total, _ := r.Losses(); total != 1 {
		t.Errorf("%d losses", total)
	}
}

func TestOneGateMeansOneGroupOrOneReader(t *testing.T) {
	for _, k := range []Kind{SPSC, MPSC} {
		t.Run(k.String(), func(t *testing.T) {
			r := newFileRing(t, Options{Kind: k, Capacity: 64 << 10, Groups: 4})
			rd := newReader(t, r, Policy{Slow: Block}, Newest())
			refused := func(group string, p GroupPolicy) {
				t.Helper()
				if _, err := r.GrantMember(group, p); !errors.Is(err, ErrInUse) {
					t.Fatalf("a second gate: %v", err)
				}
				if err := r.MakeGroup(group, GroupPolicy{Durable: true}); !errors.Is(err, ErrInUse) {
					t.Fatalf("a second gate: %v", err)
				}
			}
			refused("a", GroupPolicy{})
			refused("d", GroupPolicy{Durable: true})
			rd.Close()
			a, b := newMember(t, r, "a", GroupPolicy{}, MemberOptions{}), newMember(t, r, "a", GroupPolicy{}, MemberOptions{})
			refused("b", GroupPolicy{})
			if _, err := r.GrantConsumer(Policy{Slow: Block}); !errors.Is(err, ErrInUse) {
				t.Fatalf("a reader beside a group: %v", err)
			}
			newReader(t, r, Policy{Slow: Lossy}, Newest())
			a.Close()
			refused("b", GroupPolicy{})
			b.Close()
			newReader(t, r, Policy{Slow: Block}, Newest())
		})
	}
}

func TestAGroupsLockNamesItsHolder(t *testing.T) {
	r := newHeapRing(t, Options{Capacity: 64 << 10, Groups: 1})
	newMember(t, r, "g", GroupPolicy{}, MemberOptions{})
	holder, err := r.GrantMember("g", GroupPolicy{})
	if err != nil {
		t.Fatal(err)
	}
	g, err := r.GrantMember("g", GroupPolicy{})
	if err != nil {
		t.Fatal(err)
	}
	err = r.underGroupLock(0, holder, func() error {
		_, err := r.Member(g, MemberOptions{})
		return err
	})
	if !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), "consumer 1") {
		t.Errorf("got %v", err)
	}
	holder.Close()
}

func TestGroupPoliciesAreChecked(t *testing.T) {
	r := newHeapRing(t, Options{Capacity: 64 << 10, Groups: 1})
	for _, p := range []GroupPolicy{{Credit: 17}, {Credit: 128 << 10}, {Keep: 8}, {Keep: 128 << 10}, {MaxDeliver: -1}, {MaxDeliver: 1001}} {
		if _, err := r.GrantMember("g", p); err == nil {
			t.Errorf("%+v was taken", p)
		}
		if err := r.MakeGroup("g", p); err == nil {
			t.Errorf("%+v was taken", p)
		}
	}
	for _, name := range []string{"", strings.Repeat("n", 33), "a\xff", "a\x00b"} {
		if _, err := r.GrantMember(name, GroupPolicy{}); err == nil {
			t.Errorf("the name %q was taken", name)
		}
	}
	if err := r.MakeGroup("g", GroupPolicy{Keep: 1600, MaxDeliver: 7}); err != nil {
		t.Fatal(err)
	}
	if err := r.MakeGroup("g", GroupPolicy{Keep: 3200, MaxDeliver: 8}); err != nil {
		t.Fatal(err)
	}
	if p := groupNamed(t, r, "g").Policy; p.Keep != 3200 || p.MaxDeliver != 8 || p.Durable {
		t.Errorf("%+v", p)
	}
	lossy := newReader(t, r, Policy{Slow: Lossy}, Newest())
	lossy.Close()
	g, err := r.GrantConsumer(Policy{Slow: Block})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Member(g, MemberOptions{}); !errors.Is(err, ErrPermission) {
		t.Errorf("a reader's slot made a member: %v", err)
	}
}

func TestPositionsIn54Bits(t *testing.T) {
	for _, near := range []uint64{0, 64 << 10, 1<<58 - 16, 1 << 58, 1<<63 + 160, 1<<64 - 16} {
		for _, d := range []uint64{0, 16, 1 << 20, 1 << 56} {
			for _, pos := range []uint64{near + d, near - d} {
				if got := unpack(pack(pos, 1023), near); got != pos {
					t.Errorf("%#x near %#x comes back as %#x", pos, near, got)
				}
			}
		}
	}
	if packedTag(pack(1<<63, 517)) != 517 {
		t.Error("the tag is lost")
	}
}

func TestMembersDoNotAllocate(t *testing.T) {
	r := newHeapRing(t, Options{Capacity: 64 << 10, Groups: 1})
	p, m := newProducer(t, r), newMember(t, r, "g", GroupPolicy{}, MemberOptions{})
	b := make([]byte, 100)
	if n := testing.AllocsPerRun(2000, func() {
		if p.Publish(b) != nil {
			t.Fatal("no room")
		}
		if _, ok := m.Next(); !ok {
			t.Fatal("no message")
		}
	}); n != 0 {
		t.Errorf("%v allocations a message", n)
	}
}

func TestATopicThatIsDeletedEndsItsMembers(t *testing.T) {
	r := newHeapRing(t, Options{Capacity: 64 << 10, Groups: 1})
	p, m := newProducer(t, r), newMember(t, r, "g", GroupPolicy{}, MemberOptions{})
	publish(t, p, "last")
	if err := r.MarkClosing(); err != nil {
		t.Fatal(err)
	}
	wantTakes(t, m, 1, "last")
	if _, ok := m.Next(); ok || !errors.Is(m.Err(), ErrClosed) {
		t.Errorf("got %v", m.Err())
	}
}

func TestAFrameThatCannotBeEndsItsMembers(t *testing.T) {
	r := newHeapRing(t, Options{Capacity: 64 << 10, Groups: 1})
	p, m := newProducer(t, r), newMember(t, r, "g", GroupPolicy{}, MemberOptions{})
	at := r.mustTail(t)
	publish(t, p, "broken")
	good := r.data.Word(at + 8).Load()
	r.data.Word(at + 8).Store(frameWord(1<<30, 0, kindData))
	if _, ok := m.Next(); ok || !errors.Is(m.Err(), ErrCorrupt) {
		t.Errorf("got %v", m.Err())
	}
	r.data.Word(at + 8).Store(good) // for the look at the test's end
}
