package bus_test

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/bus/topic"
	"github.com/mycelium-bus/mycelium/codec"
)

func TestPublish(t *testing.T) {
	c := newBus(t, topic.Config{Name: "t", Size: topic.MiB, MaxFrame: 1000})
	pub, sub := publisher(t, c, "t"), subscribe(t, c, "t")
	t.Run("refuses an empty message", func(t *testing.T) { wantIs(t, pub.Publish(nil), bus.ErrTooLarge) })
	t.Run("refuses a message beyond max_frame", func(t *testing.T) {
		if pub.MaxFrame() != 1000 {
			t.Errorf("MaxFrame is %d", pub.MaxFrame())
		}
		wantIs(t, pub.Publish(make([]byte, 1001)), bus.ErrTooLarge)
	})
	t.Run("takes a message of max_frame", func(t *testing.T) {
		want := bytes.Repeat([]byte("x"), 1000)
		publish(t, pub, string(want))
		if got := poll(t, sub); len(got) != 1 || got[0] != string(want) {
			t.Errorf("got %d messages", len(got))
		}
	})
	t.Run("reports back pressure, and goes on when there is room", func(t *testing.T) {
		n := fill(t, pub, make([]byte, 1000))
		if got := poll(t, sub); len(got) != n || n == 0 {
			t.Errorf("received %d of %d", len(got), n)
		}
		publish(t, pub, "again")
		if got := poll(t, sub); len(got) != 1 {
			t.Errorf("got %q", got)
		}
	})
}

func TestWriteGivesUp(t *testing.T) {
	c := newBus(t, topic.Config{Name: "t", Size: topic.MiB})
	pub, sub := publisher(t, c, "t"), subscribe(t, c, "t")
	wrong := errors.New("wrong")

	t.Run("on an error", func(t *testing.T) {
		wantIs(t, pub.Write(10, func([]byte) (int, error) { return 10, wrong }), wrong)
	})
	t.Run("on a panic", func(t *testing.T) {
		defer func() {
			if r := recover(); r != "oh" {
				t.Errorf("recovered %v", r)
			}
		}()
		pub.Write(10, func([]byte) (int, error) { panic("oh") })
	})
	t.Run("on Goexit", func(t *testing.T) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			pub.Write(10, func([]byte) (int, error) { runtime.Goexit(); return 10, nil })
		}()
		<-done
	})
	t.Run("on more than was claimed", func(t *testing.T) {
		wantIs(t, pub.Write(10, func([]byte) (int, error) { return 11, nil }), bus.ErrTooLarge)
		wantIs(t, pub.Write(10, func([]byte) (int, error) { return -1, nil }), bus.ErrTooLarge)
	})
	t.Run("on nothing used", func(t *testing.T) {
		if err := pub.Write(10, func([]byte) (int, error) { return 0, nil }); err != nil {
			t.Error(err)
		}
	})
	publish(t, pub, "after")
	if got := poll(t, sub); len(got) != 1 || got[0] != "after" {
		t.Errorf("received %q, want what was published after all that alone", got)
	}
}

func TestClaims(t *testing.T) {
	c := newBus(t, topic.Config{Name: "t", Size: topic.MiB})
	pub, sub := publisher(t, c, "t"), subscribe(t, c, "t")
	claim := func(text string) bus.Claim {
		t.Helper()
		cl, err := pub.Claim(len(text))
		if err != nil {
			t.Fatal(err)
		}
		copy(cl.Bytes(), text)
		return cl
	}
	t.Run("are unseen until committed", func(t *testing.T) {
		cl := claim("one two")
		if got := poll(t, sub); len(got) != 0 {
			t.Errorf("got %q", got)
		}
		at := cl.Position()
		if err := cl.Commit(3); err != nil {
			t.Fatal(err)
		}
		if _, err := sub.Poll(1, func(m bus.Message) error {
			if string(m.Bytes()) != "one" || m.Position() != at {
				t.Errorf("got %q at %d, want one at %d", m.Bytes(), m.Position(), at)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("are forgotten by the next claim", func(t *testing.T) {
		old := claim("lost")
		publish(t, pub, "kept")
		if got := poll(t, sub); len(got) != 1 || got[0] != "kept" {
			t.Errorf("got %q", got)
		}
		mustPanic(t, func() { old.Commit(1) })
	})
	t.Run("cannot be used after a later one", func(t *testing.T) {
		old := claim("lost")
		claim("kept").Commit(4)
		mustPanic(t, func() { old.Commit(4) })
		mustPanic(t, func() { old.Bytes() })
		if got := poll(t, sub); len(got) != 1 || got[0] != "kept" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("are given up by Close", func(t *testing.T) {
		other := publisher(t, c, "t")
		if _, err := other.Claim(10); err != nil {
			t.Fatal(err)
		}
		other.Close()
		publish(t, pub, "behind")
		if got := poll(t, sub); len(got) != 1 || got[0] != "behind" {
			t.Errorf("got %q", got)
		}
	})
}

func mustPanic(t *testing.T, f func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	f()
}

func TestBatch(t *testing.T) {
	c := newBus(t, topic.Config{Name: "t", Size: topic.MiB})
	pub, sub := publisher(t, c, "t"), subscribe(t, c, "t")
	batch, err := pub.Batch(bus.FrameSize(3) + bus.FrameSize(30))
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"one", strings.Repeat("2", 30)} {
		b, err := batch.Next(len(text))
		if err != nil {
			t.Fatal(err)
		}
		copy(b, text)
	}
	if _, err := batch.Next(1); err != bus.ErrTooLarge {
		t.Errorf("a third message: %v", err)
	}
	if got := poll(t, sub); len(got) != 0 {
		t.Errorf("before the commit: %q", got)
	}
	if err := batch.Commit(); err != nil || batch.Len() != 2 {
		t.Fatal(err, batch.Len())
	}
	if got := poll(t, sub); len(got) != 2 || got[0] != "one" {
		t.Errorf("got %q", got)
	}
	if _, err := pub.Batch(1 << 20); !errors.Is(err, bus.ErrTooLarge) {
		t.Errorf("a batch of the ring's size: %v", err)
	}
	batch, _ = pub.Batch(100)
	batch.Next(10)
	batch.Abort()
	if got := poll(t, sub); len(got) != 0 {
		t.Errorf("aborted, and got %q", got)
	}
}

func TestWaitingForRoom(t *testing.T) {
	c := newBus(t, topic.Config{Name: "t", Size: topic.MiB})
	pub, sub := publisher(t, c, "t"), subscribe(t, c, "t")
	n := fill(t, pub, make([]byte, 1000))
	t.Run("ends with the context", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		wantIs(t, pub.PublishWait(ctx, make([]byte, 1000)), context.Canceled)
		_, err := pub.ClaimWait(ctx, 1000)
		wantIs(t, err, context.Canceled)
	})
	t.Run("does not wait where no room would help", func(t *testing.T) {
		wantIs(t, pub.PublishWait(t.Context(), nil), bus.ErrTooLarge)
	})
	t.Run("ends when there is room", func(t *testing.T) {
		waiting := make(chan struct{})
		pub.SetIdle(&told{waiting: waiting})
		polled := make(chan int)
		go func() {
			<-waiting
			polled <- len(poll(t, sub))
		}()
		if err := pub.PublishWait(t.Context(), []byte("last")); err != nil {
			t.Fatal(err)
		}
		if got := <-polled; got < n {
			t.Errorf("polled %d of %d", got, n)
		}
		cl, err := pub.ClaimWait(t.Context(), 5)
		if err != nil {
			t.Fatal(err)
		}
		cl.Abort()
	})
	t.Run("was counted", func(t *testing.T) {
		s, err := pub.Stats()
		if err != nil || s.Messages != uint64(n)+1 || s.Bytes != uint64(n)*1000+4 || s.BackPressured <= 0 {
			t.Errorf("%+v, %v; want %d messages", s, err, n+1)
		}
	})
}

// told tells when its handle first waits.
type told struct {
	bus.Yield
	waiting chan struct{}
	once    bool
}

func (s *told) Idle() {
	if !s.once {
		s.once = true
		close(s.waiting)
	}
	s.Yield.Idle()
}

func TestTopicsTakeWhatTheyAreConfiguredFor(t *testing.T) {
	types, err := topic.ParseTypes("1-19,250")
	if err != nil {
		t.Fatal(err)
	}
	c := newBus(t,
		topic.Config{Name: "typed", Size: topic.MiB, Types: types},
		topic.Config{Name: "summed", Size: topic.MiB, Checksum: topic.ChecksumRequire},
		topic.Config{Name: "any", Size: topic.MiB})
	message := func(checksum bool, types ...codec.Type) []byte {
		var b codec.Builder
		buf := make([]byte, 200)
		b.Reset(buf, codec.Header{})
		for _, typ := range types {
			b.Append(typ, []byte("value"))
		}
		finish := b.FinishUnchecked
		if checksum {
			finish = b.Finish
		}
		n, err := finish()
		if err != nil {
			t.Fatal(err)
		}
		return buf[:n]
	}
	damaged := message(true, 1)
	damaged[len(damaged)-1]++
	for _, test := range []struct {
		name    string
		topic   string
		message []byte
		refused string // what the error names; "" takes it
	}{
		{"a type that is listed", "typed", message(false, 1), ""},
		{"a vendor type that is listed", "typed", message(false, 3, 250), ""},
		{"a message without TLVs", "typed", message(false), ""},
		{"a type that is not listed", "typed", message(false, 1, 20), "type 20"},
		{"raw bytes", "typed", []byte("hello"), "TLV messages"},
		{"a checksum", "summed", message(true, 99), ""},
		{"no checksum", "summed", message(false, 99), "requires a checksum"},
		{"a wrong checksum", "summed", damaged, "checksum"},
		{"raw bytes where anything goes", "any", []byte("hello"), ""},
	} {
		pub, sub := publisher(t, c, test.topic), subscribe(t, c, test.topic)
		for call, publish := range map[string]func() error{
			"Publish":     func() error { return pub.Publish(test.message) },
			"PublishWait": func() error { return pub.PublishWait(t.Context(), test.message) },
			"Write": func() error {
				return pub.Write(300, func(b []byte) (int, error) { return copy(b, test.message), nil })
			},
			"Claim": func() error {
				cl, err := pub.Claim(300)
				if err != nil {
					return err
				}
				return cl.Commit(copy(cl.Bytes(), test.message))
			},
			"Batch": func() error {
				batch, err := pub.Batch(bus.FrameSize(len(test.message)))
				if err != nil {
					return err
				}
				b, err := batch.Next(len(test.message))
				if err != nil {
					return err
				}
				copy(b, test.message)
				return batch.Commit()
			},
		} {
			t.Run(call+" of "+test.name, func(t *testing.T) {
				err := publish()
				got := poll(t, sub)
				if test.refused == "" {
					if err != nil || len(got) != 1 || got[0] != string(test.message) {
						t.Errorf("got %d messages, %v", len(got), err)
					}
					return
				}
				wantIs(t, err, bus.ErrRefused)
				if err == nil || !strings.Contains(err.Error(), test.refused) || !strings.Contains(err.Error(), test.topic) {
					t.Errorf("error %v does not name %q and the topic", err, test.refused)
				}
				if len(got) != 0 {
					t.Errorf("got %d messages", len(got))
				}
			})
		}
	}
}
