package uds

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestSocketFileHasItsModeAndGroup(t *testing.T) {
	checkFDs(t)
	old := unix.Umask(0o077)
	defer unix.Umask(old)
	group := strconv.Itoa(os.Getegid())
	for _, c := range []struct {
		o    Options
		mode fs.FileMode
	}{{Options{}, 0o660}, {Options{Mode: 0o666, Framing: Stream}, 0o666}, {Options{Mode: 0o600, Group: group}, 0o600}} {
		l := listen(t, c.o)
		info, err := os.Lstat(l.Addr())
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != c.mode|fs.ModeSocket {
			t.Errorf("%+v: mode %v, want %v", c.o, info.Mode(), c.mode|fs.ModeSocket)
		}
		if names := ls(t, filepath.Dir(l.Addr())); names != "s" {
			t.Errorf("files beside the socket: %s", names)
		}
		_ = l.Close()
	}
}

func TestSocketFileGoesToAnotherGroup(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root may give a file to any group")
	}
	checkFDs(t)
	l := listen(t, Options{Group: "12345"})
	var st unix.Stat_t
	if err := unix.Lstat(l.Addr(), &st); err != nil || st.Gid != 12345 {
		t.Errorf("group %d, %v, want 12345", st.Gid, err)
	}
}

func ls(t testing.TB, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

func TestDeadSocketFileIsReplaced(t *testing.T) {
	eachFraming(t, func(t *testing.T, f Framing) {
		for _, old := range framings { // also that of the other kind
			path := filepath.Join(socketDir(t), "s")
			for _, p := range []string{path, path + newSuffix} { // a starter can die at either place
				dead, err := net.ListenUnix(old.network(), &net.UnixAddr{Name: p, Net: old.network()})
				if err != nil {
					t.Fatal(err)
				}
				dead.SetUnlinkOnClose(false)
				_ = dead.Close()
			}
			o := Options{Framing: f}
			l, err := Listen(path, o)
			if err != nil {
				t.Fatalf("a dead %s socket stands there: %v", old, err)
			}
			connect(t, l, o)
			_ = l.Close()
			if names := ls(t, filepath.Dir(path)); names != "" {
				t.Errorf("left over: %s", names)
			}
		}
	})
}

func TestLiveListenerIsNotDisturbed(t *testing.T) {
	eachFraming(t, func(t *testing.T, f Framing) {
		for _, other := range framings {
			o := Options{Framing: f}
			l := listen(t, o)
			_, err := Listen(l.Addr(), Options{Framing: other})
			wantError(t, err, ErrInUse, l.Addr(), "choose another path")
			if f == other {
				c, err := l.Accept() // the probe
				if err != nil {
					t.Fatal(err)
				}
				_ = c.Close()
			}
			client, server := connect(t, l, o)
			if err := client.Send([]byte("still here")); err != nil {
				t.Fatal(err)
			}
			if got, _ := recv(t, server); got != "still here" {
				t.Errorf("received %q", got)
			}
		}
	})
}

// wantError checks an *Error: its cause, that it names what it must, and its hint.
func wantError(t testing.TB, err, want error, names, hint string) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || !errors.Is(err, want) || !strings.Contains(err.Error(), names) || !strings.Contains(e.Hint(), hint) {
		t.Errorf("got %v (hint: %s), want %v that names %q (hint: %s)", err, hintOf(err), want, names, hint)
	}
}

func hintOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Hint()
	}
	return ""
}

func TestOfManyStartersOneGetsThePath(t *testing.T) {
	checkFDs(t)
	path := filepath.Join(socketDir(t), "s")
	var winners, losers atomic.Int32
	var wg sync.WaitGroup
	var won Listener
	for range 16 {
		wg.Go(func() {
			l, err := Listen(path, Options{})
			switch {
			case err == nil:
				winners.Add(1)
				won = l
			case errors.Is(err, ErrInUse):
				losers.Add(1)
			default:
				t.Errorf("Listen: %v", err)
			}
		})
	}
	wg.Wait()
	if winners.Load() != 1 || losers.Load() != 15 {
		t.Fatalf("%d got the path, %d were told it is in use, want 1 and 15", winners.Load(), losers.Load())
	}
	if err := won.Close(); err != nil {
		t.Error(err)
	}
}

func TestReplaceTakesThePathAndHarmsNobody(t *testing.T) {
	checkFDs(t)
	o := Options{}
	old := listen(t, o)
	client, server := connect(t, old, o)
	o.Replace = true
	successor, err := Listen(old.Addr(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer successor.Close()
	if err := client.Send([]byte("old connection")); err != nil {
		t.Fatal(err)
	}
	if got, _ := recv(t, server); got != "old connection" {
		t.Errorf("received %q", got)
	}
	connect(t, successor, o)
	// The old one goes; the file is not its own any more.
	if err := old.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	connect(t, successor, o)
	if err := successor.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if _, err := os.Lstat(old.Addr()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file after both are closed: %v, want %v", err, fs.ErrNotExist)
	}
}

func TestCloseRemovesOnlyItsOwnFile(t *testing.T) {
	checkFDs(t)
	for name, c := range map[string]struct {
		change func(path string) error
		left   string
	}{
		"nothing happened":    {func(string) error { return nil }, ""},
		"somebody removed it": {os.Remove, ""},
		"a file in its place": {func(p string) error { return errors.Join(os.Remove(p), os.WriteFile(p, nil, 0o600)) }, "s"},
		"renamed aside":       {func(p string) error { return os.Rename(p, p+".old") }, "s.old"},
		"directory is gone":   {func(p string) error { return os.RemoveAll(filepath.Dir(p)) }, "-"},
	} {
		l := listen(t, Options{})
		if err := c.change(l.Addr()); err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Errorf("%s: Close: %v", name, err)
		}
		if c.left != "-" {
			if got := ls(t, filepath.Dir(l.Addr())); got != c.left {
				t.Errorf("%s: left is %q, want %q", name, got, c.left)
			}
		}
		if err := l.Close(); err != nil {
			t.Errorf("%s: second Close: %v", name, err)
		}
	}
}

func TestCloseEndsAccept(t *testing.T) {
	checkFDs(t)
	l := listen(t, Options{})
	ended := make(chan error, 3)
	for range 3 {
		go func() { _, err := l.Accept(); ended <- err }()
	}
	_ = l.Close()
	for range 3 {
		if err := <-ended; !errors.Is(err, ErrClosed) {
			t.Errorf("Accept: %v, want %v", err, ErrClosed)
		}
	}
}

func TestListenErrorsNameThePathAndHelp(t *testing.T) {
	checkFDs(t)
	dir := socketDir(t)
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	blocked := filepath.Join(dir, "blocked")
	if err := os.WriteFile(blocked+newSuffix, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, path, group string
		want              error
		hint              string
	}{
		{"no directory", filepath.Join(dir, "no", "s"), "", unix.ENOENT, "mkdir -p " + filepath.Join(dir, "no")},
		{"a file as directory", filepath.Join(file, "s"), "", unix.ENOTDIR, "parent is a directory"},
		{"a file there", file, "", ErrPath, "out of the way"},
		{"a directory there", dir, "", ErrPath, "out of the way"},
		{"a symbolic link there", link, "", ErrPath, "out of the way"},
		{"a file at the name before the rename", blocked, "", ErrPath, ""},
		{"empty", "", "", ErrPath, "name a file"},
		{"long", filepath.Join(dir, strings.Repeat("x", 100)), "", ErrPath, "shorter"},
		{"abstract", "@myc", "", ErrPath, "./@myc"},
		{"zero byte", dir + "/\x00", "", ErrPath, ""},
		{"a directory's name", dir + "/s/", "", ErrPath, "file name"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Listen(c.path, Options{Group: c.group})
			wantError(t, err, c.want, c.path, c.hint)
		})
	}
	t.Run("no such group", func(t *testing.T) {
		_, err := Listen(filepath.Join(dir, "s"), Options{Group: "no such group"})
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), `"no such group"`) || e.Hint() == "" {
			t.Errorf("got %v", err)
		}
	})
	if content, err := os.ReadFile(file); err != nil || string(content) != "precious" {
		t.Errorf("the file: %q, %v", content, err)
	}
}

func TestDirectoryLockIsExclusiveAndItsErrorHelps(t *testing.T) {
	checkFDs(t)
	path := filepath.Join(socketDir(t), "s")
	unlock, err := lockDir(path, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = lockDir(path, 0)
	wantError(t, err, unix.EWOULDBLOCK, filepath.Dir(path), "lslocks")

	listening := make(chan error, 1)
	go func() {
		l, err := Listen(path, Options{}) // waits for the lock
		if err == nil {
			err = l.Close()
		}
		listening <- err
	}()
	unlock()
	if err := <-listening; err != nil {
		t.Errorf("Listen once the lock is free: %v", err)
	}
}

func TestDialErrorsNameThePathAndHelp(t *testing.T) {
	checkFDs(t)
	dir := socketDir(t)
	dead := filepath.Join(dir, "dead")
	ul, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: dead, Net: "unixpacket"})
	if err != nil {
		t.Fatal(err)
	}
	ul.SetUnlinkOnClose(false)
	_ = ul.Close()
	l := listen(t, Options{Framing: Stream})
	for _, c := range []struct {
		name, path string
		want       error
		hint       string
	}{
		{"nothing there", filepath.Join(dir, "none"), unix.ENOENT, "is the server running"},
		{"a dead server", dead, unix.ECONNREFUSED, "start it again"},
		{"the other framing", l.Addr(), unix.EPROTOTYPE, "other framing"},
		{"abstract", "@myc", ErrPath, "./@myc"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Dial(watchdog(t), c.path, Options{})
			wantError(t, err, c.want, c.path, c.hint)
		})
	}
}

func TestDialWaitsForAFullListenerUntilItsContextEnds(t *testing.T) {
	eachFraming(t, func(t *testing.T, f Framing) {
		o := Options{Framing: f}
		path := filepath.Join(socketDir(t), "s")
		fd, err := unix.Socket(unix.AF_UNIX, f.sockType()|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		if err := errors.Join(unix.Bind(fd, &unix.SockaddrUnix{Name: path}), unix.Listen(fd, 0)); err != nil {
			t.Fatal(err)
		}
		first, err := Dial(watchdog(t), path, o) // a queue of 0 takes one
		if err != nil {
			t.Fatal(err)
		}
		defer first.Close()

		if _, err := Listen(path, o); !errors.Is(err, ErrInUse) {
			t.Errorf("Listen at a full listener: %v, want %v", err, ErrInUse)
		}
		brief, stop := context.WithTimeout(context.Background(), 10*time.Millisecond)
		defer stop()
		if _, err := Dial(brief, path, o); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("Dial: %v, want %v", err, context.DeadlineExceeded)
		}

		second := make(chan error, 1)
		go func() {
			c, err := Dial(watchdog(t), path, o)
			if err == nil {
				_ = c.Close()
			}
			second <- err
		}()
		for range 2 {
			got, _, err := unix.Accept(fd)
			if err != nil {
				t.Fatal(err)
			}
			defer unix.Close(got)
		}
		if err := <-second; err != nil {
			t.Errorf("Dial after there was room: %v", err)
		}
	})
}

// Root meets none of these, so they are made here.
func TestPermissionErrorsSayWhoLacksWhat(t *testing.T) {
	who := strconv.Itoa(os.Geteuid())
	for _, c := range []struct {
		err   error
		want  error
		hints []string
	}{
		{listenError("/run/x/s", &os.PathError{Op: "chmod", Path: "/run/x/s.new", Err: unix.EACCES}), fs.ErrPermission, []string{who, "/run/x"}},
		{listenError("/run/x/s", unix.EROFS), unix.EROFS, []string{"/run/x is read-only"}},
		{listenError("/run/x/s", unix.ENOSPC), unix.ENOSPC, []string{"/run/x is full"}},
		{groupError("/run/x/s", "trading", unix.EPERM), unix.EPERM, []string{who, "group trading"}},
		{dirError("/run/x/s", "/run/x", unix.EACCES), unix.EACCES, []string{who, "owner or mode"}},
		{dialError("/run/x/s", &net.OpError{Op: "dial", Net: "unix", Err: unix.EACCES}), unix.EACCES, []string{who, "group"}},
		{dialError("/run/x/s", unix.EAGAIN), unix.EAGAIN, []string{"accepts no connections"}},
	} {
		for _, hint := range c.hints {
			wantError(t, c.err, c.want, "/run/x/s", hint)
		}
	}
}

func TestNames(t *testing.T) {
	for got, want := range map[string]string{
		Packet.String(): "packet", Stream.String(): "stream", Framing(9).String(): "framing(9)",
		Peer{PID: 1, UID: 2, GID: 3}.String(): "pid 1 uid 2 gid 3",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
