package bus_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/bus/topic"
)

func heldBy(t *testing.T, err error) *bus.BackPressureError {
	t.Helper()
	held, ok := errors.AsType[*bus.BackPressureError](err)
	if !ok || !errors.Is(err, bus.ErrBackPressure) {
		t.Fatalf("error %v, want a BackPressureError", err)
	}
	return held
}

func TestBackPressureNamesTheHolder(t *testing.T) {
	message := make([]byte, 1000)
	t.Run("a subscription", func(t *testing.T) {
		c := newBus(t, topic.Config{Name: "t", Size: topic.MiB})
		pub, sub := publisher(t, c, "t"), subscribe(t, c, "t")
		before := time.Now()
		n := fill(t, pub, message)
		held := heldBy(t, pub.Publish(message))
		if held.Topic != "t" || held.Holder != "subscription" || held.ID != sub.ID() || held.Slot != 0 || held.Name != "test" || held.PID != os.Getpid() {
			t.Errorf("%+v", held)
		}
		if held.Since.Before(before) || held.Since.After(time.Now()) {
			t.Errorf("since %v", held.Since)
		}
		if least := uint64(n * bus.FrameSize(len(message))); held.BehindBytes < least || held.BehindBytes > uint64(topic.MiB) {
			t.Errorf("%d bytes behind, %d were published", held.BehindBytes, least)
		}
		if text := held.Error(); !strings.Contains(text, sub.ID()) || !strings.Contains(text, `"t"`) || !strings.Contains(text, "bytes behind") {
			t.Error(text)
		}

		// Trying again says the same, at no cost; another wait for the same holder is another one.
		if got := testing.AllocsPerRun(100, func() { _ = pub.Publish(message) }); got != 0 {
			t.Errorf("%v allocations for an attempt that fails again", got)
		}
		if again := heldBy(t, pub.Publish(message)); again != held {
			t.Errorf("another error: %v", again)
		}
		poll(t, sub)
		fill(t, pub, message)
		if later := heldBy(t, pub.Publish(message)); !later.Since.After(held.Since) {
			t.Errorf("since %v, as before", later.Since)
		}
		if _, err := pub.Claim(10_000); heldBy(t, err).ID != sub.ID() {
			t.Errorf("claim: %v", err)
		}
		if _, err := pub.Batch(10_000); heldBy(t, err).ID != sub.ID() {
			t.Errorf("batch: %v", err)
		}
	})
	t.Run("a group", func(t *testing.T) {
		c := newBus(t, topic.Config{Name: "t", Size: topic.MiB})
		pub, sub := publisher(t, c, "t"), subscribe(t, c, "t", bus.Group("arb"))
		fill(t, pub, message)
		if held := heldBy(t, pub.Publish(message)); held.Holder != "group" || held.Group != "arb" || held.ID != "" || held.Slot != -1 {
			t.Errorf("%+v", held)
		}
		var held *bus.BackPressureError
		if _, err := sub.Poll(1, func(bus.Message) error {
			for range 4000 { // until there is no room
				if err := pub.Publish(message); err != nil {
					ctx, cancel := context.WithCancel(t.Context())
					cancel()
					held = heldBy(t, pub.PublishWait(ctx, message))
					break
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if held == nil || held.ID != sub.ID() || held.Group != "arb" || held.PID != os.Getpid() {
			t.Errorf("%+v", held)
		}
	})
	t.Run("an open claim", func(t *testing.T) {
		c := newBus(t, topic.Config{Name: "t", Size: topic.MiB})
		pub, other := publisher(t, c, "t"), publisher(t, c, "t")
		claim, err := other.Claim(10)
		if err != nil {
			t.Fatal(err)
		}
		fill(t, pub, message)
		if held := heldBy(t, pub.Publish(message)); held.Holder != "claim" || held.ID != other.ID() || held.Slot != 1 || held.BehindBytes == 0 {
			t.Errorf("%+v", held)
		}
		claim.Abort()
	})
}

func TestAWaitThatEndsTellsWhoHeldIt(t *testing.T) {
	c := newBus(t, topic.Config{Name: "t", Size: topic.MiB})
	pub, sub := publisher(t, c, "t"), subscribe(t, c, "t")
	message := make([]byte, 1000)
	fill(t, pub, message)
	for name, call := range map[string]func(context.Context) error{
		"PublishWait": func(ctx context.Context) error { return pub.PublishWait(ctx, message) },
		"ClaimWait":   func(ctx context.Context) error { _, err := pub.ClaimWait(ctx, len(message)); return err },
	} {
		for _, strategy := range []bus.IdleStrategy{&bus.Backoff{}, &bus.Sleep{}} {
			pub.SetIdle(strategy)
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
			err := call(ctx)
			cancel()
			wantIs(t, err, context.DeadlineExceeded)
			if held := heldBy(t, err); held.ID != sub.ID() {
				t.Errorf("%s: %+v", name, held)
			}
		}
	}
}

// Who waits for room in the callback of the subscription that leaves none would wait for ever.
func TestWaitingForOneselfIsAnError(t *testing.T) {
	message := make([]byte, 1000)
	for _, mode := range []struct {
		name    string
		options []bus.SubscribeOption
	}{
		{"block", nil}, {"drop", []bus.SubscribeOption{bus.Slow(bus.Drop), bus.Patience(time.Hour)}},
		{"evict", []bus.SubscribeOption{bus.Slow(bus.Evict), bus.Patience(time.Hour)}}, {"group", []bus.SubscribeOption{bus.Group("g")}},
	} {
		for _, strategy := range []bus.IdleStrategy{&bus.Backoff{}, &bus.Sleep{}} {
			t.Run(mode.name, func(t *testing.T) {
				c := newBus(t, topic.Config{Name: "t", Size: topic.MiB})
				other := openDir(t, c.Dir()) // the handles may be of two connections
				pub, sub := publisher(t, other, "t"), subscribe(t, c, "t", mode.options...)
				pub.SetIdle(strategy)
				publish(t, pub, "first")

				// What the callback has handled makes room as it goes; what it has at hand does not.
				var err error
				calls := 0
				var claimed error
				if _, polled := sub.Poll(3, func(bus.Message) error {
					calls++
					for err = nil; err == nil; {
						err = pub.PublishWait(t.Context(), message)
					}
					_, claimed = pub.ClaimWait(t.Context(), len(message))
					return nil
				}); polled != nil {
					t.Fatal(polled)
				}
				if calls != 3 {
					t.Errorf("%d calls", calls)
				}
				for _, err := range []error{err, claimed} {
					wantIs(t, err, bus.ErrSelfBlocked)
					if errors.Is(err, bus.ErrBackPressure) || err == nil || !strings.Contains(err.Error(), sub.ID()) {
						t.Errorf("error %v, want one that names %s and is no ErrBackPressure", err, sub.ID())
					}
				}
				// Without a message at hand the same call waits.
				ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
				defer cancel()
				fill(t, pub, message)
				wantIs(t, pub.PublishWait(ctx, message), context.DeadlineExceeded)
			})
		}
	}
}

// In the body of a loop over Messages it is the same.
func TestWaitingForOneselfInALoop(t *testing.T) {
	c := newBus(t, topic.Config{Name: "t", Size: topic.MiB})
	pub, sub := publisher(t, c, "t"), subscribe(t, c, "t")
	publish(t, pub, "first")
	for _, err := range sub.Messages(t.Context()) {
		for err == nil {
			err = pub.PublishWait(t.Context(), make([]byte, 1000))
		}
		wantIs(t, err, bus.ErrSelfBlocked)
		break
	}
	if _, err := sub.Poll(1<<20, func(bus.Message) error { return nil }); err != nil {
		t.Fatal(err)
	}
	publish(t, pub, "there is room again")
}

// Another goroutine's callback ends by itself: its subscription is waited for.
func TestAnothersCallbackIsWaitedFor(t *testing.T) {
	c := newBus(t, topic.Config{Name: "t", Size: topic.MiB})
	pub, sub := publisher(t, c, "t"), subscribe(t, c, "t")
	message := make([]byte, 1000)
	fill(t, pub, message)
	inside, leave, done := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		_, err := sub.Poll(1<<20, func(bus.Message) error {
			select {
			case <-inside:
			default:
				close(inside)
				<-leave
			}
			return nil
		})
		done <- err
	}()
	<-inside
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
	defer cancel()
	wantIs(t, pub.PublishWait(ctx, message), context.DeadlineExceeded)
	close(leave)
	if err := pub.PublishWait(t.Context(), message); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// idleOnce calls a function when a wait idles for the first time.
type idleOnce struct {
	bus.Yield
	once func()
}

func (i *idleOnce) Idle() {
	if i.once != nil {
		i.once()
		i.once = nil
	}
	i.Yield.Idle()
}

// What the first look at the holder could not tell a later one does, though the holder stands where it stood.
func TestAWaitLooksAgainWhoHoldsIt(t *testing.T) {
	c := newBus(t, topic.Config{Name: "t", Size: topic.MiB})
	pub, sub := publisher(t, c, "t"), subscribe(t, c, "t")
	message := make([]byte, 1000)
	fill(t, pub, message)
	end := func() {}
	pub.SetIdle(&idleOnce{once: func() { end = bus.Begin(sub) }})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second) // the watchdog's
	defer cancel()
	wantIs(t, pub.PublishWait(ctx, message), bus.ErrSelfBlocked)
	end()
}
