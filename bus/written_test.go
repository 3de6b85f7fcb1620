package bus_test

import (
	"testing"
	"time"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/bus/topic"
	"github.com/mycelium-bus/mycelium/codec"
)

func TestWhenMessagesWereMade(t *testing.T) {
	c := newBus(t, topic.Config{Name: "t", Size: topic.MiB})
	pub := publisher(t, c, "t")
	info, err := c.Inspect(t.Context(), "t")
	if err != nil {
		t.Fatal(err)
	}
	first := info.Tail
	made := time.Unix(1700000000, 123)
	buf := make([]byte, codec.Size(3))
	var b codec.Builder
	b.Reset(buf, codec.Header{TimestampNs: uint64(made.UnixNano())})
	b.Append(codec.TypeText, []byte("one"))
	if _, err := b.Finish(); err != nil {
		t.Fatal(err)
	}
	if err := pub.Publish(buf); err != nil {
		t.Fatal(err)
	}
	second := first + uint64((16+len(buf)+15)&^15)
	publish(t, pub, "no TLV message")
	info, err = c.Inspect(t.Context(), "t")
	if err != nil {
		t.Fatal(err)
	}
	times, err := c.Written(t.Context(), "t", first, second, info.Tail, first+1, info.Tail+1<<30)
	if err != nil || len(times) != 5 || !times[0].Equal(made) {
		t.Fatalf("%v, %v, want %v first", times, err, made)
	}
	for i, at := range times[1:] {
		if !at.IsZero() {
			t.Errorf("position %d: %v, want none", i+1, at)
		}
	}
	_, err = c.Written(t.Context(), "none", 1)
	wantIs(t, err, bus.ErrNoTopic)
}
