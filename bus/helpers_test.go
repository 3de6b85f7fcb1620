package bus_test

import (
	"errors"
	"testing"
	"time"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/bus/topic"
	"github.com/mycelium-bus/mycelium/internal/leak"
)

// newBus makes a bus of a directory of the test's own, without a broker.
func newBus(t testing.TB, topics ...topic.Config) *bus.Conn {
	t.Helper()
	return openDir(t, leak.ShmDir(t), topics...)
}

func openDir(t testing.TB, dir string, topics ...topic.Config) *bus.Conn {
	t.Helper()
	c, err := bus.OpenDir(dir, bus.Options{Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("close the connection: %v", err)
		}
	})
	for _, config := range topics {
		if err := c.CreateTopic(t.Context(), config); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func publisher(t testing.TB, c *bus.Conn, name string) *bus.Publisher {
	t.Helper()
	p, err := c.Publisher(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func subscribe(t testing.TB, c *bus.Conn, name string, options ...bus.SubscribeOption) *bus.Subscription {
	t.Helper()
	s, err := c.Subscribe(name, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func publish(t testing.TB, p *bus.Publisher, messages ...string) {
	t.Helper()
	for _, m := range messages {
		if err := p.Publish([]byte(m)); err != nil {
			t.Fatalf("publish %q: %v", m, err)
		}
	}
}

// poll returns the messages that are there.
func poll(t testing.TB, s *bus.Subscription) (got []string) {
	t.Helper()
	if _, err := s.Poll(1<<20, func(m bus.Message) error {
		got = append(got, string(m.Bytes()))
		return nil
	}); err != nil {
		t.Fatalf("poll: %v", err)
	}
	return got
}

// fill publishes until there is no room, and returns how many messages that took.
func fill(t testing.TB, p *bus.Publisher, message []byte) (n int) {
	t.Helper()
	for {
		err := p.Publish(message)
		if errors.Is(err, bus.ErrBackPressure) {
			return n
		}
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
}

// eventually waits for a condition, under a watchdog.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !condition(); time.Sleep(100 * time.Microsecond) {
		if time.Now().After(deadline) {
			t.Fatalf("watchdog: %s did not come about in a minute", what)
		}
	}
}

func wantIs(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("error %v, want one that is %q", err, want)
	}
}
