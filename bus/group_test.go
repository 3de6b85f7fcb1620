package bus_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/bus/bustest"
	"github.com/mycelium-bus/mycelium/bus/topic"
	"github.com/mycelium-bus/mycelium/internal/leak"
)

func queue(name string, groups ...topic.Group) topic.Config {
	return topic.Config{Name: name, Size: topic.MiB, Routing: topic.Queue, Group: groups, Publish: []string{"*"}, Subscribe: []string{"*"}, Blockers: []string{"*"}}
}

// withAndWithoutABroker runs a test on topics of both.
func withAndWithoutABroker(t *testing.T, test func(t *testing.T, c *bus.Conn), topics ...topic.Config) {
	t.Run("broker", func(t *testing.T) { test(t, bustest.New(t, topics...).Dial("worker")) })
	t.Run("directory", func(t *testing.T) { test(t, openDir(t, leak.ShmDir(t), topics...)) })
}

// attempt hands one message to a callback that returns err, and returns how it came.
func attempt(t testing.TB, s *bus.Subscription, err error) string {
	t.Helper()
	how := "nothing"
	_, got := s.Poll(1, func(m bus.Message) error {
		how = fmt.Sprintf("%s %d %v", m.Bytes(), m.Delivery(), m.Redelivered())
		return err
	})
	if !errors.Is(got, err) {
		t.Errorf("Poll: %v, want %v", got, err)
	}
	return how
}

func wantSame[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func TestMembersShareMessages(t *testing.T) {
	const members, n = 8, 20_000
	b := bustest.New(t, topic.Config{Name: "t", Size: topic.MiB})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var handled [n]atomic.Int32
	var total atomic.Int32
	var working sync.WaitGroup
	failed := make(chan error, members)
	for i := range members {
		sub := subscribe(t, b.Dial(fmt.Sprint("worker ", i)), "t", bus.Group("g"), bus.Idle(&bus.Sleep{}))
		working.Go(func() {
			for m, err := range sub.Messages(ctx) {
				if err != nil {
					if !errors.Is(err, context.Canceled) {
						failed <- err
					}
					return
				}
				handled[binary.LittleEndian.Uint64(m.Bytes())].Add(1)
				total.Add(1)
			}
		})
	}
	fanout := subscribe(t, b.Dial("observer"), "t", bus.Lossy())
	pub := publisher(t, b.Dial("publisher"), "t")
	seen := 0
	look := func() {
		k, err := fanout.Poll(n, func(bus.Message) error { return nil })
		if seen += k; err != nil && !errors.Is(err, bus.ErrLapped) {
			t.Fatal(err)
		}
	}
	for i := range uint64(n) {
		if err := pub.PublishWait(t.Context(), binary.LittleEndian.AppendUint64(nil, i)); err != nil {
			t.Fatal(err)
		}
		look()
	}
	look()
	eventually(t, "all messages are handled", func() bool { return total.Load() >= n || len(failed) > 0 })
	stop()
	working.Wait()
	for len(failed) > 0 {
		t.Error(<-failed)
	}
	for i := range handled {
		if k := handled[i].Load(); k != 1 {
			t.Fatalf("message %d was handled %d times", i, k)
		}
	}
	wantSame(t, "messages that the observer saw", seen, n)
}

func TestAQueueTopicHasADefaultGroup(t *testing.T) {
	withAndWithoutABroker(t, func(t *testing.T, c *bus.Conn) {
		pub := publisher(t, c, "q")
		publish(t, pub, "a", "b", "c")
		observer := subscribe(t, c, "q", bus.Fanout(), bus.From(bus.Oldest))
		lossy := subscribe(t, c, "q", bus.Lossy(), bus.From(bus.Oldest))

		first := subscribe(t, c, "q")
		wantSame(t, "the first member", attempt(t, first, nil), "a 1 false")
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}
		publish(t, pub, "d")
		second := subscribe(t, c, "q", bus.Group(topic.DefaultGroup))
		wantSame(t, "the second member", fmt.Sprint(poll(t, second)), "[b c d]")
		if s, err := second.Stats(); err != nil || s.Messages != 3 || s.LagBytes != 0 {
			t.Errorf("its stats: %+v, %v", s, err)
		}
		other := subscribe(t, c, "q", bus.Group("other"), bus.From(bus.Oldest))
		for what, s := range map[string]*bus.Subscription{"fanout": observer, "lossy": lossy, "another group": other} {
			wantSame(t, what, fmt.Sprint(poll(t, s)), "[a b c d]")
		}
		groups, err := c.Groups(t.Context(), "q")
		if err != nil || len(groups) != 2 || groups[0].Name != "default" || !groups[0].Policy.Durable || groups[0].Policy.MaxDeliver != topic.DefaultDeliver ||
			groups[0].Members != 1 || groups[1].Policy.Durable || groups[1].Name != "other" {
			t.Errorf("groups: %+v, %v", groups, err)
		}
	}, queue("q"))
}

func TestAMessageThatWasNotHandledComesAgain(t *testing.T) {
	withAndWithoutABroker(t, func(t *testing.T, c *bus.Conn) {
		failure := errors.New("no")
		pub, one, two := publisher(t, c, "q"), subscribe(t, c, "q"), subscribe(t, c, "q")
		publish(t, pub, "a", "b")
		wantSame(t, "first", attempt(t, one, failure), "a 1 false")
		wantSame(t, "again", attempt(t, one, failure), "a 2 true")
		wantSame(t, "to the other", attempt(t, two, nil), "b 1 false")
		wantSame(t, "to the other", attempt(t, two, nil), "nothing")
		func() {
			defer func() { recover() }()
			one.Poll(1, func(bus.Message) error { panic("no") })
		}()
		if err := one.Close(); err != nil {
			t.Fatal(err)
		}
		if err := two.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantSame(t, "after the close", attempt(t, two, nil), "a 4 true")
		publish(t, pub, "c")
		for m, err := range two.Messages(t.Context()) {
			if err != nil || string(m.Bytes()) != "c" || m.Redelivered() || m.Position()%16 != 0 {
				t.Errorf("%q, %v", m.Bytes(), err)
			}
			break
		}
	}, queue("q"))
}

func TestMessagesAreParked(t *testing.T) {
	for name, letters := range map[string]string{"without a dead-letter topic": "", "with one": "dead"} {
		t.Run(name, func(t *testing.T) {
			withAndWithoutABroker(t, func(t *testing.T, c *bus.Conn) {
				failure := errors.New("no")
				pub, sub := publisher(t, c, "q"), subscribe(t, c, "q")
				publish(t, pub, "bad", "good")
				wantSame(t, "first", attempt(t, sub, failure), "bad 1 false")
				wantSame(t, "again", attempt(t, sub, failure), "bad 2 true")
				if letters != "" {
					for range 2 {
						n, err := sub.Poll(1, func(bus.Message) error { return nil })
						wantIs(t, err, bus.ErrNoTopic)
						wantSame(t, "handled without the dead-letter topic", n, 0)
						if err := sub.Wait(t.Context()); err != nil {
							t.Error(err)
						}
					}
					if err := c.CreateTopic(t.Context(), topic.Config{Name: letters, Size: topic.MiB}); err != nil {
						t.Fatal(err)
					}
					dead := subscribe(t, c, letters)
					defer func() { wantSame(t, "dead letters", fmt.Sprint(poll(t, dead)), "[bad]") }()
				}
				wantSame(t, "then", attempt(t, sub, nil), "good 1 false")
				parked, total, err := c.Parked(t.Context(), "q")
				if err != nil || total != 1 || len(parked) != 1 || parked[0].GroupName != "default" || parked[0].Deliveries != 2 || parked[0].Bytes != 3 {
					t.Errorf("parked: %+v, %d, %v", parked, total, err)
				}
			}, queue("q", topic.Group{Name: "default", MaxDeliver: 2, DeadLetter: letters}))
		})
	}
}

func TestADurableGroupThatNobodyServesLosesWhatItCannotKeep(t *testing.T) {
	withAndWithoutABroker(t, func(t *testing.T, c *bus.Conn) {
		pub := publisher(t, c, "q")
		message := make([]byte, 16<<10)
		for range 256 { // four times the ring
			if err := pub.PublishWait(t.Context(), message); err != nil {
				t.Fatal(err)
			}
		}
		sub := subscribe(t, c, "q")
		if got := len(poll(t, sub)); got == 0 || got >= 64 {
			t.Errorf("got %d messages", got)
		}
		losses, total, err := c.Losses(t.Context(), "q")
		if err != nil || total != 1 || len(losses) != 1 || losses[0].Name != "default" || losses[0].Bytes() < 128*16<<10 {
			t.Errorf("losses: %+v, %d, %v", losses, total, err)
		}
	}, queue("q"))
}

func TestWaitingMembers(t *testing.T) {
	c := newBus(t, queue("q"), queue("r"))
	pub := publisher(t, c, "q")
	for name, strategy := range map[string]bus.IdleStrategy{"sleep": &bus.Sleep{Spins: -1, Yields: -1, Naps: -1}, "back off": &bus.Backoff{}} {
		t.Run(name, func(t *testing.T) {
			one, two, other := subscribe(t, c, "q", bus.Idle(strategy)), subscribe(t, c, "q"), subscribe(t, c, "r")
			ended := make(chan error)
			for range 50 {
				go func() { ended <- one.Wait(t.Context()) }()
				publish(t, pub, "x")
				if err := <-ended; err != nil {
					t.Fatal(err)
				}
				wantSame(t, "what was waited for", attempt(t, two, nil), "x 1 false") // a wait takes nothing
				wantSame(t, "what is left", attempt(t, one, nil), "nothing")
				go func() {
					s, err := bus.WaitAny(t.Context(), other, one)
					if s != one {
						err = errors.Join(err, errors.New("WaitAny returned the other one"))
					}
					ended <- err
				}()
				publish(t, pub, "y")
				if err := <-ended; err != nil {
					t.Fatal(err)
				}
				wantSame(t, "what was waited for", attempt(t, one, nil), "y 1 false")
			}
			ctx, cancel := context.WithCancel(t.Context())
			go func() { ended <- one.Wait(ctx) }()
			cancel()
			wantIs(t, <-ended, context.Canceled)
		})
	}
}

func TestAMembersTopicEnds(t *testing.T) {
	t.Run("for good", func(t *testing.T) {
		c := newBus(t, queue("q"))
		pub, sub := publisher(t, c, "q"), subscribe(t, c, "q")
		publish(t, pub, "a")
		if err := c.DeleteTopic(t.Context(), "q"); err != nil {
			t.Fatal(err)
		}
		if err := sub.Wait(t.Context()); err != nil {
			t.Error(err)
		}
		wantSame(t, "what was there", attempt(t, sub, nil), "a 1 false")
		wantIs(t, sub.Wait(t.Context()), bus.ErrClosed)
		_, err := sub.Poll(1, func(bus.Message) error { return nil })
		wantIs(t, err, bus.ErrClosed)
	})
	t.Run("and is made again", func(t *testing.T) {
		b := bustest.New(t, topic.Config{Name: "t", Size: topic.MiB})
		c := b.Dial("worker")
		one, two := subscribe(t, c, "t", bus.Group("g")), subscribe(t, c, "t", bus.Group("g"))
		remade(t, b.Dial("admin"), queue("t"))
		publish(t, publisher(t, b.Dial("publisher"), "t"), "a", "b")
		got := map[string]int{}
		for _, s := range []*bus.Subscription{one, two} {
			if again, ok := errors.AsType[*bus.RecreatedError](until(t, s, bus.ErrLapped)); !ok || again.Missed != 0 {
				t.Errorf("%v", again)
			}
		}
		for _, s := range []*bus.Subscription{one, two} {
			s.Poll(1, func(m bus.Message) error { got[string(m.Bytes())]++; return nil })
		}
		wantSame(t, "what the two got", fmt.Sprint(got), "map[a:1 b:1]")
	})
}

func TestMembersGoOnWithTheNextBroker(t *testing.T) {
	b := bustest.New(t, queue("q"))
	c := b.Dial("worker")
	pub, one, two := publisher(t, c, "q"), subscribe(t, c, "q"), subscribe(t, c, "q", bus.Group("own"))
	b.StopBroker()
	publish(t, pub, "without")
	b.StartBroker()
	eventually(t, "the broker knows the handles", func() bool { return slotsOf(t, c, "worker") == 3 })
	publish(t, pub, "with")
	wantSame(t, "the default group", fmt.Sprint(poll(t, one)), "[without with]")
	wantSame(t, "a group of its own", fmt.Sprint(poll(t, two)), "[without with]")
	three := subscribe(t, b.Dial("another"), "q", bus.Group("own"))
	publish(t, pub, "more")
	wantSame(t, "a new member", fmt.Sprint(poll(t, three)), "[more]")
	wantSame(t, "the old member", fmt.Sprint(poll(t, two)), "[]")
	if err := one.Close(); err != nil {
		t.Error(err)
	}
	eventually(t, "one slot less", func() bool { return slotsOf(t, c, "worker") == 2 })
}

func TestMembersDoNotAllocate(t *testing.T) {
	c := newBus(t, queue("q"))
	pub, sub := publisher(t, c, "q"), subscribe(t, c, "q")
	message := make([]byte, 100)
	handle := func(bus.Message) error { return nil }
	if n := testing.AllocsPerRun(1000, func() {
		if err := pub.Publish(message); err != nil {
			t.Fatal(err)
		}
		if n, err := sub.Poll(10, handle); n != 1 || err != nil {
			t.Fatal(n, err)
		}
	}); n != 0 {
		t.Errorf("%v allocations a message", n)
	}
}
