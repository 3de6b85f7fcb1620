package uds

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/mycelium-bus/mycelium/internal/leak"
	"golang.org/x/sys/unix"
)

// TestMain fails the package when goroutines or descriptors are left over.
func TestMain(m *testing.M) { leak.Main(m) }

// openFDs maps the open descriptors of this process to what they are.
func openFDs() map[string]string {
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		panic(err)
	}
	fds := make(map[string]string, len(names))
	for _, n := range names {
		// The descriptor that read the directory is gone again by now, and has no link.
		if to, err := os.Readlink("/proc/self/fd/" + n.Name()); err == nil {
			fds[n.Name()] = to
		}
	}
	return fds
}

// checkFDs fails the test when it ends with other descriptors open than it began with. It must come before what opens
// them, so that it runs after what closes them.
func checkFDs(t testing.TB) {
	t.Helper()
	before := openFDs()
	t.Cleanup(func() {
		if !eventually(5*time.Second, func() bool { return len(openFDs()) == len(before) }) {
			t.Errorf("open descriptors: %v, before the test %v", openFDs(), before)
		}
	})
}

// eventually looks until ok or the watchdog bites.
func eventually(watchdog time.Duration, ok func() bool) bool {
	for end := time.Now().Add(watchdog); !ok(); runtime.Gosched() {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

// watchdog is the context of what should never take so long.
func watchdog(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

var framings = []Framing{Packet, Stream}

// eachFraming runs a test for both.
func eachFraming(t *testing.T, test func(t *testing.T, f Framing)) {
	for _, f := range framings {
		t.Run(f.String(), func(t *testing.T) { checkFDs(t); test(t, f) })
	}
}

func pair(t testing.TB, o Options) (a, b Conn) {
	t.Helper()
	a, b, err := Pair(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = a.Close(), b.Close() })
	return a, b
}

// rawPair returns a Conn and the bare socket at its other end, which can say what no Conn would.
func rawPair(t testing.TB, o Options) (Conn, int) {
	t.Helper()
	o, err := o.resolve()
	if err != nil {
		t.Fatal(err)
	}
	fds, err := unix.Socketpair(unix.AF_UNIX, o.Framing.sockType()|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	_ = unix.SetNonblock(fds[0], true)
	c, err := fromFD(fds[0], o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(); _ = unix.Close(fds[1]) })
	return c, fds[1]
}

func listen(t testing.TB, o Options) Listener {
	t.Helper()
	l, err := Listen(filepath.Join(socketDir(t), "s"), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// socketDir is a directory with a short name: a socket's path holds 107 bytes, and a test's own folder may be longer.
func socketDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "uds")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// connect returns both ends of a connection to l.
func connect(t testing.TB, l Listener, o Options) (client, server Conn) {
	t.Helper()
	client, err := Dial(watchdog(t), l.Addr(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	server, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	return client, server
}

// recv is a Recv that must succeed.
func recv(t testing.TB, c Conn) (string, []int) {
	t.Helper()
	msg, fds, err := c.RecvContext(watchdog(t), make([]byte, DefaultMaxMessage))
	if err != nil {
		t.Fatalf("Recv: %v", err)
	}
	return string(msg), fds
}

// recvError is a Recv that must fail.
func recvError(t testing.TB, c Conn, buf int) error {
	t.Helper()
	msg, fds, err := c.RecvContext(watchdog(t), make([]byte, buf))
	if err == nil {
		CloseFDs(fds)
		t.Fatalf("Recv returned %q and %d descriptors, want an error", msg, len(fds))
	}
	if msg != nil || fds != nil {
		t.Errorf("Recv returned %q and descriptors %v beside the error %v", msg, fds, err)
	}
	return err
}

// tempFile returns an open file with the given content.
func tempFile(t testing.TB, content string) *os.File {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	if _, err := f.WriteString(content); err != nil {
		t.Fatal(err)
	}
	return f
}
