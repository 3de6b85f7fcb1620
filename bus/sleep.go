package bus

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"time"

	"github.com/mycelium-bus/mycelium/shmring"
)

// Sleep spins, then yields, then naps, then sleeps in the kernel until there is something: an idle handle costs next to nothing, and is
// back some 50 us after a message came (a futex's wake-up). The price is on the other side: who publishes to a topic on which somebody
// sleeps pays a system call, tens of microseconds, once for all who sleep. That is what the naps are for: a handle that finds nothing
// for less time than a wake-up takes would cost more than it saves, and one that fell asleep while the publisher wakes another would
// have it do the same again, and again. The zero value has the defaults; a negative number of Spins, Yields or Naps means none.
//
// A sleep ends with a message, the end of the call's context, another strategy, or the topic's deletion; that the topic's files were removed is
// noticed within about a second.
type Sleep struct {
	Spins  int // looks with PAUSE between them, as BusySpin; 0 means DefaultSpins
	Yields int // looks with a runtime.Gosched between them, after those; 0 means DefaultYields
	Naps   int // looks with 30 us and the kernel's 50 between them, after those; 0 means DefaultNaps

	round int
	spin  shmring.Spin
	last  time.Duration
}

// DefaultNaps are some 160 us: on the machines seen so far a wake-up of one took its publisher 20 to 40 us, one of a hundred 30 to 80.
const DefaultNaps = 2

const shortNap = 30 * time.Microsecond

// Sleeps that nothing ends are bounded: a publisher may be killed between its message and the wake that it owes, and what repairs its slot,
// and wakes all, may have been killed as well.
const longestSleep = 30 * time.Second

// shortestSleep is the first one; tests that must be woken make it longer.
var shortestSleep = 10 * time.Second

// Idle spins, yields or naps; where there is nothing to sleep on it naps, 50 ms at most.
func (s *Sleep) Idle() {
	if !s.tired() {
		return
	}
	s.last = min(max(2*s.last, time.Millisecond), 50*time.Millisecond)
	nap(s.last)
}

// Reset begins with spinning again.
func (s *Sleep) Reset() {
	s.round, s.last = 0, 0
	s.spin.Reset()
}

// tired spins, yields or naps, or reports that it is time to sleep.
func (s *Sleep) tired() bool {
	spins, yields, naps := orDefault(s.Spins, DefaultSpins), orDefault(s.Yields, DefaultYields), orDefault(s.Naps, DefaultNaps)
	switch {
	case s.round < spins:
		s.spin.Once()
	case s.round < spins+yields:
		runtime.Gosched()
	case s.round < spins+yields+naps:
		nap(shortNap)
	default:
		return true
	}
	s.round++
	return false
}

// next is how long the next sleep may be.
func (s *Sleep) next() time.Duration {
	s.last = max(min(2*s.last, longestSleep), shortestSleep)
	return s.last
}

// sleeper is a call that sleeps: its alarm rings when the call's context ends, its handle's strategy changes, or a mapping that it sleeps on
// ends. The zero value is one
// that never slept.
type sleeper struct {
	alarm *shmring.Alarm
	stop  func() bool
	on    []*mapping
}

// until returns the alarm, a new one where the last has rung or is of other mappings; i may be nil.
func (s *sleeper) until(ctx context.Context, i *idling, on ...*mapping) *shmring.Alarm {
	if s.alarm != nil && !s.alarm.Rung() && (i == nil || i.alarm.Load() == s.alarm) && slices.Equal(s.on, on) {
		return s.alarm
	}
	s.end()
	alarm := new(shmring.Alarm)
	s.alarm, s.stop, s.on = alarm, context.AfterFunc(ctx, alarm.Ring), slices.Clone(on)
	for _, m := range on {
		m.alert(alarm)
	}
	if i != nil {
		i.alarm.Store(alarm)
	}
	return alarm
}

func (s *sleeper) end() {
	if s.stop != nil {
		s.stop()
	}
	for _, m := range s.on {
		m.calm(s.alarm)
	}
}

// rest does once what the subscription's strategy says.
func (s *Subscription) rest(ctx context.Context, asleep *sleeper) {
	s.idle.sleep(ctx, asleep, s.topic, func(strategy *Sleep, alarm *shmring.Alarm) error {
		return shmring.Sleep(strategy.next(), alarm, s.from)
	})
}

// rest does once what the publisher's strategy says, while there is no room for a message of n bytes.
func (p *Publisher) rest(ctx context.Context, n int, asleep *sleeper) {
	s := func(strategy *Sleep, alarm *shmring.Alarm) error {
		err := p.ring.AwaitSpace(n, strategy.next(), alarm)
		if err == ErrBackPressure { // and it slept
			return nil
		}
		return err
	}
	p.idle.sleep(ctx, asleep, p.topic, s)
}

// WaitAny returns one of the subscriptions whose next Poll has something to say, as [Subscription.Wait] has it, or whose Wait would
// end with the error that it returns. Until then it spins, yields, naps and sleeps as [Sleep] does, whatever the strategies of the
// subscriptions. It ends with ctx's error, and no subscription, when ctx does. It takes 1 to 127 subscriptions, all of the calling
// goroutine, of any number of topics and connections; of those that have something it prefers none.
func WaitAny(ctx context.Context, subs ...*Subscription) (*Subscription, error) {
	if len(subs) == 0 || len(subs) > shmring.MaxSleepers {
		return nil, fmt.Errorf("%w: WaitAny of %d subscriptions, not of 1 to %d", ErrInvalid, len(subs), shmring.MaxSleepers)
	}
	var asleep sleeper
	defer asleep.end()
	var strategy Sleep
	var handles []shmring.Sleeper
	var on []*mapping
	first := rand.IntN(len(subs))
	for {
		awake := false
		for i := range subs {
			s := subs[(first+i)%len(subs)]
			if there, err := s.look(); there || err != nil {
				return s, err
			}
			awake = awake || s.topic.ended() != nil
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if awake { // one waits for its topic to be made again, which is nothing to sleep on
			strategy.Idle()
			continue
		}
		if !strategy.tired() {
			continue
		}
		handles, on = handles[:0], on[:0]
		for _, s := range subs {
			handles, on = append(handles, s.from), append(on, s.topic)
		}
		alarm := asleep.until(ctx, nil, on...)
		if slices.ContainsFunc(on, func(m *mapping) bool { return m.ended() != nil }) {
			continue
		}
		if shmring.Sleep(strategy.next(), alarm, handles...) != nil {
			strategy.Idle()
		}
	}
}
