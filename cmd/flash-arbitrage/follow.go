package main

import (
	"context"
	"errors"
	"time"
)

// source is what messages come from: Poll hands over those that are there, and tells which were published since the source was
// opened; Wait returns when there are some.
type source interface {
	Poll(limit int, handle func(message []byte, since bool) error) (int, error)
	Wait(ctx context.Context) error
}

// pollLimit bounds a batch, so that a signal to end is seen in a market without a pause.
const pollLimit = 1024

// follow hands all messages to h until ctx ends, or, if untilIdle is not 0, until none came for so long after the first that
// counts: history alone, which tells prices only, does not end it.
func follow(ctx context.Context, s source, h *hunter, untilIdle time.Duration) error {
	for {
		n, err := s.Poll(pollLimit, h.message)
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if n > 0 {
			continue
		}
		err = waitIdle(ctx, s, h.some, untilIdle)
		switch {
		case err == nil:
		case ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded):
			return nil
		default:
			return err
		}
	}
}

func waitIdle(ctx context.Context, s source, some bool, untilIdle time.Duration) error {
	if !some || untilIdle == 0 {
		return s.Wait(ctx)
	}
	bounded, cancel := context.WithTimeout(ctx, untilIdle)
	defer cancel()
	return s.Wait(bounded)
}
