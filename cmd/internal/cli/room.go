package cli

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/mycelium-bus/mycelium/bus"
)

// PublishWait returns what publishes to a topic and waits for room until ctx ends. When that takes longer than patience, it
// calls tell, once, from another goroutine. It is for one goroutine, as the publisher is.
func PublishWait(ctx context.Context, pub *bus.Publisher, patience time.Duration, tell func()) func(message []byte) error {
	var told sync.Once
	return func(message []byte) error {
		err := pub.Publish(message)
		if !errors.Is(err, bus.ErrBackPressure) {
			return err
		}
		defer Waiting(patience, func() { told.Do(tell) })()
		return pub.PublishWait(ctx, message)
	}
}
