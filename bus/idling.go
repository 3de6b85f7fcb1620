package bus

import (
	"context"
	"sync/atomic"

	"github.com/mycelium-bus/mycelium/shmring"
)

// idling is how a handle waits. Its goroutine waits; any other may change the strategy meanwhile.
//
//	waits:   load the strategy, announce the alarm, load again, sleep        changes: store the strategy, take the alarm and ring it
//
// One of the two sees the other: either the second load finds the new strategy, or the change finds the alarm.
type idling struct {
	strategy atomic.Pointer[IdleStrategy]
	alarm    atomic.Pointer[shmring.Alarm] // of the sleep under way, or of one that is over
}

func (i *idling) change(s IdleStrategy) {
	if s == nil {
		s = &Backoff{}
	}
	i.strategy.Store(&s)
	if alarm := i.alarm.Swap(nil); alarm != nil {
		alarm.Ring()
	}
}

// Idle and Reset are the present strategy's.
func (i *idling) Idle()  { (*i.strategy.Load()).Idle() }
func (i *idling) Reset() { (*i.strategy.Load()).Reset() }

// sleep idles once. With a [Sleep] that is tired it has wait sleep, if the topic has not ended, until the alarm rings at the latest: when
// ctx ends, the topic does, or the strategy changes.
func (i *idling) sleep(ctx context.Context, asleep *sleeper, on *mapping, wait func(s *Sleep, alarm *shmring.Alarm) error) {
	now := i.strategy.Load()
	strategy, ok := (*now).(*Sleep)
	if !ok || on.ended() != nil {
		(*now).Idle()
		return
	}
	if !strategy.tired() {
		return
	}
	alarm := asleep.until(ctx, i, on)
	if i.strategy.Load() == now && on.ended() == nil && wait(strategy, alarm) != nil {
		strategy.Idle() // where the system cannot sleep so, or the ring is broken, which the next look will tell
	}
}
