package uds

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"golang.org/x/sys/unix"
)

func TestHalfMessagesBecomeWhole(t *testing.T) {
	checkFDs(t)
	c, raw := rawPair(t, Options{Framing: Stream})
	wire := AppendFrame(AppendFrame(nil, []byte("hello")), bytes.Repeat([]byte("x"), 40_000))
	buf := make([]byte, DefaultMaxMessage)
	// After every piece someone looks, in vain until the first message is complete.
	for i := range 9 {
		if _, err := unix.Write(raw, wire[i:i+1]); err != nil {
			t.Fatal(err)
		}
		brief, stop := context.WithTimeout(context.Background(), 200*time.Microsecond)
		msg, _, err := c.RecvContext(brief, buf)
		stop()
		if i < 8 && !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("after %d bytes: %q, %v, want %v", i+1, msg, err, context.DeadlineExceeded)
		}
		if i == 8 && err == nil && string(msg) == "hello" {
			continue
		}
		if i == 8 { // the time may have been too short; the message must be there
			if got, _ := recv(t, c); got != "hello" {
				t.Fatalf("received %q", got)
			}
		}
	}
	// The second one arrives in two halves, into two buffers.
	if _, err := unix.Write(raw, wire[9:20_000]); err != nil {
		t.Fatal(err)
	}
	brief, stop := context.WithTimeout(context.Background(), 5*time.Millisecond)
	defer stop()
	if _, _, err := c.RecvContext(brief, buf); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("half a message: %v, want %v", err, context.DeadlineExceeded)
	}
	clear(buf)
	if _, err := unix.Write(raw, wire[20_000:]); err != nil {
		t.Fatal(err)
	}
	if got, _ := recv(t, c); got != strings.Repeat("x", 40_000) {
		t.Fatalf("the second message is wrong: %d bytes", len(got))
	}
}

func TestCoalescedMessagesComeApart(t *testing.T) {
	checkFDs(t)
	c, raw := rawPair(t, Options{Framing: Stream})
	var wire []byte
	for _, m := range []string{"a", "bc", "def"} {
		wire = AppendFrame(wire, []byte(m))
	}
	if _, err := unix.Write(raw, wire); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"a", "bc", "def"} {
		if got, _ := recv(t, c); got != want {
			t.Errorf("received %q, want %q", got, want)
		}
	}
}

func TestWireFormat(t *testing.T) {
	checkFDs(t)
	c, raw := rawPair(t, Options{Framing: Stream})
	if err := c.Send([]byte("abc")); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 100)
	n, err := unix.Read(raw, got) // one write, one read: the length does not travel alone
	if want := "\x03\x00\x00\x00abc"; err != nil || string(got[:n]) != want {
		t.Errorf("on the wire: %q, %v, want %q", got[:n], err, want)
	}
}

func TestHostileLengths(t *testing.T) {
	for _, c := range []struct {
		name string
		wire []byte
		want error
		text string
	}{
		{"one over the limit", []byte{0x01, 0x00, 0x01, 0x00}, ErrTooLarge, "65537 bytes, at most 65536"},
		{"most", []byte{0xff, 0xff, 0xff, 0xff}, ErrTooLarge, "4294967295 bytes"},
		{"negative as a signed number", []byte{0x00, 0x00, 0x00, 0x80}, ErrTooLarge, "2147483648 bytes"},
		{"big-endian length of 5", []byte{0, 0, 0, 5}, ErrTooLarge, "83886080 bytes"},
		{"message magic instead of a length", []byte{0xef, 0xbe, 0xad, 0xde}, ErrTooLarge, "3735928559 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			checkFDs(t)
			conn, raw := rawPair(t, Options{Framing: Stream})
			if _, err := unix.Write(raw, append(c.wire, "and more"...)); err != nil {
				t.Fatal(err)
			}
			for range 2 { // final: the stream is out of step
				if err := recvError(t, conn, DefaultMaxMessage); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
					t.Errorf("Recv: %v, want %v with %q", err, c.want, c.text)
				}
			}
			if err := conn.Send([]byte("we do not understand")); err != nil {
				t.Errorf("Send: %v", err)
			}
		})
	}
	t.Run("zero", func(t *testing.T) {
		checkFDs(t)
		conn, raw := rawPair(t, Options{Framing: Stream})
		if _, err := unix.Write(raw, AppendFrame(AppendFrame(nil, nil), []byte("next"))); err != nil {
			t.Fatal(err)
		}
		if err := recvError(t, conn, 10); !errors.Is(err, ErrEmpty) {
			t.Errorf("Recv: %v, want %v", err, ErrEmpty)
		}
		if got, _ := recv(t, conn); got != "next" {
			t.Errorf("received %q", got)
		}
	})
}

func TestLengthAloneAllocatesNothing(t *testing.T) {
	// The largest length allowed, again and again, and never a byte behind it.
	wire := binary.LittleEndian.AppendUint32(nil, MaxStreamMessage)
	buf := make([]byte, MaxStreamMessage)
	src := bytes.NewReader(nil)
	r := NewFrameReader(src, MaxStreamMessage)
	r.ahead = make([]byte, readAhead)
	if n := testing.AllocsPerRun(100, func() {
		src.Reset(wire)
		*r = FrameReader{src: src, limit: r.limit, ahead: r.ahead}
		if _, err := r.Next(buf); err != io.ErrUnexpectedEOF {
			t.Fatalf("Next: %v", err)
		}
	}); n != 0 {
		t.Errorf("%v allocations for a length without a message, want 0", n)
	}
}

func TestEndAmidAMessage(t *testing.T) {
	wire := AppendFrame(nil, []byte("hello"))
	for cut := range wire {
		checkFDs(t)
		c, raw := rawPair(t, Options{Framing: Stream})
		if _, err := unix.Write(raw, wire[:cut]); err != nil {
			t.Fatal(err)
		}
		if err := unix.Shutdown(raw, unix.SHUT_WR); err != nil {
			t.Fatal(err)
		}
		want := io.ErrUnexpectedEOF
		if cut == 0 {
			want = io.EOF
		}
		for range 2 {
			if err := recvError(t, c, 10); err != want {
				t.Errorf("after %d of %d bytes: %v, want %v", cut, len(wire), err, want)
			}
		}
	}
}

func TestFrameReaderTakesAnySource(t *testing.T) {
	var wire []byte
	var want []string
	for i := range 300 {
		m := strings.Repeat(string(rune('a'+i%26)), 1+(i*i*37)%9000)
		want, wire = append(want, m), AppendFrame(wire, []byte(m))
	}
	for name, src := range map[string]io.Reader{
		"all at once":          bytes.NewReader(wire),
		"single bytes":         iotest.OneByteReader(bytes.NewReader(wire)),
		"halves":               iotest.HalfReader(bytes.NewReader(wire)),
		"the end with data":    iotest.DataErrReader(bytes.NewReader(wire)),
		"a timeout amid it":    iotest.TimeoutReader(iotest.HalfReader(bytes.NewReader(wire))),
		"nothing now and then": &lazyReader{r: bytes.NewReader(wire)},
	} {
		t.Run(name, func(t *testing.T) {
			r := NewFrameReader(src, 9000)
			for i := 0; i < len(want); {
				got, err := r.Next(make([]byte, 9000))
				if err == iotest.ErrTimeout {
					continue
				}
				if err != nil || string(got) != want[i] {
					t.Fatalf("message %d: %d bytes, %v, want %d", i, len(got), err, len(want[i]))
				}
				i++
			}
			if _, err := r.Next(make([]byte, 1)); err != io.EOF {
				t.Errorf("at the end: %v, want %v", err, io.EOF)
			}
		})
	}
	t.Run("one that never gives anything", func(t *testing.T) {
		if _, err := NewFrameReader(emptyReader{}, 10).Next(make([]byte, 1)); err != io.ErrNoProgress {
			t.Errorf("Next: %v, want %v", err, io.ErrNoProgress)
		}
	})
}

type lazyReader struct {
	r io.Reader
	n int
}

func (l *lazyReader) Read(p []byte) (int, error) {
	if l.n++; l.n%3 != 0 {
		return 0, nil
	}
	return l.r.Read(p)
}

type emptyReader struct{}

func (emptyReader) Read([]byte) (int, error) { return 0, nil }

func TestFrameThatFitsInPartGoesOnInTheBackground(t *testing.T) {
	checkFDs(t)
	a, b := pair(t, Options{Framing: Stream, MaxMessage: MaxStreamMessage})
	big := bytes.Repeat([]byte("0123456789"), 100_000) // more than any default send buffer
	if err := a.TrySend(big); err != nil {
		t.Fatalf("TrySend: %v, want nil: a part of it went", err)
	}
	if err := a.TrySend([]byte("x")); !errors.Is(err, ErrWouldBlock) {
		t.Fatalf("TrySend meanwhile: %v, want %v", err, ErrWouldBlock)
	}
	sent := make(chan error, 1)
	go func() { sent <- a.Send([]byte("behind it")) }()
	buf := make([]byte, MaxStreamMessage)
	for _, want := range []string{string(big), "behind it"} {
		if msg, _, err := b.RecvContext(watchdog(t), buf); err != nil || string(msg) != want {
			t.Fatalf("received %d bytes, %v, want %d", len(msg), err, len(want))
		}
	}
	if err := <-sent; err != nil {
		t.Errorf("Send: %v", err)
	}
}

func TestFrameCutShortBreaksTheStream(t *testing.T) {
	checkFDs(t)
	a, b := pair(t, Options{Framing: Stream, MaxMessage: MaxStreamMessage})
	if err := a.TrySend(make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	_ = b.Close() // ends the background send
	for range 2 {
		if err := a.Send([]byte("x")); !errors.Is(err, ErrBroken) || !errors.Is(err, ErrPeerClosed) {
			t.Errorf("Send: %v, want %v and %v", err, ErrBroken, ErrPeerClosed)
		}
	}
}

func TestCloseEndsABackgroundSend(t *testing.T) {
	checkFDs(t)
	a, b := pair(t, Options{Framing: Stream, MaxMessage: MaxStreamMessage})
	if err := a.TrySend(make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	_ = a.Close() // goleak in TestMain says whether the goroutine went
	_, _, err := b.RecvContext(watchdog(t), make([]byte, 1<<20))
	if err != io.ErrUnexpectedEOF {
		t.Errorf("the other side receives %v, want %v", err, io.ErrUnexpectedEOF)
	}
}

// stutter gives its bytes in pieces as a script says; a 0 in the script is a timeout.
type stutter struct {
	data   []byte
	script []byte
}

func (s *stutter) Read(p []byte) (int, error) {
	if len(s.data) == 0 {
		return 0, io.EOF
	}
	n := len(s.data)
	if len(s.script) > 0 {
		n = min(n, int(s.script[0]))
		s.script = s.script[1:]
		if n == 0 {
			return 0, os.ErrDeadlineExceeded
		}
	}
	n = copy(p, s.data[:n])
	s.data = s.data[n:]
	return n, nil
}

// FuzzFrameReader compares the reader, fed in any pieces and with interruptions, with a reader of whole slices.
func FuzzFrameReader(f *testing.F) {
	f.Add(AppendFrame(AppendFrame(nil, []byte("hello")), []byte("world")), []byte{1, 0, 3}, 100, 50)
	f.Add([]byte{0, 0, 0, 0, 1, 0, 0, 0, 7}, []byte{}, 10, 10)
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 1, 2, 3}, []byte{2}, 1000, 1000)
	f.Add(AppendFrame(nil, make([]byte, readAhead+100)), []byte{9, 0, 255}, 1<<16, 1<<16)
	f.Add(AppendFrame(AppendFrame(nil, make([]byte, 30)), []byte("x")), []byte{0, 7, 0}, 40, 20)
	f.Fuzz(func(t *testing.T, wire, script []byte, limit, room int) {
		if limit < 1 || limit > 1<<20 || room < 1 || room > 1<<20 {
			t.Skip()
		}
		r := NewFrameReader(&stutter{wire, script}, limit)
		rest := wire
		bufs := [2][]byte{make([]byte, room), make([]byte, room)}
		for {
			// Each call brings another buffer: nothing may depend on the last one.
			bufs[0], bufs[1] = bufs[1], bufs[0]
			got, err := r.Next(bufs[0])
			if err == os.ErrDeadlineExceeded {
				continue
			}
			want, after, wantErr := referenceNext(rest, limit, room)
			if !errors.Is(err, wantErr) || (err == nil) != (wantErr == nil) || !bytes.Equal(got, want) {
				t.Fatalf("%d bytes left: got %d bytes, %v, want %d, %v", len(rest), len(got), err, len(want), wantErr)
			}
			if err == nil && !bytes.Equal(AppendFrame(nil, got), rest[:len(rest)-len(after)]) {
				t.Fatal("the message does not encode back to its bytes")
			}
			rest = after
			if err == io.EOF || err == io.ErrUnexpectedEOF || errors.Is(err, ErrTooLarge) {
				return
			}
		}
	})
}

// referenceNext takes the first message off wire.
func referenceNext(wire []byte, limit, room int) (msg, rest []byte, err error) {
	switch {
	case len(wire) == 0:
		return nil, nil, io.EOF
	case len(wire) < 4:
		return nil, nil, io.ErrUnexpectedEOF
	}
	n := int(binary.LittleEndian.Uint32(wire))
	wire = wire[4:]
	switch {
	case n > limit:
		return nil, nil, ErrTooLarge
	case n == 0:
		return nil, wire, ErrEmpty
	case n > room && n > len(wire):
		return nil, []byte{1}, ErrTruncated // said at once; the end amid it is found by the next call
	case n > room:
		return nil, wire[n:], ErrTruncated
	case n > len(wire):
		return nil, nil, io.ErrUnexpectedEOF
	}
	return wire[:n], wire[n:], nil
}
