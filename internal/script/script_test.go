package script

import (
	"fmt"
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	Main(m, map[string]func(){"says": says})
}

// says prints its arguments; with "fail" first it fails with code 3, and with "once FILE" the first time only.
func says() {
	args := os.Args[1:]
	switch {
	case len(args) == 2 && args[0] == "once":
		if _, err := os.Stat(args[1]); err != nil {
			os.WriteFile(args[1], nil, 0o600)
			os.Exit(1)
		}
	case len(args) > 0 && args[0] == "fail":
		os.Exit(3)
	}
	for _, arg := range args {
		fmt.Println(arg)
	}
}

func TestTranscripts(t *testing.T) { Run(t, "testdata") }

func TestLookup(t *testing.T) {
	const doc = `{"a": [{"b": 18446744073709551615}, {"b": "x"}], "c": null}`
	for _, c := range []struct{ path, want string }{
		{"a.0.b", "18446744073709551615"},
		{"a.1.b", "x"},
		{"a.len", "2"},
		{"c", "null"},
		{"a.1", `{"b":"x"}`},
	} {
		if got, err := lookup(doc, c.path); got != c.want || err != nil {
			t.Errorf("%s is %q, %v, want %q", c.path, got, err, c.want)
		}
	}
	for _, path := range []string{"b", "a.2", "a.x", "c.d", "a.-1"} {
		if got, err := lookup(doc, path); err == nil {
			t.Errorf("%s is %q, want an error", path, got)
		}
	}
	if _, err := lookup("no json", ""); err == nil {
		t.Error("text that is not JSON was taken")
	}
}
