//go:build linux && (amd64 || stepped)

package shmring

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"
)

// crashDelivery are falling asleep, waking, and what becomes of slow readers.
var crashDelivery = []crashOperation{
	{name: "fall asleep", kinds: oneOrMany, reads: true,
		ready: func(c *crashChild) error { return errors.Join(c.leave(), c.join(Policy{Slow: Block}, Newest())) },
		do:    func(c *crashChild) error { return Sleep(time.Millisecond, nil, c.rd) }},
	{name: "fall asleep waiting for space", kinds: oneOrMany, lags: true,
		ready: (*crashChild).crowded,
		do: func(c *crashChild) error {
			if err := c.p.AwaitSpace(500, time.Millisecond, nil); !errors.Is(err, ErrBackPressure) {
				return fmt.Errorf("%v, want back pressure", err)
			}
			return nil
		}},
	{name: "fall asleep as a member", kinds: manyOnly, reads: true, crew: &crashPolicy{}, atMark: (*crashWorld).work,
		ready: members(1), do: func(c *crashChild) error { return Sleep(time.Millisecond, nil, c.m) }},
	{name: "wake readers", kinds: oneOrMany, commits: 1, waits: readerWaits,
		ready: staging(4096, 100), do: sending},
	{name: "wake readers by a batch", kinds: manyOnly, commits: 3, waits: readerWaits,
		ready: staging(96, 100, 30, 60), do: batching},
	{name: "wake a producer", kinds: oneOrMany, reads: true, waits: producerWaits, atMark: (*crashWorld).fill,
		ready: rejoined(Block), do: polling(8)},
	{name: "wake a producer by an acknowledgement", kinds: manyOnly, reads: true, waits: producerWaits, crew: &crashPolicy{alone: true},
		atMark: (*crashWorld).fill,
		ready:  holds(8, 8), do: (*crashChild).acknowledge},
	{name: "repair what owed a wake", kinds: manyOnly, waits: readerWaits,
		ready: func(c *crashChild) error {
			victim, err := c.victim()
			if err == nil {
				bury(victim.lease)
			}
			return err
		}, do: repairing(1)},
	{name: "drop a reader", kinds: []Kind{SPMC, MPMC}, lags: true, slow: Drop, commits: 1,
		ready: (*crashChild).impatient, do: sending},
	{name: "evict a reader", kinds: manyOnly, lags: true, slow: Evict, commits: 1,
		ready: (*crashChild).impatient, do: sending},
	{name: "gate again", kinds: manyOnly, reads: true, atMark: overtake(false),
		ready: (*crashChild).patientReader, do: (*crashChild).comeBack},
	{name: "gate again after a lap", kinds: oneOrMany, reads: true, atMark: overtake(true),
		ready: (*crashChild).patientReader, do: (*crashChild).comeBack},
}

// sleepForEver makes the sleeps of producers as long as those of readers, so that who wakes up was woken.
func sleepForEver(t *testing.T) {
	was := longestWait
	longestWait = time.Hour
	t.Cleanup(func() { longestWait = was })
}

// crashPatience is that of readers that may be dropped, by the child's clock.
const crashPatience = 20 * time.Millisecond

// impatient makes a producer that has been held up for longer than a reader's patience: by the surviving one, to warm up by one of
// its own that may lag less.
func (c *crashChild) impatient() error {
	err := c.leave()
	if c.round < 2 {
		err = errors.Join(err, c.join(Policy{Slow: Drop, Credit: 2 * c.ring.maxClaim, Patience: crashPatience}, Newest()))
	}
	err = errors.Join(err, c.crowded(), c.expire())
	c.stage(500) // for which there is no room
	return err
}

// patientReader makes a reader that producers of the parent, whose clock goes on, may drop at once.
func (c *crashChild) patientReader() error {
	err := c.leave()
	if err == nil {
		err = c.join(Policy{Slow: Drop, Patience: 1}, Oldest())
	}
	return err
}

// comeBack reads up to the newest message, and gates again if the reader was dropped.
func (c *crashChild) comeBack() error {
	for idle := 0; idle < 2; idle++ {
		for _, ok := c.rd.Next(); ok; _, ok = c.rd.Next() {
			idle = 0
		}
		if err := c.rd.Err(); err != nil && !errors.Is(err, ErrLapped) {
			return err
		}
	}
	if again := c.rd.lease.state.gen() != c.rd.tenant; c.rd.adrift || again != (c.round == 2) {
		return fmt.Errorf("the reader gates again: %v; it is adrift: %v", again, c.rd.adrift)
	}
	return nil
}

// overtake publishes beyond the child's reach until its reader is dropped, and a lap more.
func overtake(lap bool) func(w *crashWorld) error {
	return func(w *crashWorld) error {
		dropped := func() bool {
			for slot := range w.ring.consumers {
				s := state(w.ring.consumerWord(slot, cState).Load())
				if s.kind() == slotReader && w.ring.droppedWord(slot).Load() == uint64(s.gen()) {
					return true
				}
			}
			return false
		}
		for range 1000 {
			if dropped() {
				if lap {
					return w.laps(w.other, fromOther, 2)
				}
				return nil
			}
			if err := w.publish(w.other, fromOther, 500); err != nil && !errors.Is(err, ErrBackPressure) {
				return err
			}
			if err := w.read(); err != nil {
				return err
			}
		}
		return errors.New("the child's reader is not dropped")
	}
}

// fill publishes until the child leaves no room.
func (w *crashWorld) fill() error {
	for {
		err := w.publish(w.other, fromOther, 500)
		if err == nil {
			err = w.read()
		}
		if err != nil {
			if errors.Is(err, ErrBackPressure) {
				return nil
			}
			return err
		}
	}
}

// crashWaiter is somebody of the parent's who sleeps in the kernel until he is woken.
type crashWaiter struct {
	reader *Reader
	woken  chan error
}

// fallAsleep lets whom the operation names sleep for ever, and returns when he has announced it.
func (w *crashWorld) fallAsleep() error {
	if w.op.waits == nobodyWaits {
		return nil
	}
	woken := make(chan error, 1)
	w.waiter.woken = woken
	switch w.op.waits {
	case readerWaits:
		g, err := w.ring.GrantConsumer(Policy{Slow: Lossy})
		if err != nil {
			return err
		}
		rd, err := w.ring.Reader(g, ReaderOptions{Name: "sleeper"})
		if err != nil {
			return err
		}
		w.waiter.reader = rd
		go func() { woken <- Sleep(time.Hour, nil, rd) }()
		return w.until("the reader sleeps", func() bool {
			return int32(w.ring.cursors.Word32(offAsleep).Load()-w.ring.ring.Word32(offWake).Load()) >= 0
		})
	case producerWaits:
		go func() {
			for {
				if err := w.other.AwaitSpace(500, time.Hour, nil); err != nil && !errors.Is(err, ErrBackPressure) {
					woken <- err
					return
				}
				if err := w.publish(w.other, fromOther, 500); !errors.Is(err, ErrBackPressure) {
					woken <- err
					return
				}
			}
		}()
		return w.until("the producer waits", func() bool {
			return int32(w.ring.ring.Word32(offBlocked).Load()-w.ring.cursors.Word32(offSpace).Load()) >= 0
		})
	}
	return nil
}

// isDropped reports whether producers have stopped waiting for the survivor.
func (w *crashWorld) isDropped() bool {
	s := state(w.ring.consumerWord(w.reader.slot, cState).Load())
	return w.ring.droppedWord(w.reader.slot).Load() == uint64(s.gen())
}

// passBy publishes two laps past the survivor, which does not read: that is possible if it was dropped, and only then.
func (w *crashWorld) passBy() error {
	if w.other == nil {
		return nil
	}
	dropped := w.isDropped()
	for range 2 * w.ring.capacity / 1000 {
		err := w.publish(w.other, fromOther, 1000)
		if errors.Is(err, ErrBackPressure) {
			return nil // where it was dropped: behind an open claim of the dead one
		}
		if err != nil {
			return err
		}
	}
	if !dropped {
		return errors.New("two laps past a reader that was not dropped")
	}
	return nil
}

// succeed has another reader in the place of a survivor that was evicted, from the newest message on.
func (w *crashWorld) succeed() (err error) {
	if err := w.compare(false); err != nil {
		return err
	}
	if !w.isDropped() {
		return errors.New("evicted, and not dropped")
	}
	w.expect, w.got, w.op.slow = nil, nil, 0
	w.reader.Close()
	w.reader, err = w.join(w.op.policy(w.ring), Newest())
	return err
}

// lossesAreKept wants what the survivor was told that it missed in the topic's ledger.
func (w *crashWorld) lossesAreKept() error {
	if len(w.missed) == 0 {
		return nil
	}
	all, _, err := w.ring.Losses()
	if err != nil {
		return err
	}
	for _, lap := range w.missed {
		if !slices.ContainsFunc(all, func(l Loss) bool { return l.Name == "survivor" && l.From == lap.From && l.To == lap.To }) {
			return fmt.Errorf("%v is not among the losses: %v", lap, all)
		}
	}
	return nil
}

// awaken wants who sleeps to have been woken by now.
func (w *crashWorld) awaken() error {
	if w.waiter.woken == nil {
		return nil
	}
	select {
	case err := <-w.waiter.woken:
		w.waiter.woken = nil
		return err
	case <-time.After(time.Minute):
		return errors.New("who sleeps is not woken")
	}
}

// until waits for a condition.
func (w *crashWorld) until(what string, condition func() bool) error {
	for end := time.Now().Add(time.Minute); !condition(); time.Sleep(20 * time.Microsecond) {
		if time.Now().After(end) {
			return fmt.Errorf("waited in vain: %s", what)
		}
	}
	return nil
}

// wakeUp lets the survivor sleep, and a producer wake him.
func (w *crashWorld) wakeUp(p *Producer, from int) error {
	if err := w.read(); err != nil || w.reader == nil {
		return err
	}
	woken := make(chan error, 1)
	go func() { woken <- Sleep(time.Hour, nil, w.reader) }()
	w.waiter.woken = woken
	err := w.until("the survivor sleeps", func() bool {
		return int32(w.ring.cursors.Word32(offAsleep).Load()-w.ring.ring.Word32(offWake).Load()) >= 0
	})
	if err == nil {
		err = w.publish(p, from, 70)
	}
	return errors.Join(err, w.awaken(), w.read())
}
