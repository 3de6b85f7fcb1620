package topic

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Size is a number of bytes. Its text is a whole number with a unit of two letters and a B, "16MiB", or without one.
type Size int64

// Units of sizes.
const (
	KiB Size = 1 << 10
	MiB Size = 1 << 20
	GiB Size = 1 << 30
	TiB Size = 1 << 40
)

// units from large to small; String takes the first that divides.
var units = []struct {
	name  string
	bytes Size
}{{"TiB", TiB}, {"GiB", GiB}, {"MiB", MiB}, {"KiB", KiB}, {"B", 1}}

// ParseSize reads "16MiB", "64KiB", "4GiB", "1TiB", "512B" or a plain number of bytes; a space may stand before the
// unit. It refuses units that mean a thousand to some and 1,024 to others, fractions, signs, and what exceeds 64 bits.
func ParseSize(s string) (Size, error) {
	digits := strings.TrimRight(s, "BKMGTibkmgt ")
	unit := strings.TrimLeft(s[len(digits):], " ")
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil {
		return 0, fmt.Errorf("%w: %q is not a size; write a whole number of bytes or a size like 16MiB", ErrInvalid, s)
	}
	if unit == "" && s != digits {
		return 0, fmt.Errorf("%w: %q is not a size: it ends in a space", ErrInvalid, s)
	}
	if unit == "" {
		return Size(n), nil
	}
	for _, u := range units {
		if u.name != unit {
			continue
		}
		if n > uint64(math.MaxInt64/u.bytes) {
			return 0, fmt.Errorf("%w: %q is over %s", ErrInvalid, s, Size(math.MaxInt64))
		}
		return Size(n) * u.bytes, nil
	}
	return 0, fmt.Errorf("%w: %q has the unknown unit %q; units are B, KiB, MiB, GiB and TiB (1KiB is 1024 bytes)", ErrInvalid, s, unit)
}

// String returns the size in the largest unit that leaves a whole number, and bytes without a unit: "16MiB", "1000".
func (s Size) String() string {
	for _, u := range units {
		if s != 0 && s%u.bytes == 0 && u.bytes > 1 {
			return strconv.FormatInt(int64(s/u.bytes), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

func (s Size) MarshalText() ([]byte, error)  { return []byte(s.String()), nil }
func (s *Size) UnmarshalText(b []byte) error { return set(s, ParseSize, b) }

// Duration is a time span whose text has a unit, "1s" or "250ms": a bare number would not say which one it is in.
type Duration time.Duration

// ParseDuration reads what time.ParseDuration does, except a number without a unit.
func ParseDuration(s string) (Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil || s == "0" {
		return 0, fmt.Errorf("%w: %q is not a duration; write a number with a unit, like 250ms or 1s", ErrInvalid, s)
	}
	return Duration(d), nil
}

// String is that of time.Duration.
func (d Duration) String() string                { return time.Duration(d).String() }
func (d Duration) MarshalText() ([]byte, error)  { return []byte(d.String()), nil }
func (d *Duration) UnmarshalText(b []byte) error { return set(d, ParseDuration, b) }
