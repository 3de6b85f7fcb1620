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
