package shmring

import (
	"errors"
	"fmt"
	"time"

	"github.com/mycelium-bus/mycelium/shmring/internal/shm"
	"golang.org/x/sys/unix"
)

// Who finds nothing to read, or no room to write, may sleep in the kernel. Nobody counts sleepers, because one that is killed
// would never be uncounted; there are generations instead.
//
//	reader sleeps                             producer, after each stamp
//	  w = wake                                  asleep >= wake?  then
//	  asleep raised to w                           CAS wake -> wake + 1
//	  barrier, then fenced = w                     FUTEX_WAKE(wake)
//	  one more look
//	  FUTEX_WAIT(wake, w)
//
// The barrier is executed by the first sleeper of a generation, on the processors of all producers (membarrier(2)), so that a
// commit needs no fence: either the producer's load of asleep comes after the barrier and sees w, or its stamp came before and the
// last look sees that. A producer whose process the barrier does not reach yet, or that of a topic with SleepFence, executes a
// fence in each commit. A dead sleeper costs one wake, once.
//
//	producer waits for space                  reader, after each full store of its cursor
//	  s = space                                 blocked >= space?  then
//	  blocked raised to s                          CAS space -> space + 1
//	  one more refresh                             FUTEX_WAKE(space)
//	  FUTEX_WAIT(space, s)
//
// A member sleeps on its group's orphans as well, since who leaves a range behind may be a consumer, who cannot change wake:
//
//	member sleeps                             who leaves an orphan, or repairs
//	  orphans loaded, then the slots            the slot's state, and its lock falls
//	  FUTEX_WAIT(wake, w; orphans, as loaded)      orphans + 1
//	                                               FUTEX_WAKE(orphans)
//
// Honest words are never beyond: >= instead of = keeps what somebody scribbled from ending all wakes for good.
//
// Every sleep is bounded, which covers a process that was killed between its CAS and its FUTEX_WAKE.

// Sleep modes of a topic.
const (
	SleepAuto  = 0 // the sleeper executes a barrier, producers no fence
	SleepFence = 1 // producers execute a fence in each commit, nobody a barrier: for hosts with isolated cores
)

// MaxSleepers is how many handles one call of [Sleep] takes.
const MaxSleepers = shm.MaxWaitAny - 1

// nap is how long who cannot execute the barrier sleeps at a time.
const nap = time.Millisecond

// unseenOrphan is how long a member sleeps at a time that cannot wait for orphans too: who leaves one is a consumer, perhaps, and may not
// change wake.
const unseenOrphan = 50 * time.Millisecond

// A Sleeper is a handle that has nothing to read for now: a [Reader] or a [Member].
type Sleeper interface {
	sleeper() (r *Ring, done bool)
	stirs() bool // a look at the ring would not be in vain; called in the ring's guard
	// orphans is the word that tells of what was left behind, and what it was before the last look; nil where nothing can be. Nothing tells
	// of what somebody has in his hands: there is a look at it within that time.
	tells() (orphans *shm.Word32, seen uint32, within time.Duration)
}

func (r *Reader) sleeper() (*Ring, bool) { return r.ring, r.done }

func (m *Member) sleeper() (*Ring, bool) { return m.ring, m.done }

// Alarm ends sleeps: a word of this process that they wait on as well. The zero Alarm is ready; it must not be copied.
type Alarm struct{ word shm.Word32 }

// Ring ends the sleeps that take this alarm, those under way and those to come. Any goroutine may call it.
func (a *Alarm) Ring() {
	// order: sequentially consistent, pair [alarm] with Sleep: before the wake.
	a.word.Store(1)
	shm.FutexWake(&a.word)
}

// Rung reports whether the alarm has rung. Any goroutine may call it.
func (a *Alarm) Rung() bool {
	return a.word.Load() != 0 // order: acquire, pair [alarm] with Alarm.Ring.
}

// Sleep sleeps until one of the handles may have something to say, alarm (which may be nil) has rung, or d has passed; it may
// return early for nothing, after an hour at the latest. They are those of one goroutine, at most [MaxSleepers], with slots of their
// own ([ErrPermission] for others). It takes some microseconds to begin, and does not allocate for up to 8 of them. After it, look again.
func Sleep(d time.Duration, alarm *Alarm, sleepers ...Sleeper) error {
	if len(sleepers) == 0 && alarm == nil {
		return errors.New("nothing to sleep on: neither reader nor alarm")
	}
	d = min(max(d, 0), time.Hour)
	if len(sleepers) > MaxSleepers {
		return fmt.Errorf("%w: %d readers sleep together, at most %d can", ErrLimit, len(sleepers), MaxSleepers)
	}
	var wordsOf [17]*shm.Word32
	var valuesOf [17]uint32
	words, values := wordsOf[:0], valuesOf[:0]
	room := shm.MaxWaitAny - 1 - len(sleepers) // for words beside wake and the alarm
	there := false
	for _, s := range sleepers {
		r, done := s.sleeper()
		if done {
			return nil
		}
		if r.access < Consume {
			return fmt.Errorf("%w: sleeping needs access consume, this mapping has %s", ErrPermission, r.access)
		}
		var w uint32
		fault := r.Guard(func() {
			var fenced bool
			if w, fenced = r.fallAsleep(); !fenced {
				d = min(d, nap)
			}
			there = s.stirs()
		})
		if there || fault != nil {
			return fault
		}
		words, values = append(words, r.ring.Word32(offWake)), append(values, w)
		orphans, seen, within := s.tells()
		d = min(d, within)
		if orphans != nil && room > 0 {
			words, values = append(words, orphans), append(values, seen)
			room--
		} else if orphans != nil {
			d = min(d, unseenOrphan)
		}
	}
	if alarm == nil && len(words) == 1 {
		return shm.FutexWait(words[0], values[0], d)
	}
	if alarm != nil {
		words, values = append(words, &alarm.word), append(values, 0)
	}
	err := shm.FutexWaitAny(words, values, d)
	if err == unix.ENOSYS { // before Linux 5.16
		// order: acquire, pair [alarm] with Alarm.Ring.
		if alarm != nil && alarm.word.Load() != 0 {
			return nil
		}
		if alarm == nil && len(sleepers) == 1 {
			d = min(d, unseenOrphan)
		} else {
			d = min(d, nap)
		}
		err = shm.FutexWait(words[0], values[0], d)
	}
	return err
}

// fallAsleep announces a sleeper of the present generation w. fenced tells that from here on every producer that commits sees
// it; where the kernel does not do that, the sleep must be short.
func (r *Ring) fallAsleep() (w uint32, fenced bool) {
	// order: acquire, pair [wake] with Producer.wakeReaders.
	w = r.ring.Word32(offWake).Load()
	// order: sequentially consistent, pair [asleep] with every commit.
	r.cursors.Word32(offAsleep).RaiseTo(w)
	if r.sleep == SleepFence {
		// order: full fence, pair [asleep]: before the last look.
		shm.FenceFull()
		return w, true
	}
	// order: acquire, pair [fenced] below: who finds asleep = fenced = w has the barrier of another sleeper behind it.
	if r.cursors.Word32(offFenced).Load() == w {
		return w, true
	}
	if shm.Barrier() != nil {
		// order: full fence, pair [asleep]: before the last look.
		shm.FenceFull()
		return w, false
	}
	// order: sequentially consistent, pair [fenced] above: after the barrier.
	r.cursors.Word32(offFenced).Store(w)
	return w, true
}

// stirs looks at the next frame, and at whether it was overwritten.
func (r *Reader) stirs() bool {
	// order: acquire, pair [commit] with Producer.Publish and Producer.finish: after the barrier.
	if r.err != nil || r.data.Word(r.next).Load() == r.next^r.nonce || r.ring.closing() {
		return true
	}
	if !r.copies {
		return false
	}
	_, ok := r.intact(r.next)
	return !ok || r.isDropped() || r.mayRegate() // the next empty poll will say so, or gate again
}

// stirs looks at the head, the orphans and the topic's end.
func (m *Member) stirs() bool { return m.Ready() || m.ring.closing() }

func (r *Reader) tells() (*shm.Word32, uint32, time.Duration) { return nil, 0, time.Hour }

// tells has what orphans was before stirs looked for them in vain: what was left behind since has changed it.
func (m *Member) tells() (*shm.Word32, uint32, time.Duration) {
	within := time.Hour
	if !m.again.IsZero() {
		within = unseenOrphan
	}
	return m.ring.orphansHalf(m.group), uint32(m.orphansSeen), within
}

// afterCommit is what a commit does when there is something to do after its stamp: readers to wake, a fence to execute before it is
// known, or a file that was cut short to report.
func (p *Producer) afterCommit() error {
	p.wakeReaders()
	return p.cut()
}

// cut ends the handle when a file was cut short: its words are not to be trusted any more.
func (p *Producer) cut() error {
	if err := p.ring.cut(); err != nil {
		return p.fail(err)
	}
	return nil
}

// fail makes err final, if nothing is yet, and returns what is.
func (p *Producer) fail(err error) error {
	if p.final == nil {
		p.final = err
	}
	p.bound = p.pos // every later publish goes the slow way, to final
	return p.final
}

// wakeReaders is what a commit does when asleep equals wake, or when it has to fence first.
func (p *Producer) wakeReaders() {
	if p.fences {
		if p.ring.sleep == SleepAuto && shm.BarrierReady() {
			p.fences = false // the next commit needs no fence; this one does, for it came before
		}
		// order: full fence, pair [commit]: the stamp before the look at asleep.
		shm.FenceFull()
	}
	// order: acquire (these two, in this order), pair [asleep] with Ring.fallAsleep, [wake] with the CAS below.
	asleep := p.asleep.Load()
	w := p.wake.Load()
	if int32(asleep-w) < 0 {
		return
	}
	if p.ring.closing() {
		// Whoever deleted the topic announced the sleeper, for every producer to see: it stays announced.
		p.fail(ErrClosed) // see Ring.MarkClosing
		shm.FutexWake(p.wake)
		return
	}
	// order: sequentially consistent, pair [wake] with Ring.fallAsleep. Who fails had his sleepers' generation ended by another
	// one, who may be killed before his FUTEX_WAKE.
	p.wake.CompareAndSwap(w, asleep+1) // asleep is beyond w only if somebody scribbled: it must not stay there
	shm.FutexWake(p.wake)
}

// freed wakes the producers that wait for space, if there are any. It follows a full store that took a gate away or moved one.
func (r *Ring) freed() {
	space := r.cursors.Word32(offSpace)
	// order: acquire (these two, in this order), pair [blocked] with Producer.AwaitSpace, [space] with the CAS below.
	blocked := r.ring.Word32(offBlocked).Load()
	s := space.Load()
	if int32(blocked-s) < 0 {
		return
	}
	// order: sequentially consistent, pair [space] with Producer.AwaitSpace.
	space.CompareAndSwap(s, blocked+1) // as in wakeReaders
	shm.FutexWake(space)
}

// wakeAll ends the sleeps of readers and producers: a dead process may have owed them a wake.
func (r *Ring) wakeAll() {
	for _, w := range []*shm.Word32{r.ring.Word32(offWake), r.cursors.Word32(offSpace)} {
		// order: none (these two), the kernel compares the word with what a sleeper saw.
		v := w.Load()
		w.CompareAndSwap(v, v+1)
		shm.FutexWake(w)
	}
}

// longestWait bounds a sleep of AwaitSpace; tests that must be woken make it longer.
var longestWait = repairAfter

// AwaitSpace sleeps until a claim of a message of n bytes may succeed, alarm (which may be nil) has rung, or d has passed, at most
// 50 ms; it may return early for nothing. It returns [ErrBackPressure] when there was still no room before it slept, and the
// errors of [Producer.Claim]. After it, try again.
func (p *Producer) AwaitSpace(n int, d time.Duration, alarm *Alarm) error {
	if p.open {
		p.abandonClaim()
	}
	if p.done {
		return ErrClosed
	}
	if uint64(n)-1 >= p.maxFrame {
		return ErrTooLarge
	}
	r := p.ring
	space := r.cursors.Word32(offSpace)
	var s uint32
	var err error
	fault := r.Guard(func() {
		// order: acquire, pair [space] with Ring.freed.
		s = space.Load()
		// order: sequentially consistent, pair [blocked] with Ring.freed: before the refresh. No barrier: what frees space is
		// stored in full.
		r.ring.Word32(offBlocked).RaiseTo(s)
		err = p.refresh(align16(frameHeaderSize + uint64(n)))
	})
	if fault != nil {
		return fault
	}
	if err != ErrBackPressure {
		return err
	}
	most := longestWait // then its owner may be dead, or out of patience
	if p.holder.What == "claim" {
		most = time.Millisecond // a commit wakes nobody who waits for space
	}
	d = min(max(d, 0), most)
	if alarm == nil {
		err = shm.FutexWait(space, s, d)
	} else if err = shm.FutexWaitAny([]*shm.Word32{space, &alarm.word}, []uint32{s, 0}, d); err == unix.ENOSYS {
		err = shm.FutexWait(space, s, min(d, nap))
	}
	if err == nil {
		err = ErrBackPressure
	}
	return err
}
