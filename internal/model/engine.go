package main

import (
	"hash/maphash"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// system is one variant of a model, ready to be walked. S holds all shared words, and for each process what it keeps to itself and
// where it stands in its program; it is a value without pointers, so that a copy is another state.
type system[S comparable] struct {
	start []S
	procs []process[S]
	// fault says what is wrong with a state, or "". It is asked about every state that can be reached.
	fault func(s *S) string
	// atRest is asked about the states in which no process has a step.
	atRest func(s *S) string
}

// process is a party to the protocol. step takes its next step and returns what that was; "" means that it has none now, and the
// state is as it was. Each call begins with a state of its own. A party that has a choice, or may be killed, is several processes.
type process[S any] struct {
	name string
	step func(s *S) string
}

// wrong is what a step returns that should have been impossible.
func wrong(what string) string { return faultMark + what }

const faultMark = "fault: "

// mostStates bounds a walk, and with it the memory: about 4 GB for the set, and as much as the model's states take for the frontier.
const mostStates = 120e6

// result is what a walk found.
type result struct {
	states  uint64
	seconds float64
	fault   string   // "" if the variant holds
	trace   []string // a shortest way from a start to the fault
}

// node is a state of the frontier, with its hash.
type node[S any] struct {
	state S
	hash  uint64
}

// explorer walks a system breadth first, a level at a time, on all processors.
type explorer[S comparable] struct {
	system[S]
	seed    maphash.Seed
	seen    *visited
	failed  atomic.Bool
	mu      sync.Mutex
	fault   string
	at      uint64 // the hash of the state that is at fault, or before the step that is
	badProc int    // who took the step that is at fault; -1 when the state itself is
}

// explore visits every state that can be reached and stops at the first fault.
func explore[S comparable](sys system[S]) result {
	began := time.Now()
	e := &explorer[S]{system: sys, seed: maphash.MakeSeed(), seen: newVisited()}
	var now level[S]
	for _, s := range sys.start {
		h := e.hash(&s)
		e.seen.add(h, h)
		now.add(node[S]{s, h})
	}
	for len(now) > 0 && !e.failed.Load() {
		if e.seen.len() > mostStates {
			e.fail("the walk has no end within the bound of states", now[0][0].hash, -1)
			break
		}
		now = e.next(now)
	}
	r := result{states: e.seen.len(), fault: e.fault}
	if e.fault != "" {
		r.trace = e.trace()
	}
	r.seconds = time.Since(began).Seconds()
	return r
}

// hash stands for a state in the visited set. Two states with one hash would hide one of them: with 64 bits and a random seed
// that is a chance of less than 1 in 10,000 for 50 million states, and another one in each run.
func (e *explorer[S]) hash(s *S) uint64 { return max(maphash.Comparable(e.seed, *s), 1) }

// piece is how many states of a level are kept and expanded together.
const piece = 2048

// level is the states that are equally far from the start, in pieces.
type level[S any] [][]node[S]

func (l *level[S]) add(n node[S]) {
	last := len(*l) - 1
	if last < 0 || len((*l)[last]) == piece {
		*l = append(*l, make([]node[S], 0, piece))
		last++
	}
	(*l)[last] = append((*l)[last], n)
}

// next expands a level; the processors take its pieces in turn.
func (e *explorer[S]) next(now level[S]) (next level[S]) {
	var taken atomic.Int64
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(now)) {
		wg.Go(func() {
			var mine level[S]
			for !e.failed.Load() {
				i := int(taken.Add(1)) - 1
				if i >= len(now) {
					break
				}
				e.expand(now[i], &mine)
				now[i] = nil
			}
			e.mu.Lock()
			defer e.mu.Unlock()
			next = append(next, mine...)
		})
	}
	wg.Wait()
	return next
}

// expand checks states, and adds to next those that one step leads to and that are new.
func (e *explorer[S]) expand(now []node[S], next *level[S]) {
	var s S // here, so that it is allocated once
	for i := range now {
		n := &now[i]
		if e.system.fault != nil {
			if f := e.system.fault(&n.state); f != "" {
				e.fail(f, n.hash, -1)
				return
			}
		}
		quiet := true
		for p := range e.procs {
			s = n.state
			name := e.procs[p].step(&s)
			if name == "" {
				continue
			}
			quiet = false
			if isWrong(name) {
				e.fail(name[len(faultMark):], n.hash, p)
				return
			}
			if h := e.hash(&s); e.seen.add(h, n.hash) {
				next.add(node[S]{s, h})
			}
		}
		if quiet && e.atRest != nil {
			if f := e.atRest(&n.state); f != "" {
				e.fail(f, n.hash, -1)
				return
			}
		}
	}
}

func (e *explorer[S]) fail(what string, at uint64, proc int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.fault == "" {
		e.fault, e.at, e.badProc = what, at, proc
	}
	e.failed.Store(true)
}

func isWrong(name string) bool {
	return len(name) > len(faultMark) && name[:len(faultMark)] == faultMark
}
