package bus

import (
	"encoding/binary"
	"errors"
	"os"
	"sync"
	"time"

	"github.com/mycelium-bus/mycelium/shmring"
	"golang.org/x/sys/unix"
)

// FD returns a descriptor for programs that wait by epoll(7), poll or select: an eventfd that becomes readable when an armed subscription
// ([Subscription.Arm]) has something to say. It is the same one as long as the subscription is open, belongs to it, and is closed with
// it: wait on it, and do nothing else. A thread of this process writes it, one for all armed subscriptions of a connection.
//
//	fd, err := sub.FD()            // once, and into the epoll set (EPOLLIN, level-triggered)
//	for {
//		n, err := sub.Poll(100, handle)
//		if n == 0 { err = sub.Arm(); epoll_wait(...) }
//	}
//
// Errors: [ErrClosed], and the system's, when it has no descriptor left.
func (s *Subscription) FD() (int, error) {
	if s.event == nil {
		if s.closed {
			return -1, ErrClosed
		}
		e, err := s.conn.waker.open()
		if err != nil {
			return -1, err
		}
		s.event = e
	}
	return s.event.fd, nil
}

// Arm makes FD unreadable until the subscription has something to say; if it has already, FD is readable at once. Nothing is missed
// between a Poll that found nothing, Arm, and the wait. It holds for one time: once FD is readable it stays so until Arm is called again.
// What there is to say Poll says, errors as well.
//
// FD may become readable for nothing: every ten seconds, as every sleep has an end, and when another subscription of the topic is woken.
// Arm costs a few microseconds and does not block. Errors are those of FD, and [ErrEvicted], which closes the subscription and FD with it.
func (s *Subscription) Arm() error {
	if _, err := s.FD(); err != nil {
		return err
	}
	e := s.event
	e.drain()
	there, err := s.look()
	if s.event == nil { // it had to leave: the descriptor is closed, and its number may be somebody else's
		return err
	}
	if there || err != nil && !s.mayReturn(err) {
		e.signal()
		return nil
	}
	if err != nil { // its topic may be made again, of which no message tells
		s.conn.waker.arm(e, arming{topic: s.topic, within: roundPause})
		return nil
	}
	a, there, err := shmring.Arm(s.from)
	if there || err != nil {
		e.signal()
		return nil
	}
	s.conn.waker.arm(e, arming{armed: a, wakes: true, topic: s.topic, within: min(a.Within(), shortestSleep)})
	return nil
}

// mayReturn tells an ended topic that may be made again from what is final.
func (s *Subscription) mayReturn(err error) bool { return errors.Is(err, ErrClosed) && s.next.comes() }

// event is a subscription's eventfd.
type event struct{ fd int }

// drain makes it unreadable.
func (e *event) drain() {
	var b [8]byte
	_, _ = unix.Read(e.fd, b[:]) // nothing to read is what is wanted
}

// signal makes it readable. A counter that is full already is.
func (e *event) signal() {
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	_, _ = unix.Write(e.fd, one[:])
}

// arming is what an armed subscription waits for.
type arming struct {
	armed  shmring.Armed
	wakes  bool // armed is there
	topic  *mapping
	within time.Duration
	until  time.Time
}

func (a *arming) over(now time.Time) bool {
	return !now.Before(a.until) || a.wakes && (a.armed.Woken() || a.topic.ended() != nil)
}

// waker writes the eventfds of a connection's armed subscriptions. Its goroutine runs as long as there are eventfds, and blocks a thread in
// the kernel while something is armed.
type waker struct {
	mu      sync.Mutex
	armed   map[*event]*arming // nil: not armed
	alarm   *shmring.Alarm     // ends the sleep under way
	on      []*mapping         // of whose end the alarm tells
	changed chan struct{}      // has room for one: the same for a wait
	running bool
}

func (w *waker) open() (*event, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("eventfd", err)
	}
	e := &event{fd}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.armed == nil {
		w.armed, w.changed = map[*event]*arming{}, make(chan struct{}, 1)
	}
	w.armed[e] = nil
	if !w.running {
		w.running = true
		w.alarm = new(shmring.Alarm)
		go w.run()
	}
	return e, nil
}

func (w *waker) arm(e *event, a arming) {
	a.until = time.Now().Add(a.within)
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, open := w.armed[e]; open {
		w.armed[e] = &a
		w.stirLocked()
	}
}

// close takes an eventfd back: once it has returned nobody writes it any more.
func (w *waker) close(e *event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.armed, e)
	unix.Close(e.fd)
	w.stirLocked()
}

// stirLocked has the goroutine look again.
func (w *waker) stirLocked() {
	w.alarm.Ring()
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

// run waits and signals until there is no eventfd left.
func (w *waker) run() {
	for {
		armed, d, alarm := w.round()
		if alarm == nil {
			return
		}
		if len(armed) > 0 {
			if shmring.AwaitWakes(d, alarm, armed) == nil {
				continue
			}
			d = min(d, time.Millisecond) // where the system cannot sleep so
		}
		timer := time.NewTimer(d)
		select {
		case <-timer.C:
		case <-w.changed:
		}
		timer.Stop()
	}
}

// round signals what is over, and returns what to wait for, how long, and what ends the wait; no alarm when there is nothing left to do.
func (w *waker) round() (armed []shmring.Armed, d time.Duration, alarm *shmring.Alarm) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range w.on {
		m.calm(w.alarm)
	}
	w.on = w.on[:0]
	if len(w.armed) == 0 {
		w.running = false
		return nil, 0, nil
	}
	w.alarm = new(shmring.Alarm) // the last one may have rung
	now := time.Now()
	d = time.Hour
	for e, a := range w.armed {
		if a != nil && a.wakes { // before the look at its end
			a.topic.alert(w.alarm)
			w.on = append(w.on, a.topic)
		}
		switch {
		case a == nil:
		case a.over(now):
			e.signal()
			w.armed[e] = nil
		default:
			d = min(d, a.until.Sub(now))
			if a.wakes {
				armed = append(armed, a.armed)
			}
		}
	}
	return armed, d, w.alarm
}
