package bus_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/bus/topic"
	"github.com/mycelium-bus/mycelium/codec"
)

func TestLatestIsTheNewestAlone(t *testing.T) {
	for _, kind := range []topic.Kind{topic.SPMC, topic.MPMC} {
		t.Run(kind.String(), func(t *testing.T) {
			c := newBus(t, topic.Config{Name: "t", Kind: kind, Size: topic.MiB})
			pub := publisher(t, c, "t")
			empty := subscribe(t, c, "t", bus.Latest())
			if got := poll(t, empty); got != nil {
				t.Errorf("%q in an empty topic", got)
			}
			publish(t, pub, "a", "b", "c")
			sub := subscribe(t, c, "t", bus.Latest()) // what is there already counts
			for name, s := range map[string]*bus.Subscription{"before": empty, "after": sub} {
				if got := poll(t, s); len(got) != 1 || got[0] != "c" {
					t.Errorf("%s: %q, want c", name, got)
				}
				if got := poll(t, s); got != nil {
					t.Errorf("%s: %q once more", name, got)
				}
			}
			fromNow := subscribe(t, c, "t", bus.Latest(), bus.From(bus.Newest))
			if got := poll(t, fromNow); got != nil {
				t.Errorf("%q from before", got)
			}

			// A callback that fails keeps it, unless a newer one comes.
			failed := errors.New("failed")
			publish(t, pub, "d")
			if n, err := sub.Poll(9, func(bus.Message) error { return failed }); n != 0 || err != failed {
				t.Errorf("%d %v", n, err)
			}
			if got := poll(t, sub); len(got) != 1 || got[0] != "d" {
				t.Errorf("%q, want d again", got)
			}

			// Rounds of the ring are passed over without an error, and hold nobody up.
			message := make([]byte, 1000)
			for i := range 5000 {
				copy(message, fmt.Sprintf("%04d", i))
				if err := pub.Publish(message); err != nil {
					t.Fatal(err)
				}
				if i%1237 == 0 {
					if got := poll(t, sub); len(got) != 1 || got[0][:4] != fmt.Sprintf("%04d", i) {
						t.Errorf("%.9q, want %04d", got, i)
					}
				}
			}
			if got := poll(t, fromNow); len(got) != 1 || got[0][:4] != "4999" {
				t.Errorf("%.9q, want 4999", got)
			}
			stats, err := fromNow.Stats()
			if err != nil || stats.Messages != 1 || stats.Laps != 0 || stats.MissedBytes != 0 || stats.PassedBytes < 4999*1000 || stats.LagBytes != 0 {
				t.Errorf("%+v %v", stats, err)
			}

			// After a segment's end, too, where its first frame is not there yet.
			claim, err := pub.Claim(10)
			if err != nil {
				t.Fatal(err)
			}
			poll(t, sub)
			claim.Abort()
			publish(t, pub, "last")
			if got := poll(t, sub); len(got) != 1 || got[0] != "last" {
				t.Errorf("%q, want last", got)
			}
		})
	}
}

// The newest message is found wherever in the ring the tail stands, also right at a segment's begin.
func TestLatestEverywhereInTheRing(t *testing.T) {
	c := newBus(t, topic.Config{Name: "t", Kind: topic.SPMC, Size: topic.MiB})
	pub := publisher(t, c, "t")
	message := make([]byte, bus.FrameSize(1)*100)
	for i := range 3000 {
		n := 1 + i*7919%len(message)
		message[0] = byte(i)
		if err := pub.Publish(message[:n]); err != nil {
			t.Fatal(err)
		}
		if i%13 != 0 {
			continue
		}
		sub := subscribe(t, c, "t", bus.Latest())
		if got := poll(t, sub); len(got) != 1 || len(got[0]) != n || got[0][0] != byte(i) {
			t.Fatalf("message %d: %d messages", i, len(got))
		}
		sub.Close()
	}
}

func TestLatestThatPassesAFilter(t *testing.T) {
	c := newBus(t, topic.Config{Name: "t", Size: topic.MiB})
	pub := publisher(t, c, "t")
	sub := subscribe(t, c, "t", bus.Latest(), bus.Filter(bus.Instruments(btc)))
	send := func(in codec.Instrument, price int64) {
		t.Helper()
		if err := pub.Publish(message(t, 0, &codec.Trade{Instrument: in, Price: price})); err != nil {
			t.Fatal(err)
		}
	}
	want := func(price int64) {
		t.Helper()
		got := poll(t, sub)
		if price == 0 && got == nil {
			return
		}
		if len(got) != 1 {
			t.Fatalf("%d messages, want one", len(got))
		}
		m, err := codec.Parse([]byte(got[0]))
		if err != nil {
			t.Fatal(err)
		}
		var trade codec.Trade
		value, _ := m.Find(codec.TypeTrade)
		if err := trade.Decode(value); err != nil || trade.Price != price || trade.Instrument != btc {
			t.Errorf("%+v %v, want price %d", trade, err, price)
		}
	}
	want(0)
	send(btc, 1)
	send(btc, 2)
	for range 4000 { // some segments
		send(eth, 3)
	}
	want(2)
	want(0)
	for range 20_000 { // some rounds
		send(eth, 4)
	}
	want(0)
	send(btc, 5)
	send(eth, 6)
	want(5)
}

// Beside publishers at full speed: what is handed out is whole, each is newer than the one before, and nothing is told as lost.
func TestLatestBesidePublishers(t *testing.T) {
	for _, options := range [][]bus.SubscribeOption{{bus.Latest()}, {bus.Latest(), bus.InPlace()}, {bus.Latest(), bus.Filter(bus.Types(250))}} {
		c := newBus(t, topic.Config{Name: "t", Size: topic.MiB})
		pub, sub := publisher(t, c, "t"), subscribe(t, c, "t", options...)
		ctx, cancel := context.WithCancel(t.Context())
		var published atomic.Uint64
		done := make(chan error)
		go func() {
			for i := uint64(1); ctx.Err() == nil; i++ {
				if err := pub.Publish(stamped(t, i, fmt.Sprintf("%*d", 10+i%1000, i))); err != nil {
					done <- err
					return
				}
				published.Store(i)
			}
			done <- nil
		}()
		last := uint64(0)
		for range 500 {
			if err := sub.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			before := published.Load()
			_, err := sub.Poll(1, func(m bus.Message) error {
				v, err := m.TLV()
				var at uint64
				if err == nil {
					at = v.TimestampNs()
				}
				switch {
				case !m.Intact():
					return nil
				case err != nil:
					return err
				case at <= last || at < before:
					return fmt.Errorf("message %d after %d, when %d were published", at, last, before)
				}
				last = at
				return nil
			})
			if err != nil && !errors.Is(err, bus.ErrLapped) || err != nil && len(options) == 1 {
				t.Fatal(err)
			}
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		eventually(t, "the last message", func() bool {
			_, err := sub.Poll(1, func(m bus.Message) error {
				v, err := m.TLV()
				last = v.TimestampNs()
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			return last == published.Load()
		})
	}
}

func TestLatestInALoopAndWait(t *testing.T) {
	c := newBus(t, topic.Config{Name: "t", Size: topic.MiB, Routing: topic.Queue})
	pub, sub := publisher(t, c, "t"), subscribe(t, c, "t", bus.Latest(), bus.Idle(&bus.Sleep{}))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	wantIs(t, sub.Wait(ctx), context.DeadlineExceeded)
	publish(t, pub, "a", "b")
	if err := sub.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	later := make(chan error, 1)
	var got []string
	for m, err := range sub.Messages(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(m.Bytes()))
		switch len(got) {
		case 1:
			publish(t, pub, "c", "d", "e")
			continue
		case 2:
			go func() { later <- pub.Publish([]byte("f")) }()
			continue
		}
		break
	}
	if err := <-later; err != nil {
		t.Error(err)
	}
	if fmt.Sprint(got) != "[b e f]" {
		t.Errorf("%q", got)
	}
	// It is no member of the queue's group.
	if got := poll(t, subscribe(t, c, "t")); len(got) != 6 {
		t.Errorf("the group's member gets %q", got)
	}
}
