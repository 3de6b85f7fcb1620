package bus_test

import (
	"bytes"
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/bus/topic"
)

func TestInPlaceTellsWhatDidNotStayWhole(t *testing.T) {
	for _, mode := range []struct {
		name    string
		options []bus.SubscribeOption
	}{
		{"lossy", []bus.SubscribeOption{bus.Lossy()}},
		{"drop", []bus.SubscribeOption{bus.Slow(bus.Drop), bus.Patience(time.Nanosecond)}},
		{"evict", []bus.SubscribeOption{bus.Slow(bus.Evict), bus.Patience(time.Nanosecond)}},
	} {
		for _, way := range []string{"Poll", "Messages"} {
			t.Run(mode.name+"/"+way, func(t *testing.T) {
				c := newBus(t, topic.Config{Name: "t", Size: topic.MiB})
				pub := publisher(t, c, "t")
				sub := subscribe(t, c, "t", append(mode.options, bus.InPlace())...)
				first := bytes.Repeat([]byte("x"), 1000)
				if err := pub.Publish(first); err != nil {
					t.Fatal(err)
				}
				overwrite := func() { // the ring, once round and more
					done := make(chan error)
					go func() { // another goroutine: this one's own subscription is what it waits for
						for range 1200 {
							if err := pub.PublishWait(t.Context(), bytes.Repeat([]byte("y"), 1000)); err != nil {
								done <- err
								return
							}
						}
						done <- nil
					}()
					if err := <-done; err != nil {
						t.Error(err)
					}
				}
				calls := 0
				var at uint64
				look := func(m bus.Message) {
					if calls++; calls > 1 {
						return
					}
					at = m.Position()
					if !bytes.Equal(m.Bytes(), first) || !m.Intact() {
						t.Error("not whole from the beginning")
					}
					overwrite()
					if m.Intact() {
						t.Error("still intact after the ring went round")
					}
				}
				var err error
				n := 0
				if way == "Poll" {
					n, err = sub.Poll(1, func(m bus.Message) error { look(m); return nil })
				} else {
					for m, e := range sub.Messages(t.Context()) {
						if err = e; e != nil {
							break
						}
						look(m)
					}
				}
				if n != 0 || calls != 1 {
					t.Errorf("%d messages handled in %d calls", n, calls)
				}
				if mode.name == "evict" {
					wantIs(t, err, bus.ErrEvicted)
					return
				}
				lapped, ok := errors.AsType[*bus.LappedError](err)
				if !ok || lapped.From != at || lapped.Missed() == 0 {
					t.Fatalf("error %v, want a LappedError from %d on", err, at)
				}
				if stats, err := sub.Stats(); err != nil || stats.Messages != 0 || stats.MissedBytes != lapped.Missed() || stats.Laps != 1 {
					t.Errorf("%+v %v", stats, err)
				}
				if n, err := sub.Poll(1, func(m bus.Message) error {
					if m.Position() != lapped.To || !m.Intact() || m.Bytes()[0] != 'y' {
						t.Errorf("it goes on at %d, not at %d", m.Position(), lapped.To)
					}
					return nil
				}); n != 1 || err != nil {
					t.Errorf("%d %v after the gap", n, err)
				}
			})
		}
	}
}

// A callback that fails keeps its message, if there is one left to keep.
func TestInPlaceKeepsAMessage(t *testing.T) {
	c := newBus(t, topic.Config{Name: "t", Size: topic.MiB})
	pub, sub := publisher(t, c, "t"), subscribe(t, c, "t", bus.Lossy(), bus.InPlace())
	publish(t, pub, "a", "b")
	failed := errors.New("failed")
	if n, err := sub.Poll(9, func(m bus.Message) error { return failed }); n != 0 || err != failed {
		t.Errorf("%d %v", n, err)
	}
	if got := poll(t, sub); len(got) != 2 || got[0] != "a" {
		t.Errorf("%q, want a again", got)
	}
}

// Where nobody may overwrite what is lent, and for copies, Intact is true, also beside one who reads in place.
func TestIntactElsewhere(t *testing.T) {
	c := newBus(t, topic.Config{Name: "t", Size: topic.MiB})
	pub := publisher(t, c, "t")
	beside := subscribe(t, c, "t", bus.Lossy(), bus.InPlace())
	for name, options := range map[string][]bus.SubscribeOption{
		"block": nil, "block in place": {bus.InPlace()}, "lossy": {bus.Lossy()}, "group": {bus.Group("g")}, "group in place": {bus.Group("h"), bus.InPlace()},
	} {
		sub := subscribe(t, c, "t", options...)
		publish(t, pub, "a")
		n, err := sub.Poll(1, func(m bus.Message) error {
			if string(m.Bytes()) != "a" || !m.Intact() {
				t.Errorf("%s: %q, intact %v", name, m.Bytes(), m.Intact())
			}
			return nil
		})
		if n != 1 || err != nil {
			t.Errorf("%s: %d %v", name, n, err)
		}
		if err := sub.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := beside.Close(); err != nil {
		t.Error(err)
	}
	if (bus.Message{}).Intact() != true {
		t.Error("no message is not intact")
	}
}

// Beside publishers at full speed: a message that Intact vouches for is whole, and what is handled or missed adds up.
func TestInPlaceBesidePublishers(t *testing.T) {
	c := newBus(t, topic.Config{Name: "t", Size: topic.MiB})
	pub, sub := publisher(t, c, "t"), subscribe(t, c, "t", bus.Lossy(), bus.InPlace())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	var published atomic.Uint64 // bytes
	go func() {
		b := make([]byte, 4000)
		for i := 0; ctx.Err() == nil; i++ {
			for j := range b {
				b[j] = byte(i)
			}
			if err := pub.Publish(b[:1+i*7919%len(b)]); err != nil {
				done <- err
				return
			}
			published.Add(uint64(1 + i*7919%len(b)))
		}
		done <- nil
	}()
	next := sub.Position()
	handled, laps, looks := 0, 0, 0
	eventually(t, "messages and laps", func() bool {
		_, err := sub.Poll(100, func(m bus.Message) error {
			b := m.Bytes()
			if looks++; looks%100 == 0 { // they come round under it
				until := published.Load() + 2<<20
				eventually(t, "two rounds", func() bool { return published.Load() >= until })
			}
			whole := true
			for _, x := range b[1:] {
				whole = whole && x == b[0]
			}
			if !m.Intact() {
				return nil
			}
			if !whole {
				return errors.New("a torn message is vouched for")
			}
			if m.Position() < next {
				return errors.New("a message twice")
			}
			next = m.Position() + uint64(bus.FrameSize(len(b)))
			handled++
			return nil
		})
		if lapped, ok := errors.AsType[*bus.LappedError](err); ok {
			if lapped.From < next && handled > 0 || lapped.To <= lapped.From {
				t.Fatalf("missed from %d to %d, after %d", lapped.From, lapped.To, next)
			}
			next = lapped.To
			laps++
		} else if err != nil {
			t.Fatal(err)
		}
		return handled > 500 && laps > 3
	})
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
