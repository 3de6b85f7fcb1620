package dex

import (
	"errors"
	"fmt"

	"github.com/holiman/uint256"
)

// Amount is a whole number between -(2^256-1) and 2^256-1, kept as magnitude and sign. So it holds an int256 and a
// uint256 of the chain exactly, and the difference of two uint256 as well. Zero is never negative: equal numbers are
// equal by ==. The zero value is 0.
type Amount struct {
	Abs uint256.Int
	Neg bool
}

// Signed reads a word of the chain as int256 (two's complement).
func Signed(word uint256.Int) Amount {
	if word.Sign() >= 0 {
		return Amount{Abs: word}
	}
	// -2^255 is its own negative; read unsigned, that is the right magnitude.
	var a Amount
	a.Abs.Neg(&word)
	a.Neg = true
	return a
}

// Unsigned reads a word of the chain as uint256.
func Unsigned(word uint256.Int) Amount { return Amount{Abs: word} }

// Difference is x - y.
func Difference(x, y *uint256.Int) Amount {
	var a Amount
	if x.Cmp(y) >= 0 {
		a.Abs.Sub(x, y)
		return a
	}
	a.Abs.Sub(y, x)
	a.Neg = true
	return a
}

// ParseAmount reads decimal digits with an optional minus in front.
func ParseAmount(s string) (Amount, error) {
	digits, neg := s, false
	if len(s) > 0 && s[0] == '-' {
		digits, neg = s[1:], true
	}
	abs, err := parseUint256(digits)
	if err != nil {
		return Amount{}, fmt.Errorf("amount %q: %w", clip(s), err)
	}
	return Amount{Abs: abs, Neg: neg && !abs.IsZero()}, nil
}

// Sign is -1, 0 or 1.
func (a Amount) Sign() int {
	switch {
	case a.Neg:
		return -1
	case a.Abs.IsZero():
		return 0
	}
	return 1
}

func (a Amount) String() string {
	if a.Neg {
		return "-" + a.Abs.Dec()
	}
	return a.Abs.Dec()
}

// parseUint256 takes digits alone: SetFromDecimal would also let a plus sign pass.
func parseUint256(s string) (uint256.Int, error) {
	var z uint256.Int
	if s == "" {
		return z, errors.New("no digits")
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return z, errors.New("not decimal digits")
		}
	}
	if err := z.SetFromDecimal(s); err != nil {
		return uint256.Int{}, errors.New("more than 256 bits")
	}
	return z, nil
}
