package dex

import (
	"errors"
	"fmt"
)

var (
	// ErrNotEvents is returned for a file that holds no DEX events; the error names what it holds.
	ErrNotEvents = errors.New("not a file of DEX events")
	// ErrUnknownPool is returned for a raw file whose pool is neither given nor found by the file's name.
	ErrUnknownPool = errors.New("unknown pool")
	// ErrNotRepresentable is returned by [Encoder] for an event that the message layout has no room for.
	ErrNotRepresentable = errors.New("not representable")

	errLineTooLong = fmt.Errorf("line longer than %d bytes", maxLine)
	errOpenQuote   = errors.New("quoted field does not end on its line")
)

// RowError says which row of a source could not be read. The source goes on with the next row.
type RowError struct {
	File string
	Line int // 1 is the header
	Err  error
}

func (e *RowError) Error() string { return fmt.Sprintf("%s:%d: %v", e.File, e.Line, e.Err) }

func (e *RowError) Unwrap() error { return e.Err }
