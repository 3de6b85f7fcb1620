package shmring

import "testing"

// A search for where to begin takes as long as there are messages: producers go on meanwhile, as long as it is not slower than they are.
func TestProducersGoOnWhileAJoinerSearches(t *testing.T) {
	const n = 1200 // more than two laps
	join := map[string]func(t *testing.T, r *Ring, from From) (next func() (Frame, bool)){
		"block": func(t *testing.T, r *Ring, from From) func() (Frame, bool) {
			return newReader(t, r, Policy{Slow: Block, Credit: 16 << 10}, from).Next
		},
		"drop": func(t *testing.T, r *Ring, from From) func() (Frame, bool) {
			return newReader(t, r, Policy{Slow: Drop, Patience: atOnce}, from).Next
		},
		"group": func(t *testing.T, r *Ring, from From) func() (Frame, bool) {
			return newMember(t, r, "g", GroupPolicy{Credit: 16 << 10}, MemberOptions{From: from}).Next
		},
	}
	for name, join := range join {
		for _, k := range allKinds {
			t.Run(name+"/"+k.String(), func(t *testing.T) {
				r := newHeapRing(t, Options{Kind: k, Capacity: 64 << 10, Consumers: 4, Groups: 1})
				p := newProducer(t, r)
				message := make([]byte, 112)
				for range 2000 {
					must(t, p.Publish(message))
				}
				sent := 0
				next := join(t, r, First(1, func([]byte) bool {
					if sent == n {
						return true
					}
					if err := p.Publish(message); err != nil {
						t.Errorf("message %d: %v, by %+v", sent, err, p.Holder())
						sent = n
						return true
					}
					sent++
					return false
				}))
				if f, ok := next(); !ok || len(f.Payload) != len(message) {
					t.Errorf("it begins with %d bytes, %v", len(f.Payload), ok)
				}
			})
		}
	}
}
