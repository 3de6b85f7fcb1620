package shmring

import (
	"errors"
	"fmt"
)

// The hot path returns these values as they are; test with errors.Is.
var (
	// ErrBackPressure says that the slowest gating cursor, or an open claim, leaves no room for this claim now.
	ErrBackPressure = errors.New("back pressure")
	// ErrTooLarge says that a message is longer than MaxFrame, a batch longer than MaxClaim, or that it is empty.
	ErrTooLarge = errors.New("message too large or empty")
	// ErrClosed says that the handle or its topic is closed.
	ErrClosed = errors.New("closed")
	// ErrEvicted says that this reader was evicted.
	ErrEvicted = errors.New("evicted")
	// ErrLapped says that producers overwrote messages before this reader came to them; [LappedError] tells how much.
	ErrLapped = errors.New("lapped")
	// ErrInUse says that a single-producer topic has a producer, or a single-gate topic a gate.
	ErrInUse = errors.New("in use")
	// ErrLimit says that a fixed number of slots is used up.
	ErrLimit = errors.New("limit reached")
	// ErrCorrupt says that a shared file holds what the protocol never writes; [CorruptError] tells where.
	ErrCorrupt = errors.New("corrupt")
	// ErrVersion says that a file has another layout or needs features that this build lacks.
	ErrVersion = errors.New("version")
	// ErrExists says that the topic exists.
	ErrExists = errors.New("exists")
	// ErrNoSpace says that the file system or the memory limit lacks room for a topic's files.
	ErrNoSpace = errors.New("no space")
	// ErrPosition says that a position asked for is not a frame's, or not in the ring any more.
	ErrPosition = errors.New("no such position")
	// ErrNotParked says that a message is not, or no longer, in the list of parked messages.
	ErrNotParked = errors.New("already retried or gone")
	// ErrPermission says that a file's mode, owner or type is not what a bus directory has, or that the mapping lacks a right.
	ErrPermission = errors.New("permission denied")
)

// LappedError says which part of the ring a reader missed: the bytes of the ring (headers and padding included) from
// position From up to To, where it goes on.
type LappedError struct{ From, To uint64 }

// Missed returns how many bytes of the ring were missed.
func (e *LappedError) Missed() uint64 { return e.To - e.From }

func (e *LappedError) Error() string {
	return fmt.Sprintf("lapped: missed %d bytes of the ring, position %d to %d", e.Missed(), e.From, e.To)
}

func (e *LappedError) Unwrap() error { return ErrLapped }

// CorruptError says which field of which file was wrong.
type CorruptError struct {
	File     string // ring, cursors, control
	Field    string
	Position uint64 // of the frame, or offset in the file
	Got      string
	Want     string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("corrupt: %s: %s at %d is %s, want %s", e.File, e.Field, e.Position, e.Got, e.Want)
}

func (e *CorruptError) Unwrap() error { return ErrCorrupt }

func corruptFrame(pos uint64, field string, got, want any) error {
	return &CorruptError{File: "ring", Field: field, Position: pos, Got: fmt.Sprint(got), Want: fmt.Sprint(want)}
}
