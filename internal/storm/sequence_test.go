package storm

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/mycelium-bus/mycelium/bus"
)

const first = 1 << 16 // where the tests' rings begin: a cell's begin

// text is a message of 100 bytes, 128 in the ring.
func text(sender, number uint64) []byte {
	b := make([]byte, 100)
	write(b, sender, number)
	return b
}

const textSize = 128

func newTestSequence(t *testing.T, beginning bool) *sequence {
	t.Helper()
	cells, err := createTally(filepath.Join(t.TempDir(), "cells"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cells.file.Close() })
	return newSequence(first, beginning, cells)
}

// TestWhatAReaderFinds shows every fault that a reader finds by itself, and that it takes what is in order.
func TestWhatAReaderFinds(t *testing.T) {
	torn := text(1, 1)
	torn[50] ^= 1
	short := text(1, 1)[:60]
	two := text(1, 1)
	copy(two[64:], text(2, 9)[64:])
	tests := []struct {
		name string
		play func(s *sequence) error
		want string // part of the fault; "" for none
	}{
		{"two senders in turn", func(s *sequence) error {
			return s.takeAll([]step{{first, text(1, 0)}, {first + textSize, text(2, 0)}, {first + 3*textSize, text(1, 1)}})
		}, ""},
		{"a gap", func(s *sequence) error {
			return s.takeAll([]step{{first, text(1, 0)}, {first + textSize, text(1, 2)}})
		}, "message 2 of process 1, want 1"},
		{"the same message twice", func(s *sequence) error {
			return s.takeAll([]step{{first, text(1, 0)}, {first + textSize, text(1, 0)}})
		}, "message 0 of process 1, want 1"},
		{"two messages the wrong way round", func(s *sequence) error {
			return s.takeAll([]step{{first, text(1, 0)}, {first + textSize, text(1, 2)}, {first + 2*textSize, text(1, 1)}})
		}, "message 2 of process 1, want 1"},
		{"a position again", func(s *sequence) error {
			return s.takeAll([]step{{first, text(1, 0)}, {first, text(1, 1)}})
		}, "everything before 65664 was read"},
		{"a sender's first message is missing", func(s *sequence) error { return s.take(first, text(1, 1)) }, "want 0"},
		{"a flipped bit", func(s *sequence) error { return s.take(first, torn) }, "torn"},
		{"half of another message", func(s *sequence) error { return s.take(first, two) }, "torn"},
		{"a message cut short", func(s *sequence) error { return s.take(first, short) }, "torn"},
		{"a few bytes", func(s *sequence) error { return s.take(first, []byte("hello")) }, "never sent"},
		{"a message that was not committed", func(s *sequence) error { return s.take(first, text(1, 0|unfinished)) }, "never committed"},
		{"a gap that was told", func(s *sequence) error {
			if err := s.take(first, text(1, 0)); err != nil {
				return err
			}
			if err := s.missed(&bus.LappedError{From: first + textSize, To: first + cellSize}); err != nil {
				return err
			}
			return s.take(first+cellSize, text(1, 9))
		}, ""},
		{"a gap that was told for something already read", func(s *sequence) error {
			if err := s.take(first, text(1, 0)); err != nil {
				return err
			}
			return s.missed(&bus.LappedError{From: first, To: first + cellSize})
		}, "everything before 65664 was read"},
		{"a gap longer than what was told", func(s *sequence) error {
			if err := s.takeAll([]step{{first, text(1, 0)}}); err != nil {
				return err
			}
			if err := s.missed(&bus.LappedError{From: first + textSize, To: first + 2*textSize}); err != nil {
				return err
			}
			if err := s.take(first+2*textSize, text(1, 50)); err != nil {
				return err
			}
			return s.agree(bus.SubscriptionStats{Messages: 2, Laps: 1, MissedBytes: textSize})
		}, "49 messages are missing"},
		{"a gap where it was evicted and joined again", func(s *sequence) error {
			if err := s.take(first, text(1, 0)); err != nil {
				return err
			}
			if err := s.evicted(bus.SubscriptionStats{Messages: 1}, first+cellSize); err != nil {
				return err
			}
			if err := s.take(first+cellSize, text(1, 9)); err != nil {
				return err
			}
			return s.agree(bus.SubscriptionStats{Messages: 1})
		}, ""},
		{"a gap after it joined again", func(s *sequence) error {
			if err := s.take(first, text(1, 0)); err != nil {
				return err
			}
			if err := s.evicted(bus.SubscriptionStats{Messages: 1}, first+cellSize); err != nil {
				return err
			}
			return s.takeAll([]step{{first + cellSize, text(1, 9)}, {first + cellSize + textSize, text(1, 11)}})
		}, "message 11 of process 1, want 10"},
		{"joined again where it had been", func(s *sequence) error {
			if err := s.take(first, text(1, 0)); err != nil {
				return err
			}
			return s.evicted(bus.SubscriptionStats{Messages: 1}, first)
		}, "had read up to"},
		{"counters that disagree", func(s *sequence) error {
			if err := s.take(first, text(1, 0)); err != nil {
				return err
			}
			return s.agree(bus.SubscriptionStats{Messages: 2})
		}, "counts 2 messages"},
		{"a reader that goes back", func(s *sequence) error {
			if err := s.take(first, text(1, 0)); err != nil {
				return err
			}
			return s.reach(first)
		}, "has read up to"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { wantFault(t, test.play(newTestSequence(t, true)), test.want) })
	}
}

type step struct {
	position uint64
	bytes    []byte
}

func (s *sequence) takeAll(steps []step) error {
	for _, m := range steps {
		if err := s.take(m.position, m.bytes); err != nil {
			return err
		}
	}
	return nil
}

func wantFault(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("found a fault where there is none: %v", err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Errorf("found %v, want %q", err, want)
	}
}
