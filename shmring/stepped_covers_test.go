//go:build stepped

package shmring

import "testing"

// TestSteppedCovers holds the scenarios against what the stepped runs promise: every operation among two processes with three
// preemptions, and among three with two.
func TestSteppedCovers(t *testing.T) {
	want := map[int]int{2: 3, 3: 2} // preemptions at least, by how many processes
	got := map[int]map[string]int{2: {}, 3: {}}
	for _, s := range scenarios {
		if s.beyond {
			continue
		}
		quick := *s
		quick.preempts, quick.kills = 0, 0 // one after the other is enough to see what they do
		e := explore(t, &quick)
		if e.failure != "" {
			t.Fatalf("%s: %s", s.name, e.failure)
		}
		if s.preempts < want[len(e.procs)] {
			t.Errorf("%s: %d processes and %d preemptions", s.name, len(e.procs), s.preempts)
		}
		for operation := range e.did {
			got[len(e.procs)][operation]++
		}
	}
	for _, operation := range []string{"claim and commit", "poll", "refresh", "join", "repair", "takeover", "close a producer", "close a reader",
		"sleep", "wake", "wait for space"} {
		for n, scenarios := range got {
			if scenarios[operation] == 0 {
				t.Errorf("no scenario of %d processes has the operation %s", n, operation)
			}
		}
		t.Logf("%s: %d scenarios of 2 processes with 3 preemptions, %d of 3 with 2", operation, got[2][operation], got[3][operation])
	}
}
