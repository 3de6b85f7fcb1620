package perf

import (
	"slices"

	"golang.org/x/sys/unix"
)

// gap is a time in which a loop that reads the clock all the time did not come to read it.
type gap struct {
	From int64 `json:"from"` // nanoseconds of CLOCK_MONOTONIC
	To   int64 `json:"to"`
	// Own says that this thread took a page fault or slept meanwhile: what the process does to itself, and not the machine to it.
	Own bool `json:"own,omitempty"`
}

// watch notices the gaps of a loop. The loop tells it of each reading of the clock, and reads it often: between two looks that find
// nothing, and with each message.
type watch struct {
	on     bool
	offset int64 // from this process's clock to CLOCK_MONOTONIC
	last   int64
	gaps   []gap
	began  unix.Rusage
	usage  unix.Rusage // when the last gap was noticed
}

// watchEvery is how many looks that find nothing go by between two readings of the clock: a reading takes as long as a look.
const watchEvery = 8

// begin is called right before the loop.
func (w *watch) begin() error {
	w.gaps = room(w.gaps, 4096) // a second of a bad machine
	// Of the thread: what the runtime's own threads do shows as a gap only where it keeps this one from running.
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &w.began); err != nil {
		return err
	}
	w.usage, w.last, w.on = w.began, now(), true
	return nil
}

// saw takes a reading of the clock.
func (w *watch) saw(t int64) {
	if t-w.last > stallNs && w.on {
		t = w.note()
	}
	w.last = t
}

// note asks the kernel whose gap it was, which takes another 1 or 2 us on a virtual machine; they belong to the gap. It returns
// when it ends.
func (w *watch) note() int64 {
	was := w.usage
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &w.usage); err != nil {
		return now() // begin called it with the same arguments, and it was good
	}
	own := w.usage.Minflt+w.usage.Majflt != was.Minflt+was.Majflt || w.usage.Nvcsw != was.Nvcsw
	t := now()
	w.gaps = append(w.gaps, gap{w.last + w.offset, t + w.offset, own})
	return t
}

// end stops watching and puts what was seen into the answer.
func (w *watch) end(a *answer) error {
	w.on = false
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &w.usage); err != nil {
		return err
	}
	a.Gaps = w.gaps
	a.PageFaults = w.usage.Minflt + w.usage.Majflt - w.began.Minflt - w.began.Majflt
	a.Preemptions = w.usage.Nivcsw - w.began.Nivcsw
	return nil
}

// room returns an empty slice with room for n, whose memory is there: the first touch of a page takes longer than a message.
func room[T any](s []T, n int) []T {
	s = slices.Grow(s[:0], n)[:n]
	var zero T
	for i := range s {
		s[i] = zero
	}
	return s[:0]
}

// way is one message's.
type way struct{ due, arrived int64 } // nanoseconds of CLOCK_MONOTONIC

// toucher tells of ways, in the order in which they were due, whether a gap that is not the loop's own touched them.
type toucher struct{ gaps []gap }

func (g *toucher) touched(w way) bool {
	for len(g.gaps) > 0 && (g.gaps[0].To <= w.due || g.gaps[0].Own) {
		g.gaps = g.gaps[1:]
	}
	return len(g.gaps) > 0 && g.gaps[0].From < w.arrived
}
