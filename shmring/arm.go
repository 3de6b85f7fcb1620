package shmring

import (
	"fmt"
	"time"

	"github.com/mycelium-bus/mycelium/shmring/internal/shm"
	"golang.org/x/sys/unix"
)

// Who waits for descriptors (epoll, select) cannot sleep on a futex. It announces itself as a sleeper does, and somebody else waits for
// the wake: a waker, which writes an eventfd then.
//
//	Arm: announce, look once more ──> Armed{ring, generation} ──> waker: AwaitWakes ──> Woken ──> eventfd

// Armed is a sleeper that was announced, in the generation in which it was.
type Armed struct {
	ring       *Ring
	generation uint32
	within     time.Duration // how long at most nobody need look
	orphans    *shm.Word32   // of a member: what else tells, and what it was
	seen       uint32
}

// Arm announces a handle as one that sleeps, and looks once more whether it has something to say: then there is true. Otherwise the next
// message ends the generation, which Woken tells. The handle's goroutine calls it.
func Arm(s Sleeper) (a Armed, there bool, err error) {
	r, done := s.sleeper()
	if done {
		return a, true, nil
	}
	if r.access < Consume {
		return a, false, fmt.Errorf("%w: sleeping needs access consume, this mapping has %s", ErrPermission, r.access)
	}
	a = Armed{ring: r, within: time.Hour}
	err = r.Guard(func() {
		w, fenced := r.fallAsleep()
		a.generation = w
		if !fenced {
			a.within = nap
		}
		there = s.stirs()
		var within time.Duration
		a.orphans, a.seen, within = s.tells()
		a.within = min(a.within, within)
	})
	return a, there, err
}

// Within is how long after it was armed the handle must be looked at in any case: where no message can wake it in time.
func (a Armed) Within() time.Duration { return a.within }

// Woken tells whether there may be something for who is armed. Any goroutine may ask, as long as the handle is open.
func (a Armed) Woken() bool {
	woken := true // a ring that cannot be looked at is for its handle to tell
	_ = a.ring.Guard(func() {
		// order: acquire, pair [wake] with Producer.wakeReaders.
		woken = a.ring.ring.Word32(offWake).Load() != a.generation || a.ring.closing() ||
			a.orphans != nil && a.orphans.Load() != a.seen // order: acquire, pair [orphans] with Ring.leftOrphan.
	})
	return woken
}

// AwaitWakes sleeps until one of the armed is woken, alarm has rung, or d has passed; it may return early for nothing. It looks at up to
// [MaxSleepers] of them; for more it returns within a millisecond. The handles must be open meanwhile.
func AwaitWakes(d time.Duration, alarm *Alarm, armed []Armed) error {
	d = min(max(d, 0), time.Hour)
	if len(armed) > MaxSleepers {
		armed, d = armed[:MaxSleepers], min(d, nap)
	}
	words, values := make([]*shm.Word32, 0, 2*len(armed)+1), make([]uint32, 0, 2*len(armed)+1)
	room := shm.MaxWaitAny - 1 - len(armed) // for words beside wake and the alarm, as in Sleep
	for _, a := range armed {
		words, values = append(words, a.ring.ring.Word32(offWake)), append(values, a.generation)
		if a.orphans != nil && room > 0 {
			words, values = append(words, a.orphans), append(values, a.seen)
			room--
		} else if a.orphans != nil {
			d = min(d, unseenOrphan)
		}
	}
	words, values = append(words, &alarm.word), append(values, 0)
	err := shm.FutexWaitAny(words, values, d)
	if err == unix.ENOSYS { // before Linux 5.16
		err = shm.FutexWait(&alarm.word, 0, min(d, nap))
	}
	return err
}

// Generation is a topic's generation of sleepers, which a message ends that finds one.
type Generation struct{ a Armed }

// Generation returns the present one. The caller keeps the ring open as long as it uses it.
func (r *Ring) Generation() (g Generation) {
	g.a.ring = r
	_ = r.Guard(func() {
		// order: acquire, pair [wake] with Producer.wakeReaders.
		g.a.generation = r.ring.Word32(offWake).Load()
	})
	return g
}

// Await sleeps until the generation has ended, alarm has rung, or d has passed, and tells whether it has ended.
func (g Generation) Await(d time.Duration, alarm *Alarm) bool {
	_ = AwaitWakes(d, alarm, []Armed{g.a}) // what fails is as good as a sleep that was too short
	return g.a.Woken()
}
