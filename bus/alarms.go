package bus

import (
	"sync"
	"sync/atomic"

	"github.com/mycelium-bus/mycelium/shmring"
)

// ending is why a mapping's handles get nothing more.
type ending struct {
	err     error
	evicted bool // the topic goes on, without these handles: see evict.go
}

// endings is where a mapping's end is told: to calls that look, and to those that sleep, for which no word of the ring changes.
type endings struct {
	end atomic.Pointer[ending]

	mu     sync.Mutex
	alarms map[*shmring.Alarm]struct{} // of the calls that sleep, or are about to
}

// ended returns why the topic has ended for who has it mapped here, or nil. It costs a load; any goroutine may call it.
func (e *endings) ended() *ending { return e.end.Load() }

// finish ends the mapping's handles, once, and wakes those that sleep.
func (e *endings) finish(end *ending) {
	if !e.end.CompareAndSwap(nil, end) {
		return
	}
	e.stir()
}

// stir wakes the calls that sleep, for nothing: they look again.
func (e *endings) stir() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for alarm := range e.alarms {
		alarm.Ring()
	}
}

// alert has an alarm rung when the mapping ends: whoever looks at ended after this, and sleeps on the alarm, misses nothing.
func (e *endings) alert(alarm *shmring.Alarm) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.alarms == nil {
		e.alarms = map[*shmring.Alarm]struct{}{}
	}
	e.alarms[alarm] = struct{}{}
}

func (e *endings) calm(alarm *shmring.Alarm) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.alarms, alarm)
}
