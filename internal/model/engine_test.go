package main

import (
	"slices"
	"strings"
	"testing"
)

// counter is two words that a process each counts up.
type counter struct{ a, b int8 }

func counters(most int8) system[counter] {
	return system[counter]{
		start: []counter{{}},
		procs: []process[counter]{
			{"A", func(s *counter) string {
				if s.a == most {
					return ""
				}
				s.a++
				return "counts"
			}},
			{"B", func(s *counter) string {
				if s.b == most {
					return ""
				}
				s.b++
				return "counts"
			}},
		},
	}
}

// TestExploreVisitsEveryState on a square whose states are known; it is larger than one piece of a level, so processors share it.
func TestExploreVisitsEveryState(t *testing.T) {
	sys := counters(100)
	sys.start = nil
	for i := range int8(100) { // many starts: a level of more than one piece
		for j := range int8(100) {
			sys.start = append(sys.start, counter{i, j})
		}
	}
	if r := explore(sys); r.states != 101*101 || r.fault != "" {
		t.Errorf("%d states, fault %q; want %d and none", r.states, r.fault, 101*101)
	}
	if r := explore(counters(100)); r.states != 101*101 || r.fault != "" {
		t.Errorf("from one start %d states, fault %q", r.states, r.fault)
	}
}

// TestACounterexampleIsShortAndNamesItsSteps for the three kinds of faults.
func TestACounterexampleIsShortAndNamesItsSteps(t *testing.T) {
	inState := counters(3)
	inState.fault = func(s *counter) string {
		if s.a == 2 && s.b == 1 {
			return "met"
		}
		return ""
	}
	atRest := counters(1)
	atRest.atRest = func(s *counter) string { return "met" }
	inStep := counters(1)
	inStep.procs[1].step = func(s *counter) string {
		if s.a == 0 {
			return ""
		}
		return wrong("met")
	}
	for _, c := range []struct {
		name string
		sys  system[counter]
		want []string // sorted
	}{
		{"a state", inState, []string{"A counts  [a 0→1]", "A counts  [a 1→2]", "B counts  [b 0→1]"}},
		{"at rest", atRest, []string{"A counts  [a 0→1]", "B counts  [b 0→1]"}},
		{"a step", inStep, []string{"A counts  [a 0→1]", "B fault: met"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := explore(c.sys)
			var steps []string
			for _, line := range r.trace {
				steps = append(steps, line[len("  1. "):])
			}
			slices.Sort(steps)
			if r.fault != "met" || !slices.Equal(steps, c.want) {
				t.Errorf("fault %q after\n%s\nwant\n%s", r.fault, strings.Join(steps, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
}

func TestVisited(t *testing.T) {
	v := newVisited()
	for h := uint64(1); h < 100_000; h++ {
		hash := h * 0x9e3779b97f4a7c15 // spread over the shards
		if !v.add(hash, h) || v.add(hash, 0) {
			t.Fatalf("hash %d: new twice, or not new at first", h)
		}
	}
	for h := uint64(1); h < 100_000; h++ {
		if from := v.from(h * 0x9e3779b97f4a7c15); from != h {
			t.Fatalf("hash %d was reached from %d", h, from)
		}
	}
	if v.len() != 99_999 {
		t.Errorf("%d hashes", v.len())
	}
}

// TestBuffer holds what x86-TSO promises: own stores are seen at once, others' in their order.
func TestBuffer(t *testing.T) {
	mem := []int8{0, 0}
	var b buffer
	b.store(0, 1)
	b.store(1, 2)
	b.store(0, 3)
	if got := b.load(mem, 0); got != 3 || mem[0] != 0 {
		t.Errorf("the processor sees %d, memory has %d; want 3 and 0", got, mem[0])
	}
	for _, want := range [][]int8{{1, 0}, {1, 2}, {3, 2}} {
		if !b.drain(mem) || !slices.Equal(mem, want) {
			t.Errorf("memory has %v, want %v", mem, want)
		}
	}
	if b.drain(mem) || b != (buffer{}) {
		t.Errorf("an empty buffer is %v", b)
	}
	for range len(b.stores) {
		b.store(0, 7)
	}
	if b.store(0, 8) {
		t.Error("a full buffer takes a store")
	}
	if b.fence(mem); mem[0] != 7 || b.n != 0 {
		t.Errorf("after a fence memory has %v, the buffer %d", mem, b.n)
	}
}

// TestRingAlone runs the full ring's parts in one order, to see that an operation leaves what it should.
func TestRingAlone(t *testing.T) {
	x := ringSetup{ops: [2][]operation{{shorter}, {long}}, reader: ringC, slack: ringS}
	s := x.system().start[0]
	for _, step := range []func() string{
		func() string { return x.read(&s) }, func() string { return x.produce(&s, 0) }, func() string { return x.produce(&s, 1) }, func() string { return x.read(&s) },
	} {
		for name := step(); name != ""; name = step() {
			if isWrong(name) {
				t.Fatal(name)
			}
		}
	}
	// A claims 13 to 15 and commits one unit of it; B claims 15 to 17.
	want := map[int8]cell{13: {13, 0, 1, false}, 14: {14, 0, 1, true}, 15: {15, 1, 2, false}}
	for pos, c := range want {
		if *s.cell(pos) != c {
			t.Errorf("at %d is %+v, want %+v", pos, *s.cell(pos), c)
		}
	}
	if s.tail != 17 || s.r.pos != 17 || s.r.cursor != 17 {
		t.Errorf("tail %d, reader %d, cursor %d; want 17", s.tail, s.r.pos, s.r.cursor)
	}
}
