package bus_test

import (
	"context"
	"testing"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/bus/topic"
)

// telling says by a channel that it idles; it does nothing else.
type telling struct{ idles chan struct{} }

func (c *telling) Idle() {
	select {
	case c.idles <- struct{}{}:
	default:
	}
}
func (c *telling) Reset() {}

// A wait goes on by another strategy as soon as it is set, out of a sleep, too.
func TestAWaitTakesAnotherStrategy(t *testing.T) {
	c := newBus(t, topic.Config{Name: "t", Size: topic.MiB}, topic.Config{Name: "full", Size: topic.MiB})
	full := publisher(t, c, "full")
	subscribe(t, c, "full")
	message := make([]byte, 1000)
	fill(t, full, message)
	sub := subscribe(t, c, "t")
	for name, handle := range map[string]struct {
		set  func(bus.IdleStrategy)
		wait func(context.Context) error
	}{
		"Wait": {sub.SetIdle, sub.Wait},
		"Messages": {sub.SetIdle, func(ctx context.Context) (err error) {
			for _, err = range sub.Messages(ctx) {
				break
			}
			return err
		}},
		"PublishWait": {full.SetIdle, func(ctx context.Context) error { return full.PublishWait(ctx, message) }},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error)
			handle.set(&bus.Sleep{Spins: -1, Yields: -1, Naps: -1})
			go func() { done <- handle.wait(ctx) }()
			for range 20 { // asleep or on the way there
				other := &telling{make(chan struct{})}
				handle.set(other)
				<-other.idles
				handle.set(&bus.Sleep{Spins: -1, Yields: -1, Naps: -1})
			}
			handle.set(nil)
			handle.set(&bus.Sleep{})
			cancel() // ends the sleep by the newest strategy, too
			wantIs(t, <-done, context.Canceled)
		})
	}
}
