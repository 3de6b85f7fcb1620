package bus_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/bus/bustest"
	"github.com/mycelium-bus/mycelium/bus/topic"
)

// atOnce sleeps without having spun.
func atOnce() *bus.Sleep { return &bus.Sleep{Spins: -1, Yields: -1, Naps: -1} }

func within(t *testing.T, what string, done <-chan error) error {
	t.Helper()
	select {
	case err := <-done:
		return err
	case <-time.After(time.Minute):
		t.Fatalf("watchdog: %s goes on", what)
		return nil
	}
}

// TestSleepingSubscription has a subscription sleep whenever it has nothing to do: every message comes, in a loop and in a Wait.
func TestSleepingSubscription(t *testing.T) {
	for _, kind := range []topic.Kind{topic.SPSC, topic.MPMC} {
		for _, sleep := range []topic.Sleep{topic.SleepAuto, topic.SleepFence} {
			t.Run(fmt.Sprint(kind, sleep), func(t *testing.T) {
				b := bustest.New(t, topic.Config{Name: "t", Kind: kind, Size: topic.MinSize, Sleep: sleep})
				sub := subscribe(t, b.Dial("reader"), "t", bus.Idle(atOnce()))
				pub := publisher(t, b.Dial("writer"), "t")
				const n = 200
				done := make(chan error, 1)
				go func() {
					i := 0
					for m, err := range sub.Messages(t.Context()) {
						if err != nil {
							done <- err
							return
						}
						if got := string(m.Bytes()); got != fmt.Sprint(i) {
							done <- fmt.Errorf("got %s, want %d", got, i)
							return
						}
						if i++; i == n {
							break
						}
					}
					sub.SetIdle(&bus.Sleep{}) // it may be changed on a live subscription
					done <- sub.Wait(t.Context())
				}()
				for i := range n + 1 {
					if i%10 == 0 {
						time.Sleep(100 * time.Microsecond) // now and then it finds nothing
					}
					publish(t, pub, fmt.Sprint(i))
				}
				if err := within(t, "the subscription", done); err != nil {
					t.Fatal(err)
				}
				if got := fmt.Sprint(poll(t, sub)); got != "[200]" {
					t.Errorf("got %s", got)
				}
			})
		}
	}
}

// TestSleepsEnd tells what else ends a sleep: the context, and the topic's deletion.
func TestSleepsEnd(t *testing.T) {
	b := bustest.New(t, topic.Config{Name: "t", Size: topic.MinSize})
	c := b.Dial("worker")
	sub := subscribe(t, c, "t", bus.Idle(atOnce()))
	pub := publisher(t, c, "t")
	pub.SetIdle(atOnce())
	fill(t, pub, make([]byte, 1000))
	other := subscribe(t, c, "t", bus.Idle(atOnce()))
	done := make(chan error)
	for name, wait := range map[string]func(ctx context.Context) error{
		"Wait":        other.Wait,
		"PublishWait": func(ctx context.Context) error { return pub.PublishWait(ctx, make([]byte, 1000)) },
		"ClaimWait":   func(ctx context.Context) error { _, err := pub.ClaimWait(ctx, 1000); return err },
		"WaitAny":     func(ctx context.Context) error { _, err := bus.WaitAny(ctx, other); return err },
	} {
		ctx, cancel := context.WithCancel(t.Context())
		go func() { done <- wait(ctx) }()
		time.AfterFunc(time.Millisecond, cancel)
		if err := within(t, name, done); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
	}
	go func() { done <- pub.PublishWait(t.Context(), make([]byte, 1000)) }()
	for i := 0; ; i++ { // the publisher comes out when the subscription has made room
		if got := poll(t, sub); len(got) > 0 {
			break
		}
	}
	if err := within(t, "PublishWait", done); err != nil {
		t.Error(err)
	}
	poll(t, other)
	go func() { done <- other.Wait(t.Context()) }()
	if err := b.Dial("admin").DeleteTopic(t.Context(), "t"); err != nil {
		t.Fatal(err)
	}
	if err := within(t, "Wait", done); err != nil {
		wantIs(t, err, bus.ErrClosed)
	}
}

// TestWaitAny waits for whichever of several topics has something, and prefers none of those that do.
func TestWaitAny(t *testing.T) {
	c := newBus(t)
	var pubs []*bus.Publisher
	var subs []*bus.Subscription
	which := map[*bus.Subscription]int{}
	for i := range 3 {
		name := fmt.Sprint("t", i)
		if err := c.CreateTopic(t.Context(), topic.Config{Name: name, Size: topic.MinSize}); err != nil {
			t.Fatal(err)
		}
		subs = append(subs, subscribe(t, c, name))
		pubs = append(pubs, publisher(t, c, name))
		which[subs[i]] = i
	}
	for i, pub := range pubs {
		done := make(chan error)
		var got *bus.Subscription
		go func() {
			var err error
			got, err = bus.WaitAny(t.Context(), subs...)
			done <- err
		}()
		publish(t, pub, "here")
		if err := within(t, "WaitAny", done); err != nil || got != subs[i] {
			t.Fatalf("message in topic %d: subscription %v, %v", i, which[got], err)
		}
		poll(t, got)
	}
	for _, pub := range pubs {
		publish(t, pub, "always something")
	}
	chosen := map[*bus.Subscription]int{}
	for range 300 {
		s, err := bus.WaitAny(t.Context(), subs...)
		if err != nil {
			t.Fatal(err)
		}
		chosen[s]++
	}
	if len(chosen) != len(subs) {
		t.Errorf("%d of %d subscriptions were ever chosen", len(chosen), len(subs))
	}
	_, err := bus.WaitAny(t.Context())
	wantIs(t, err, bus.ErrInvalid)
	_, err = bus.WaitAny(t.Context(), make([]*bus.Subscription, 128)...)
	wantIs(t, err, bus.ErrInvalid)
	if err := subs[1].Close(); err != nil {
		t.Fatal(err)
	}
	poll(t, subs[0])
	poll(t, subs[2])
	s, err := bus.WaitAny(t.Context(), subs...)
	wantIs(t, err, bus.ErrClosed)
	if s != subs[1] {
		t.Error("the closed subscription is not the one that is returned")
	}
}
