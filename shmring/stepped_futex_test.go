//go:build stepped

package shmring

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mycelium-bus/mycelium/shmring/internal/shm"
)

// Sleeping and waking. A process that sleeps goes on after a wake of its word, and else not: no time-out hides a wake that was lost.
// When all sleep that live, time passes (rest): what was stored is visible, a repair follows whoever died, and naps end: sleeps
// that the code itself cuts short where it does not rely on a wake. Who then sleeps on beside what it waits for is a failure.

// sleep is where a process is that sleeps, or is about to: it has queued up at those of the words that the kernel has looked at.
type sleep struct {
	on []*uint64
	d  time.Duration
}

// sleeping is the engine in scenarios where processes sleep.
type sleeping struct{ *engine }

// atRest makes accesses that are no steps, while all sleep.
type atRest struct{ *engine }

// peeking makes accesses of the process that runs that are no steps.
type peeking struct{ *engine }

func (e *engine) stepper() shm.Stepper {
	if e.s.sleeps {
		return sleeping{e}
	}
	return e
}

func (p *proc) awake() { p.queued, p.asleep = nil, false }

// stepping reports whether what runs is a process's step.
func (e *engine) stepping() bool {
	switch shm.Steps.(type) {
	case nil, atRest, peeking:
		return false
	}
	return true
}

// FutexWait is as the kernel has it: for each word the look at it and the place in its queue are one step, under a lock that the wake
// takes as well (Linux kernel/futex/waitwake.c, futex_wait_multiple_setup); a wake of a word that came before ends it.
func (e sleeping) FutexWait(words []*uint64, values []uint32, d time.Duration) {
	p := e.cur
	queued := &sleep{d: d}
	for i, w := range words {
		e.touch(w, false)
		e.point("FUTEX_WAIT", w)
		e.drain(p, len(p.buffer)) // the kernel executes a full barrier before it looks (Linux kernel/futex/core.c, futex_hb_waiters_inc)
		e.settle(w)
		p.history = mix(p.history, *w)
		if i > 0 && p.queued == nil {
			e.note("%s does not sleep: it was woken", p.name)
			return
		}
		if uint32(*w) != values[i] {
			e.note("%s does not sleep on %s: it is %d, not %d", p.name, e.place(w), *w, values[i])
			p.queued = nil
			return
		}
		queued.on = append(queued.on, w)
		p.queued = queued
	}
	if e.tracing {
		e.note("%s sleeps on %s", p.name, e.places(queued.on))
	}
	e.did["sleep"] = true
	p.asleep = true
	p.slept++
	e.next()
	if !<-p.resume {
		panic(unwind{})
	}
}

func (e *engine) places(words []*uint64) string {
	var list []string
	for _, w := range words {
		list = append(list, fmt.Sprintf("%s: %d", e.place(w), uint32(*w)))
	}
	return strings.Join(list, " and ")
}

// FutexWake does not drain the store buffer: more may go wrong than with the kernel's.
func (e sleeping) FutexWake(w *uint64) {
	e.touch(w, true) // for who sleeps it is one
	e.point("FUTEX_WAKE", w)
	e.note("%s wakes who sleeps on %s: %d do", e.cur.name, e.place(w), e.wake(w))
}

// wake ends the sleeps on a word, and those that are about to begin.
func (e *engine) wake(w *uint64) (n int) {
	for _, q := range e.procs {
		if q.queued != nil && slices.Contains(q.queued.on, w) {
			q.awake()
			n++
		}
	}
	if n > 0 {
		e.did["wake"] = true
	}
	return n
}

// Barrier reaches one processor after the other.
func (e sleeping) Barrier() {
	p := e.cur
	p.history = mix(p.history, 3)
	e.point("the barrier", nil)
	e.drain(p, len(p.buffer))
	for _, q := range e.procs {
		if q != p && len(q.buffer) > 0 && !q.unregistered {
			e.point("the barrier reaches "+q.name, nil)
			e.drain(q, len(q.buffer))
		}
	}
	e.note("%s has executed the barrier", p.name)
}

// BarrierReady has a process that is not registered be so from some time on.
func (e sleeping) BarrierReady() bool {
	p := e.cur
	if p.unregistered && e.choose(2) == 1 {
		p.unregistered = false
		e.note("%s is registered for barriers", p.name)
	}
	p.history = mix(p.history, uint64(b2i(p.unregistered)))
	return !p.unregistered
}

// yield gives way where a process would look again and again until another one has gone on.
func (e *engine) yield() {
	p := e.cur
	p.history = mix(p.history, 4)
	if others := e.runnable(p); len(others) > 0 {
		e.note("-- %s gives way", p.name)
		q := others[e.choose(len(others))]
		e.cur = q
		q.resume <- true
		if !<-p.resume {
			panic(unwind{})
		}
	}
}

// maxNaps is how many naps of a process end in a run: if it then has nothing to do, it will have nothing to do.
const maxNaps = 2

// maxRests bounds how often all may sleep in a run.
const maxRests = 100

// rest is when all sleep that live. It returns who goes on then.
func (e *engine) rest() []*proc {
	asleep := 0
	for _, q := range e.procs {
		e.drain(q, len(q.buffer))
		asleep += b2i(!q.done)
	}
	if asleep == 0 {
		return nil
	}
	if e.rests++; e.rests > maxRests {
		e.fail("all sleep again and again, and nobody comes to an end")
		return nil
	}
	shm.Steps = atRest{e}
	defer func() { shm.Steps = e.stepper() }()
	if e.mended < e.kills {
		e.mended = e.kills
		e.note("-- all sleep: a repair")
		if _, err := e.world.view().Repair(false); err != nil {
			e.fail("repair: %v", err)
			return nil
		}
		if list := e.runnable(nil); len(list) > 0 {
			return list
		}
	}
	naps := nap
	if e.kills > 0 {
		naps = max(naps, repairAfter) // a process that died amid its close has left nothing that a repair could find
	}
	for _, q := range e.procs {
		if !q.done && q.queued.d <= naps && q.naps < maxNaps {
			e.note("-- the nap of %s ends", q.name)
			q.awake()
			q.naps++
		}
	}
	list := e.runnable(nil)
	for _, q := range e.procs {
		if len(list) == 0 && !q.done && q.waits != nil && q.waits() {
			e.fail("process %s sleeps for ever on %s beside what it waits for", q.name, e.places(q.queued.on))
		}
	}
	return list
}

func (e atRest) Load(w *uint64) uint64         { return *w }
func (e atRest) Store(w *uint64, x uint64)     { e.write(w, x) }
func (e atRest) StoreFull(w *uint64, x uint64) { e.write(w, x) }
func (e atRest) CompareAndSwap(w *uint64, old, x uint64) bool {
	if *w != old {
		return false
	}
	e.write(w, x)
	return true
}
func (e atRest) Fence()                                             {}
func (e atRest) FutexWait(_ []*uint64, _ []uint32, _ time.Duration) {}
func (e atRest) FutexWake(w *uint64)                                { e.wake(w) }
func (e atRest) Barrier()                                           {}
func (e atRest) BarrierReady() bool                                 { return true }

// Load finds what the process stored itself, whoever else sees it.
func (e peeking) Load(w *uint64) uint64 {
	for i := len(e.cur.buffer) - 1; i >= 0; i-- {
		if e.cur.buffer[i].w == w {
			return e.cur.buffer[i].x
		}
	}
	return *w
}

// peek is a load of the process that runs, of its own word, that is no step.
func (e *engine) peek(w *shm.Word) uint64 {
	if shm.Steps != nil {
		defer func(s shm.Stepper) { shm.Steps = s }(shm.Steps)
		shm.Steps = peeking{e}
	}
	return w.Load()
}
