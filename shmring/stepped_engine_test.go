//go:build stepped

package shmring

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"

	"github.com/mycelium-bus/mycelium/shmring/internal/shm"
)

// The engine runs the real code of a few processes in one thread, an access to shared memory a step, and tries every order of
// their steps up to a bound of preemptions, with kills. Each process has a store buffer as on x86: its stores wait there, in
// order, and become visible to the others at its next full store, CAS or death, or whenever another process looks at the
// word (both outcomes are tried: a drain is observable through a load alone). A process dies wherever it would leave something else
// behind than where it might have died before: memory, locks, a store, what the checks go by, or how far the others have come.
//
// stepped_search_test.go decides what is tried, stepped_memory_test.go and stepped_locks_test.go are what the processes share,
// stepped_world_test.go is what they do, and what must hold afterwards.
type engine struct {
	t     *testing.T
	s     *scenario
	procs []*proc
	cur   *proc
	locks *steppedLocks
	world *world

	replay    []int       // decisions of the run's beginning
	script    map[int]int // nil, or the whole run: the meaning of the decision at each question
	random    *rand.Rand
	length    int // of the last run, in points where it might have taken another way
	fates     int // such points of this run
	points    int
	asked     int // questions of this run
	decisions []decision
	preempts  int // used in this run
	kills     int
	mended    int    // of the kills, how many the last repair at rest came after
	rests     int    // times that all slept
	delays    int    // times that a store was not visible though somebody looked
	memory    uint64 // hash of what changed
	account   uint64 // and of what was told beside
	trace     []string
	tracing   bool
	failure   string
	resumed   bool // the process that runs was stopped, and may only die or go on
	over      bool // every process is released
	hosts     sync.WaitGroup
	jobs      []chan *proc // a goroutine for each process, over all runs

	visited map[uint64]budget
	judged  map[uint64]bool    // ends that were checked
	words   [3]words           // who uses which word, learnt on the way: ring, cursors, control
	private map[*uint64]*touch // and those that lie elsewhere
	list    []*proc            // what runnable returned last
	views   []*Ring            // of the run before, to be used again
	viewed  int
	grown   bool            // somebody used a word for the first time
	did     map[string]bool // operations that processes came to
	Runs    int
	Pruned  int
}

type proc struct {
	id      int
	name    string
	body    func()
	buffer  []entry
	history uint64 // hash of everything it loaded, and of how many steps it made
	resume  chan bool
	done    bool // ended or killed
	killed  bool
	mortal  bool
	spared  uint64 // what it would have left behind when it was last asked whether it dies
	keeps   bool   // a handle that is asked when all is over
	steady  bool   // it is not interrupted: the load that the others run under

	queued       *sleep // where it sleeps, or is about to; nil again once it is woken
	asleep       bool
	slept, naps  int         // how often it did, and how often a nap ended
	waits        func() bool // whether what it sleeps for is there: it must not sleep on
	unregistered bool        // barriers do not reach it yet
}

// scenario is what is tried: set makes a fresh world and returns the processes.
type scenario struct {
	name     string
	options  Options
	preempts int
	kills    int
	beyond   bool // TestSteppedCovers does not ask for it
	sleeps   bool // processes sleep and wake: 32-bit words are steps
	set      func(w *world) []*proc
	check    func(w *world) // after the common checks
	told     bool           // all that check looks at beside memory is told (tell): processes that have ended need not be told apart by their past
}

// world is one run's.
type world struct {
	*engine
	ring      *Ring
	attempted map[uint64]bool   // ids that a producer began to publish
	committed map[uint64]bool   // ids whose publish returned nil
	at        map[uint64]uint64 // where they are in the ring
	seen      map[string][]seenMessage
	gaps      map[string][]LappedError // what readers were told that they missed
	starts    map[string]uint64
	readers   map[string]*Reader
	order     []uint64 // ids in the ring, when all is over
	progress  bool     // all is judged; what is sent now is not kept
}

type seenMessage struct{ pos, id uint64 }

type unwind struct{}

func (e *engine) run() {
	e.Runs++
	e.length, e.fates, e.points, e.asked = max(e.fates, 20), 0, 0, 0
	e.decisions, e.preempts, e.kills, e.mended, e.rests, e.delays, e.memory, e.account, e.trace = e.decisions[:0], 0, 0, 0, 0, 0, 0, 0, nil
	e.resumed = false
	e.locks = &steppedLocks{heapLocks: newHeapLocks(), e: e}
	shm.Steps = nil
	e.world = newWorld(e)
	e.procs = e.s.set(e.world)
	e.over = false
	for i, p := range e.procs {
		p.id, p.resume = i, make(chan bool, 1)
	}
	e.hosts.Add(len(e.procs))
	for i, p := range e.procs {
		if i == len(e.jobs) {
			jobs := make(chan *proc, 1)
			e.jobs = append(e.jobs, jobs)
			go func() {
				for p := range jobs {
					e.host(p)
					e.hosts.Done()
				}
			}()
		}
		e.jobs[i] <- p
	}
	shm.Steps = e.stepper()
	e.cur = e.procs[0]
	if n := e.choose(len(e.procs)); n > 0 { // who begins
		e.cur = e.procs[n]
	}
	e.cur.resume <- true
	e.hosts.Wait()
	shm.Steps = nil
	for _, p := range e.procs {
		e.drain(p, len(p.buffer))
	}
	if e.failure == "" && !e.aborted() && !e.judgedBefore() {
		e.world.checkAll()
	}
}

// judgedBefore reports whether the same end was looked at in another run.
func (e *engine) judgedBefore() bool {
	h := mix(mix(e.memory, e.locks.hash), e.account)
	for _, p := range e.procs {
		h = mix(h, e.past(p)+uint64(b2i(p.killed)))
	}
	before := e.judged[h]
	e.judged[h] = true
	return before && e.script == nil
}

// forgets reports whether what a process has loaded need not be known once it has come to its end.
func (s *scenario) forgets() bool { return s.check == nil || s.told }

// past is the hash of what a process has loaded, as far as it still counts.
func (e *engine) past(p *proc) uint64 {
	if e.s.forgets() && (p.killed || p.done && !p.keeps) {
		return 0
	}
	return p.history
}

// host runs a process's body, on a goroutine of its own; one of them runs at a time.
func (e *engine) host(p *proc) {
	if !<-p.resume {
		return
	}
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(unwind); !ok {
				buf := make([]byte, 4096)
				e.fail("process %s panics: %v\n%s", p.name, r, buf[:runtime.Stack(buf, false)])
			}
		}
		p.done = true
		if !e.over {
			e.next()
		}
	}()
	p.body()
}

// end lets the goroutines go.
func (e *engine) end() {
	for _, jobs := range e.jobs {
		close(jobs)
	}
}

// next hands the thread to another process, when the one that ran has ended or sleeps.
func (e *engine) next() {
	if e.aborted() || e.failure != "" {
		e.stop()
		return
	}
	alive := e.runnable(nil)
	if len(alive) == 0 {
		alive = e.rest()
	}
	if len(alive) == 0 || e.failure != "" {
		e.stop()
		return
	}
	q := alive[e.choose(len(alive))]
	e.cur = q
	q.resume <- true
}

// stop ends the run: processes that wait are released.
func (e *engine) stop() {
	e.over = true
	for _, q := range e.procs {
		if !q.done {
			q.done = true
			q.resume <- false
		}
	}
}

// runnable returns who might run, until the next call.
func (e *engine) runnable(except *proc) []*proc {
	e.list = e.list[:0]
	for _, q := range e.procs {
		if !q.done && !q.asleep && q != except {
			e.list = append(e.list, q)
		}
	}
	return e.list
}

func (e *engine) fail(format string, args ...any) {
	if e.failure == "" {
		e.failure = fmt.Sprintf(format, args...)
	}
}

func (e *engine) aborted() bool { return e.preempts == pruned }

// maxPoints bounds a run. The longest that is meant has some thousands.
const maxPoints = 100_000

// point is where p may be interrupted or killed, before it does what.
func (e *engine) point(what string, w *uint64) {
	p := e.cur
	if p.done {
		panic(unwind{}) // deferred calls of a killed process
	}
	others := e.runnable(p)
	switches := 0
	if e.preempts < e.s.preempts && !p.steady && (w == nil || e.word(w).contested()) {
		switches = len(others)
	}
	fate := e.fate(p, len(others), switches)
	if e.points++; e.points > maxPoints {
		e.fail("process %s goes on for ever", p.name)
		p.done = true
		panic(unwind{})
	}
	switch {
	case fate == 0:
	case fate <= len(others):
		e.preempts++
		q := others[fate-1]
		e.note("-- %s is stopped before %s", p.name, what)
		e.cur = q
		q.resume <- true
		if !<-p.resume {
			panic(unwind{})
		}
		e.resumed = true
		dies := e.mayDie(p) && e.fate(p, 0, 0) != 0 // others have seen it alive since it went on last
		e.resumed = false
		if dies {
			e.kill(p, what)
		}
	default:
		e.kill(p, what)
	}
}

// fate is chooseFate, and ends the run where it came to a state that was seen before.
func (e *engine) fate(p *proc, others, switches int) int {
	fate, again := e.chooseFate(others, switches, e.resumed || e.mayDie(p))
	if again {
		e.Pruned++
		e.preempts = pruned
		p.done = true
		panic(unwind{})
	}
	return fate
}

func (e *engine) kill(p *proc, what string) {
	e.kills++
	e.note("-- %s is killed before %s", p.name, what)
	e.drain(p, len(p.buffer)) // what it stored is in the memory system's hands
	e.locks.died(p)
	p.killed, p.done, p.queued = true, true, nil
	panic(unwind{})
}

// mayDie reports whether p may be killed where it stands, and would leave something else behind than where it was asked before: what it
// has loaded since dies with it.
func (e *engine) mayDie(p *proc) bool {
	if !p.mortal || e.kills >= e.s.kills {
		return false
	}
	if !e.s.forgets() {
		return true
	}
	h := mix(mix(e.memory, e.locks.hash), e.account)
	for _, q := range e.procs {
		for _, b := range q.buffer {
			h = mix(h, shm.Address(b.w)^b.x*0x9e3779b97f4a7c15)
		}
		h = mix(h, uint64(len(q.buffer))<<1|uint64(b2i(q.done)))
		if q != p {
			h = mix(h, q.history)
		}
	}
	if h == p.spared {
		return false
	}
	p.spared = h
	return true
}

func (e *engine) note(format string, args ...any) {
	if e.tracing {
		e.trace = append(e.trace, fmt.Sprintf(format, args...))
	}
}
