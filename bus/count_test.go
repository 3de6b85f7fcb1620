package bus_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/bus/topic"
)

func TestCountMessages(t *testing.T) {
	for _, kind := range []topic.Kind{topic.SPMC, topic.MPMC} {
		t.Run(kind.String(), func(t *testing.T) {
			c := newBus(t, topic.Config{Name: "t", Kind: kind, Size: topic.MiB})
			pub, sub := publisher(t, c, "t"), subscribe(t, c, "t")
			begin := sub.Position()
			for i := range 100 {
				publish(t, pub, fmt.Sprintf("%0*d", 1+i*7, i))
			}
			var at []uint64
			sub.Poll(100, func(m bus.Message) error { at = append(at, m.Position()); return nil })
			end := sub.Position()
			got, err := c.CountMessages(t.Context(), "t", end, at[50], begin, end, at[99], at[50]+8, at[50])
			if want := []int64{50, 100, 0, 1, -1, 50}; err != nil || !slices.Equal(got, want) {
				t.Errorf("%v, %v, want %v", got, err, want)
			}
			if got, err := c.CountMessages(t.Context(), "t", at[70], at[50]); err != nil || got[0] != 20 {
				t.Errorf("up to an earlier end: %v, %v", got, err)
			}
			for range 3000 {
				publish(t, pub, string(make([]byte, 1000)))
				poll(t, sub)
			}
			if got, err := c.CountMessages(t.Context(), "t", sub.Position(), begin); err != nil || got[0] != -1 {
				t.Errorf("from an overwritten position: %v, %v", got, err)
			}
		})
	}
	c := newBus(t)
	_, err := c.CountMessages(t.Context(), "none", 0)
	wantIs(t, err, bus.ErrNoTopic)
}
