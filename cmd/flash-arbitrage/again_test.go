package main

import (
	"bytes"
	"errors"
	"testing"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/bus/bustest"
	"github.com/mycelium-bus/mycelium/bus/topic"
)

// A market that was deleted and made again is gone on with, and what is in the new topic was published since.
func TestAFeedGoesOnWithATopicThatIsMadeAgain(t *testing.T) {
	config := topic.Config{Name: "market_data", Size: topic.MiB}
	b := bustest.New(t, config)
	admin := b.Dial("admin")
	sub, err := b.Dial("worker").Subscribe("market_data", bus.From(bus.Oldest), bus.Slow(bus.Block))
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	var stderr bytes.Buffer
	f := &feed{sub, 1 << 40, &stderr}
	if err := errors.Join(admin.DeleteTopic(t.Context(), "market_data"), admin.CreateTopic(t.Context(), config)); err != nil {
		t.Fatal(err)
	}
	pub, err := admin.Publisher("market_data")
	if err == nil {
		err = pub.Publish([]byte("new"))
	}
	if err != nil {
		t.Fatal(err)
	}
	defer pub.Close()
	for got := ""; got == ""; {
		_, err := f.Poll(1, func(m []byte, since bool) error {
			if got = string(m); got != "new" || !since {
				t.Errorf("got %q, since the start: %v", got, since)
			}
			return nil
		})
		if err != nil && !errors.Is(err, bus.ErrClosed) || t.Context().Err() != nil { // it may not be there again yet
			t.Fatal(err)
		}
	}
	const want = "flash-arbitrage: note: topic market_data was deleted and made again: what lay between is lost\n"
	if stderr.String() != want {
		t.Errorf("it says %q, want %q", &stderr, want)
	}
}

// A message that a publisher did not publish because its topic was made again is published there.
func TestASignalGoesToTheTopicThatIsMadeAgain(t *testing.T) {
	var stderr bytes.Buffer
	calls := 0
	publish := again(&stderr, func(message []byte) error {
		if calls++; calls == 1 {
			return &bus.RecreatedError{Topic: "signals"}
		}
		if string(message) != "signal" {
			t.Errorf("got %q", message)
		}
		return bus.ErrTooLarge
	})
	if err := publish([]byte("signal")); err != bus.ErrTooLarge || calls != 2 {
		t.Errorf("%v after %d calls", err, calls)
	}
	if want := "flash-arbitrage: note: topic signals was deleted and made again: what lay between is lost\n"; stderr.String() != want {
		t.Errorf("it says %q, want %q", &stderr, want)
	}
}
