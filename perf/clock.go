package perf

import (
	"math"
	"time"

	"golang.org/x/sys/unix"
)

// base is what now counts from. Subtracting it makes time.Since a bare reading of the monotonic clock.
var base = time.Now()

// now returns nanoseconds of the monotonic clock, from a zero that is this process's own.
func now() int64 { return int64(time.Since(base)) }

// clockCost returns what a reading of the clock costs, in nanoseconds: the best of several rounds.
func clockCost() float64 {
	const rounds, readings = 50, 200
	best := math.MaxFloat64
	for range rounds {
		start := now()
		for range readings - 1 {
			now()
		}
		best = min(best, float64(now()-start)/readings)
	}
	return best
}

// stallNs is how long a gap between two readings of the clock must be to count as a stall: many times a reading, and far
// less than an interrupt on a virtual machine.
const stallNs = 2000

// stalledShare watches the clock for a while and returns which share of the time this thread did not run: interrupts, other
// programs, the host. No bus can make a message faster than its processes run.
func stalledShare(during time.Duration) float64 {
	start := now()
	stalled, last := int64(0), start
	for last-start < int64(during) {
		t := now()
		if t-last > stallNs {
			stalled += t - last
		}
		last = t
	}
	return float64(stalled) / float64(last-start)
}

// sharedClock returns what to add to now for nanoseconds of CLOCK_MONOTONIC, which all processes share, and how wrong that
// may be. The library's clock hides its zero and the system call takes longer than a message, so the call is bracketed by
// two readings: the true value lies between, and the shortest of many brackets is believed, at its middle. Two processes make
// the same error, which their difference does not have.
func sharedClock() (offset int64, uncertain int64, err error) {
	uncertain = math.MaxInt64
	for range 2000 {
		var ts unix.Timespec
		before := now()
		err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
		after := now()
		if err != nil {
			return 0, 0, err
		}
		if half := (after - before) / 2; half < uncertain {
			uncertain, offset = half, ts.Nano()-(before+half)
		}
	}
	return offset, uncertain, nil
}
