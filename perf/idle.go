package perf

import (
	"fmt"
	"runtime"
	"time"

	"github.com/mycelium-bus/mycelium/shmring"
)

// StallLimit is how long a worker waits for the other one before it gives the run up.
const StallLimit = 10 * time.Second

// idler does what an [Idle] says, and notices when the other side has gone silent.
type idler struct {
	strategy     byte // s, y, b
	fixed        bool // pause PAUSE between looks, and not as spin has them
	pause, burst uint32
	spin         shmring.Spin
	round        int
	since        int64 // when this row of empty looks was first held against the clock
	watch        *watch
}

func newIdler(i Idle, watch *watch) *idler {
	return &idler{strategy: i.Strategy[0], fixed: i.Pause != BusySpin, pause: uint32(max(i.Pause, 0)), burst: uint32(i.Burst), watch: watch}
}

// got tells that something was there.
func (d *idler) got() {
	d.round, d.since = 0, 0
	d.spin.Reset()
}

// wait passes the time until the next look. After is how many messages came directly before this empty look.
func (d *idler) wait(after int) error {
	d.round++
	switch {
	case d.strategy == 's':
		switch {
		case after >= BurstOf && d.burst != 0:
			d.pauseLong(d.burst)
		case d.fixed:
			pause(d.pause)
		default:
			d.spin.Once()
		}
	case d.strategy == 'y' || d.round < 200:
		runtime.Gosched()
	default:
		time.Sleep(min(time.Duration(d.round-199)*time.Microsecond, time.Millisecond))
		return d.check()
	}
	if d.watch.on && d.round%watchEvery == 0 {
		d.watch.saw(now())
	}
	// The clock costs more than a look: now and then is enough.
	if d.round&0xffff == 0 {
		return d.check()
	}
	return nil
}

func (d *idler) check() error {
	t := now()
	if d.since == 0 {
		d.since = t
	}
	if t-d.since > int64(StallLimit) {
		return fmt.Errorf("%w: nothing came for %v", ErrStalled, StallLimit)
	}
	return nil
}

// pauseLong executes n PAUSE, which may take longer than a stall that is to be noticed.
func (d *idler) pauseLong(n uint32) {
	for d.watch.on && n > 32 {
		pause(32)
		d.watch.saw(now())
		n -= 32
	}
	pause(n)
}

// pause executes n PAUSE; [shmring.Pause] takes 64 at most, so that the runtime can preempt it.
func pause(n uint32) {
	for ; n > 64; n -= 64 {
		shmring.Pause(64)
	}
	shmring.Pause(n)
}
