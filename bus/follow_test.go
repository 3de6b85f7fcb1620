package bus_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/bus/bustest"
	"github.com/mycelium-bus/mycelium/bus/topic"
)

// remade deletes a topic and makes it again with another configuration.
func remade(t testing.TB, c *bus.Conn, config topic.Config) {
	t.Helper()
	if err := errors.Join(c.DeleteTopic(t.Context(), config.Name), c.CreateTopic(t.Context(), config)); err != nil {
		t.Fatal(err)
	}
}

// until polls until there is an error that is wanted.
func until(t testing.TB, s *bus.Subscription, want error) (err error) {
	t.Helper()
	eventually(t, fmt.Sprintf("an error that is %q", want), func() bool {
		_, err = s.Poll(1, func(bus.Message) error { return nil })
		return errors.Is(err, want)
	})
	return err
}

func TestHandlesFollowATopicThatIsMadeAgain(t *testing.T) {
	b := bustest.New(t, topic.Config{Name: "t", Size: topic.MiB})
	c, admin := b.Dial("worker"), b.Dial("admin")
	pub, sub := publisher(t, c, "t"), subscribe(t, c, "t", bus.Credit(1<<19))
	claim, err := pub.Claim(10)
	if err != nil {
		t.Fatal(err)
	}

	if err := admin.DeleteTopic(t.Context(), "t"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		wantIs(t, until(t, sub, bus.ErrClosed), bus.ErrClosed)
		eventually(t, "the publisher's end", func() bool { return errors.Is(pub.Publish([]byte("x")), bus.ErrClosed) })
		wantIs(t, sub.Wait(t.Context()), bus.ErrClosed)
	}
	// The credit does not go with the new topic's sizes.
	if err := admin.CreateTopic(t.Context(), topic.Config{Name: "t", Size: topic.MinSize, Publish: []string{"*"}, Subscribe: []string{"*"}}); err != nil {
		t.Fatal(err)
	}
	first := publisher(t, admin, "t")
	publish(t, first, "first")
	eventually(t, "Wait has something", func() bool { return sub.Wait(t.Context()) == nil })
	_, err = sub.Poll(1, func(bus.Message) error { return nil })
	if again, ok := errors.AsType[*bus.RecreatedError](err); !ok || again.Topic != "t" || again.Missed != 0 {
		t.Errorf("Poll: %v", err)
	}
	wantIs(t, err, bus.ErrLapped)
	if errors.Is(err, bus.ErrClosed) {
		t.Errorf("%v passes for the end", err)
	}
	eventually(t, "the publisher is told", func() bool {
		err = pub.Publish([]byte("lost"))
		_, ok := errors.AsType[*bus.RecreatedError](err)
		return ok
	})
	mustPanic(t, func() { claim.Commit(1) }) // it was the old ring's
	publish(t, pub, "second")
	if got := fmt.Sprint(poll(t, sub)); got != "[first second]" {
		t.Errorf("got %s", got)
	}
	if pub.MaxFrame() != 2032 {
		t.Errorf("max_frame is %d", pub.MaxFrame())
	}
	if s, err := pub.Stats(); err != nil || s.Messages != 1 {
		t.Errorf("the publisher's stats: %+v, %v", s, err)
	}
	if s, err := sub.Stats(); err != nil || s.Messages != 2 {
		t.Errorf("the subscription's stats: %+v, %v", s, err)
	}
	eventually(t, "only the new slots are listed", func() bool { return slotsOf(t, c, "worker") == 2 })
	broker := 1 // it has the new topic mapped, in this process
	eventually(t, "the old ring's memory is given back", func() bool { return mapped(t, b.Dir, "t")-broker == 3 })
}

func TestMissedBytesOfATopicThatIsMadeAgain(t *testing.T) {
	b := bustest.New(t, topic.Config{Name: "t", Size: topic.MinSize})
	sub := subscribe(t, b.Dial("worker"), "t", bus.Lossy())
	b.StopBroker() // so that the handle cannot follow before the ring has been round
	direct := b.OpenDir("direct")
	remade(t, direct, topic.Config{Name: "t", Size: topic.MinSize})
	pub := publisher(t, direct, "t")
	for range 500 {
		publish(t, pub, string(make([]byte, 1000)))
	}
	b.StartBroker()
	err := until(t, sub, bus.ErrLapped)
	if again, ok := errors.AsType[*bus.RecreatedError](err); !ok || again.Missed == 0 || again.Missed != sub.Position()-uint64(topic.MinSize) {
		t.Errorf("%v, at %d", err, sub.Position())
	}
	if got := len(poll(t, sub)); got == 0 {
		t.Error("nothing follows")
	}
}

func TestAHandleThatFollowsMayBeClosedAtAnyTime(t *testing.T) {
	b := bustest.New(t, topic.Config{Name: "t", Size: topic.MinSize})
	c, admin := b.Dial("worker"), b.Dial("admin")
	for _, when := range []string{"ended", "attached", "gone on"} {
		pub, sub := publisher(t, c, "t"), subscribe(t, c, "t")
		if err := admin.DeleteTopic(t.Context(), "t"); err != nil {
			t.Fatal(err)
		}
		until(t, sub, bus.ErrClosed)
		if when != "ended" {
			if err := admin.CreateTopic(t.Context(), topic.Config{Name: "t", Size: topic.MinSize}); err != nil {
				t.Fatal(err)
			}
			eventually(t, "both are attached", func() bool { return slotsOf(t, c, "worker") == 2 })
		}
		if when == "gone on" {
			until(t, sub, bus.ErrLapped)
			eventually(t, "the publisher goes on", func() bool { return pub.Publish([]byte("x")) == nil })
		}
		for range 2 {
			if err := errors.Join(pub.Close(), sub.Close()); err != nil {
				t.Errorf("%s: %v", when, err)
			}
			wantIs(t, pub.Publish([]byte("x")), bus.ErrClosed)
			_, err := sub.Poll(1, func(bus.Message) error { return nil })
			wantIs(t, err, bus.ErrClosed)
			for _, err := range sub.Messages(t.Context()) { // it ends
				wantIs(t, err, bus.ErrClosed)
			}
		}
		if when == "ended" {
			if err := admin.CreateTopic(t.Context(), topic.Config{Name: "t", Size: topic.MinSize}); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, when+": no slot is left", func() bool { return slotsOf(t, c, "worker") == 0 })
	}
}

func TestALoopThatWaitsForATopicEnds(t *testing.T) {
	for name, end := range map[string]func(*bus.Conn, *bus.Subscription, context.CancelFunc){
		"with its context":      func(_ *bus.Conn, _ *bus.Subscription, cancel context.CancelFunc) { cancel() },
		"with its connection":   func(c *bus.Conn, _ *bus.Subscription, _ context.CancelFunc) { c.Close() },
		"with its subscription": func(_ *bus.Conn, s *bus.Subscription, _ context.CancelFunc) { s.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			b := bustest.New(t, topic.Config{Name: "t", Size: topic.MinSize})
			c := b.Dial("worker")
			sub := subscribe(t, c, "t")
			if err := os.RemoveAll(filepath.Join(b.Dir, "t")); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var errs []error
			for _, err := range sub.Messages(ctx) {
				if errs = append(errs, err); len(errs) == 1 {
					wantIs(t, err, bus.ErrRemoved)
					end(c, sub, cancel)
				}
			}
			if len(errs) > 2 {
				t.Errorf("%v", errs)
			}
		})
	}
}

func TestWithoutABrokerNothingFollows(t *testing.T) {
	c := newBus(t, topic.Config{Name: "t", Size: topic.MinSize})
	pub, sub := publisher(t, c, "t"), subscribe(t, c, "t")
	remade(t, c, topic.Config{Name: "t", Size: topic.MinSize})
	n := 0
	for _, err := range sub.Messages(t.Context()) {
		wantIs(t, err, bus.ErrClosed)
		n++
	}
	if n != 1 {
		t.Errorf("%d errors, want 1", n)
	}
	eventually(t, "the publisher's end", func() bool { return errors.Is(pub.Publish([]byte("x")), bus.ErrClosed) })
}

func TestAForgottenHandleIsNotFollowed(t *testing.T) {
	b := bustest.New(t, topic.Config{Name: "t", Size: topic.MinSize})
	c, admin := b.Dial("worker"), b.Dial("admin")
	func() {
		if _, err := c.Publisher("t"); err != nil {
			t.Fatal(err)
		}
	}()
	remade(t, admin, topic.Config{Name: "t", Size: topic.MinSize})
	eventually(t, "no slot is left", func() bool { runtime.GC(); return slotsOf(t, c, "worker") == 0 })
}

// A topic that is made again with another routing turns a subscription into a member, and a member into a subscription.
func TestATopicThatIsMadeAgainWithAnotherRouting(t *testing.T) {
	for _, routing := range []topic.Routing{topic.Fanout, topic.Queue} {
		t.Run(routing.String(), func(t *testing.T) {
			b := bustest.New(t, topic.Config{Name: "t", Size: topic.MinSize, Routing: routing})
			sub := subscribe(t, b.Dial("worker"), "t")
			admin := b.Dial("admin")
			remade(t, admin, open(topic.Config{Name: "t", Size: topic.MinSize, Routing: topic.Fanout + topic.Queue - routing}))
			eventually(t, "it goes on", func() bool {
				_, err := sub.Poll(1, func(bus.Message) error { return nil })
				_, ok := errors.AsType[*bus.RecreatedError](err)
				return ok
			})
			publish(t, publisher(t, admin, "t"), "a")
			if got := fmt.Sprint(poll(t, sub)); got != "[a]" {
				t.Errorf("got %s", got)
			}
		})
	}
}

// open gives everybody every right.
func open(config topic.Config) topic.Config {
	config.Publish, config.Subscribe, config.Blockers = []string{"*"}, []string{"*"}, []string{"*"}
	return config
}
