package leak

import (
	"os"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) { Main(m) }

// tests is an M whose tests are one function.
type tests func() int

func (f tests) Run() int { return f() }

func TestLeftovers(t *testing.T) {
	t.Run("nothing left is well", func(t *testing.T) {
		if left := leftAfter(t, func() {}); len(left) > 0 {
			t.Errorf("reports %q", left)
		}
	})
	t.Run("a goroutine is found", func(t *testing.T) {
		end := make(chan struct{})
		defer close(end)
		wants(t, leftAfter(t, func() { go func() { <-end }() }), "goroutine")
	})
	t.Run("a descriptor is found", func(t *testing.T) {
		var f *os.File
		defer func() { f.Close() }()
		wants(t, leftAfter(t, func() {
			var err error
			if f, err = os.Open("/dev/null"); err != nil {
				t.Fatal(err)
			}
		}), "/dev/null")
	})
	t.Run("a second eventfd or epoll is found, the runtime's own is not", func(t *testing.T) {
		before := openFiles()
		for fd, target := range before {
			if strings.HasPrefix(target, "anon_inode:[event") {
				delete(before, fd)
			}
		}
		if left := newFiles(before); len(left) > 0 {
			t.Errorf("reports the runtime's own: %q", left)
		}
	})
	t.Run("a file in /dev/shm is found", func(t *testing.T) {
		dir := ShmDir(t)
		wants(t, leftAfter(t, func() {}), dir)
	})
}

// leftAfter tells what f leaves, with one look only.
func leftAfter(t *testing.T, f func()) []string {
	t.Helper()
	before := openFiles()
	f()
	return (&checked{wait: time.Nanosecond}).leftovers(before)
}

func wants(t *testing.T, left []string, part string) {
	t.Helper()
	if !strings.Contains(strings.Join(left, "\n"), part) {
		t.Errorf("did not find %q in %q", part, left)
	}
}

func TestCheckedKeepsAFailure(t *testing.T) {
	if code := Checked(tests(func() int { return 3 })).Run(); code != 3 {
		t.Errorf("exit code %d, want the tests' own 3", code)
	}
}

func TestCheckedFailsForALeak(t *testing.T) {
	var f *os.File
	defer func() { f.Close() }()
	c := &checked{wait: time.Nanosecond, m: tests(func() int {
		f, _ = os.Open("/dev/null")
		return 0
	})}
	if code := c.Run(); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
}
