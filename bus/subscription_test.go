package bus_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"testing"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/bus/topic"
)

func TestPollKeepsWhatWasNotHandled(t *testing.T) {
	c := newBus(t, topic.Config{Name: "t", Size: topic.MiB})
	pub, sub := publisher(t, c, "t"), subscribe(t, c, "t")
	publish(t, pub, "a", "b", "c", "d", "e")
	wrong := errors.New("wrong")

	var got []string
	failAt := func(text string, fail func() error) func(bus.Message) error {
		return func(m bus.Message) error {
			got = append(got, string(m.Bytes()))
			if string(m.Bytes()) == text {
				return fail()
			}
			return nil
		}
	}
	t.Run("when the callback returns an error", func(t *testing.T) {
		n, err := sub.Poll(10, failAt("b", func() error { return wrong }))
		if n != 1 || err != wrong {
			t.Errorf("%d, %v", n, err)
		}
	})
	t.Run("when it panics", func(t *testing.T) {
		mustPanic(t, func() { sub.Poll(10, failAt("c", func() error { panic("oh") })) })
	})
	t.Run("when it calls Goexit", func(t *testing.T) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			sub.Poll(10, failAt("d", func() error { runtime.Goexit(); return nil }))
		}()
		<-done
	})
	t.Run("and stops at the limit", func(t *testing.T) {
		n, err := sub.Poll(1, failAt("", nil))
		if n != 1 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		if n, err := sub.Poll(0, failAt("", nil)); n != 0 || err != nil {
			t.Errorf("limit 0: %d, %v", n, err)
		}
	})
	if n, err := sub.Poll(10, failAt("", nil)); n != 1 || err != nil {
		t.Errorf("the rest: %d, %v", n, err)
	}
	if want := []string{"a", "b", "b", "c", "c", "d", "d", "e"}; !slices.Equal(got, want) {
		t.Errorf("handled %q, want %q", got, want)
	}
	s, err := sub.Stats()
	if err != nil || s.Messages != 5 || s.Bytes != 5 || s.LagBytes != 0 || s.Laps != 0 {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestPollAcknowledgesWhatWasHandled(t *testing.T) {
	c := newBus(t, topic.Config{Name: "t", Size: topic.MiB})
	pub, sub := publisher(t, c, "t"), subscribe(t, c, "t")
	publish(t, pub, "a", "b")
	sub.Poll(1, func(bus.Message) error { return nil })
	if s, err := sub.Stats(); err != nil || s.Messages != 1 || s.LagBytes != 32 {
		t.Errorf("after the first of two: %+v, %v", s, err)
	}
	fill(t, pub, make([]byte, 1000))
	sub.Poll(1<<20, func(bus.Message) error { return nil })
	if n := fill(t, pub, make([]byte, 1000)); n == 0 {
		t.Error("no room after everything was handled")
	}
}

func TestACallbackMayCloseItsSubscription(t *testing.T) {
	c := newBus(t, topic.Config{Name: "t", Size: topic.MiB})
	pub, sub := publisher(t, c, "t"), subscribe(t, c, "t")
	publish(t, pub, "a", "b")
	n, err := sub.Poll(10, func(bus.Message) error { return sub.Close() })
	if n != 1 {
		t.Errorf("handled %d", n)
	}
	wantIs(t, err, bus.ErrClosed)
}

func TestWhereASubscriptionBegins(t *testing.T) {
	for _, kind := range []topic.Kind{topic.SPMC, topic.MPMC} {
		t.Run(kind.String(), func(t *testing.T) {
			c := newBus(t, topic.Config{Name: "t", Kind: kind, Size: topic.MiB})
			pub := publisher(t, c, "t")
			first := subscribe(t, c, "t")
			publish(t, pub, "a", "b", "c")
			var at []uint64
			first.Poll(10, func(m bus.Message) error { at = append(at, m.Position()); return nil })
			oldest, newest := subscribe(t, c, "t", bus.From(bus.Oldest)), subscribe(t, c, "t", bus.From(bus.Newest))
			second := subscribe(t, c, "t", bus.From(bus.Position(at[1])))
			publish(t, pub, "d")
			for sub, want := range map[*bus.Subscription]string{
				oldest: "[a b c d]", newest: "[d]", second: "[b c d]", subscribe(t, c, "t"): "[]",
			} {
				if got := fmt.Sprint(poll(t, sub)); got != want {
					t.Errorf("got %s, want %s", got, want)
				}
			}
			_, err := c.Subscribe("t", bus.From(bus.Position(at[1]+8)))
			wantIs(t, err, bus.ErrPosition)
		})
	}
}

func TestALossySubscription(t *testing.T) {
	c := newBus(t, topic.Config{Name: "t", Size: topic.MiB})
	pub := publisher(t, c, "t")
	lossy := subscribe(t, c, "t", bus.Lossy())
	start := lossy.Position()
	for i := range 3000 { // about three times round
		if err := pub.Publish(fmt.Appendf(make([]byte, 0, 1000), "%0900d", i)); err != nil {
			t.Fatalf("message %d: %v: a lossy subscription holds publishers up", i, err)
		}
	}
	t.Run("says on Wait that there is something to say", func(t *testing.T) {
		for range 2 {
			if err := lossy.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	})
	var lapped *bus.LappedError
	t.Run("is told once, and exactly, what it missed", func(t *testing.T) {
		n, err := lossy.Poll(1, func(bus.Message) error { return nil })
		if !errors.As(err, &lapped) || n != 0 || !errors.Is(err, bus.ErrLapped) {
			t.Fatalf("%d, %v", n, err)
		}
		if lapped.From != start || lapped.Missed() != lapped.To-start {
			t.Errorf("%+v, started at %d", lapped, start)
		}
	})
	t.Run("goes on behind the gap to the newest message", func(t *testing.T) {
		next, first := -1, uint64(0)
		if _, err := lossy.Poll(1<<20, func(m bus.Message) error {
			var i int
			fmt.Sscanf(string(m.Bytes()), "%d", &i)
			if next < 0 {
				first = m.Position()
			} else if i != next {
				t.Errorf("message %d, want %d", i, next)
			}
			next = i + 1
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if next != 3000 || first != lapped.To {
			t.Errorf("ended before %d, began at %d, want 3000, %d", next, first, lapped.To)
		}
	})
	t.Run("counts it", func(t *testing.T) {
		s, err := lossy.Stats()
		if err != nil || s.Laps != 1 || s.MissedBytes != lapped.Missed() || s.LagBytes != 0 {
			t.Errorf("%+v, %v", s, err)
		}
	})
}

func TestOptionsAreChecked(t *testing.T) {
	c := newBus(t, topic.Config{Name: "t", Size: topic.MiB}, topic.Config{Name: "q", Size: topic.MiB, Routing: topic.Queue})
	for name, option := range map[string]bus.SubscribeOption{
		"a slow policy that does not exist": bus.Slow(9),
		"a negative credit":                 bus.Credit(-1),
		"a credit too small":                bus.Credit(16),
		"a credit beyond the ring":          bus.Credit(2 << 20),
		"a negative patience":               bus.Patience(-1),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.Subscribe("t", option)
			wantIs(t, err, bus.ErrInvalid)
		})
	}
	t.Run("a topic that does not exist", func(t *testing.T) {
		_, err := c.Subscribe("nothing")
		wantIs(t, err, bus.ErrNoTopic)
		_, err = c.Publisher("nothing")
		wantIs(t, err, bus.ErrNoTopic)
	})
	t.Run("a name that none can have", func(t *testing.T) {
		_, err := c.Subscribe("../t")
		wantIs(t, err, bus.ErrNoTopic)
		_, err = c.Publisher("")
		wantIs(t, err, bus.ErrNoTopic)
	})
	t.Run("a queue is observed", func(t *testing.T) {
		pub, sub := publisher(t, c, "q"), subscribe(t, c, "q", bus.Fanout())
		publish(t, pub, "a")
		if got := poll(t, sub); len(got) != 1 {
			t.Errorf("got %q", got)
		}
	})
	t.Run("a credit is what a subscription may lag", func(t *testing.T) {
		const credit = 128 << 10
		sub, pub := subscribe(t, c, "t", bus.Credit(credit-8)), publisher(t, c, "t")
		poll(t, sub) // ends the catching up of a new subscription
		if n := fill(t, pub, make([]byte, 1008)); n*1024 > credit+128<<10 {
			t.Errorf("%d bytes before back pressure", n*1024)
		}
	})
}

func TestKindsAdmitWhatTheySay(t *testing.T) {
	c := newBus(t, topic.Config{Name: "spsc", Kind: topic.SPSC, Size: topic.MiB}, topic.Config{Name: "mpsc", Kind: topic.MPSC, Size: topic.MiB})
	for _, name := range []string{"spsc", "mpsc"} {
		first := subscribe(t, c, name)
		_, err := c.Subscribe(name)
		wantIs(t, err, bus.ErrInUse)
		subscribe(t, c, name, bus.Lossy()) // always admitted
		first.Close()
		subscribe(t, c, name)
	}
	publisher(t, c, "mpsc")
	publisher(t, c, "mpsc")
	first := publisher(t, c, "spsc")
	_, err := c.Publisher("spsc")
	wantIs(t, err, bus.ErrInUse)
	first.Close()
	publisher(t, c, "spsc")
}

func TestMessages(t *testing.T) {
	c := newBus(t, topic.Config{Name: "t", Size: topic.MiB})
	pub, sub := publisher(t, c, "t"), subscribe(t, c, "t")
	publish(t, pub, "a", "b", "c", "d")
	t.Run("leaving the loop acknowledges", func(t *testing.T) {
		for m, err := range sub.Messages(t.Context()) {
			if err != nil || string(m.Bytes()) != "a" {
				t.Fatal(string(m.Bytes()), err)
			}
			break
		}
	})
	t.Run("a panic does not", func(t *testing.T) {
		mustPanic(t, func() {
			for m := range sub.Messages(t.Context()) {
				if string(m.Bytes()) == "c" {
					panic("oh")
				}
			}
		})
		if got := fmt.Sprint(poll(t, sub)); got != "[c d]" {
			t.Errorf("got %s", got)
		}
	})
	t.Run("waits for the next", func(t *testing.T) {
		waiting := make(chan struct{})
		sub.SetIdle(&told{waiting: waiting})
		published := make(chan error)
		go func() {
			<-waiting
			published <- pub.Publish([]byte("late"))
		}()
		for m, err := range sub.Messages(t.Context()) {
			if err != nil || string(m.Bytes()) != "late" {
				t.Fatal(string(m.Bytes()), err)
			}
			break
		}
		if err := <-published; err != nil {
			t.Fatal(err)
		}
	})
	t.Run("ends with the context's error, alone", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		publish(t, pub, "one more", "never seen")
		var got []string
		for m, err := range sub.Messages(ctx) {
			if err != nil {
				wantIs(t, err, context.Canceled)
				got = append(got, "end")
				continue
			}
			got = append(got, string(m.Bytes()))
			cancel()
		}
		if want := []string{"one more", "end"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		if got := fmt.Sprint(poll(t, sub)); got != "[never seen]" {
			t.Errorf("then %s", got)
		}
	})
	t.Run("tells of a gap and goes on", func(t *testing.T) {
		lossy := subscribe(t, c, "t", bus.Lossy())
		sub.Close()
		for range 3000 {
			if err := pub.Publish(make([]byte, 900)); err != nil {
				t.Fatal(err)
			}
		}
		publish(t, pub, "end")
		gaps := 0
		for m, err := range lossy.Messages(t.Context()) {
			if errors.Is(err, bus.ErrLapped) {
				gaps++
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if string(m.Bytes()) == "end" {
				break
			}
		}
		if gaps != 1 {
			t.Errorf("%d gaps", gaps)
		}
	})
	t.Run("ends when the topic is deleted", func(t *testing.T) {
		last := subscribe(t, c, "t")
		if err := c.DeleteTopic(t.Context(), "t"); err != nil {
			t.Fatal(err)
		}
		ended := false
		for _, err := range last.Messages(t.Context()) {
			wantIs(t, err, bus.ErrClosed)
			ended = true
		}
		wantIs(t, last.Wait(t.Context()), bus.ErrClosed)
		if !ended {
			t.Error("the loop ended without an error")
		}
	})
}

func TestWait(t *testing.T) {
	c := newBus(t, topic.Config{Name: "t", Size: topic.MiB})
	pub, sub := publisher(t, c, "t"), subscribe(t, c, "t", bus.Idle(bus.Yield{}))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	wantIs(t, sub.Wait(ctx), context.Canceled)
	publish(t, pub, "a")
	for range 2 { // it consumes nothing
		if err := sub.Wait(ctx); err != nil {
			t.Error(err)
		}
	}
	if got := fmt.Sprint(poll(t, sub)); got != "[a]" {
		t.Errorf("got %s", got)
	}
	if s, err := sub.Stats(); err != nil || s.Messages != 1 {
		t.Errorf("%+v, %v", s, err)
	}
	sub.Close()
	wantIs(t, sub.Wait(t.Context()), bus.ErrClosed)
}
