package storm

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// verb is what the conductor does to a process.
type verb uint8

const (
	kill  verb = iota // SIGKILL
	stop              // SIGSTOP
	cont              // SIGCONT
	start             // the place's next process
)

func (v verb) String() string { return [...]string{"kill", "stop", "continue", "start"}[v] }

// event is what happens to one place at one decision.
type event struct {
	place int
	verb  verb
}

type condition uint8

const (
	running condition = iota
	stopped
	absent
)

// plan makes the decisions. It knows nothing but the seed and the cast, so the same seed decides the same.
type plan struct {
	rng       *rand.Rand
	cast      []place
	weights   int
	decision  int
	condition []condition
	until     []int // the decision at which a stopped place goes on, an absent one is taken again
}

// newPlan begins with all places taken.
func newPlan(seed uint64, cast []place) *plan {
	p := &plan{rng: rand.New(rand.NewPCG(seed, 0)), cast: cast, condition: make([]condition, len(cast)), until: make([]int, len(cast))}
	for _, c := range cast {
		p.weights += c.weight
	}
	return p
}

// serves reports whether a broker runs until the next decision.
func (p *plan) serves() bool {
	for i, place := range p.cast {
		if place.role == brokerRole && p.condition[i] == running {
			return true
		}
	}
	return false
}

// mostStopped bounds how many are stopped at once: a storm in which nobody moves shows nothing.
const mostStopped = 3

// next is the next decision: how long the conductor lets everybody work before it, and what it does then.
func (p *plan) next() (pause time.Duration, events []event) {
	p.decision++
	pause = time.Duration(1+p.rng.IntN(30)) * time.Millisecond
	halted := 0
	for i, c := range p.condition {
		switch {
		case c == running:
		case p.until[i] <= p.decision && c == stopped:
			events = append(events, event{i, cont})
			p.condition[i] = running
		case p.until[i] <= p.decision:
			events = append(events, event{i, start})
			p.condition[i] = running
		case c == stopped:
			halted++
		}
	}
	i := p.pick()
	mortal := !p.cast[i].witness
	switch p.condition[i] {
	case running:
		if p.rng.IntN(100) < 60 && mortal {
			return pause, p.kill(i, events)
		}
		if halted < mostStopped {
			events = append(events, event{i, stop})
			p.condition[i] = stopped
			p.until[i] = p.decision + p.stopLength()
		}
	case stopped:
		if mortal && p.rng.IntN(2) == 0 {
			return pause, p.kill(i, events)
		}
	}
	return pause, events
}

// kill ends the place's process; the next one comes at once, or some decisions later.
func (p *plan) kill(i int, events []event) []event {
	events = append(events, event{i, kill})
	if p.rng.IntN(4) != 0 {
		p.condition[i] = running
		return append(events, event{i, start})
	}
	p.condition[i] = absent
	p.until[i] = p.decision + 1 + p.rng.IntN(10)
	return events
}

// stopLength is mostly short, and now and then several times the 50 ms after which producers look who is dead.
func (p *plan) stopLength() int {
	if p.rng.IntN(4) != 0 {
		return 1 + p.rng.IntN(3)
	}
	return 10 + p.rng.IntN(12)
}

func (p *plan) pick() int {
	n := p.rng.IntN(p.weights)
	for i, c := range p.cast {
		if n -= c.weight; n < 0 {
			return i
		}
	}
	panic(fmt.Sprintf("storm: weights of the cast do not add up to %d", p.weights))
}

// settle says what brings everybody back at the storm's end.
func (p *plan) settle() (events []event) {
	for i, c := range p.condition {
		switch c {
		case stopped:
			events = append(events, event{i, cont})
		case absent:
			events = append(events, event{i, start})
		}
		p.condition[i] = running
	}
	return events
}
