package shmring

import (
	"fmt"
	"sync"
	"testing"
	"time"
)

func TestLossesAreKept(t *testing.T) {
	r := newHeapRing(t, Options{Capacity: 64 << 10})
	reader := Loss{Slot: 3, Gen: 7, Group: -1, Name: "a reader", From: 64 << 10, To: 72 << 10}
	group := Loss{Slot: -1, Gen: 1 << 31, Group: 255, Name: "a name of more than twenty-four bytes", From: 1, To: 1 << 60}
	r.recordLoss(reader)
	r.recordLoss(group)
	got, total, err := r.Losses()
	if err != nil || total != 2 || len(got) != 2 {
		t.Fatalf("Losses() = %v, %d, %v", got, total, err)
	}
	group.Name = group.Name[:lossNameSize]
	for i, want := range []Loss{reader, group} {
		if got[i].At.IsZero() {
			t.Errorf("loss %d has no time", i)
		}
		got[i].At = time.Time{}
		if got[i] != want {
			t.Errorf("loss %d is %+v, want %+v", i, got[i], want)
		}
	}
	if a, b := reader.ID(), group.ID(); a != "c3.7" || b != "g255.2147483648" || reader.Bytes() != 8<<10 {
		t.Errorf("ids %s, %s, %d bytes", a, b, reader.Bytes())
	}
}

func TestTheNewestLossesAreKept(t *testing.T) {
	r := newHeapRing(t, Options{Capacity: 64 << 10})
	for i := range uint64(lossEntries + 10) {
		r.recordLoss(Loss{From: i, To: i + 1})
	}
	got, total, err := r.Losses()
	if err != nil || total != lossEntries+10 || len(got) != lossEntries || got[0].From != 10 || got[lossEntries-1].From != lossEntries+9 {
		t.Fatalf("%d losses of %d, from %v on, error %v", len(got), total, got[0], err)
	}
}

// TestLossesAreWhole writes from several sides while it reads: what is read is never a mixture of two.
func TestLossesAreWhole(t *testing.T) {
	r := newHeapRing(t, Options{Capacity: 64 << 10})
	var writers sync.WaitGroup
	for n := range uint64(3) {
		writers.Go(func() {
			for i := range uint64(2000) {
				r.recordLoss(Loss{Slot: int(n), Group: -1, Gen: uint32(i), Name: fmt.Sprint(i), From: i, To: 2 * i})
			}
		})
	}
	done := make(chan struct{})
	go func() { writers.Wait(); close(done) }()
	for over := false; !over; {
		select {
		case <-done:
			over = true
		default:
		}
		all, _, err := r.Losses()
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range all {
			if l.To != 2*l.From || uint64(l.Gen) != l.From || l.Name != fmt.Sprint(l.From) {
				t.Fatalf("a mixture: %+v", l)
			}
		}
	}
}
