package uds

import (
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestDescriptorsTravelWithTheirMessage(t *testing.T) {
	checkFDs(t)
	a, b := pair(t, Options{})
	f, g := tempFile(t, "first"), tempFile(t, "second")
	for _, step := range []struct {
		msg string
		fds []int
	}{{"two", []int{int(f.Fd()), int(g.Fd())}}, {"none", nil}, {"one", []int{int(g.Fd())}}} {
		if err := a.Send([]byte(step.msg), step.fds...); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string][]string{"two": {"first", "second"}, "none": nil, "one": {"second"}}
	for range 3 {
		msg, fds := recv(t, b)
		var contents []string
		for _, fd := range fds {
			flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
			if err != nil || flags&unix.FD_CLOEXEC == 0 {
				t.Errorf("%s: flags %#x, %v, want close-on-exec", msg, flags, err)
			}
			buf := make([]byte, 100)
			n, err := unix.Pread(fd, buf, 0)
			if err != nil {
				t.Fatalf("%s: %v", msg, err)
			}
			contents = append(contents, string(buf[:n]))
		}
		if !slices.Equal(contents, want[msg]) {
			t.Errorf("%s came with files of %q, want %q", msg, contents, want[msg])
		}
		CloseFDs(fds)
	}
}

func TestAsManyDescriptorsAsAllowed(t *testing.T) {
	for _, limit := range []int{1, 2, 3, DefaultMaxFDs, MaxFDs} {
		checkFDs(t)
		a, b := pair(t, Options{MaxFDs: limit})
		f := tempFile(t, "")
		if err := a.Send([]byte("x"), repeat(int(f.Fd()), limit)...); err != nil {
			t.Fatalf("%d descriptors: %v", limit, err)
		}
		_, fds := recv(t, b)
		if len(fds) != limit {
			t.Errorf("received %d descriptors, want %d", len(fds), limit)
		}
		CloseFDs(fds)
	}
}

func repeat(fd, n int) []int { return slices.Repeat([]int{fd}, n) }

func TestTooManyDescriptorsAreAllClosed(t *testing.T) {
	// Odd and even limits: the alignment of control data leaves room for one more in odd ones.
	for _, limit := range []int{-1, 1, 2, 3, DefaultMaxFDs} {
		for _, excess := range []int{1, 2, 50} {
			checkFDs(t)
			a, _ := pair(t, Options{MaxFDs: MaxFDs})
			b := reopen(t, &a, Options{MaxFDs: limit})
			f := tempFile(t, "")
			if err := a.Send([]byte("x"), repeat(int(f.Fd()), max(limit, 0)+excess)...); err != nil {
				t.Fatal(err)
			}
			if err := a.Send([]byte("next")); err != nil {
				t.Fatal(err)
			}
			open := len(openFDs())
			if err := recvError(t, b, 100); !errors.Is(err, ErrTooManyFDs) {
				t.Errorf("limit %d, %d too many: %v, want %v", limit, excess, err, ErrTooManyFDs)
			}
			if now := len(openFDs()); now != open {
				t.Errorf("limit %d, %d too many: %d descriptors stay open", limit, excess, now-open)
			}
			if got, _ := recv(t, b); got != "next" {
				t.Errorf("received %q", got)
			}
		}
	}
}

// reopen makes a pair whose ends have different options: a's as they are, the returned one's o.
func reopen(t testing.TB, a *Conn, o Options) Conn {
	t.Helper()
	l := listen(t, o)
	client, server := connect(t, l, (*a).(*conn).options)
	*a = client
	return server
}

func TestDescriptorsOfARefusedMessageAreClosed(t *testing.T) {
	checkFDs(t)
	a, _ := pair(t, Options{})
	b := reopen(t, &a, Options{MaxMessage: 100})
	f := tempFile(t, "")
	for _, c := range []struct {
		size, buf int
		want      error
	}{{101, 200, ErrTooLarge}, {50, 49, ErrTruncated}} {
		if err := a.Send(make([]byte, c.size), repeat(int(f.Fd()), 4)...); err != nil {
			t.Fatal(err)
		}
		open := len(openFDs())
		if err := recvError(t, b, c.buf); !errors.Is(err, c.want) {
			t.Errorf("%d bytes into %d: %v, want %v", c.size, c.buf, err, c.want)
		}
		if now := len(openFDs()); now != open {
			t.Errorf("%d bytes into %d: %d descriptors stay open", c.size, c.buf, now-open)
		}
	}
}

func TestEmptyPacketReadsAsTheEnd(t *testing.T) {
	checkFDs(t)
	c, raw := rawPair(t, Options{})
	if _, err := unix.SendmsgN(raw, nil, nil, nil, 0); err != nil {
		t.Fatal(err)
	}
	if err := recvError(t, c, 10); err != io.EOF {
		t.Errorf("Recv: %v, want %v", err, io.EOF)
	}
}

func TestDescriptorsOfAnEmptyPacketAreClosed(t *testing.T) {
	checkFDs(t)
	a, _ := pair(t, Options{})
	f := tempFile(t, "")
	open := len(openFDs())
	fd, err := unix.Dup(int(f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	// The libraries put a byte into such a packet, so this is what the kernel would report for one of a C program.
	in := a.(*conn).framer.(*packet).in
	in.call = func(uintptr) bool {
		in.oobn = copy(in.oob, unix.UnixRights(fd))
		return true
	}
	if err := recvError(t, a, 10); err != io.EOF {
		t.Errorf("Recv: %v, want %v", err, io.EOF)
	}
	if now := len(openFDs()); now != open {
		t.Errorf("%d descriptors stay open", now-open)
	}
}

func TestLackOfDescriptorNumbersIsAnErrorAndLeaksNothing(t *testing.T) {
	checkFDs(t)
	a, b := pair(t, Options{})
	f := tempFile(t, "")
	if err := a.Send([]byte("x"), repeat(int(f.Fd()), 4)...); err != nil {
		t.Fatal(err)
	}
	open := len(openFDs())

	// The lowest free number is the last one that the limit allows: one of the four descriptors fits.
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	lowest, err := unix.Dup(int(f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	_ = unix.Close(lowest)
	low := limit
	low.Cur = uint64(lowest) + 1
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	_, fds, err := b.RecvContext(watchdog(t), make([]byte, 10))
	if e := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); e != nil {
		t.Fatal(e)
	}

	if !errors.Is(err, ErrControlTruncated) || !strings.Contains(err.Error(), "1 descriptors arrived") {
		t.Errorf("Recv: %v, want %v after one descriptor", err, ErrControlTruncated)
	}
	if fds != nil {
		t.Errorf("Recv returned descriptors %v beside the error", fds)
	}
	if now := len(openFDs()); now != open {
		t.Errorf("%d descriptors stay open", now-open)
	}
	if err := a.Send([]byte("again"), int(f.Fd())); err != nil {
		t.Fatal(err)
	}
	msg, fds := recv(t, b)
	if msg != "again" || len(fds) != 1 {
		t.Errorf("then received %q with %d descriptors", msg, len(fds))
	}
	CloseFDs(fds)
}

func TestStreamDropsDescriptors(t *testing.T) {
	checkFDs(t)
	c, raw := rawPair(t, Options{Framing: Stream})
	f := tempFile(t, "")
	open := len(openFDs())
	if err := unix.Sendmsg(raw, AppendFrame(nil, []byte("hello")), unix.UnixRights(int(f.Fd())), nil, 0); err != nil {
		t.Fatal(err)
	}
	if got, fds := recv(t, c); got != "hello" || fds != nil {
		t.Errorf("received %q with descriptors %v", got, fds)
	}
	if now := len(openFDs()); now != open {
		t.Errorf("%d descriptors came through a stream", now-open)
	}
}

func TestUnreadDescriptorsDieWithTheConnection(t *testing.T) {
	checkFDs(t)
	a, b := pair(t, Options{})
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := a.Send([]byte("x"), int(w.Fd())); err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
	_, _ = a.Close(), b.Close()
	if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("the pipe reads %d, %v, want %v: its other end is still open", n, err, io.EOF)
	}
}

func TestForeignControlDataIsNoPanic(t *testing.T) {
	for _, oob := range [][]byte{{1}, make([]byte, 15), make([]byte, 16), unix.UnixCredentials(&unix.Ucred{Pid: 1})} {
		if fds, _ := parseRights(oob); fds != nil {
			t.Errorf("%x: descriptors %v", oob, fds)
		}
	}
}
