package bus_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/bus/bustest"
	"github.com/mycelium-bus/mycelium/bus/topic"
)

// Whoever may write a file may cut it short; a subscriber then gets an error, not a SIGBUS.
func TestTruncatedRingIsAnErrorOfItsReaders(t *testing.T) {
	b := bustest.New(t, topic.Config{Name: "cut", Size: 64 << 10})
	c := b.Dial("reader")
	polling, err := c.Subscribe("cut")
	if err != nil {
		t.Fatal(err)
	}
	looping, err := c.Subscribe("cut", bus.Lossy())
	if err != nil {
		t.Fatal(err)
	}
	ring := filepath.Join(b.Dir, "cut", "ring")
	whole, err := os.ReadFile(ring)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(ring, 4096); err != nil {
		t.Fatal(err)
	}
	if _, err := polling.Poll(1, func(bus.Message) error { return nil }); !errors.Is(err, bus.ErrCorrupt) {
		t.Errorf("Poll: %v", err)
	}
	if err := polling.Wait(t.Context()); !errors.Is(err, bus.ErrCorrupt) {
		t.Errorf("Wait: %v", err)
	}
	got := error(nil)
	for _, err := range looping.Messages(context.Background()) {
		got = err
	}
	if !errors.Is(got, bus.ErrCorrupt) {
		t.Errorf("Messages: %v", got)
	}
	if err := os.WriteFile(ring, whole, 0); err != nil { // closing the handles looks at the file again
		t.Fatal(err)
	}
	polling.Close()
	looping.Close()
}
