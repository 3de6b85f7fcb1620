package topic

import (
	"fmt"
	"strings"
	"unicode"
)

// Who is what an entry of a rights list names.
type Who uint8

const (
	Anyone Who = iota // "*": whoever may use the socket
	AUser             // "user:alice", "user:1000"
	AGroup            // "group:trading", "group:2000"
)

// Principal is one entry of a rights list. A list grants a right to everyone whom one of its entries names; an empty
// list grants it to the broker's own user.
type Principal struct {
	Who  Who
	Name string // of the user or group, or its number in decimal; empty for Anyone
}

// ParsePrincipal reads "*", "user:NAME" or "group:NAME".
func ParsePrincipal(s string) (Principal, error) {
	if s == "*" {
		return Principal{}, nil
	}
	kind, name, _ := strings.Cut(s, ":")
	who := AUser
	switch {
	case kind == "group":
		who = AGroup
	case kind != "user":
		return Principal{}, fmt.Errorf(`%w: %q names nobody; write "*", "user:NAME" or "group:NAME"`, ErrInvalid, s)
	}
	if name == "" || strings.ContainsFunc(name, func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r) || r == ':' || r == ',' || r == unicode.ReplacementChar
	}) {
		return Principal{}, fmt.Errorf("%w: %q has no usable %s name; write %s:NAME", ErrInvalid, s, kind, kind)
	}
	return Principal{who, name}, nil
}

// String returns what ParsePrincipal reads.
func (p Principal) String() string {
	switch p.Who {
	case AUser:
		return "user:" + p.Name
	case AGroup:
		return "group:" + p.Name
	}
	return "*"
}

func (p Principal) MarshalText() ([]byte, error)  { return []byte(p.String()), nil }
func (p *Principal) UnmarshalText(b []byte) error { return set(p, ParsePrincipal, b) }
