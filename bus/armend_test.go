package bus

import (
	"errors"
	"runtime"
	"testing"
	"time"

	"github.com/mycelium-bus/mycelium/bus/topic"
	"github.com/mycelium-bus/mycelium/internal/leak"
	"golang.org/x/sys/unix"
)

// aSubscription returns one of a bus of the test's own.
func aSubscription(t *testing.T, options ...SubscribeOption) *Subscription {
	t.Helper()
	c, err := OpenDir(leak.ShmDir(t), Options{Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.CreateTopic(t.Context(), topic.Config{Name: "t", Size: topic.MinSize}); err != nil {
		t.Fatal(err)
	}
	s, err := c.Subscribe("t", options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// Arm of a subscription that has to leave closes its descriptor: it says why, since no wait on that will end any more, and writes to nobody
// who has the number by then.
func TestArmOfWhoHasToLeave(t *testing.T) {
	s := aSubscription(t)
	fd, err := s.FD()
	if err != nil {
		t.Fatal(err)
	}
	foreign := -1
	s.slot.give = func() { // the handle is closed: its numbers are anybody's
		for range 100 {
			other, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if other != fd {
					unix.Close(other)
				}
			}()
			if other == fd {
				foreign = other
				return
			}
		}
	}
	s.topic.finish(&ending{err: ErrEvicted, evicted: true})
	if err := s.Arm(); !errors.Is(err, ErrEvicted) {
		t.Errorf("Arm: %v", err)
	}
	if foreign < 0 {
		t.Skip("somebody else got the number") // of this process's other goroutines
	}
	defer unix.Close(foreign)
	var b [8]byte
	if n, err := unix.Read(foreign, b[:]); err != unix.EAGAIN {
		t.Errorf("Arm wrote %v (%d, %v) to a descriptor that is not its own", b, n, err)
	}
}

// Who is armed is told at once what is told to who sleeps: that its topic has ended here, and to look again.
func TestArmedIsToldOfItsTopicsEnd(t *testing.T) {
	SleepUntilWoken(t)
	s := aSubscription(t)
	fd, err := s.FD()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Arm(); err != nil {
		t.Fatal(err)
	}
	w := &s.conn.waker
	for looked := false; !looked; runtime.Gosched() { // its thread has looked, found nothing, and sleeps or is about to
		w.mu.Lock()
		looked = !w.alarm.Rung()
		w.mu.Unlock()
	}
	s.topic.finish(&ending{err: ErrEvicted, evicted: true})
	for deadline := time.Now().Add(time.Minute); ; {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(time.Until(deadline)/time.Millisecond))
		if n == 1 {
			break
		}
		if err != unix.EINTR {
			t.Fatalf("watchdog: not readable in a minute (%v)", err)
		}
	}
	if _, err := s.Poll(1, func(Message) error { return nil }); !errors.Is(err, ErrEvicted) {
		t.Errorf("Poll: %v", err)
	}
}
