//go:build stepped

package shmring

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/mycelium-bus/mycelium/shmring/internal/shm"
)

// The engine runs the real code of a few processes in one thread, an access to shared memory a step, and tries every order of
// their steps up to a bound of preemptions, with kills. Each process has a store buffer as on x86: its stores wait there, in
// order, and become visible to the others at its next full store, CAS or death, or whenever another process looks at the
// word (both outcomes are tried: a drain is observable through a load alone).
//
// A run is a list of decisions, one at each step where there was a choice: 0 goes on with the process that runs. States that
// were seen before with at least as much of the budget left are not gone into again; a state is the memory, the locks, the
// store buffers, and for each process everything it has loaded, which determines where it stands.
type engine struct {
	t     *testing.T
	s     *scenario
	procs []*proc
	cur   *proc
	locks *steppedLocks
	world *world

	replay    []int // decisions of the run's beginning
	random    *rand.Rand
	length    int // of the last run, in points
	points    int
	decisions []decision
	preempts  int // used in this run
	kills     int
	delays    int    // times that a store was not visible though somebody looked
	memory    uint64 // hash of what changed
	trace     []string
	tracing   bool
	failure   string
	over      bool // every process is released
	hosts     sync.WaitGroup

	visited map[uint64]budget
	touched map[*uint64]touch // who uses which word, learnt on the way
	grown   bool              // somebody used a word for the first time
	Runs    int
	Pruned  int
}

type decision struct{ chosen, choices int }

type budget struct{ preempts, kills, delays int8 }

// maxDelays bounds how often in a run a look comes before a store that waits in a buffer; buffers do not hold on for ever.
const maxDelays = 3

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
	steady  bool // it is not interrupted: the load that the others run under
}

type entry struct {
	w *uint64
	x uint64
}

// scenario is what is tried: set makes a fresh world and returns the processes.
type scenario struct {
	name     string
	options  Options
	preempts int
	kills    int
	set      func(w *world) []*proc
	check    func(w *world) // after the common checks
}

// world is one run's.
type world struct {
	*engine
	ring      *Ring
	attempted map[uint64]bool // ids that a producer began to publish
	committed map[uint64]bool // ids whose publish returned nil
	seen      map[string][]seenMessage
	starts    map[string]uint64
	ends      map[string]bool // a reader that reads to the end in the final check
	readers   map[string]*Reader
	order     []uint64 // ids in the ring, when all is over
}

type seenMessage struct{ pos, id uint64 }

type unwind struct{}

// touch is which processes load and store a word, as bits. Only where two do, and one of them stores, does it matter who comes
// first: elsewhere a process is not interrupted. What is learnt late begins the search anew.
type touch struct{ loads, stores uint8 }

func (t touch) contested() bool {
	all := t.loads | t.stores
	return all&(all-1) != 0 && t.stores != 0
}

// explore runs the scenario in every order within its budget; it returns the first failure, with its decisions.
func explore(t *testing.T, s *scenario) *engine {
	e := &engine{t: t, s: s, visited: map[uint64]budget{}, touched: map[*uint64]touch{}}
	if replay := os.Getenv("MYC_STEPS"); replay != "" {
		e.tracing = true
		for _, f := range strings.Fields(strings.ReplaceAll(replay, ",", " ")) {
			n, err := strconv.Atoi(f)
			if err != nil {
				t.Fatalf("MYC_STEPS: %v", err)
			}
			e.replay = append(e.replay, n)
		}
		e.run()
		t.Logf("steps:\n%s", strings.Join(e.trace, "\n"))
		if e.failure != "" {
			t.Error(e.failure)
		}
		return e
	}
	// A seeded fault is mostly found sooner by chance than in order.
	if n, _ := strconv.Atoi(os.Getenv("MYC_RANDOM")); n > 0 {
		e.random = rand.New(rand.NewPCG(1, 2))
		for range n {
			if e.run(); e.failure != "" {
				return e
			}
		}
		e.random, e.replay = nil, nil
		clear(e.visited)
	}
	for {
		e.run()
		if e.failure != "" {
			return e
		}
		if e.grown {
			e.grown, e.replay = false, e.replay[:0]
			clear(e.visited)
			continue
		}
		// The last decision that has another choice left takes it.
		i := len(e.decisions) - 1
		for ; i >= 0 && e.decisions[i].chosen+1 >= e.decisions[i].choices; i-- {
		}
		if i < 0 {
			return e
		}
		e.replay = e.replay[:0]
		for _, d := range e.decisions[:i] {
			e.replay = append(e.replay, d.chosen)
		}
		e.replay = append(e.replay, e.decisions[i].chosen+1)
	}
}

// schedule prints the run's decisions in the form that MYC_STEPS replays.
func (e *engine) schedule() string {
	var b strings.Builder
	last := 0
	for i, d := range e.decisions {
		if d.chosen != 0 {
			last = i + 1
		}
	}
	for i, d := range e.decisions[:last] {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprint(&b, d.chosen)
	}
	return b.String()
}

func (e *engine) run() {
	e.Runs++
	e.length, e.points = max(e.points, 20), 0
	e.decisions, e.preempts, e.kills, e.delays, e.memory, e.trace = e.decisions[:0], 0, 0, 0, 0, nil
	e.locks = &steppedLocks{heapLocks: newHeapLocks(), e: e}
	e.world = newWorld(e)
	shm.Steps = nil
	e.procs = e.s.set(e.world)
	e.over = false
	for i, p := range e.procs {
		p.id, p.resume = i, make(chan bool, 1)
	}
	for _, p := range e.procs {
		e.hosts.Go(func() { e.host(p) })
	}
	shm.Steps = e
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
	if e.failure == "" && !e.aborted() {
		e.world.checkAll()
	}
}

// host runs a process's body on a goroutine of its own, one of which runs at a time.
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
			e.next(p)
		}
	}()
	p.body()
}

// next hands the thread to another process when p has ended.
func (e *engine) next(p *proc) {
	if e.aborted() || e.failure != "" {
		e.stop()
		return
	}
	alive := e.runnable(nil)
	if len(alive) == 0 {
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

func (e *engine) runnable(except *proc) (list []*proc) {
	for _, q := range e.procs {
		if !q.done && q != except {
			list = append(list, q)
		}
	}
	return list
}

func (e *engine) fail(format string, args ...any) {
	if e.failure == "" {
		e.failure = fmt.Sprintf(format, args...)
	}
}

const pruned = -1

func (e *engine) aborted() bool { return e.preempts == pruned }

// choose takes one of n choices, as the replay says, or the first.
func (e *engine) choose(n int) int {
	if n <= 1 {
		return 0
	}
	k := len(e.decisions)
	chosen := 0
	if e.random != nil {
		chosen = e.random.IntN(n)
	} else if k < len(e.replay) {
		chosen = e.replay[k]
		if chosen >= n {
			panic(fmt.Sprintf("decision %d is %d of %d: the run is not the one that was recorded", k, chosen, n))
		}
	}
	e.decisions = append(e.decisions, decision{chosen, n})
	return chosen
}

// point is where p may be interrupted or killed, before it does what.
func (e *engine) point(what string, w *uint64) {
	p := e.cur
	if p.done {
		panic(unwind{}) // deferred calls of a killed process
	}
	others := e.runnable(p)
	switches := 0
	if e.preempts < e.s.preempts && !p.steady && (w == nil || e.touched[w].contested()) {
		switches = len(others)
	}
	canKill := p.mortal && e.kills < e.s.kills
	choices := 1 + switches
	if canKill {
		choices++
	}
	if choices > 1 && e.random == nil && len(e.decisions) >= len(e.replay) && e.seen() {
		e.Pruned++
		e.preempts = pruned
		p.done = true
		panic(unwind{})
	}
	e.points++
	n := 0
	if e.random == nil {
		n = e.choose(choices)
	} else if choices > 1 {
		if e.random.IntN(e.length) < 2 {
			n = 1 + e.random.IntN(choices-1)
		}
		e.decisions = append(e.decisions, decision{n, choices})
	}
	switch {
	case n == 0:
	case n <= switches:
		e.preempts++
		q := others[n-1]
		e.note("-- %s is stopped before %s", p.name, what)
		e.cur = q
		q.resume <- true
		if !<-p.resume {
			panic(unwind{})
		}
	default:
		e.kills++
		e.note("-- %s is killed before %s", p.name, what)
		e.drain(p, len(p.buffer)) // what it stored is in the memory system's hands
		e.locks.died(p)
		p.killed, p.done = true, true
		panic(unwind{})
	}
}

// seen looks the state up, and enters it.
func (e *engine) seen() bool {
	h := mix(e.memory, e.locks.hash)
	for _, p := range e.procs {
		h = mix(h, p.history)
		for _, b := range p.buffer {
			h = mix(h, shm.Address(b.w)^b.x*0x9e3779b97f4a7c15)
		}
		h = mix(h, uint64(len(p.buffer))<<2|uint64(b2i(p.done))<<1|uint64(b2i(p.killed)))
	}
	h = mix(h, uint64(e.cur.id))
	left := budget{int8(e.s.preempts - e.preempts), int8(e.s.kills - e.kills), int8(maxDelays - e.delays)}
	if old, ok := e.visited[h]; ok && old.preempts >= left.preempts && old.kills >= left.kills && old.delays >= left.delays {
		return true
	}
	e.visited[h] = left
	return false
}

func (e *engine) note(format string, args ...any) {
	if e.tracing {
		e.trace = append(e.trace, fmt.Sprintf(format, args...))
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// mix is a step of a 64-bit hash (the finalizer of MurmurHash3).
func mix(h, x uint64) uint64 {
	h ^= x + 0x9e3779b97f4a7c15 + h<<6 + h>>2
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// write changes memory.
func (e *engine) write(w *uint64, x uint64) {
	a := shm.Address(w)
	e.memory ^= mix(a, *w) ^ mix(a, x)
	*w = x
}

// drain makes the first n entries of p's store buffer visible.
func (e *engine) drain(p *proc, n int) {
	for _, b := range p.buffer[:n] {
		e.write(b.w, b.x)
	}
	p.buffer = p.buffer[n:]
}

// settle tries both: a store to w that waits in another process's buffer is visible to this access, or is not yet.
func (e *engine) settle(w *uint64) {
	for _, q := range e.procs {
		if q == e.cur {
			continue
		}
		for i := len(q.buffer) - 1; i >= 0; i-- {
			if q.buffer[i].w == w {
				if e.delays < maxDelays && e.choose(2) == 1 {
					e.delays++
					e.note("   the stores of %s to this word are still in its buffer", q.name)
				} else {
					e.drain(q, i+1)
				}
				break
			}
		}
	}
}

func (e *engine) place(w *uint64) string { return e.world.place(w) }

// touch notes who uses a word.
func (e *engine) touch(w *uint64, store bool) {
	e.cur.history = mix(e.cur.history, 1) // how far it came: stores alone leave no trace in what it loaded
	old := e.touched[w]
	t, bit := old, uint8(1)<<e.cur.id
	if store {
		t.stores |= bit
	} else {
		t.loads |= bit
	}
	if t != old {
		e.touched[w] = t
		e.grown = e.grown || t.contested() && !old.contested()
	}
}

// own reports whether a word is a counter or the like, which the protocol does not rest on: no step.
func (e *engine) own(w *uint64) bool { return e.world.information(w) }

func (e *engine) Load(w *uint64) uint64 {
	if e.own(w) && !e.cur.done {
		return *w
	}
	e.touch(w, false)
	e.point("load", w)
	p := e.cur
	for i := len(p.buffer) - 1; i >= 0; i-- {
		if p.buffer[i].w == w {
			return p.buffer[i].x // forwarded; the process's own history determines it
		}
	}
	e.settle(w)
	x := *w
	p.history = mix(p.history, x)
	if e.tracing {
		e.note("%s loads %s: %#x", p.name, e.place(w), x)
	}
	return x
}

func (e *engine) Store(w *uint64, x uint64) {
	if e.own(w) && !e.cur.done {
		*w = x
		return
	}
	e.touch(w, true)
	e.point("store", w)
	p := e.cur
	p.buffer = append(p.buffer, entry{w, x})
	if e.tracing {
		e.note("%s stores %s: %#x", p.name, e.place(w), x)
	}
}

func (e *engine) StoreFull(w *uint64, x uint64) {
	e.touch(w, true)
	e.point("full store", w)
	p := e.cur
	e.drain(p, len(p.buffer))
	e.settle(w)
	e.write(w, x)
	if e.tracing {
		e.note("%s stores %s: %#x, drained", p.name, e.place(w), x)
	}
}

func (e *engine) CompareAndSwap(w *uint64, old, x uint64) bool {
	e.touch(w, true)
	e.point("compare-and-swap", w)
	p := e.cur
	e.drain(p, len(p.buffer))
	e.settle(w)
	ok := *w == old
	p.history = mix(p.history, *w)
	if e.tracing {
		e.note("%s swaps %s from %#x to %#x: %v (it was %#x)", p.name, e.place(w), old, x, ok, *w)
	}
	if ok {
		e.write(w, x)
	}
	return ok
}

func (e *engine) Fence() { e.drain(e.cur, len(e.cur.buffer)) }

// steppedLocks makes each look at a lock a step, and lets a killed process's locks fall.
type steppedLocks struct {
	*heapLocks
	e     *engine
	hash  uint64
	owner map[int]*proc // of handles
}

func (l *steppedLocks) step(what string) {
	if shm.Steps != nil {
		l.e.cur.history = mix(l.e.cur.history, 2)
		l.e.point(what, nil)
	}
}

func (l *steppedLocks) open(f lockFile) (int, error) {
	h, err := l.heapLocks.open(f)
	if l.owner == nil {
		l.owner = map[int]*proc{}
	}
	l.owner[h] = l.e.cur
	return h, err
}

// give makes a handle that was opened while the world was set up a process's own.
func (l *steppedLocks) give(h int, p *proc) { l.owner[h] = p }

func (l *steppedLocks) changed(f lockFile, off int64) {
	l.hash ^= mix(uint64(f)<<40|uint64(off), 77)
}

func (l *steppedLocks) lock(f lockFile, h int, off int64) (bool, error) {
	l.step("lock")
	_, taken := l.of[heapLock{f, off}]
	ok, err := l.heapLocks.lock(f, h, off)
	if ok && !taken {
		l.changed(f, off)
	}
	if shm.Steps != nil {
		l.e.cur.history = mix(l.e.cur.history, uint64(b2i(ok)))
	}
	return ok, err
}

func (l *steppedLocks) unlock(f lockFile, h int, off int64) error {
	l.step("unlock")
	if l.of[heapLock{f, off}] == h {
		l.changed(f, off)
	}
	return l.heapLocks.unlock(f, h, off)
}

func (l *steppedLocks) held(f lockFile, off int64) (held, known bool) {
	l.step("look at a lock")
	held, known = l.heapLocks.held(f, off)
	if shm.Steps != nil {
		l.e.cur.history = mix(l.e.cur.history, uint64(b2i(held)))
		l.e.note("%s looks at lock %d of %d: held %v", l.e.cur.name, off, f, held)
	}
	return held, known
}

func (l *steppedLocks) close(h int) {
	l.step("close a lock")
	l.drop(h)
}

func (l *steppedLocks) drop(h int) {
	for k, owner := range l.of {
		if owner == h {
			l.changed(k.file, k.off)
		}
	}
	l.heapLocks.close(h)
}

func (l *steppedLocks) died(p *proc) {
	for h, owner := range l.owner {
		if owner == p {
			l.drop(h)
		}
	}
}
