package topic

import (
	"errors"
	"strings"
)

// ErrInvalid is what every fault of a configuration is, for errors.Is.
var ErrInvalid = errors.New("invalid topic configuration")

// Fault is one thing wrong with a topic's configuration.
type Fault struct {
	Topic   string // the topic's name as given; empty where there is no topic yet
	Key     string // as the configuration spells it, "group.keep" for one of a group
	Value   string // as the configuration spells it
	Problem string
	Advice  string // what to write instead
}

// Error names topic, key, value, problem and advice in one line.
func (f *Fault) Error() string {
	var b strings.Builder
	if f.Topic != "" {
		b.WriteString(`topic "` + f.Topic + `": `)
	}
	b.WriteString(f.Key + " = " + f.Value + ": " + f.Problem)
	if f.Advice != "" {
		b.WriteString("; " + f.Advice)
	}
	return b.String()
}

// Unwrap returns [ErrInvalid].
func (f *Fault) Unwrap() error { return ErrInvalid }

// Faults returns the faults in an error of this package, in their order.
func Faults(err error) []*Fault {
	switch e := err.(type) {
	case nil:
		return nil
	case *Fault:
		return []*Fault{e}
	case interface{ Unwrap() []error }:
		var all []*Fault
		for _, inner := range e.Unwrap() {
			all = append(all, Faults(inner)...)
		}
		return all
	case interface{ Unwrap() error }:
		return Faults(e.Unwrap())
	}
	return nil
}
