package codec

import (
	"errors"
	"fmt"
)

// What can be wrong with a message, its values, or the room for it. Test with errors.Is.
var (
	// ErrShort says that bytes are missing: more of the message may still come.
	ErrShort = errors.New("message cut short")

	// ErrMagic says that the bytes do not begin with [Magic].
	ErrMagic = errors.New("not a message")

	// ErrTrailing says that bytes follow the message.
	ErrTrailing = errors.New("bytes after the message")

	// ErrFraming says that the TLVs do not fill the payload exactly, or that an extended TLV's second byte is not 0.
	ErrFraming = errors.New("broken TLV framing")

	// ErrSize says that a value's length does not fit its type.
	ErrSize = errors.New("wrong length for the type")

	// ErrCount says that a value counts more entries than it has room for.
	ErrCount = errors.New("count out of range")

	// ErrValue says that a value is one that no honest sender means, such as a swap of nothing.
	ErrValue = errors.New("implausible value")

	// ErrNoRoom says that the builder's buffer is too small for what was added.
	ErrNoRoom = errors.New("no room in the buffer")

	// ErrTooLarge says that a value is beyond [MaxValue], or a message beyond what its [Rules] allow.
	ErrTooLarge = errors.New("too large")

	// ErrChecksum says that the checksum is wrong, or absent where it is required.
	ErrChecksum = errors.New("checksum")

	// ErrDomain says that the domain byte is no domain's, or another one's in the numbering that holds.
	ErrDomain = errors.New("wrong domain")

	// ErrType says that a TLV's type does not belong to the domain, or that its form is refused.
	ErrType = errors.New("type not allowed")

	// ErrSource says that the source byte is outside of the range that holds.
	ErrSource = errors.New("source out of range")

	// ErrTimestamp says that the header's time is too old or too far in the future.
	ErrTimestamp = errors.New("timestamp out of range")

	// ErrSequence says that a sequence number came again, went back, or left too large a gap.
	ErrSequence = errors.New("sequence out of order")
)

// A FormatError says which field of a message is wrong and how. Errors.Is sees the sentinel in Err.
type FormatError struct {
	Err    error  // one of the sentinels
	Field  string // what was looked at, e.g. "magic" or "Trade length"
	Offset int    // where it stands: bytes from the start of the message, or of the value where Decode was given only that
	Got    uint64
	Want   uint64 // the value, or the limit, that it should have had
}

// Error names the field, where it stands, and both values.
func (e *FormatError) Error() string {
	return fmt.Sprintf("codec: %v: %s at byte %d is %d, want %d", e.Err, e.Field, e.Offset, e.Got, e.Want)
}

// Unwrap returns the sentinel.
func (e *FormatError) Unwrap() error { return e.Err }

// fault makes a FormatError. It stands apart, and is never inlined, so that the functions that call it stay small.
//
//go:noinline
func fault(err error, field string, offset int, got, want uint64) error {
	return &FormatError{Err: err, Field: field, Offset: offset, Got: got, Want: want}
}
