package script

import (
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// eventually runs a program until it succeeds. What it printed last can be looked at as after exec.
func eventually(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: eventually COMMAND ARG...")
	}
	pause := time.Millisecond
	for deadline := time.Now().Add(patience); ; time.Sleep(pause) {
		err := ts.Exec(args[0], args[1:]...)
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("did not succeed in %v: %v", patience, err)
		}
		pause = min(2*pause, 100*time.Millisecond)
	}
}

// exits runs a program that must end with the given exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND ARG...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		failed, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("run %s: %v", args[1], err)
		}
		got = failed.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// checkJSON looks at one value of the JSON document that the last program printed.
func checkJSON(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: [!] json PATH [WANT]")
	}
	got, err := lookup(ts.ReadFile("stdout"), args[0])
	if len(args) == 1 {
		if there := err == nil; there == neg {
			ts.Fatalf("%s: there: %v (%v)", args[0], there, err)
		}
		return
	}
	ts.Check(err)
	if equal := got == args[1]; equal == neg {
		ts.Fatalf("%s is %s", args[0], got)
	}
}

// lookup finds the value at a path like "topics.0.name" in the first JSON value of text, and returns it as JSON, strings
// without their quotes. "len" is the length of an array; the empty path is the whole value.
func lookup(text, path string) (string, error) {
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber() // 64-bit positions stay exact
	var value any
	if err := dec.Decode(&value); err != nil {
		return "", fmt.Errorf("stdout is not JSON: %w", err)
	}
	for step := range strings.SplitSeq(path, ".") {
		if path == "" {
			break
		}
		next, err := child(value, step)
		if err != nil {
			return "", fmt.Errorf("%s: %w", path, err)
		}
		value = next
	}
	if s, ok := value.(string); ok {
		return s, nil
	}
	out, err := json.Marshal(value)
	return string(out), err
}

func child(value any, step string) (any, error) {
	switch v := value.(type) {
	case map[string]any:
		if c, ok := v[step]; ok {
			return c, nil
		}
		return nil, fmt.Errorf("no key %q", step)
	case []any:
		if step == "len" {
			return json.Number(strconv.Itoa(len(v))), nil
		}
		i, err := strconv.Atoi(step)
		if err != nil || i < 0 || i >= len(v) {
			return nil, fmt.Errorf("no element %q in an array of %d", step, len(v))
		}
		return v[i], nil
	}
	return nil, fmt.Errorf("%q lies below a value that has no parts", step)
}
