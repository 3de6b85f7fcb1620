package bus

import (
	"errors"
	"testing"

	"github.com/mycelium-bus/mycelium/bus/topic"
	"github.com/mycelium-bus/mycelium/internal/leak"
)

// A topic that was made again may refuse a subscription of the old one: that is an error, for the next round to try once more.
func TestAttachingAgainIsRefused(t *testing.T) {
	c, err := OpenDir(leak.ShmDir(t), Options{Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.CreateTopic(t.Context(), topic.Config{Name: "t", Kind: topic.SPSC, Size: topic.MinSize}); err != nil {
		t.Fatal(err)
	}
	first, err := c.Subscribe("t")
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	if h, err := c.again(t.Context(), "t", subscribeOptions{}); h != nil || !errors.Is(err, ErrInUse) {
		t.Errorf("attached again: %v, %v", h, err)
	}
}
