//go:build stepped

package shmring

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/mycelium-bus/mycelium/shmring/internal/shm"
)

// decision is what was chosen where there was a choice: at the at-th question of the run. 0 goes on with the process that runs;
// meaning is the same choice as a schedule has it, which does not depend on what was learnt in the runs before. States that
// were seen before with at least as much of the budget left are not gone into again; a state is the memory, the locks, the
// store buffers, what the checks go by (tell), and for each process that goes on everything it has loaded, which determines where it stands.
type decision struct{ at, chosen, choices, meaning int }

// budget is what a run has left of what it may do.
type budget struct{ preempts, kills, delays int8 }

// maxDelays bounds how often in a run a look comes before a store that waits in a buffer; buffers do not hold on for ever.
const maxDelays = 3

// explore runs the scenario in every order within its budget, or as MYC_STEPS says; it ends at the first failure.
func explore(t *testing.T, s *scenario) *engine {
	e := &engine{t: t, s: s, visited: map[uint64]budget{}, judged: map[uint64]bool{}, private: map[*uint64]*touch{}, did: map[string]bool{}}
	defer e.end()
	if steps := os.Getenv("MYC_STEPS"); steps != "" {
		e.follow(steps)
	} else if n, _ := strconv.Atoi(os.Getenv("MYC_RANDOM")); !e.guess(n) {
		e.search()
	}
	return e
}

// follow is the run that a schedule tells, with each step in the log.
func (e *engine) follow(schedule string) {
	e.tracing, e.script = true, map[int]int{}
	for f := range strings.SplitSeq(schedule, ",") {
		var at, meaning int
		if _, err := fmt.Sscanf(f, "%d:%d", &at, &meaning); err != nil {
			e.t.Fatalf("MYC_STEPS: %q: %v", f, err)
		}
		e.script[at] = meaning
	}
	e.run()
	e.t.Logf("steps:\n%s", strings.Join(e.trace, "\n"))
}

// guess makes n runs by chance, and reports whether one failed: a seeded fault is mostly found sooner than in order.
func (e *engine) guess(n int) bool {
	e.random = rand.New(rand.NewPCG(1, 2))
	for range n {
		if e.run(); e.failure != "" {
			return true
		}
	}
	e.random = nil
	return false
}

// search goes through all runs in order.
func (e *engine) search() {
	for {
		e.run()
		if e.failure != "" {
			return
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
			return
		}
		e.replay = e.replay[:0]
		for _, d := range e.decisions[:i] {
			e.replay = append(e.replay, d.chosen)
		}
		e.replay = append(e.replay, e.decisions[i].chosen+1)
	}
}

// schedule prints the run's decisions in the form that MYC_STEPS replays: number of the question and choice, where that is
// another than to go on.
func (e *engine) schedule() string {
	var list []string
	for _, d := range e.decisions {
		if d.meaning != 0 {
			list = append(list, fmt.Sprintf("%d:%d", d.at, d.meaning))
		}
	}
	return strings.Join(list, ",")
}

const pruned = -1

// choose takes one of n choices, as the replay says, or the first.
func (e *engine) choose(n int) int {
	e.asked++
	if n <= 1 {
		return 0
	}
	chosen := 0
	if e.script != nil {
		chosen = e.script[e.asked]
	} else if e.random != nil {
		chosen = e.random.IntN(n)
	} else {
		chosen = e.replayed()
	}
	e.decide(chosen, n, chosen)
	return chosen
}

// chooseFate is choose for a process at a step: 0 to go on, the n-th of the others to go on instead of it, or one more than they are
// for its death. Only so many switches are open, and death where mortal.
func (e *engine) chooseFate(others, switches int, mortal bool) (fate int, again bool) {
	e.asked++
	choices := 1 + switches + b2i(mortal)
	chosen := 0
	switch {
	case e.script != nil:
		return e.script[e.asked], false
	case choices == 1:
		return 0, false
	case e.random != nil:
		if e.fates++; e.random.IntN(e.length) < 2 {
			chosen = 1 + e.random.IntN(choices-1)
		}
	case len(e.decisions) >= len(e.replay) && e.seen():
		return 0, true
	default:
		chosen = e.replayed()
	}
	fate = chosen
	if chosen > switches {
		fate = others + 1
	}
	e.decide(chosen, choices, fate)
	return fate, false
}

func (e *engine) replayed() int {
	if k := len(e.decisions); k < len(e.replay) {
		return e.replay[k]
	}
	return 0
}

func (e *engine) decide(chosen, choices, meaning int) {
	if chosen >= choices {
		panic(fmt.Sprintf("decision %d is %d of %d: the run is not the one that was recorded", len(e.decisions), chosen, choices))
	}
	e.decisions = append(e.decisions, decision{e.asked, chosen, choices, meaning})
}

// seen looks the state up, and enters it.
func (e *engine) seen() bool {
	h := mix(mix(e.memory, e.locks.hash), e.account)
	for _, p := range e.procs {
		h = mix(h, e.past(p))
		for _, b := range p.buffer {
			h = mix(h, shm.Address(b.w)^b.x*0x9e3779b97f4a7c15)
		}
		h = mix(h, uint64(len(p.buffer))<<2|uint64(b2i(p.done))<<1|uint64(b2i(p.killed)))
		if p.queued != nil {
			for _, w := range p.queued.on {
				h = mix(h, shm.Address(w))
			}
			h = mix(h, uint64(b2i(p.asleep)))
		}
	}
	h = mix(h, uint64(e.mended)<<16|uint64(b2i(e.resumed))<<8|uint64(e.cur.id))
	left := budget{int8(e.s.preempts - e.preempts), int8(e.s.kills - e.kills), int8(maxDelays - e.delays)}
	if old, ok := e.visited[h]; ok && old.preempts >= left.preempts && old.kills >= left.kills && old.delays >= left.delays {
		return true
	}
	e.visited[h] = left
	return false
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
