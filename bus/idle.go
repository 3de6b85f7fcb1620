package bus

import (
	"runtime"
	"time"

	"github.com/mycelium-bus/mycelium/shmring"
	"golang.org/x/sys/unix"
)

// An IdleStrategy says what a goroutine does between two looks that found nothing. It belongs to one handle: its methods are
// called by the handle's goroutine alone. Idle must come back within a few milliseconds, since the context of a wait is
// looked at between two calls.
type IdleStrategy interface {
	Idle()  // nothing was there
	Reset() // something was: the next wait begins anew
}

// BusySpin looks again at once: the quickest answer, for a core of its own per waiting goroutine. The zero value is ready.
type BusySpin struct{ spin shmring.Spin }

// Idle executes 6 PAUSE (120 ns), or between near cores 1 for the first two looks ([shmring.Spin]).
func (b *BusySpin) Idle() { b.spin.Once() }

// Reset begins anew with the shortest pause.
func (b *BusySpin) Reset() { b.spin.Reset() }

// Yield lets the process's other goroutines run between two looks. It keeps a core busy when there are none.
type Yield struct{}

// Idle calls runtime.Gosched.
func (Yield) Idle() { runtime.Gosched() }

// Reset does nothing.
func (Yield) Reset() {}

// Defaults of [Backoff], for a machine with fewer cores than processes on the bus: about 5 us of spinning cover a message that
// is on its way, then whoever has the message to send needs the core.
const (
	DefaultSpins    = 40
	DefaultYields   = 50
	DefaultMaxSleep = 200 * time.Microsecond
)

// Backoff spins, then yields, then sleeps, longer each time. It is the default of every handle. The zero value has the
// defaults; a negative number of Spins or Yields means none.
type Backoff struct {
	Spins  int           // looks with PAUSE between them, as BusySpin; 0 means DefaultSpins
	Yields int           // looks with a runtime.Gosched between them, after those; 0 means DefaultYields
	Max    time.Duration // the longest sleep, to which the kernel adds some 50 us; 0 means DefaultMaxSleep; they double from 1 us on

	round int
	spin  shmring.Spin
	sleep time.Duration
}

// Idle does the next step.
func (b *Backoff) Idle() {
	spins, yields := orDefault(b.Spins, DefaultSpins), orDefault(b.Yields, DefaultYields)
	b.round++
	switch {
	case b.round <= spins:
		b.spin.Once()
	case b.round <= spins+yields:
		runtime.Gosched()
	default:
		limit := b.Max
		if limit <= 0 {
			limit = DefaultMaxSleep
		}
		b.sleep = min(max(2*b.sleep, time.Microsecond), limit)
		nap(b.sleep)
	}
}

// Reset begins with spinning again.
func (b *Backoff) Reset() {
	b.round, b.sleep = 0, 0
	b.spin.Reset()
}

func orDefault(n, def int) int {
	if n == 0 {
		return def
	}
	return max(n, 0)
}

// nap sleeps in the kernel. time.Sleep would take a millisecond in a process that has nothing else to do: the runtime then
// waits in epoll, which counts in milliseconds (go1.26 runtime/netpoll_epoll.go, netpoll); nanosleep(2) takes d and the thread's
// timer slack, 50 us. The runtime gives the processor to another goroutine meanwhile.
func nap(d time.Duration) {
	ts := unix.NsecToTimespec(int64(d))
	// An interruption by a signal ends the nap early, and the caller looks once more: no harm.
	_ = unix.Nanosleep(&ts, nil)
}
