package shmring

import "testing"

// TestSpinBeginsAnew has a spin that was reset do what a new one does. How long it pauses is for a benchmark to tell.
func TestSpinBeginsAnew(t *testing.T) {
	var s Spin
	for range 100 {
		s.Once()
	}
	if s.Reset(); s != (Spin{}) {
		t.Errorf("after a reset: %+v", s)
	}
}

func BenchmarkSpin(b *testing.B) {
	var s Spin
	for range b.N {
		s.Once()
	}
}
