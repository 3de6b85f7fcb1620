package topic

import (
	"fmt"
	"slices"
	"strings"
)

// Kind says how many producers and how many gates a topic has. A gate is what producers wait for: a reliable reader or
// a group; lossy readers are no gates, and are always admitted. The zero Kind stands for the default, MPMC.
type Kind uint8

// The kinds; part of the format.
const (
	SPSC Kind = 1 + iota // one producer, one gate
	SPMC                 // one producer, many gates
	MPSC                 // many producers, one gate
	MPMC                 // many producers, many gates
)

// Routing is what a subscriber gets that does not ask.
type Routing uint8

const (
	Fanout Routing = iota // every subscriber gets every message
	Queue                 // subscribers share them: each message goes to one member of the group "default"
)

// Slow says what happens to a reliable subscriber that holds producers up for longer than the patience.
type Slow uint8

const (
	Block Slow = iota // nothing: producers wait for it, as long as it lives
	Drop              // it no longer holds them up, misses messages, and is told which
	Evict             // its subscription ends
)

// Sleep is how a topic's sleeping consumers learn of messages.
type Sleep uint8

const (
	SleepAuto  Sleep = iota // who goes to sleep interrupts the producers' cores, once (membarrier(2))
	SleepFence              // every commit executes a fence instead: for hosts with isolated cores
)

// Checksum says what a topic's readers make of a message's checksum.
type Checksum uint8

const (
	ChecksumPresent Checksum = iota // verified where it is not 0
	ChecksumRequire                 // a message without one is refused
	ChecksumSkip                    // not looked at
)

var (
	kindNames     = []string{"", "spsc", "spmc", "mpsc", "mpmc"}
	routingNames  = []string{"fanout", "queue"}
	slowNames     = []string{"block", "drop", "evict"}
	sleepNames    = []string{"auto", "fence"}
	checksumNames = []string{"present", "require", "skip"}
)

// parse finds text among names. The default goes by "" too.
func parse[T ~uint8](what string, names []string, text string) (T, error) {
	if text == "" {
		return 0, nil
	}
	if i := slices.Index(names, text); i >= 0 {
		return T(i), nil
	}
	return 0, fmt.Errorf("%w: %q is not a %s; it is one of %s", ErrInvalid, text, what, listed(names))
}

func listed(names []string) string {
	if names[0] == "" {
		names = names[1:]
	}
	return strings.Join(names, ", ")
}

func name[T ~uint8](what string, names []string, v T) string {
	switch {
	case int(v) >= len(names):
		return fmt.Sprintf("%s(%d)", what, uint8(v))
	case names[v] == "":
		return "default"
	}
	return names[v]
}

func text[T ~uint8](what string, names []string, v T) ([]byte, error) {
	if int(v) >= len(names) {
		return nil, fmt.Errorf("%w: unknown %s %d", ErrInvalid, what, uint8(v))
	}
	return []byte(names[v]), nil
}

// SingleProducer reports whether one producer at a time may be attached.
func (k Kind) SingleProducer() bool { return k == SPSC || k == SPMC }

// SingleGate reports whether one reliable reader or one group at a time may be attached.
func (k Kind) SingleGate() bool { return k == SPSC || k == MPSC }

// ParseKind reads "spsc", "spmc", "mpsc" or "mpmc"; "" is the default.
func ParseKind(s string) (Kind, error) { return parse[Kind]("kind", kindNames, s) }

// String returns the name, "default" for the zero Kind.
func (k Kind) String() string                { return name("kind", kindNames, k) }
func (k Kind) MarshalText() ([]byte, error)  { return text("kind", kindNames, k) }
func (k *Kind) UnmarshalText(b []byte) error { return set(k, ParseKind, b) }

// ParseRouting reads "fanout" or "queue"; "" is fanout.
func ParseRouting(s string) (Routing, error) { return parse[Routing]("routing", routingNames, s) }

func (r Routing) String() string                { return name("routing", routingNames, r) }
func (r Routing) MarshalText() ([]byte, error)  { return text("routing", routingNames, r) }
func (r *Routing) UnmarshalText(b []byte) error { return set(r, ParseRouting, b) }

// ParseSlow reads "block", "drop" or "evict"; "" is block.
func ParseSlow(s string) (Slow, error) { return parse[Slow]("slow policy", slowNames, s) }

func (s Slow) String() string                { return name("slow", slowNames, s) }
func (s Slow) MarshalText() ([]byte, error)  { return text("slow policy", slowNames, s) }
func (s *Slow) UnmarshalText(b []byte) error { return set(s, ParseSlow, b) }

// ParseSleep reads "auto" or "fence"; "" is auto.
func ParseSleep(s string) (Sleep, error) { return parse[Sleep]("sleep mode", sleepNames, s) }

func (s Sleep) String() string                { return name("sleep", sleepNames, s) }
func (s Sleep) MarshalText() ([]byte, error)  { return text("sleep mode", sleepNames, s) }
func (s *Sleep) UnmarshalText(b []byte) error { return set(s, ParseSleep, b) }

// ParseChecksum reads "present", "require" or "skip"; "" is present.
func ParseChecksum(s string) (Checksum, error) {
	return parse[Checksum]("checksum mode", checksumNames, s)
}

func (c Checksum) String() string                { return name("checksum", checksumNames, c) }
func (c Checksum) MarshalText() ([]byte, error)  { return text("checksum mode", checksumNames, c) }
func (c *Checksum) UnmarshalText(b []byte) error { return set(c, ParseChecksum, b) }

// set is UnmarshalText by way of a Parse function: the value stays as it was where the text is wrong.
func set[T any](to *T, parse func(string) (T, error), b []byte) error {
	v, err := parse(string(b))
	if err != nil {
		return err
	}
	*to = v
	return nil
}
