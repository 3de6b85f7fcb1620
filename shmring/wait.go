package shmring

import (
	"time"

	"github.com/mycelium-bus/mycelium/shmring/internal/shm"
)

// Pause executes n PAUSE instructions (at most 64), for loops that wait for another core.
func Pause(n uint32) { shm.Pause(n) }

// A Spin is a wait that executes PAUSE between looks that found nothing: one before each of the first two looks, which meet an answer that
// is on its way between near cores, then six, about 120 ns. Between far cores a reader that looks more often takes the line away from the
// writer that is about to own it, which costs another crossing (docs/performance.md): where waits last as long as an answer from there,
// all looks come after six. The zero value is ready; it is for one goroutine.
type Spin struct {
	looks, waits uint32
	far          bool
	began        time.Time
}

const (
	nearLooks, nearPause, farPause = 2, 1, 6

	// Near cores answer within 180 ns, or 340 where all looks come after six PAUSE, far ones after 480 at least. One wait of timedWaits is
	// held against the clock, which costs as much as two PAUSE.
	nearAnswer = 400 * time.Nanosecond
	timedWaits = 64
)

// Once passes the time until the next look.
func (s *Spin) Once() {
	if s.looks == 0 && s.waits%timedWaits == 0 {
		s.began = time.Now()
	}
	s.looks++
	if s.looks <= nearLooks && !s.far {
		Pause(nearPause)
		return
	}
	Pause(farPause)
}

// Reset begins anew: something was there.
func (s *Spin) Reset() {
	if s.looks != 0 {
		s.ended()
	}
}

func (s *Spin) ended() {
	if s.waits%timedWaits == 0 {
		s.far = time.Since(s.began) > nearAnswer
	}
	s.looks = 0
	s.waits++
}
