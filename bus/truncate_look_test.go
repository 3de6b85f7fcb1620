package bus_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/bus/topic"
)

// cutShort cuts one of a topic's files short until the test ends.
func cutShort(t *testing.T, c *bus.Conn, name, file string) {
	t.Helper()
	path := filepath.Join(c.Dir(), name, file)
	whole, err := os.ReadFile(path)
	if err == nil {
		err = os.Truncate(path, 4096)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.WriteFile(path, whole, 0); err != nil {
			t.Error(err)
		}
	})
}

// cutting is a context that, when it is asked for the n-th time, has a file cut short.
type cutting struct {
	context.Context
	n   int
	cut func()
}

func (c *cutting) Err() error {
	if c.n--; c.n == 0 {
		c.cut()
	}
	return c.Context.Err()
}

// A walk over the messages to count ends with an error where a file is cut short meanwhile.
func TestTruncatedRingEndsACount(t *testing.T) {
	c := newBus(t, topic.Config{Name: "t", Size: topic.MinSize})
	sub := subscribe(t, c, "t")
	pub := publisher(t, c, "t")
	publish(t, pub, "a", "b", "c")
	ctx := &cutting{t.Context(), 2, func() { cutShort(t, c, "t", "ring") }}
	_, err := c.CountMessages(ctx, "t", sub.Position()+96, sub.Position())
	wantIs(t, err, bus.ErrCorrupt)
	if ctx.n > 0 {
		t.Error("it was not cut short")
	}
}

// Where a member stands is told of a file that was cut short as well: where it stood last.
func TestTruncatedCursorsAndAMembersPosition(t *testing.T) {
	c := newBus(t, topic.Config{Name: "t", Size: topic.MinSize})
	sub, pub := subscribe(t, c, "t", bus.Group("g")), publisher(t, c, "t")
	publish(t, pub, "a")
	poll(t, sub)
	at := sub.Position()
	cutShort(t, c, "t", "cursors")
	if got := sub.Position(); got != at {
		t.Errorf("%d, want %d", got, at)
	}
}

// A message of a file that was cut short is not intact, whoever asks: no guard but its own covers other goroutines.
func TestTruncatedRingIsNotIntact(t *testing.T) {
	c := newBus(t, topic.Config{Name: "t", Size: topic.MinSize})
	sub, pub := subscribe(t, c, "t", bus.Lossy(), bus.InPlace()), publisher(t, c, "t")
	publish(t, pub, "a")
	_, err := sub.Poll(1, func(m bus.Message) error {
		if !m.Intact() {
			t.Error("not intact before")
		}
		cutShort(t, c, "t", "ring")
		done := make(chan bool)
		go func() { done <- m.Intact() }()
		if <-done {
			t.Error("intact")
		}
		return nil
	})
	if !errors.Is(err, bus.ErrCorrupt) {
		t.Errorf("Poll: %v", err)
	}
}
