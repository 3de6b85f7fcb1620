package golden

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// recorder stands in for a test whose failure is what is tested.
type recorder struct {
	testing.TB
	failed, fatal string
}

func (r *recorder) Helper()                           {}
func (r *recorder) Errorf(format string, args ...any) { r.failed = fmt.Sprintf(format, args...) }
func (r *recorder) Fatalf(format string, args ...any) {
	r.fatal = fmt.Sprintf(format, args...)
	panic(r)
}

func run(path string, got []byte) (r *recorder) {
	r = &recorder{}
	defer func() {
		if p := recover(); p != nil && p != any(r) {
			panic(p)
		}
	}()
	Equal(r, path, got)
	return r
}

func TestEqual(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sub", "want.txt")
	if err := write(path, []byte("one\ntwo\n")); err != nil {
		t.Fatal(err)
	}
	t.Run("the same content passes", func(t *testing.T) {
		if r := run(path, []byte("one\ntwo\n")); r.failed != "" || r.fatal != "" {
			t.Errorf("failed with %q %q", r.failed, r.fatal)
		}
	})
	t.Run("other text fails with a diff", func(t *testing.T) {
		r := run(path, []byte("one\nthree\n"))
		for _, want := range []string{"-two", "+three"} {
			if !strings.Contains(r.failed, want) {
				t.Errorf("failure %q lacks %q", r.failed, want)
			}
		}
	})
	t.Run("other bytes fail with the offset", func(t *testing.T) {
		r := run(path, []byte("one\x00"))
		if !strings.Contains(r.failed, "differ from byte 3 on") {
			t.Errorf("failure %q names no offset", r.failed)
		}
	})
	t.Run("shorter bytes fail", func(t *testing.T) {
		if r := run(path, nil); r.failed == "" {
			t.Error("did not fail")
		}
	})
	t.Run("a missing file fails and says how to make it", func(t *testing.T) {
		if r := run(path+"x", nil); !strings.Contains(r.fatal, "make golden") {
			t.Errorf("failure %q", r.fatal)
		}
	})
}

func TestUpdateWrites(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sub", "new.bin")
	before := *update
	t.Cleanup(func() { *update = before })
	*update = true
	Equal(t, path, []byte{1, 0, 2})
	got, err := os.ReadFile(path)
	if err != nil || string(got) != "\x01\x00\x02" {
		t.Fatalf("wrote % x, %v", got, err)
	}
}
