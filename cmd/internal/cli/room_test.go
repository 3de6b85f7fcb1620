package cli

import (
	"context"
	"errors"
	"testing"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/bus/topic"
	"github.com/mycelium-bus/mycelium/internal/leak"
)

func TestWhoWaitsForRoomSaysSo(t *testing.T) {
	conn, err := bus.OpenDir(leak.ShmDir(t), bus.Options{Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.CreateTopic(t.Context(), topic.Config{Name: "full", Size: topic.MinSize}); err != nil {
		t.Fatal(err)
	}
	sub, err := conn.Subscribe("full", bus.Slow(bus.Block)) // and never polls
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	pub, err := conn.Publisher("full")
	if err != nil {
		t.Fatal(err)
	}
	defer pub.Close()
	ctx, cancel := context.WithCancel(t.Context())
	publish := PublishWait(ctx, pub, 1, cancel) // what it tells ends the waiting
	published := 0
	for err == nil {
		if err = publish(make([]byte, 1000)); err == nil {
			published++
		}
	}
	if !errors.Is(err, context.Canceled) || published == 0 {
		t.Errorf("%v after %d messages", err, published)
	}
}
