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

// A member that lost a take is stopped before it clears its slot, which comes before the winner's.
func TestAGroupIsHeldByTheMemberThatWonItsOldestMessage(t *testing.T) {
	kindsTimesMemory(t, func(t *testing.T, r *Ring) {
		if r.kind == SPSC || r.kind == MPSC {
			return
		}
		loser, winner := newMember(t, r, "g", GroupPolicy{}, MemberOptions{}), newMember(t, r, "g", GroupPolicy{}, MemberOptions{})
		p := newProducer(t, r)
		publish(t, p, "the oldest")
		at := winner.Position()
		winner.Begin()
		defer winner.End()
		wantTakes(t, winner, 1, "the oldest")
		loser.held.end.StoreRelease(at + uint64(FrameSize(100)))
		loser.held.from.StoreRelease(pack(at, 1))
		defer loser.held.from.StoreRelease(0)

		fillToGate(t, p, 100)
		if h := p.Held(); h.ID != winner.ID() {
			t.Errorf("held by %+v, want %s", h, winner.ID())
		}
		if !p.SelfBlocked() {
			t.Error("the goroutine that works through the oldest message is not what holds it up")
		}
	})
}
