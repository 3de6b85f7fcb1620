package topic

import (
	"encoding"
	"testing"
)

// FuzzText reads any text as every kind of value: what is accepted must be written and read again as the same value.
func FuzzText(f *testing.F) {
	for _, s := range []string{"mpmc", "16MiB", "1-19,106,200-254", "250ms", "group:trading", "*", "fence", "", "9223372036854775807", "0-255"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		again(t, s, new(Kind))
		again(t, s, new(Routing))
		again(t, s, new(Slow))
		again(t, s, new(Sleep))
		again(t, s, new(Checksum))
		again(t, s, new(Size))
		again(t, s, new(Duration))
		again(t, s, new(TypeSet))
		again(t, s, new(Principal))
	})
}

// value is a pointer to a value that reads and writes text.
type value[T comparable] interface {
	*T
	encoding.TextMarshaler
	encoding.TextUnmarshaler
}

func again[T comparable, P value[T]](t *testing.T, s string, first P) {
	t.Helper()
	if first.UnmarshalText([]byte(s)) != nil {
		if *first != *new(T) {
			t.Errorf("%q was refused and still changed the value to %v", s, *first)
		}
		return
	}
	text, err := first.MarshalText()
	if err != nil {
		t.Fatalf("%q is read as %v, which cannot be written: %v", s, *first, err)
	}
	second := P(new(T))
	if err := second.UnmarshalText(text); err != nil || *second != *first {
		t.Fatalf("%q is read as %v, written %q, and read as %v, %v", s, *first, text, *second, err)
	}
}
