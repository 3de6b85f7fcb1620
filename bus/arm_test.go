package bus_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/bus/topic"
	"golang.org/x/sys/unix"
)

// epoll is a loop's epoll instance.
type epoll struct {
	t  testing.TB
	fd int
}

func newEpoll(t testing.TB) *epoll {
	t.Helper()
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return &epoll{t, fd}
}

func (p *epoll) add(s *bus.Subscription) int {
	p.t.Helper()
	fd, err := s.FD()
	if err == nil {
		err = unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
	}
	if err != nil {
		p.t.Fatal(err)
	}
	return fd
}

// ready returns the descriptors that are readable within d; a minute is the watchdog.
func (p *epoll) ready(d time.Duration) (fds []int) {
	p.t.Helper()
	var events [16]unix.EpollEvent
	for deadline := time.Now().Add(d); ; {
		n, err := unix.EpollWait(p.fd, events[:], int(max(time.Until(deadline), 0)/time.Millisecond))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			p.t.Fatal(err)
		}
		if n == 0 && d == time.Minute {
			p.t.Fatal("watchdog: nothing is readable for a minute")
		}
		for _, e := range events[:n] {
			fds = append(fds, int(e.Fd))
		}
		return fds
	}
}

func arm(t testing.TB, s *bus.Subscription) {
	t.Helper()
	if err := s.Arm(); err != nil {
		t.Fatal(err)
	}
}

func TestArmedOnceWokenOnce(t *testing.T) {
	bus.SleepUntilWoken(t)
	c := newBus(t, topic.Config{Name: "t", Size: topic.MiB})
	pub, sub := publisher(t, c, "t"), subscribe(t, c, "t")
	p := newEpoll(t)
	fd := p.add(sub)
	if again, err := sub.FD(); err != nil || again != fd {
		t.Errorf("%d %v, want %d as before", again, err, fd)
	}
	arm(t, sub)
	arm(t, sub) // twice is once
	if got := p.ready(0); got != nil {
		t.Fatalf("readable without a message")
	}
	publish(t, pub, "a")
	if got := p.ready(time.Minute); len(got) != 1 || got[0] != fd {
		t.Fatalf("readable: %v, want %d", got, fd)
	}
	// It stays readable until it is armed again, and at once if there is something still.
	if got := p.ready(0); len(got) != 1 {
		t.Error("not readable any more")
	}
	arm(t, sub)
	if got := p.ready(0); len(got) != 1 {
		t.Error("not readable, though a message is there")
	}
	if got := poll(t, sub); len(got) != 1 {
		t.Errorf("%q", got)
	}
	arm(t, sub)
	if got := p.ready(0); got != nil {
		t.Error("readable after everything was read")
	}
	publish(t, pub, "b")
	p.ready(time.Minute)
	var count [8]byte
	if n, err := unix.Read(fd, count[:]); n != 8 || err != nil || count != [8]byte{1} && count != [8]byte{7: 1} {
		t.Errorf("woken %v times, %v", count, err)
	}
	// Who is not armed is not woken: neither by what is there, nor by what comes.
	publish(t, pub, "c")
	other := subscribe(t, c, "t", bus.From(bus.Newest))
	otherFD := p.add(other)
	arm(t, other)
	publish(t, pub, "d")
	if got := p.ready(time.Minute); len(got) != 1 || got[0] != otherFD {
		t.Errorf("readable: %v, want %d alone", got, otherFD)
	}
	if got := poll(t, sub); len(got) != 3 {
		t.Errorf("%q", got)
	}
}

// Everything that is published arrives, by wakes alone, however the messages fall between Poll, Arm and the wait.
func TestEpollLoopMissesNothing(t *testing.T) {
	bus.SleepUntilWoken(t)
	for name, options := range map[string][]bus.SubscribeOption{"block": nil, "drop": {bus.Slow(bus.Drop)}, "lossy": {bus.Lossy()}, "group": {bus.Group("g")}} {
		t.Run(name, func(t *testing.T) {
			c := newBus(t, topic.Config{Name: "a", Size: topic.MiB}, topic.Config{Name: "b", Size: topic.MiB})
			const n = 3000
			done := make(chan error, 2)
			p := newEpoll(t)
			subs := map[int]*bus.Subscription{}
			for _, name := range []string{"a", "b"} {
				sub := subscribe(t, c, name, options...)
				subs[p.add(sub)] = sub
				arm(t, sub)
			}
			for i, name := range []string{"a", "b"} {
				pub := publisher(t, c, name)
				go func() {
					for k := range n {
						if err := pub.PublishWait(t.Context(), fmt.Append(nil, k)); err != nil {
							done <- err
							return
						}
						if k%(7+i) == 0 { // now and then the loop has come to its wait
							time.Sleep(time.Duration(k%5) * 20 * time.Microsecond)
						}
					}
					done <- nil
				}()
			}
			got := map[int]int{}
			for total := 0; total < 2*n; {
				for _, fd := range p.ready(time.Minute) {
					sub := subs[fd]
					_, err := sub.Poll(100, func(m bus.Message) error {
						if string(m.Bytes()) != fmt.Sprint(got[fd]) {
							return fmt.Errorf("message %s, want %d", m.Bytes(), got[fd])
						}
						got[fd]++
						total++
						return nil
					})
					if err != nil {
						t.Fatal(err)
					}
					arm(t, sub)
				}
			}
			for range 2 {
				if err := <-done; err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// What is no message wakes as well: the topic's end, and the time.
func TestArmedIsWokenByMore(t *testing.T) {
	c := newBus(t, topic.Config{Name: "t", Size: topic.MiB}, topic.Config{Name: "idle", Size: topic.MiB})
	sub, member := subscribe(t, c, "t"), subscribe(t, c, "idle", bus.Group("g"))
	p := newEpoll(t)
	p.add(sub)
	arm(t, sub)
	if err := c.DeleteTopic(t.Context(), "t"); err != nil {
		t.Fatal(err)
	}
	p.ready(time.Minute)
	_, err := sub.Poll(1, func(bus.Message) error { return nil })
	wantIs(t, err, bus.ErrClosed)
	arm(t, sub)
	p.ready(time.Minute) // for good
	if err := sub.Close(); err != nil {
		t.Fatal(err)
	}
	p.add(member)
	arm(t, member)
	p.ready(time.Minute) // by and by
	if got := poll(t, member); got != nil {
		t.Errorf("%q", got)
	}
	if err := member.Close(); err != nil {
		t.Fatal(err)
	}
	if got := p.ready(0); got != nil {
		t.Errorf("readable after Close: %v", got)
	}
	_, err = sub.FD()
	wantIs(t, err, bus.ErrClosed)
	wantIs(t, member.Arm(), bus.ErrClosed)
}

// The connection may be closed before the subscription.
func TestArmedOutlivesItsConnection(t *testing.T) {
	bus.SleepUntilWoken(t)
	c := newBus(t, topic.Config{Name: "t", Size: topic.MiB})
	other := openDir(t, c.Dir())
	sub, pub := subscribe(t, other, "t"), publisher(t, c, "t")
	p := newEpoll(t)
	p.add(sub)
	arm(t, sub)
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	publish(t, pub, "a")
	p.ready(time.Minute)
	if got := poll(t, sub); len(got) != 1 {
		t.Errorf("%q", got)
	}
}
