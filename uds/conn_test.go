package uds

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestMessagesArriveWholeAndInOrder(t *testing.T) {
	eachFraming(t, func(t *testing.T, f Framing) {
		a, b := pair(t, Options{Framing: f})
		sizes := []int{1, 2, 3, 4, 5, 1000, readAhead - 4, readAhead, readAhead + 1, 3*readAhead + 7, DefaultMaxMessage}
		go func() {
			for i, n := range sizes {
				if err := a.Send(bytes.Repeat([]byte{byte(i)}, n)); err != nil {
					t.Errorf("Send of %d bytes: %v", n, err)
				}
			}
		}()
		for i, n := range sizes {
			got, fds := recv(t, b)
			if got != strings.Repeat(string(byte(i)), n) || fds != nil {
				t.Fatalf("message %d has %d bytes and %d descriptors, want %d bytes of %d", i, len(got), len(fds), n, i)
			}
		}
	})
}

func TestBothDirectionsAndManySendersAtOnce(t *testing.T) {
	eachFraming(t, func(t *testing.T, f Framing) {
		const senders, each = 8, 200
		a, b := pair(t, Options{Framing: f})
		var wg sync.WaitGroup
		for _, c := range []Conn{a, b} {
			for s := range senders {
				wg.Go(func() {
					// Sizes up to several skbs, so that a stream's frames could mix if nothing kept them apart.
					for i := range each {
						if err := c.Send(bytes.Repeat([]byte{byte(s + 1)}, 1+(i*611)%40_000)); err != nil {
							t.Errorf("Send: %v", err)
							return
						}
					}
				})
			}
			wg.Go(func() {
				buf, seen := make([]byte, DefaultMaxMessage), [senders + 1]int{}
				for range senders * each {
					msg, _, err := c.RecvContext(watchdog(t), buf)
					if err != nil {
						t.Errorf("Recv: %v", err)
						return
					}
					s := int(msg[0])
					if len(bytes.Trim(msg, string(msg[:1]))) > 0 || len(msg) != 1+(seen[s]*611)%40_000 {
						t.Errorf("message %d of sender %d is mixed up: %d bytes", seen[s], s, len(msg))
						return
					}
					seen[s]++
				}
			})
		}
		wg.Wait()
	})
}

func TestWhatCannotBeSentIsRefusedBeforeTheWire(t *testing.T) {
	fd := int(tempFile(t, "").Fd())
	eachFraming(t, func(t *testing.T, f Framing) {
		a, b := pair(t, Options{Framing: f, MaxMessage: 100, MaxFDs: 2})
		wantFDs := ErrTooManyFDs
		if f == Stream {
			wantFDs = ErrNoFDs
		}
		for _, send := range []func([]byte, ...int) error{a.Send, a.TrySend} {
			if err := send(nil); !errors.Is(err, ErrEmpty) {
				t.Errorf("empty: %v, want %v", err, ErrEmpty)
			}
			if err := send(make([]byte, 101)); !errors.Is(err, ErrTooLarge) || !strings.Contains(err.Error(), "101 bytes, at most 100") {
				t.Errorf("101 bytes: %v, want %v with both numbers", err, ErrTooLarge)
			}
			if err := send([]byte{1}, fd, fd, fd); !errors.Is(err, wantFDs) {
				t.Errorf("3 descriptors: %v, want %v", err, wantFDs)
			}
		}
		if err := a.Send([]byte("first")); err != nil {
			t.Fatal(err)
		}
		if got, _ := recv(t, b); got != "first" {
			t.Errorf("received %q, want the one message that was fit to send", got)
		}
	})
	t.Run("a closed descriptor", func(t *testing.T) {
		checkFDs(t)
		a, _ := pair(t, Options{})
		if err := a.Send([]byte{1}, 1<<20); !errors.Is(err, unix.EBADF) {
			t.Errorf("Send: %v, want %v", err, unix.EBADF)
		}
	})
}

func TestMessageLargerThanTheBufferIsLostAlone(t *testing.T) {
	eachFraming(t, func(t *testing.T, f Framing) {
		a, b := pair(t, Options{Framing: f})
		for _, m := range []string{strings.Repeat("x", 50_000), "next"} {
			if err := a.Send([]byte(m)); err != nil {
				t.Fatal(err)
			}
		}
		err := recvError(t, b, 10)
		if !errors.Is(err, ErrTruncated) || !strings.Contains(err.Error(), "50000 bytes") || !strings.Contains(err.Error(), "buffer of 10") {
			t.Errorf("Recv: %v, want %v with both sizes", err, ErrTruncated)
		}
		if got, _ := recv(t, b); got != "next" {
			t.Errorf("then received %q", got)
		}
		if err := recvErrorNow(b, nil); !errors.Is(err, ErrTruncated) {
			t.Errorf("Recv into no buffer: %v, want %v", err, ErrTruncated)
		}
	})
}

func recvErrorNow(c Conn, buf []byte) error {
	_, _, err := c.Recv(buf)
	return err
}

func TestPeersEnd(t *testing.T) {
	eachFraming(t, func(t *testing.T, f Framing) {
		t.Run("everything sent before it is received first", func(t *testing.T) {
			checkFDs(t)
			a, b := pair(t, Options{Framing: f})
			for _, m := range []string{"one", "two"} {
				if err := a.Send([]byte(m)); err != nil {
					t.Fatal(err)
				}
			}
			_ = a.Close()
			for _, want := range []string{"one", "two"} {
				if got, _ := recv(t, b); got != want {
					t.Errorf("received %q, want %q", got, want)
				}
			}
			for range 2 {
				if err := recvError(t, b, 100); err != io.EOF {
					t.Errorf("Recv: %v, want %v", err, io.EOF)
				}
			}
			if err := b.Send([]byte("x")); !errors.Is(err, ErrPeerClosed) {
				t.Errorf("Send: %v, want %v", err, ErrPeerClosed)
			}
			if err := b.TrySend([]byte("x")); !errors.Is(err, ErrPeerClosed) {
				t.Errorf("TrySend: %v, want %v", err, ErrPeerClosed)
			}
		})
		t.Run("also if it left messages of ours unread", func(t *testing.T) {
			checkFDs(t)
			a, b := pair(t, Options{Framing: f})
			if err := b.Send([]byte("never read")); err != nil {
				t.Fatal(err)
			}
			if err := a.Send([]byte("refused, because")); err != nil {
				t.Fatal(err)
			}
			_ = a.Close() // resets the connection
			if got, _ := recv(t, b); got != "refused, because" {
				t.Errorf("received %q", got)
			}
			if err := recvError(t, b, 100); err != io.EOF {
				t.Errorf("Recv: %v, want %v", err, io.EOF)
			}
		})
		t.Run("it ends a Send that waits", func(t *testing.T) {
			checkFDs(t)
			a, b := pair(t, Options{Framing: f})
			fill(t, a)
			sent := make(chan error)
			go func() { sent <- a.Send(make([]byte, DefaultMaxMessage)) }()
			_ = b.Close()
			if err := <-sent; !errors.Is(err, ErrPeerClosed) {
				t.Errorf("Send: %v, want %v", err, ErrPeerClosed)
			}
		})
	})
}

// fill sends until the socket takes no more and returns how many messages it took.
func fill(t testing.TB, c Conn) (n int) {
	t.Helper()
	for {
		switch err := c.TrySend(numbered(n)); {
		case errors.Is(err, ErrWouldBlock):
			return n
		case err != nil:
			t.Fatalf("TrySend: %v", err)
		}
		if n++; n > 1_000_000 {
			t.Fatal("the socket takes messages without end")
		}
	}
}

// numbered is a message of 1,000 bytes that says which it is.
func numbered(i int) []byte {
	return append([]byte{byte(i), byte(i >> 8), byte(i >> 16)}, make([]byte, 997)...)
}

func TestPeerThatDoesNotReadBlocksNobody(t *testing.T) {
	eachFraming(t, func(t *testing.T, f Framing) {
		a, b := pair(t, Options{Framing: f})
		total := fill(t, a)
		if total == 0 {
			t.Fatal("the socket took no message at all")
		}
		if err := a.TrySend([]byte("x")); !errors.Is(err, ErrWouldBlock) {
			t.Fatalf("TrySend into a full socket: %v, want %v", err, ErrWouldBlock)
		}
		// The peer reads again: what was accepted comes, in order and once, and there is room again.
		for i := range total {
			if got, _ := recv(t, b); got != string(numbered(i)) {
				t.Fatalf("message %d of %d is another one", i, total)
			}
		}
		var err error
		if !eventually(10*time.Second, func() bool {
			err = a.TrySend([]byte("last"))
			return !errors.Is(err, ErrWouldBlock)
		}) || err != nil {
			t.Fatalf("TrySend after the peer has read: %v", err)
		}
		if got, _ := recv(t, b); got != "last" {
			t.Fatalf("received %q", got)
		}
	})
}

func TestTrySendDoesNotWaitForASendUnderWay(t *testing.T) {
	eachFraming(t, func(t *testing.T, f Framing) {
		a, b := pair(t, Options{Framing: f})
		n := fill(t, a)
		sent := make(chan error, 1)
		go func() { sent <- a.Send([]byte("waits")) }()
		for range 100 {
			if err := a.TrySend([]byte("x")); !errors.Is(err, ErrWouldBlock) {
				t.Fatalf("TrySend: %v, want %v", err, ErrWouldBlock)
			}
		}
		for range n {
			recv(t, b)
		}
		if err := <-sent; err != nil {
			t.Errorf("Send: %v", err)
		}
		if got, _ := recv(t, b); got != "waits" {
			t.Errorf("received %q", got)
		}
	})
}

func TestCloseEndsWhatWaits(t *testing.T) {
	eachFraming(t, func(t *testing.T, f Framing) {
		a, _ := pair(t, Options{Framing: f})
		fill(t, a)
		const each = 3 // one waits in the socket, the others for their turn
		ended := make(chan error, 2*each)
		for range each {
			go func() { ended <- a.Send(make([]byte, DefaultMaxMessage)) }()
			go func() { ended <- recvErrorNow(a, make([]byte, 10)) }()
		}
		if err := a.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		for range 2 * each {
			if err := <-ended; !errors.Is(err, ErrClosed) {
				t.Errorf("%v, want %v", err, ErrClosed)
			}
		}
		if err := a.Close(); err != nil {
			t.Errorf("second Close: %v", err)
		}
		for what, err := range map[string]error{
			"Send": a.Send([]byte("x")), "TrySend": a.TrySend([]byte("x")), "Recv": recvErrorNow(a, make([]byte, 1)),
		} {
			if !errors.Is(err, ErrClosed) {
				t.Errorf("%s after Close: %v, want %v", what, err, ErrClosed)
			}
		}
		if _, err := a.PeerPIDFD(); !errors.Is(err, ErrClosed) {
			t.Errorf("PeerPIDFD after Close: %v, want %v", err, ErrClosed)
		}
	})
}

func TestContextEndsAWaitAndHarmsNothing(t *testing.T) {
	eachFraming(t, func(t *testing.T, f Framing) {
		a, b := pair(t, Options{Framing: f})
		done, cancel := context.WithCancel(context.Background())
		cancel()
		buf := make([]byte, DefaultMaxMessage)
		if _, _, err := b.RecvContext(done, buf); !errors.Is(err, context.Canceled) {
			t.Errorf("Recv: %v, want %v", err, context.Canceled)
		}
		if err := a.SendContext(done, []byte("x")); !errors.Is(err, context.Canceled) {
			t.Errorf("Send: %v, want %v", err, context.Canceled)
		}
		for range 50 { // ends before, during and after the call has begun to wait
			brief, stop := context.WithTimeout(context.Background(), 100*time.Microsecond)
			if _, _, err := b.RecvContext(brief, buf); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("Recv: %v, want %v", err, context.DeadlineExceeded)
			}
			stop()
		}

		// Sends that time out are not there, or, where a stream had taken a part, are there whole.
		taken := fill(t, a)
		late := 0
		for range 50 {
			brief, stop := context.WithTimeout(context.Background(), 100*time.Microsecond)
			switch err := a.SendContext(brief, numbered(taken+late)); {
			case err == nil:
				late++
			case !errors.Is(err, context.DeadlineExceeded):
				t.Fatalf("Send: %v, want %v", err, context.DeadlineExceeded)
			}
			stop()
		}
		for i := range taken + late {
			if got, _ := recv(t, b); got != string(numbered(i)) {
				t.Fatalf("message %d is another one", i)
			}
		}
		if err := a.SendContext(watchdog(t), []byte("after")); err != nil {
			t.Fatal(err)
		}
		if got, _ := recv(t, b); got != "after" {
			t.Fatalf("received %q", got)
		}
	})
}

func TestOneGoroutinesContextDoesNotEndAnothersWait(t *testing.T) {
	eachFraming(t, func(t *testing.T, f Framing) {
		a, b := pair(t, Options{Framing: f})
		got := make(chan error, 1)
		go func() {
			_, _, err := b.RecvContext(watchdog(t), make([]byte, 100))
			got <- err
		}()
		for range 50 {
			brief, stop := context.WithTimeout(context.Background(), 50*time.Microsecond)
			if _, _, err := b.RecvContext(brief, make([]byte, 100)); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("Recv: %v, want %v", err, context.DeadlineExceeded)
			}
			stop()
		}
		if err := a.Send([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if err := <-got; err != nil {
			t.Errorf("the patient Recv: %v", err)
		}
	})
}

func TestPeerIsThisProcess(t *testing.T) {
	eachFraming(t, func(t *testing.T, f Framing) {
		o := Options{Framing: f}
		client, server := connect(t, listen(t, o), o)
		want := Peer{PID: os.Getpid(), UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())}
		for who, c := range map[string]Conn{"client": client, "server": server} {
			if c.Peer() != want {
				t.Errorf("the %s's peer: %v, want %v", who, c.Peer(), want)
			}
			if c.Framing() != f {
				t.Errorf("the %s's framing: %v, want %v", who, c.Framing(), f)
			}
			fd, err := c.PeerPIDFD()
			if errors.Is(err, errors.ErrUnsupported) {
				t.Skip("this kernel has no SO_PEERPIDFD")
			}
			if err != nil {
				t.Fatal(err)
			}
			defer unix.Close(fd)
			if err := unix.PidfdSendSignal(fd, 0, nil, 0); err != nil {
				t.Errorf("the pidfd names no process: %v", err)
			}
			if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
				t.Errorf("the pidfd's flags are %#x, %v, want close-on-exec", flags, err)
			}
		}
	})
}

func TestOptionsReportEveryFault(t *testing.T) {
	if err := (Options{}).Validate(); err != nil {
		t.Errorf("the zero value: %v", err)
	}
	for _, o := range []Options{
		{MaxMessage: 1, MaxFDs: 1}, {MaxMessage: MaxPacket, MaxFDs: MaxFDs}, {MaxFDs: -1},
		{Framing: Stream, MaxMessage: MaxStreamMessage}, {Framing: Stream, MaxFDs: 5},
	} {
		if err := o.Validate(); err != nil {
			t.Errorf("%+v: %v", o, err)
		}
	}
	err := Options{Framing: 7, MaxMessage: -1, MaxFDs: 254, Mode: os.ModeSticky}.Validate()
	for _, want := range []string{"framing 7", "MaxMessage -1", "MaxFDs 254", "file mode"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not mention %q", err, want)
		}
	}
	for _, o := range []Options{{MaxMessage: MaxPacket + 1}, {Framing: Stream, MaxMessage: MaxStreamMessage + 1}} {
		if _, _, err := Pair(o); err == nil {
			t.Errorf("Pair with %+v: no error", o)
		}
		if _, err := Listen("x", o); err == nil {
			t.Errorf("Listen with %+v: no error", o)
		}
		if _, err := Dial(watchdog(t), "x", o); err == nil {
			t.Errorf("Dial with %+v: no error", o)
		}
	}
}
