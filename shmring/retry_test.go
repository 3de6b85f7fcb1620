package shmring

import (
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"
)

// A message that was passed over comes once more, to its group alone, and counts from the beginning.
func TestAParkedMessageIsRedelivered(t *testing.T) {
	kindsTimesMemory(t, func(t *testing.T, r *Ring) {
		p := newProducer(t, r)
		policy := GroupPolicy{MaxDeliver: 2}
		m := newMember(t, r, "g", policy, MemberOptions{})
		poison := r.mustTail(t)
		publish(t, p, "poison")
		publish(t, p, "good")
		for range 2 {
			wantTakes(t, m, 1, "poison")
			m.Unread()
		}
		wantTakes(t, m, 9, "good") // and parks the other
		for number := uint64(1); number <= 2; number++ {
			again := newMember(t, r, "g", policy, MemberOptions{})
			if err := again.Redeliver(poison); err != nil {
				t.Fatal(err)
			}
			if g := groupNamed(t, r, "g"); g.Orphans != 1 || g.Gate != poison {
				t.Errorf("%+v, want an orphan that gates at %d", g, poison)
			}
			if found, err := r.Unpark(number); !found || err != nil {
				t.Errorf("unpark %d: %v, %v", number, found, err)
			}
			if found, err := r.Unpark(number); found || err != nil {
				t.Errorf("unpark %d again: %v, %v", number, found, err)
			}
			publish(t, p, "next")
			wantTakes(t, m, 1, "poison")
			if m.Delivery() != 1 || !m.Redelivered() {
				t.Errorf("delivery %d, redelivered %v, want the first, once more", m.Delivery(), m.Redelivered())
			}
			if number == 1 { // it fails again, as often as the first time
				m.Unread()
				wantTakes(t, m, 1, "poison")
				m.Unread()
			}
			wantTakes(t, m, 9, "next")
		}
		if parked, total, err := r.Parked(); err != nil || total != 2 || len(parked) != 0 {
			t.Errorf("parked %+v, %d, %v", parked, total, err)
		}
		if g := groupNamed(t, r, "g"); g.Orphans != 0 || g.LagBytes != 0 || g.Unacknowledged != 0 {
			t.Errorf("%+v", g)
		}
	})
}

// A parked message names its group in full, so that it comes back to that one and not to another whose name begins alike.
func TestAParkedMessageNamesItsGroupInFull(t *testing.T) {
	r := newHeapRing(t, Options{Capacity: 64 << 10, Groups: 3})
	p := newProducer(t, r)
	names := []string{strings.Repeat("g", 24), strings.Repeat("g", 24) + "-other", strings.Repeat("g", 32)}
	for i, name := range names {
		m := newMember(t, r, name, GroupPolicy{MaxDeliver: 1}, MemberOptions{})
		for range i + 1 {
			publish(t, p, "poison")
			wantTakes(t, m, 1, "poison")
			m.Unread()
			wantTakes(t, m, 1) // parked
		}
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
	}
	parked, _, err := r.Parked()
	if err != nil {
		t.Fatal(err)
	}
	of := map[string]int{}
	for _, p := range parked {
		of[p.GroupName]++
	}
	for i, name := range names {
		if g := groupNamed(t, r, name); of[name] != i+1 || g.Parked != i+1 {
			t.Errorf("group %s has %d in the list and shows %d, want %d: %v", name, of[name], g.Parked, i+1, of)
		}
	}
}

func TestWhatCannotBeRedelivered(t *testing.T) {
	r := newHeapRing(t, Options{Capacity: 64 << 10, Groups: 2})
	p := newProducer(t, r)
	message := strings.Repeat("x", 1000)
	first := r.mustTail(t)
	m := newMember(t, r, "g", GroupPolicy{Credit: 32 << 10}, MemberOptions{})
	for range 200 {
		publish(t, p, "%s", message)
		wantTakes(t, m, 1, message)
	}
	m.Release()
	tail := r.mustTail(t)
	pad := tail
	c, err := p.Claim(100)
	if err == nil {
		clear(c.Bytes())
		err = c.Commit(10) // its rest is a PAD
	}
	if err != nil {
		t.Fatal(err)
	}
	wantTakes(t, m, 1, string(make([]byte, 10)))
	m.Release()
	pad += align16(frameHeaderSize + 10)
	publish(t, p, "ahead")
	for name, pos := range map[string]uint64{
		"overwritten": first, "not a multiple of 16": tail - 8, "within a message": tail - 512, "a PAD": pad,
		"ahead of the group": r.mustTail(t) - 32, "beyond the tail": r.mustTail(t) + 64, "far ahead": tail + 1<<40,
	} {
		again := newMember(t, r, "g", GroupPolicy{}, MemberOptions{})
		if err := again.Redeliver(pos); !errors.Is(err, ErrPosition) {
			t.Errorf("%s, %d: %v, want %v", name, pos, err, ErrPosition)
		}
		if err := again.Redeliver(tail - 1024); !errors.Is(err, ErrClosed) {
			t.Errorf("a closed member: %v", err)
		}
	}
	if g := groupNamed(t, r, "g"); g.Members != 1 || g.Orphans != 0 {
		t.Errorf("attempts in vain left %+v", g)
	}
	holds := newMember(t, r, "g", GroupPolicy{}, MemberOptions{})
	wantTakes(t, holds, 1, "ahead")
	if err := holds.Redeliver(tail - 1024); !errors.Is(err, ErrInUse) {
		t.Errorf("a member that holds a message: %v", err)
	}
	wantTakes(t, m, 9, "ahead") // it gave back what it held
}

// Who dies before the message is the group's leaves nothing, who dies after it leaves it to the others.
func TestADeathAmidARedelivery(t *testing.T) {
	r := newFileRing(t, Options{Capacity: 64 << 10, Groups: 1})
	p := newProducer(t, r)
	m := newMember(t, r, "g", GroupPolicy{}, MemberOptions{})
	at := r.mustTail(t)
	publish(t, p, "x")
	wantTakes(t, m, 9, "x")
	m.Release()

	early := newMember(t, r, "g", GroupPolicy{}, MemberOptions{})
	won := early.held.won.Load()
	early.held.won.Store(pack(unpack(won, at), 0))
	early.held.end.Store(at + 32)
	early.held.from.Store(pack(at, 0))
	if g := groupNamed(t, r, "g"); g.Gate != at {
		t.Errorf("%+v: it does not gate at %d before it is owned", g, at)
	}
	early.dies()
	mustRepair(t, r)
	if g := groupNamed(t, r, "g"); g.Orphans != 0 || g.Members != 1 {
		t.Errorf("%+v, want nothing left behind", g)
	}

	late := newMember(t, r, "g", GroupPolicy{}, MemberOptions{})
	if err := late.redeliver(at); err != nil {
		t.Fatal(err)
	}
	late.dies()
	mustRepair(t, r)
	wantTakes(t, m, 9, "x")
}

// Messages are redelivered from all over the ring while it is written at full speed: what comes again is the whole message, or it was
// refused.
func TestRedeliveriesUnderLoad(t *testing.T) {
	r := newFileRing(t, Options{Kind: MPMC, Capacity: 64 << 10, Groups: 1})
	stop, done := make(chan struct{}), make(chan struct{})
	p := newProducer(t, r)
	go func() {
		defer close(done)
		message := make([]byte, 200)
		for n := uint64(1); ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			binary.LittleEndian.PutUint64(message, n)
			binary.LittleEndian.PutUint64(message[192:], n)
			for p.Publish(message) != nil {
				Pause(1)
			}
		}
	}()
	m := newMember(t, r, "g", GroupPolicy{Credit: 16 << 10}, MemberOptions{})
	type seen struct{ pos, n uint64 }
	var last []seen
	took := func() (seen, bool) {
		f, ok := m.Next()
		if !ok {
			if m.Err() != nil {
				t.Fatal(m.Err())
			}
			return seen{}, false
		}
		n := binary.LittleEndian.Uint64(f.Payload)
		if binary.LittleEndian.Uint64(f.Payload[192:]) != n {
			t.Fatalf("half a message at %d", f.Position)
		}
		return seen{f.Position, n}, true
	}
	again, refused := 0, 0
	for i := 0; again < 100 || refused < 20; i++ {
		for range 20 {
			if s, ok := took(); ok {
				last = append(last, s)
			}
		}
		if len(last) < 300 {
			continue
		}
		last = last[len(last)-300:] // 300 messages are 64 KiB and more
		want := last[i*37%300]
		m.Release()
		d := newMember(t, r, "g", GroupPolicy{}, MemberOptions{})
		if err := d.Redeliver(want.pos); errors.Is(err, ErrPosition) {
			refused++
			continue
		} else if err != nil {
			t.Fatal(err)
		}
		if s, ok := took(); !ok || s != want {
			t.Fatalf("redelivered %+v, %v, want %+v", s, ok, want)
		}
		again++
	}
	close(stop)
	for open := true; open; {
		select {
		case <-done:
			open = false
		default:
			took()
		}
	}
	if _, err := r.Verify(); err != nil {
		t.Error(err)
	}
}

func TestEntriesAreTakenOffTheList(t *testing.T) {
	r := newFileRing(t, Options{Capacity: 64 << 10, Groups: 1})
	for i := range uint64(parkedEntries + 3) {
		r.parked().append(listEntry{0, i})
	}
	for number, there := range map[uint64]bool{0: false, 1: false, 3: false, 4: true, parkedEntries + 3: true, parkedEntries + 4: false, 1 << 60: false} {
		if found, err := r.Unpark(number); found != there || err != nil {
			t.Errorf("unpark %d: %v, %v, want %v", number, found, err, there)
		}
	}
	parked, total, err := r.Parked()
	if err != nil || total != parkedEntries+3 || len(parked) != parkedEntries-2 || slices.ContainsFunc(parked, func(p Parked) bool { return p.Number == 4 }) {
		t.Errorf("%d listed of %d, %v", len(parked), total, err)
	}
	r.parked().append(listEntry{0, 99})
	if parked, _, err := r.Parked(); err != nil || parked[len(parked)-1].Position != 99 {
		t.Errorf("a later entry is not there: %v", err)
	}
}
