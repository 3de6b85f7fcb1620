package shmring

import (
	"testing"
	"time"
)

// A spin takes a wait that lasted long for one between far cores, and a short one for one between near cores. How long it pauses is for a
// benchmark to tell.
func TestSpinTellsFarFromNear(t *testing.T) {
	var s Spin
	wait := func(d time.Duration) (took time.Duration) {
		begin := time.Now()
		for done := false; !done; done = time.Since(s.began) > d {
			s.Once()
		}
		s.Reset()
		if s.looks != 0 {
			t.Fatal("after a reset the next wait does not begin with the first look")
		}
		return time.Since(begin)
	}
	untimed := func() {
		far := s.far
		for s.waits%timedWaits != 0 {
			s.Once()
			s.Reset()
		}
		if s.far != far {
			t.Fatal("a wait that was not timed was judged")
		}
	}
	for watchdog := time.Now().Add(time.Minute); ; untimed() {
		if wait(nearAnswer); !s.far {
			t.Fatal("a wait that lasted longer than an answer between near cores is not taken for far")
		}
		untimed()
		if took := wait(0); took < nearAnswer { // another thread may have had the core
			if s.far {
				t.Fatalf("a wait of %v is taken for far", took)
			}
			return
		}
		if time.Now().After(watchdog) {
			t.Skip("no wait was short on this machine")
		}
	}
}

func BenchmarkSpin(b *testing.B) {
	var s Spin
	for range b.N {
		s.Once()
	}
}
