package topic

import (
	"encoding"
	"errors"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// textual is what every value type here is.
type textual interface {
	encoding.TextMarshaler
	String() string
}

func TestWordsReadAndWriteTheSame(t *testing.T) {
	check := func(text string, v textual, err error) {
		t.Helper()
		if err != nil {
			t.Errorf("%q: %v", text, err)
			return
		}
		if b, err := v.MarshalText(); err != nil || string(b) != text || v.String() != text {
			t.Errorf("%q reads as %q, %q, %v", text, v.String(), b, err)
		}
	}
	for want, text := range map[Kind]string{SPSC: "spsc", SPMC: "spmc", MPSC: "mpsc", MPMC: "mpmc"} {
		k, err := ParseKind(text)
		check(text, k, err)
		if k != want || uint8(want) == 0 {
			t.Errorf("%q is kind %d, want %d", text, k, want)
		}
	}
	for want, text := range map[Routing]string{Fanout: "fanout", Queue: "queue"} {
		r, err := ParseRouting(text)
		check(text, r, err)
		if r != want {
			t.Errorf("%q is routing %d, want %d", text, r, want)
		}
	}
	for want, text := range map[Slow]string{Block: "block", Drop: "drop", Evict: "evict"} {
		s, err := ParseSlow(text)
		check(text, s, err)
		if s != want {
			t.Errorf("%q is policy %d, want %d", text, s, want)
		}
	}
	for want, text := range map[Sleep]string{SleepAuto: "auto", SleepFence: "fence"} {
		s, err := ParseSleep(text)
		check(text, s, err)
		if s != want {
			t.Errorf("%q is mode %d, want %d", text, s, want)
		}
	}
	for want, text := range map[Checksum]string{ChecksumPresent: "present", ChecksumRequire: "require", ChecksumSkip: "skip"} {
		c, err := ParseChecksum(text)
		check(text, c, err)
		if c != want {
			t.Errorf("%q is mode %d, want %d", text, c, want)
		}
	}
}

func TestUnknownWordsAreRefusedAndNamed(t *testing.T) {
	for text, parse := range map[string]func(string) error{
		"MPMC": func(s string) error { _, err := ParseKind(s); return err },
		"both": func(s string) error { _, err := ParseRouting(s); return err },
		"wait": func(s string) error { _, err := ParseSlow(s); return err },
		"deep": func(s string) error { _, err := ParseSleep(s); return err },
		"some": func(s string) error { _, err := ParseChecksum(s); return err },
	} {
		if err := parse(text); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), `"`+text+`"`) || !strings.Contains(err.Error(), "one of ") {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, v := range []textual{Kind(9), Routing(9), Slow(9), Sleep(9), Checksum(9)} {
		if _, err := v.MarshalText(); !errors.Is(err, ErrInvalid) || !strings.HasSuffix(v.String(), "(9)") {
			t.Errorf("%v: %v", v, err)
		}
	}
	k := MPSC
	if err := k.UnmarshalText([]byte("x")); err == nil || k != MPSC {
		t.Errorf("a wrong text makes the kind %v, %v", k, err)
	}
	if err := k.UnmarshalText(nil); err != nil || k != 0 || k.String() != "default" {
		t.Errorf("an empty text makes the kind %v, %v", k, err)
	}
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]Size{
		"0": 0, "1": 1, "65536": 64 * KiB, "16MiB": 16 * MiB, "64KiB": 64 * KiB, "8MiB": 8 * MiB, "4GiB": 4 * GiB,
		"1TiB": TiB, "512B": 512, "16 MiB": 16 * MiB, "1024KiB": MiB, "9223372036854775807": math.MaxInt64,
	} {
		if got, err := ParseSize(text); err != nil || got != want {
			t.Errorf("%q: %d, %v, want %d", text, got, err, want)
		}
	}
	for size, want := range map[Size]string{
		0: "0", 1: "1", 1000: "1000", 1024: "1KiB", 1536: "1536", 16 * MiB: "16MiB", 48 * MiB: "48MiB", 1024 * GiB: "1TiB", -2048: "-2KiB",
	} {
		if got := size.String(); got != want {
			t.Errorf("%d is %q, want %q", int64(size), got, want)
		}
	}
	for _, text := range []string{
		"", " ", "MiB", "16MB", "16M", "16mib", "16k", "1.5MiB", "-1", "+1", "1e6", "0x10", "16MiB ", " 16MiB", "16MiBMiB", "16 ",
		"16Mi B", "1_000", "9223372036854775808", "8388608TiB", "99999999999999999999KiB", "１６MiB",
	} {
		if got, err := ParseSize(text); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %d, %v, want %v", text, got, err, ErrInvalid)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		size := Size(rapid.Int64Min(0).Draw(t, "size"))
		if rapid.Bool().Draw(t, "round") {
			size = size >> 40 * rapid.SampledFrom([]Size{1, KiB, MiB, GiB}).Draw(t, "unit")
		}
		if got, err := ParseSize(size.String()); err != nil || got != size {
			t.Fatalf("%d is written %q and read as %d, %v", int64(size), size, got, err)
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[0-9]{0,20} ?[A-Za-z]{0,3}`).Draw(t, "text")
		if size, err := ParseSize(text); err == nil {
			if again, err := ParseSize(size.String()); err != nil || again != size || size < 0 {
				t.Fatalf("%q is read as %d, written %q, read as %d, %v", text, int64(size), size, again, err)
			}
		}
	})
}

func TestDurationsNeedAUnit(t *testing.T) {
	for text, want := range map[string]Duration{"1s": 1e9, "250ms": 250e6, "1m30s": 90e9, "0s": 0} {
		if got, err := ParseDuration(text); err != nil || got != want {
			t.Errorf("%q: %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "0", "1", "1000000000", "s", "1 s", "1d"} {
		if got, err := ParseDuration(text); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %v, %v, want %v", text, got, err, ErrInvalid)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		d := Duration(rapid.Int64().Draw(t, "d"))
		if got, err := ParseDuration(d.String()); err != nil || got != d {
			t.Fatalf("%v is read as %v, %v", d, got, err)
		}
	})
}

func TestTypeSets(t *testing.T) {
	const all = "0-255"
	for _, c := range []struct{ text, want string }{
		{"", ""}, {" ", ""}, {"5", "5"}, {"0", "0"}, {"255", "255"}, {all, all}, {"1-19,106,200-254", "1-19,106,200-254"},
		{"3,1,2", "1-3"}, {"1-5,3-9", "1-9"}, {"7-7", "7"}, {" 1 - 3 , 9 ", "1-3,9"}, {"1,2,4", "1-2,4"}, {"63,64,127,128", "63-64,127-128"},
	} {
		s, err := ParseTypes(c.text)
		if err != nil || s.String() != c.want {
			t.Errorf("%q is %q, %v, want %q", c.text, s, err, c.want)
		}
	}
	for _, text := range []string{"256", "-1", "1-", "-", "1,,2", ",", "5-3", "1-256", "a", "1-2-3", "0x1", "1;2"} {
		if s, err := ParseTypes(text); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %q, %v, want %v", text, s, err, ErrInvalid)
		}
	}

	s := TypesOf(1, 2, 106, 255)
	for ty, want := range map[uint8]bool{0: false, 1: true, 2: true, 3: false, 105: false, 106: true, 255: true} {
		if s.Contains(ty) != want {
			t.Errorf("%q contains %d: %v, want %v", s, ty, !want, want)
		}
	}
	if s.All() || s.Len() != 4 {
		t.Errorf("%q: all %v, %d types", s, s.All(), s.Len())
	}
	if none := (TypeSet{}); !none.All() || none.Len() != 0 || !none.Contains(0) || !none.Contains(255) {
		t.Error("the zero set does not admit all")
	}

	rapid.Check(t, func(t *rapid.T) {
		types := rapid.SliceOf(rapid.Byte()).Draw(t, "types")
		s := TypesOf(types...)
		if got, err := ParseTypes(s.String()); err != nil || got != s {
			t.Fatalf("%v is written %q and read as %q, %v", types, s, got, err)
		}
		named := map[uint8]bool{}
		for _, ty := range types {
			named[ty] = true
		}
		for ty := range 256 {
			if want := named[uint8(ty)] || len(types) == 0; s.Contains(uint8(ty)) != want {
				t.Fatalf("%q contains %d: %v, want %v", s, ty, !want, want)
			}
		}
		if s.Len() != len(named) {
			t.Fatalf("%q has %d types, want %d", s, s.Len(), len(named))
		}
	})
}

func TestPrincipals(t *testing.T) {
	for text, want := range map[string]Principal{
		"*": {}, "user:alice": {AUser, "alice"}, "user:1000": {AUser, "1000"}, "group:trading": {AGroup, "trading"}, "user:a.b-c@d": {AUser, "a.b-c@d"},
	} {
		got, err := ParsePrincipal(text)
		if err != nil || got != want || got.String() != text {
			t.Errorf("%q: %+v written %q, %v, want %+v", text, got, got, err, want)
		}
	}
	for _, text := range []string{"", "alice", "users:x", "user:", "group:", "user: x", "user:a:b", "group:a,b", "**", "User:x", "user:a\x00", "user:\xff"} {
		if got, err := ParsePrincipal(text); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %+v, %v, want %v", text, got, err, ErrInvalid)
		}
	}
}

func TestNames(t *testing.T) {
	for _, s := range []string{"a", "market_data", "a.b-c_9", "-", "9", "a..b", strings.Repeat("x", 64)} {
		if err := CheckName(s); err != nil {
			t.Errorf("%q: %v", s, err)
		}
	}
	for _, s := range []string{"", ".", "..", ".lock", "A", "a b", "a/b", "ä", "a\x00", "a\n", "\xff", strings.Repeat("x", 65)} {
		if err := CheckName(s); !errors.Is(err, ErrInvalid) || len(Faults(err)) != 1 {
			t.Errorf("%q: %v, want a fault", s, err)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		if s := rapid.StringMatching(`[a-z0-9_-][a-z0-9_.-]{0,63}`).Draw(t, "name"); CheckName(s) != nil {
			t.Fatalf("%q: %v", s, CheckName(s))
		}
	})
}
