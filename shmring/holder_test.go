package shmring

import "testing"

// A producer that is held up asks by whom within its own calls: the answer must not cost a walk over the ring.
func TestHeldDoesNotWalkTheRing(t *testing.T) {
	for _, k := range allKinds {
		t.Run(k.String(), func(t *testing.T) {
			r, p, rd := slowRing(t, k, Policy{Slow: Block, Credit: 24<<10 + 1<<10}) // it ends within a segment
			fillToGate(t, p, 100)
			want := p.Held()
			if want.ID != rd.ID() || want.Behind == 0 || want.Behind != tailWord(t, r)-rd.Position() {
				t.Fatalf("held %+v", want)
			}
			// A walk would come to this header, and not beyond.
			word := r.data.Word(alignDown(tailWord(t, r)-1, r.segment) + 8)
			was := word.Load()
			word.Store(frameWord(0, 0, kindData))
			if got := p.Held(); got != want {
				t.Errorf("held %+v, want %+v", got, want)
			}
			word.Store(was)
		})
	}
}
