package bus_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/bus/topic"
)

// Every strategy lets a waiting subscription see what comes, also where it changes while it waits.
func TestIdleStrategies(t *testing.T) {
	c := newBus(t, topic.Config{Name: "t", Size: topic.MiB})
	pub := publisher(t, c, "t")
	for name, strategy := range map[string]bus.IdleStrategy{
		"busy spin":                  &bus.BusySpin{},
		"yield":                      bus.Yield{},
		"back off":                   &bus.Backoff{},
		"back off at once, to sleep": &bus.Backoff{Spins: -1, Yields: -1, Max: 10 * time.Microsecond},
	} {
		t.Run(name, func(t *testing.T) {
			sub := subscribe(t, c, "t")
			counted := &counting{IdleStrategy: strategy}
			sub.SetIdle(counted)
			published := make(chan error, 1)
			go func() {
				for counted.idles.Load() < 300 { // beyond every step of a back-off
					time.Sleep(10 * time.Microsecond)
				}
				published <- pub.Publish([]byte("a"))
			}()
			if err := errors.Join(sub.Wait(t.Context()), <-published); err != nil {
				t.Fatal(err)
			}
			if got := poll(t, sub); len(got) != 1 || counted.resets.Load() == 0 {
				t.Errorf("got %q after %d resets", got, counted.resets.Load())
			}
		})
	}
}

type counting struct {
	bus.IdleStrategy
	idles, resets atomic.Int64
}

func (s *counting) Idle()  { s.idles.Add(1); s.IdleStrategy.Idle() }
func (s *counting) Reset() { s.resets.Add(1); s.IdleStrategy.Reset() }

func TestBackoffBeginsAnewAfterAReset(t *testing.T) {
	slept := func(b *bus.Backoff, n int) time.Duration {
		start := time.Now()
		for range n {
			b.Idle()
		}
		return time.Since(start)
	}
	b := &bus.Backoff{Spins: 3, Yields: -1, Max: 20 * time.Millisecond}
	slept(b, 3)
	if d := slept(b, 16); d < 30*time.Millisecond { // 1 us doubling to 16 ms: lower bounds alone can be asserted
		t.Errorf("16 sleeps took %v", d)
	}
	b.Reset()
	slept(b, 3) // spins
	if d := slept(b, 13); d < 8*time.Millisecond {
		t.Errorf("13 sleeps after a reset took %v", d)
	}
}

func TestSleepNapsBeforeItSleeps(t *testing.T) {
	for naps, least := range map[int]time.Duration{0: 60 * time.Microsecond, 5: 150 * time.Microsecond} {
		s := &bus.Sleep{Spins: -1, Yields: -1, Naps: naps}
		for range 2 {
			start := time.Now()
			for range max(naps, bus.DefaultNaps) {
				s.Idle()
			}
			if d := time.Since(start); d < least { // the timer slack of the others covers one that a signal ends early
				t.Errorf("%d naps took %v, want %v at least", naps, d, least)
			}
			s.Reset()
		}
	}
}
