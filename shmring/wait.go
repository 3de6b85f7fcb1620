package shmring

import "github.com/mycelium-bus/mycelium/shmring/internal/shm"

// Pause executes n PAUSE instructions (at most 64), for loops that wait for another core.
func Pause(n uint32) { shm.Pause(n) }

// A Spin is a wait that executes PAUSE between looks that found nothing: one for the first looks, which meet an answer that is on its way
// between near cores, then six, about 120 ns. Between far cores a reader that looks more often takes the line away from the writer that is
// about to own it, which costs another crossing (docs/performance.md). The zero value is ready; it is for one goroutine.
type Spin struct{ looks uint32 }

const nearLooks, nearPause, farPause = 2, 1, 6

// Once passes the time until the next look.
func (s *Spin) Once() {
	if s.looks < nearLooks {
		s.looks++
		Pause(nearPause)
		return
	}
	Pause(farPause)
}

// Reset begins anew: something was there.
func (s *Spin) Reset() { s.looks = 0 }
