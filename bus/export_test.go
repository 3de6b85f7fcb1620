package bus

import (
	"context"
	"testing"
	"time"
)

// SleepUntilWoken makes sleeps so long that a test ends only if somebody wakes the sleeper.
func SleepUntilWoken(t *testing.T) {
	was := shortestSleep
	shortestSleep = time.Hour
	t.Cleanup(func() { shortestSleep = was })
}

// Begin has the calling goroutine work through the subscription's messages from here on, as in a callback of Poll; the function that it
// returns ends that.
func Begin(s *Subscription) (end func()) {
	s.begin()
	return func() { s.settle(false) }
}

// JoinToRetry is what RetryParked does first, and how it ends it.
func (c *Conn) JoinToRetry(ctx context.Context, topic, group string) (leave func() error, err error) {
	h, err := c.joinToRetry(ctx, topic, group)
	if err != nil {
		return nil, err
	}
	return h.close, nil
}
