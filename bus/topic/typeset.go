package topic

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
)

// TypeSet is a set of TLV types, a bit for each of 0 to 255: type t is bit t%64 of word t/64. The zero TypeSet names
// none and admits all.
type TypeSet [4]uint64

// TypesOf returns the set of the given types.
func TypesOf(types ...uint8) TypeSet {
	var s TypeSet
	for _, t := range types {
		s.add(t)
	}
	return s
}

func (s *TypeSet) add(t uint8) { s[t/64] |= 1 << (t % 64) }

func (s TypeSet) has(t uint8) bool { return s[t/64]>>(t%64)&1 != 0 }

// All reports whether the set names no type, and so admits all of them.
func (s TypeSet) All() bool { return s == TypeSet{} }

// Contains reports whether the set admits type t.
func (s TypeSet) Contains(t uint8) bool { return s.has(t) || s.All() }

// Len returns how many types the set names; 0 means that it admits all.
func (s TypeSet) Len() (n int) {
	for _, word := range s {
		n += bits.OnesCount64(word)
	}
	return n
}

// ParseTypes reads types and ranges of types between commas, "1-19,106,200-254"; they may overlap and come in any order,
// and spaces may stand around them. "" is the set that admits all.
func ParseTypes(text string) (TypeSet, error) {
	var s TypeSet
	if strings.TrimSpace(text) == "" {
		return s, nil
	}
	for item := range strings.SplitSeq(text, ",") {
		item = strings.TrimSpace(item)
		from, to, isRange := strings.Cut(item, "-")
		if !isRange {
			to = from
		}
		lo, err1 := parseType(from)
		hi, err2 := parseType(to)
		switch {
		case err1 != nil || err2 != nil:
			return TypeSet{}, fmt.Errorf("%w: %q in %q is no TLV type or range of types; write numbers from 0 to 255, like 1-19,106",
				ErrInvalid, item, text)
		case lo > hi:
			return TypeSet{}, fmt.Errorf("%w: %q in %q is backwards; write %d-%d", ErrInvalid, item, text, hi, lo)
		}
		for t := int(lo); t <= int(hi); t++ {
			s.add(uint8(t))
		}
	}
	return s, nil
}

func parseType(s string) (uint8, error) {
	n, err := strconv.ParseUint(strings.TrimSpace(s), 10, 8)
	return uint8(n), err
}

// String lists the types in their order with ranges drawn together, "1-19,106,200-254"; "" for the set that admits all.
func (s TypeSet) String() string {
	var items []string
	for t := 0; t < 256; t++ {
		if !s.has(uint8(t)) {
			continue
		}
		first := t
		for t < 255 && s.has(uint8(t+1)) {
			t++
		}
		item := strconv.Itoa(first)
		if t > first {
			item += "-" + strconv.Itoa(t)
		}
		items = append(items, item)
	}
	return strings.Join(items, ",")
}

func (s TypeSet) MarshalText() ([]byte, error)  { return []byte(s.String()), nil }
func (s *TypeSet) UnmarshalText(b []byte) error { return set(s, ParseTypes, b) }
