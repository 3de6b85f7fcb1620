package perf

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mycelium-bus/mycelium/bus"
	"golang.org/x/sys/unix"
)

// The workers' part of [Wake].

var wakeSteps = map[string]func(*worker, order) (answer, error){
	"gather":  (*worker).gather,
	"idle":    (*worker).idleFor,
	"dismiss": (*worker).dismiss,
	"bell":    (*worker).bell,
	"wake":    (*worker).wakeUps,
	"publish": (*worker).publish,
	"rouse":   (*worker).publish,
}

// crowd is subscriptions, most of which sleep, each in a goroutine of its own, which the kernel sees as a thread.
type crowd struct {
	end    context.CancelFunc
	wait   sync.WaitGroup
	failed chan error
	seen   []atomic.Uint64 // the last sequence number that each saw, plus 1
}

// settle waits until the crowd has fallen asleep: the process uses less than a hundredth of a processor.
func settle() error {
	for range 50 {
		used, err := processCPU()
		if err != nil {
			return err
		}
		time.Sleep(100 * time.Millisecond)
		if after, err := processCPU(); err != nil || after-used < int64(time.Millisecond) {
			return err
		}
	}
	return fmt.Errorf("%w: the subscriptions do not fall asleep", ErrStalled)
}

// processCPU returns the processor time of this process so far, in nanoseconds.
func processCPU() (int64, error) {
	var u unix.Rusage
	err := unix.Getrusage(unix.RUSAGE_SELF, &u)
	return u.Utime.Nano() + u.Stime.Nano(), os.NewSyscallError("getrusage", err)
}

// gather starts a crowd of lossy subscriptions that sleep, by the defaults of [bus.Sleep], or that spin.
func (w *worker) gather(o order) (answer, error) {
	if w.Side == 0 {
		return answer{}, nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	w.crowd = &crowd{end: cancel, failed: make(chan error, o.Count), seen: make([]atomic.Uint64, o.Count)}
	for i := range w.crowd.seen {
		var idle bus.IdleStrategy = &bus.Sleep{}
		if o.Spin {
			idle = &bus.BusySpin{}
		}
		s, err := w.subscribe(bus.Lossy(), bus.Idle(idle))
		if err != nil {
			cancel()
			return answer{}, fmt.Errorf("subscription %d of %d: %w", i, o.Count, err)
		}
		w.crowd.wait.Go(func() { w.crowd.sleep(ctx, s, &w.crowd.seen[i]) })
	}
	if o.Spin {
		return answer{}, nil
	}
	return answer{}, settle()
}

func (c *crowd) sleep(ctx context.Context, s *bus.Subscription, seen *atomic.Uint64) {
	defer s.Close()
	note := func(m bus.Message) error {
		seen.Store(binary.LittleEndian.Uint64(m.Bytes()) + 1)
		return nil
	}
	for {
		err := s.Wait(ctx)
		if err == nil {
			_, err = s.Poll(pollLimit, note)
		}
		if err != nil && !errors.Is(err, bus.ErrLapped) {
			if ctx.Err() == nil {
				c.failed <- err
			}
			return
		}
	}
}

// idleFor does nothing for a while, and tells what this process used of a processor.
func (w *worker) idleFor(o order) (a answer, err error) {
	if w.Side == 0 {
		return a, nil
	}
	before, err := processCPU()
	if err != nil {
		return a, err
	}
	start := time.Now()
	time.Sleep(time.Duration(o.Every))
	a.ElapsedNs = int64(time.Since(start))
	after, err := processCPU()
	a.CPUNs = after - before
	return a, err
}

// dismiss waits until the whole crowd has seen message o.First-1, and ends it.
func (w *worker) dismiss(o order) (a answer, err error) {
	if w.Side == 0 {
		return a, nil
	}
	defer w.crowd.wait.Wait()
	defer w.crowd.end()
	for i := range w.crowd.seen {
		for until := time.Now().Add(StallLimit); w.crowd.seen[i].Load() < o.First; time.Sleep(time.Millisecond) {
			select {
			case err := <-w.crowd.failed:
				return a, fmt.Errorf("sleeping subscription: %w", err)
			default:
			}
			if time.Now().After(until) {
				return a, fmt.Errorf("%w: subscription %d slept on at message %d of %d", ErrStalled, i, w.crowd.seen[i].Load(), o.First)
			}
		}
		a.Sleepers++
	}
	return a, nil
}

// bell sends, or waits for, bare wake-ups: side 0 writes twice the time into a line, so each differs from the one before, and one more with
// the last. Who sleeps late may miss some. Without a count both look at what is there.
func (w *worker) bell(o order) (answer, error) {
	if w.Side == 0 {
		for i := range o.Count {
			time.Sleep(time.Duration(o.Every))
			x := uint64(now()+w.watch.offset) << 1
			if i+1 == o.Count {
				x++
			}
			w.lines.Rouse(0, x)
		}
		return answer{}, nil
	}
	if o.Count == 0 {
		var err error
		w.rung, err = w.lines.Doze(0, ^uint64(0), StallLimit)
		return answer{}, err
	}
	h := newHistogram()
	for last := false; !last; {
		seen, err := w.lines.Doze(0, w.rung, StallLimit)
		if err != nil {
			return answer{}, err
		}
		if seen == w.rung {
			return answer{}, fmt.Errorf("%w: no wake-up in %v", ErrStalled, StallLimit)
		}
		record(h, now()+w.watch.offset-int64(seen>>1))
		w.rung, last = seen, seen&1 != 0
	}
	return histogramAnswer(h)
}

// wakeUps publishes messages, or sleeps until each is there and checks it. Without a count side 1 subscribes, or ends its subscription.
func (w *worker) wakeUps(o order) (answer, error) {
	if w.Side == 0 {
		for i := range o.Count {
			time.Sleep(time.Duration(o.Every))
			w.filler.sentNs = now() + w.watch.offset
			if err := w.send(o.First + i); err != nil {
				return answer{}, err
			}
		}
		return answer{}, nil
	}
	if o.Count == 0 && w.sleeper != nil {
		return answer{}, w.sleeper.Close()
	}
	if o.Count == 0 {
		var err error
		w.sleeper, err = w.subscribe(bus.Slow(bus.Block), bus.Idle(&bus.Sleep{Spins: -1, Yields: -1, Naps: -1}))
		return answer{}, err
	}
	h := newHistogram()
	w.checker.next = o.First
	w.checker.then = func() error {
		record(h, now()+w.watch.offset-w.checker.sentNs)
		return nil
	}
	take := newBusReceiver(w.sleeper, w.checker).take
	ctx, cancel := context.WithTimeout(context.Background(), StallLimit+time.Duration(o.Count)*time.Duration(o.Every)*10)
	defer cancel()
	for got := 0; got < int(o.Count); {
		if err := w.sleeper.Wait(ctx); err != nil {
			return answer{}, fmt.Errorf("%w: wait for message %d: %w", ErrStalled, w.checker.next, err)
		}
		n, err := w.sleeper.Poll(1, take)
		if err != nil {
			return answer{}, err
		}
		got += n
	}
	return histogramAnswer(h)
}

// subscribe opens a subscription on a connection of its own: the other one belongs to the layer that is measured.
func (w *worker) subscribe(options ...bus.SubscribeOption) (*bus.Subscription, error) {
	if w.sleeps == nil {
		c, err := dial(busDir(w.Dir), &w.Options)
		if err != nil {
			return nil, err
		}
		w.sleeps = c
	}
	return w.sleeps.Subscribe(topicOf(&w.Options, w.Dir, topicThere), append(options, bus.Fanout())...)
}

// publish measures the processor time that this thread spends in publishing messages, one after the other or with a pause before each
// that does not count.
func (w *worker) publish(o order) (a answer, err error) {
	if w.Side == 1 {
		return a, nil
	}
	runtime.LockOSThread() // the clock is the thread's
	defer runtime.UnlockOSThread()
	if o.Every == 0 {
		before := threadCPU()
		for i := range o.Count {
			if err := w.send(o.First + i); err != nil {
				return a, err
			}
		}
		a.CPUNs = threadCPU() - before
		return a, nil
	}
	reading := int64(math.MaxInt64) // what the clock itself takes
	for range 1000 {
		before := threadCPU()
		reading = min(reading, threadCPU()-before)
	}
	for i := range o.Count {
		time.Sleep(time.Duration(o.Every))
		before := threadCPU()
		if err := w.send(o.First + i); err != nil {
			return a, err
		}
		a.CPUNs += threadCPU() - before - reading
	}
	return a, nil
}

// threadCPU returns the processor time of this thread so far, in nanoseconds.
func threadCPU() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		panic(err) // Linux has it since 2.6.12
	}
	return ts.Nano()
}
