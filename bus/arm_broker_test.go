package bus_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/bus/bustest"
	"github.com/mycelium-bus/mycelium/bus/topic"
)

// A loop over epoll goes on by wakes alone while the broker is dead, and when it is back.
func TestEpollLoopWithoutTheBroker(t *testing.T) {
	bus.SleepUntilWoken(t)
	b := bustest.New(t, topic.Config{Name: "t", Size: topic.MiB})
	pub, sub := publisher(t, b.Dial("feed"), "t"), subscribe(t, b.Dial("loop"), "t")
	p := newEpoll(t)
	p.add(sub)
	arm(t, sub)
	got := 0
	round := func() {
		t.Helper()
		publish(t, pub, fmt.Sprint(got))
		p.ready(time.Minute)
		for _, m := range poll(t, sub) {
			if m != fmt.Sprint(got) {
				t.Fatalf("message %s, want %d", m, got)
			}
			got++
		}
		arm(t, sub)
	}
	for range 3 {
		for range 50 {
			round()
		}
		b.StopBroker()
		for range 50 {
			round()
		}
		b.StartBroker()
	}
	for range 50 {
		round()
	}
	if got != 350 {
		t.Errorf("%d messages", got)
	}
}

// A subscription that goes on with a topic that was made again is armed for that one.
func TestEpollLoopOverATopicThatIsMadeAgain(t *testing.T) {
	b := bustest.New(t, topic.Config{Name: "t", Size: topic.MiB})
	admin, sub := b.Dial("admin"), subscribe(t, b.Dial("loop"), "t")
	p := newEpoll(t)
	p.add(sub)
	arm(t, sub)
	if err := admin.DeleteTopic(t.Context(), "t"); err != nil {
		t.Fatal(err)
	}
	if err := admin.CreateTopic(t.Context(), topic.Config{Name: "t", Size: topic.MiB}); err != nil {
		t.Fatal(err)
	}
	pub := publisher(t, admin, "t")
	publish(t, pub, "again")
	again := false
	for done := false; !done; {
		p.ready(time.Minute)
		_, err := sub.Poll(10, func(m bus.Message) error {
			done = string(m.Bytes()) == "again"
			return nil
		})
		if _, ok := errors.AsType[*bus.RecreatedError](err); ok {
			again = true
		} else if err != nil {
			wantIs(t, err, bus.ErrClosed)
		}
		arm(t, sub)
	}
	if !again {
		t.Error("it was not told that the topic is another one")
	}
}
