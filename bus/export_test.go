package bus

import (
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
