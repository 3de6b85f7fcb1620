package bus

import (
	"errors"
	"testing"

	"github.com/mycelium-bus/mycelium/bus/topic"
	"github.com/mycelium-bus/mycelium/codec"
	"github.com/mycelium-bus/mycelium/internal/leak"
)

// A call that learns of an eviction between its first look and its last one closes the subscription as one that knew it at once does: who
// heard ErrEvicted may never call again.
func TestWhoIsToldAmidACallHasLeft(t *testing.T) {
	for name, options := range map[string][]SubscribeOption{
		"in order": nil, "filtered": {Filter(Types(codec.TypeTrade))}, "the latest": {Latest()}, "a member of a group": {Group("g")},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := OpenDir(leak.ShmDir(t), Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if err := c.CreateTopic(t.Context(), topic.Config{Name: "t", Size: topic.MiB}); err != nil {
				t.Fatal(err)
			}
			s, err := c.Subscribe("t", options...)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			s.topic.finish(&ending{err: ErrEvicted, evicted: true}) // after Poll looked
			n, err := s.pollKind(1, func(Message) error { return nil })
			if n != 0 || !errors.Is(err, ErrEvicted) {
				t.Errorf("%d messages, %v", n, err)
			}
			if info, err := s.topic.ring.Inspect(); err != nil || len(info.Consumers) != 0 {
				t.Errorf("%v, %v: want no slot", info.Consumers, err)
			}
		})
	}
}
