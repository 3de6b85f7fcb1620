package shmring

import "github.com/mycelium-bus/mycelium/shmring/internal/shm"

// Pause executes n PAUSE instructions (at most 64), for loops that wait for another core.
func Pause(n uint32) { shm.Pause(n) }

// A Spin is a wait that executes PAUSE between looks that found nothing: one for the first looks, which meet an answer that is on its way
// between near cores, then two and four in turn. Between far cores a reader that looks too often takes the line away from the writer that
// is about to own it, and looks at a fixed distance fall into step with the line's way to and fro: both cost another crossing
// (docs/performance.md). The zero value is ready; it is for one goroutine.
type Spin struct{ looks uint32 }

const nearLooks = 4 // about 120 ns

// Once passes the time until the next look.
func (s *Spin) Once() {
	s.looks++
	switch {
	case s.looks <= nearLooks:
		Pause(1)
	case s.looks&1 == 0:
		Pause(2)
	default:
		Pause(4)
	}
}

// Reset begins anew: something was there.
func (s *Spin) Reset() { s.looks = 0 }
