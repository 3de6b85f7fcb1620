package bus_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/bus/bustest"
	"github.com/mycelium-bus/mycelium/bus/topic"
)

// slotsOf returns what the broker lists of a client, -1 where it lists none of the name. While there is no broker it is -1 too.
func slotsOf(t testing.TB, c *bus.Conn, name string) int {
	t.Helper()
	clients, err := c.Clients(context.Background())
	if err != nil {
		wantIs(t, err, bus.ErrNoBroker)
		return -1
	}
	i := slices.IndexFunc(clients, func(c bus.Client) bool { return c.Name == name })
	if i < 0 {
		return -1
	}
	return len(clients[i].Slots)
}

func TestAConnectionFindsTheNextBroker(t *testing.T) {
	b := bustest.New(t, topic.Config{Name: "t", Size: topic.MiB}, topic.Config{Name: "single", Kind: topic.SPSC, Size: topic.MiB})
	c := b.Dial("worker")
	pub, sub := publisher(t, c, "t"), subscribe(t, c, "t")
	single, gate := publisher(t, c, "single"), subscribe(t, c, "single")
	for i := range 3 {
		b.StopBroker()
		publish(t, pub, fmt.Sprint("without ", i))
		b.StartBroker()
		eventually(t, "the broker knows the handles", func() bool { return slotsOf(t, c, "worker") == 4 })
		publish(t, pub, fmt.Sprint("with ", i))
		publish(t, single, "a")
		if got, want := fmt.Sprint(poll(t, sub)), fmt.Sprintf("[without %d with %d]", i, i); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		poll(t, gate)
	}
	t.Run("what a broker can do works again", func(t *testing.T) {
		if err := c.CreateTopic(t.Context(), topic.Config{Name: "new", Size: topic.MiB}); err != nil {
			t.Error(err)
		}
		subscribe(t, c, "new")
		if n := slotsOf(t, c, "worker"); n != 5 {
			t.Errorf("%d slots, want 5", n)
		}
	})
	t.Run("the next broker keeps slots apart", func(t *testing.T) {
		_, err := b.Dial("second").Publisher("single")
		wantIs(t, err, bus.ErrInUse)
	})
	t.Run("a handle that is closed is off its list at once", func(t *testing.T) {
		if err := errors.Join(single.Close(), gate.Close()); err != nil {
			t.Error(err)
		}
		if n := slotsOf(t, c, "worker"); n != 2 {
			t.Errorf("%d slots, want 2", n)
		}
		publisher(t, b.Dial("third"), "single")
	})
}

func TestWhatIsClosedWhileThereIsNoBrokerIsNotRegistered(t *testing.T) {
	b := bustest.New(t, topic.Config{Name: "t", Size: topic.MiB})
	c := b.Dial("worker")
	pub, sub := publisher(t, c, "t"), subscribe(t, c, "t")
	b.StopBroker()
	if err := pub.Close(); err != nil {
		t.Error(err)
	}
	b.StartBroker()
	eventually(t, "the broker knows the other handle", func() bool { return slotsOf(t, c, "worker") == 1 })
	poll(t, sub)
}

func TestAttachingWithoutABroker(t *testing.T) {
	b := bustest.New(t, topic.Config{Name: "t", Size: topic.MiB})
	c := b.Dial("worker")
	b.StopBroker()
	type attach func(context.Context) error
	waiting := map[string]attach{
		"PublisherContext": func(ctx context.Context) error { _, err := c.PublisherContext(ctx, "t"); return err },
		"SubscribeContext": func(ctx context.Context) error { _, err := c.SubscribeContext(ctx, "t"); return err },
	}
	for name, do := range map[string]func() error{
		"Publisher": func() error { _, err := c.Publisher("t"); return err },
		"Subscribe": func() error { _, err := c.Subscribe("t"); return err },
		"Topics":    func() error { _, err := c.Topics(t.Context()); return err },
		"Inspect":   func() error { _, err := c.Inspect(t.Context(), "t"); return err },
	} {
		t.Run(name+" fails at once", func(t *testing.T) { wantIs(t, do(), bus.ErrNoBroker) })
	}
	for name, do := range waiting {
		t.Run(name+" ends with its context", func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- do(ctx) }()
			cancel()
			err := <-ended
			wantIs(t, err, context.Canceled)
			wantIs(t, err, bus.ErrNoBroker)
		})
	}
	t.Run("and comes back with the broker", func(t *testing.T) {
		errs := make(chan error, len(waiting))
		for _, do := range waiting {
			go func() { errs <- do(t.Context()) }()
		}
		b.StartBroker()
		for range waiting {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
	})
	t.Run("Close ends who waits, and the search", func(t *testing.T) {
		b.StopBroker()
		errs := make(chan error, len(waiting))
		for _, do := range waiting {
			go func() { errs <- do(t.Context()) }()
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		for range waiting {
			wantIs(t, <-errs, bus.ErrClosed)
		}
		_, err := c.Publisher("t")
		wantIs(t, err, bus.ErrClosed)
	})
}

// The topic is deleted, and made again under its name with other sizes, while the connection has no broker.
func TestATopicThatIsDeletedMeanwhile(t *testing.T) {
	b := bustest.New(t, topic.Config{Name: "t", Size: topic.MinSize})
	c := b.Dial("worker")
	pub, sub := publisher(t, c, "t"), subscribe(t, c, "t")
	publish(t, pub, "old")
	b.StopBroker()
	admin := b.OpenDir("admin")
	if err := admin.DeleteTopic(t.Context(), "t"); err != nil {
		t.Fatal(err)
	}
	if err := admin.CreateTopic(t.Context(), topic.Config{Name: "t", Size: topic.MiB, Kind: topic.SPSC}); err != nil {
		t.Fatal(err)
	}
	b.StartBroker()
	var got []string
	for m, err := range sub.Messages(t.Context()) {
		switch again, ok := errors.AsType[*bus.RecreatedError](err); {
		case ok:
			if again.Topic != "t" || again.Missed != 0 {
				t.Errorf("%+v", again)
			}
			got = append(got, "again")
			eventually(t, "the publisher is there too", func() bool { return pub.Publish([]byte("new")) == nil })
		case errors.Is(err, bus.ErrClosed):
			got = append(got, "closed")
		case err != nil:
			t.Fatal(err)
		default:
			got = append(got, string(m.Bytes()))
		}
		if got[len(got)-1] == "new" {
			break
		}
	}
	if s := fmt.Sprint(got); s != "[old closed again new]" && s != "[old again new]" { // it may be there before anybody asks
		t.Errorf("got %s", s)
	}
	eventually(t, "the broker knows the new slots", func() bool { return slotsOf(t, c, "worker") == 2 })
	if err := errors.Join(pub.Close(), sub.Close()); err != nil {
		t.Error(err)
	}
	if n := slotsOf(t, c, "worker"); n != 0 {
		t.Errorf("%d slots of closed handles", n)
	}
}

// A connection keeps track of its handles, but not so that one that was forgotten stays.
func TestAForgottenHandleIsCollectedAllTheSame(t *testing.T) {
	b := bustest.New(t, topic.Config{Name: "t", Size: topic.MiB})
	c := b.Dial("worker")
	forget := func() {
		pub, err := c.Publisher("t")
		if err != nil {
			t.Fatal(err)
		}
		publish(t, pub, "a")
	}
	forget()
	eventually(t, "the slot is free", func() bool {
		runtime.GC()
		info, err := c.Inspect(t.Context(), "t")
		if err != nil {
			t.Fatal(err)
		}
		return len(info.Producers) == 0 || !info.Producers[0].Alive
	})
	b.StopBroker()
	b.StartBroker()
	sub, err := c.SubscribeContext(t.Context(), "t")
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	if n := slotsOf(t, c, "worker"); n != 1 {
		t.Errorf("%d slots, want 1", n)
	}
}

func TestReconnectingLeavesNoDescriptor(t *testing.T) {
	b := bustest.New(t, topic.Config{Name: "t", Size: topic.MiB})
	c := b.Dial("worker")
	publisher(t, c, "t")
	subscribe(t, c, "t")
	count := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	before := count()
	for range 5 {
		b.StopBroker()
		b.StartBroker()
		eventually(t, "the broker knows the handles", func() bool { return slotsOf(t, c, "worker") == 2 })
	}
	eventually(t, "as many descriptors as before", func() bool { return count() <= before })
}

// A producer is killed with a claim open, and nobody who publishes is held up by the hole: only subscribers wait before it.
func TestAHoleIsClosedWithoutABroker(t *testing.T) {
	for name, c := range map[string]struct {
		role    string
		connect func(b *bustest.Bus) *bus.Conn
	}{
		"by a client that lost its broker": {"claimer", func(b *bustest.Bus) *bus.Conn { return b.Dial("other") }},
		"by a client that never had one":   {"claimer-dir", func(b *bustest.Bus) *bus.Conn { return b.OpenDir("other") }},
	} {
		t.Run(name, func(t *testing.T) {
			b := bustest.New(t, topic.Config{Name: "t", Size: topic.MiB})
			conn := c.connect(b)
			pub, sub := publisher(t, conn, "t"), subscribe(t, conn, "t")
			dying := start(t, c.role+" "+filepath.Dir(b.Dir))
			dying.line("claimed")
			b.StopBroker()
			publish(t, pub, "behind the hole")
			if got := poll(t, sub); len(got) != 0 {
				t.Fatalf("got %q, though a claim before it is open", got)
			}
			dying.kill()
			if err := sub.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(poll(t, sub)); got != "[behind the hole]" {
				t.Errorf("got %s", got)
			}
		})
	}
}
