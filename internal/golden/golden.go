// Package golden answers the question "is the output still what was reviewed?": it compares what a test made with a
// file under testdata, and writes the file anew under -update (`make golden`), so that the change shows in the diff.
package golden

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"unicode/utf8"

	"github.com/rogpeppe/go-internal/diff"
)

var update = flag.Bool("update", false, "write golden files and transcripts anew instead of comparing with them")

// Updating tells whether the test binary runs with -update.
func Updating() bool { return *update }

// Equal compares got with the file at path, which is relative to the test's folder (usually testdata/NAME).
// A difference, or a missing file, fails the test and shows where it is; the test goes on. Under -update the file is
// written instead, its folder made where it is missing. It is safe for parallel tests with different paths.
func Equal(t testing.TB, path string, got []byte) {
	t.Helper()
	if *update {
		if err := write(path, got); err != nil {
			t.Fatalf("golden: %v", err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("golden: %v (`make golden` writes it)", err)
	}
	if d := difference(path, want, got); d != "" {
		t.Errorf("differs from the golden file (`make golden` writes it anew):\n%s", d)
	}
}

// EqualText is [Equal] for a string.
func EqualText(t testing.TB, path, got string) {
	t.Helper()
	Equal(t, path, []byte(got))
}

func write(path string, content []byte) error {
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, content) {
		return nil // leave the file's time alone: the test cache looks at it
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o644)
}

// difference describes how got differs from want: as a diff for text, as the first differing bytes for the rest.
func difference(name string, want, got []byte) string {
	if bytes.Equal(want, got) {
		return ""
	}
	if isText(want) && isText(got) {
		return string(diff.Diff(name, want, "got", got))
	}
	at := 0
	for at < len(want) && at < len(got) && want[at] == got[at] {
		at++
	}
	return fmt.Sprintf("%s: %d bytes, got %d; they differ from byte %d on:\nwant % x\ngot  % x",
		name, len(want), len(got), at, around(want, at), around(got, at))
}

// around returns up to 16 bytes from offset at on.
func around(b []byte, at int) []byte {
	return b[min(at, len(b)):min(at+16, len(b))]
}

func isText(b []byte) bool {
	return utf8.Valid(b) && !bytes.ContainsRune(b, 0)
}
