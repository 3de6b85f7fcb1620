package bus_test

import (
	"fmt"
	"testing"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/bus/bustest"
	"github.com/mycelium-bus/mycelium/bus/topic"
)

// A client with more slots than its session queues messages is asked to leave all of them.
func TestAClientOfManyTopicsIsAskedToLeave(t *testing.T) {
	const n = 150
	var topics []topic.Config
	for i := range n {
		topics = append(topics, topic.Config{Name: fmt.Sprint("t", i), Size: topic.MinSize})
	}
	b := bustest.New(t, topics...)
	admin, victim := b.Dial("admin"), b.Dial("victim")
	var subs []*bus.Subscription
	for i := range n {
		subs = append(subs, subscribe(t, victim, fmt.Sprint("t", i)))
	}
	evict(t, admin, "victim", bus.EvictOptions{})
	for i, s := range subs {
		eventually(t, fmt.Sprintf("the end of subscription %d", i), func() bool {
			_, err := s.Poll(1, func(bus.Message) error { return nil })
			return err != nil
		})
	}
	if n := slotsOf(t, admin, "victim"); n != 0 {
		t.Errorf("%d slots are left", n)
	}
}
