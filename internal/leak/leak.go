// Package leak answers the question "did the tests leave anything behind?": goroutines, file descriptors, files in
// /dev/shm. A package that deals in those has
//
//	func TestMain(m *testing.M) { leak.Main(m) }
//
// Mappings are not looked at: this project leaves them on purpose (a lent message may look at one).
package leak

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// settle is how long something that is on its way out may take; a watchdog, not a pause: the look is repeated until
// nothing is left.
const settle = 10 * time.Second

// M runs tests: a *testing.M, or one that is wrapped.
type M interface{ Run() int }

// Main runs the tests and exits with their code, or with 1 and a report on stderr if they passed and left something.
func Main(m M) { os.Exit(Checked(m).Run()) }

// Checked wraps m: its Run also fails if the tests passed and left something. It is for a TestMain that hands m on.
func Checked(m M) M { return &checked{m: m, wait: settle} }

type checked struct {
	m    M
	wait time.Duration
}

func (c *checked) Run() int {
	before := openFiles()
	code := c.m.Run()
	if code != 0 {
		return code // what a failed test left behind would only hide why it failed
	}
	if left := c.leftovers(before); len(left) > 0 {
		fmt.Fprintf(os.Stderr, "leak: the tests passed but left behind:\n%s\n", strings.Join(left, "\n"))
		return 1
	}
	return 0
}

func (c *checked) leftovers(before map[string]string) []string {
	var left []string
	// goleak repeats its look by itself, with growing pauses between, for about a second.
	if err := goleak.Find(); err != nil {
		left = append(left, err.Error())
	}
	look := func() []string { return append(newFiles(before), shmFiles()...) }
	rest := look()
	for deadline := time.Now().Add(c.wait); len(rest) > 0 && time.Now().Before(deadline); rest = look() {
		time.Sleep(time.Millisecond) // between two looks; nothing depends on how long it is
	}
	return append(left, rest...)
}

// openFiles returns the process's descriptors and what each is, from /proc/self/fd.
func openFiles() map[string]string {
	files := map[string]string{}
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return files
	}
	for _, e := range entries {
		// The descriptor of this very look is gone by now and cannot be read.
		if target, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil {
			files[e.Name()] = target
		}
	}
	return files
}

// newFiles lists descriptors that are not in before. The poller of Go's runtime opens one epoll and one eventfd in its
// first use (go1.26 runtime/netpoll_epoll.go) and keeps them: one of each is forgiven.
func newFiles(before map[string]string) []string {
	var list []string
	forgiven := map[string]bool{}
	for fd, target := range openFiles() {
		if before[fd] == target {
			continue
		}
		if (target == "anon_inode:[eventpoll]" || target == "anon_inode:[eventfd]") && !forgiven[target] {
			forgiven[target] = true
			continue
		}
		list = append(list, fmt.Sprintf("descriptor %s: %s", fd, target))
	}
	slices.Sort(list)
	return list
}

// shmPrefix begins the names of what this process's tests make in /dev/shm: it holds the pid, so that two runs at once
// do not take each other's files for leaks.
var shmPrefix = fmt.Sprintf("myc-test-%d-", os.Getpid())

func shmFiles() []string {
	paths, err := filepath.Glob("/dev/shm/" + shmPrefix + "*")
	if err != nil {
		return []string{err.Error()} // the pattern is wrong
	}
	return paths
}

// ShmDir makes a folder of the test's own in /dev/shm, short enough for unix sockets in it (sun_path of unix(7) ends at
// 108 bytes), and removes it when the test ends. What a test makes in /dev/shm belongs in such a folder: a folder that
// is still there when all tests are done is reported.
func ShmDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", shmPrefix)
	if err != nil {
		t.Fatalf("a folder in /dev/shm: %v", err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("remove the test's folder: %v", err)
		}
	})
	return dir
}
