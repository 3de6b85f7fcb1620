package storm

import (
	"slices"
	"testing"
)

// decide returns the first n decisions of a seed as one list.
func decide(seed uint64, n int) (list []event, pauses []int64) {
	p := newPlan(seed, cast())
	for range n {
		pause, events := p.next()
		pauses = append(pauses, int64(pause))
		list = append(append(list, events...), event{place: -1})
	}
	return list, pauses
}

func TestASeedDecidesTheSame(t *testing.T) {
	a, pausesA := decide(7, 2000)
	b, pausesB := decide(7, 2000)
	if !slices.Equal(a, b) || !slices.Equal(pausesA, pausesB) {
		t.Error("the same seed decides otherwise")
	}
	if c, _ := decide(8, 2000); slices.Equal(a, c) {
		t.Error("another seed decides the same")
	}
}

// TestThePlanIsPossible plays the decisions of many seeds: whoever is stopped is there, whoever goes on was stopped, no witness
// is killed, and everybody meets every fate that is his.
func TestThePlanIsPossible(t *testing.T) {
	cast := cast()
	met := map[event]bool{}
	for seed := range uint64(50) {
		p := newPlan(seed, cast)
		now := make([]condition, len(cast))
		apply := func(e event) {
			was := now[e.place]
			possible := map[verb]bool{kill: was != absent && !cast[e.place].witness, stop: was == running, cont: was == stopped, start: was == absent}
			if !possible[e.verb] {
				t.Fatalf("seed %d: %v of %s, whose condition is %d", seed, e.verb, cast[e.place].name, was)
			}
			now[e.place] = map[verb]condition{kill: absent, stop: stopped, cont: running, start: running}[e.verb]
			met[e] = true
		}
		for range 500 {
			_, events := p.next()
			halted := 0
			for _, e := range events {
				apply(e)
			}
			for _, c := range now {
				if c == stopped {
					halted++
				}
			}
			if halted > mostStopped {
				t.Fatalf("seed %d: %d are stopped at once", seed, halted)
			}
		}
		for _, e := range p.settle() {
			apply(e)
		}
		if slices.ContainsFunc(now, func(c condition) bool { return c != running }) {
			t.Fatalf("seed %d: not everybody is back at the end: %v", seed, now)
		}
	}
	for i, place := range cast {
		for _, v := range []verb{kill, stop, cont, start} {
			if (v == stop || v == cont || !place.witness) != met[event{i, v}] {
				t.Errorf("%v of %s: %t", v, place.name, met[event{i, v}])
			}
		}
	}
}

func TestTheCast(t *testing.T) {
	cast := cast()
	witnesses := map[string]bool{}
	sending := false
	for _, p := range cast {
		if sending && p.role != producer {
			t.Errorf("%s comes after producers: it could miss the first message", p.name)
		}
		sending = sending || p.role == producer
		if p.witness && p.role.reads() {
			witnesses[p.topic] = p.role.reliable()
		}
	}
	for _, c := range topics() {
		if !witnesses[c.Name] {
			t.Errorf("topic %s has no reliable witness", c.Name)
		}
		if err := c.Validate(); err != nil {
			t.Error(err)
		}
		if segment := c.WithDefaults().Size / 8; segment%cellSize != 0 {
			t.Errorf("topic %s: segments of %d bytes do not begin with a cell", c.Name, segment)
		}
	}
}
