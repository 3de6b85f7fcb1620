package bus_test

import (
	"errors"
	"testing"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/bus/topic"
)

// Who is lapped is told what it missed, and so is who lists the losses; one lossy subscription does not fill the list.
func TestLossesOfLossySubscriptionsAreListed(t *testing.T) {
	c := newBus(t, topic.Config{Name: "t", Size: topic.MiB})
	pub, sub, state := publisher(t, c, "t"), subscribe(t, c, "t", bus.Lossy()), subscribe(t, c, "t", bus.Latest())
	message := make([]byte, 1000)
	var first *bus.LappedError
	missed := uint64(0)
	for range 50 {
		for range 2000 {
			if err := pub.Publish(message); err != nil {
				t.Fatal(err)
			}
		}
		_, err := sub.Poll(1<<20, func(bus.Message) error { return nil })
		lapped, ok := errors.AsType[*bus.LappedError](err)
		if !ok {
			t.Fatalf("error %v, want a LappedError", err)
		}
		missed += lapped.Missed()
		if first == nil {
			first = lapped
		}
		poll(t, sub)
		poll(t, state)
	}
	list, total, err := c.Losses(t.Context(), "t")
	if err != nil || len(list) == 0 || uint64(len(list)) != total || len(list) == 50 {
		t.Fatalf("%d of %d listed, %v", len(list), total, err)
	}
	if l := list[0]; l.ID() != sub.ID() || l.Name != "test" || l.From != first.From || l.To != first.To || l.At.IsZero() {
		t.Errorf("%+v, want %v of %s", l, first, sub.ID())
	}
	for _, l := range list {
		if l.ID() == state.ID() {
			t.Errorf("what Latest passes over is no loss: %+v", l)
		}
	}
	if stats, err := sub.Stats(); err != nil || stats.MissedBytes != missed || stats.Laps != 50 {
		t.Errorf("%+v %v, want %d bytes missed", stats, err, missed)
	}
}
