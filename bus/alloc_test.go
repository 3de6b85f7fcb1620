package bus_test

import (
	"testing"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/bus/topic"
	"github.com/mycelium-bus/mycelium/codec"
)

func TestNothingAllocates(t *testing.T) {
	types, err := topic.ParseTypes("1-19")
	if err != nil {
		t.Fatal(err)
	}
	var b codec.Builder
	message := make([]byte, codec.Size(40))
	b.Reset(message, codec.Header{})
	b.Append(1, make([]byte, 40))
	if _, err := b.Finish(); err != nil {
		t.Fatal(err)
	}
	for _, config := range []topic.Config{
		{Name: "spsc", Kind: topic.SPSC, Size: topic.MiB}, {Name: "mpmc", Size: topic.MiB},
		{Name: "typed", Size: topic.MiB, Types: types, Checksum: topic.ChecksumRequire},
	} {
		c := newBus(t, config)
		pub, sub := publisher(t, c, config.Name), subscribe(t, c, config.Name)
		readers := []*bus.Subscription{sub, subscribe(t, c, config.Name, bus.Lossy()), subscribe(t, c, config.Name, bus.Latest()),
			subscribe(t, c, config.Name, bus.Lossy(), bus.Filter(bus.Types(1), bus.Instruments(btc), bus.Pools(pool))),
			subscribe(t, c, config.Name, bus.Latest(), bus.Filter(bus.Types(1))), subscribe(t, c, config.Name, bus.Lossy(), bus.InPlace())}
		sum := 0
		handle := func(m bus.Message) error {
			if sum += len(m.Bytes()); !m.Intact() {
				sum = 0
			}
			return nil
		}
		fill := func(b []byte) (int, error) { return copy(b, message), nil }
		must := func(err error) {
			if err != nil {
				t.Fatal(err)
			}
		}
		for name, f := range map[string]func(){
			"Publish":     func() { must(pub.Publish(message)) },
			"PublishWait": func() { must(pub.PublishWait(t.Context(), message)) },
			"Write":       func() { must(pub.Write(len(message), fill)) },
			"Claim and Commit": func() {
				cl, err := pub.Claim(len(message))
				must(err)
				must(cl.Commit(copy(cl.Bytes(), message)))
			},
			"Claim and Abort": func() {
				cl, err := pub.Claim(len(message))
				must(err)
				cl.Abort()
			},
			"Batch": func() {
				batch, err := pub.Batch(2 * bus.FrameSize(len(message)))
				must(err)
				for range 2 {
					b, err := batch.Next(len(message))
					must(err)
					copy(b, message)
				}
				must(batch.Commit())
			},
		} {
			t.Run(config.Name+": "+name, func(t *testing.T) {
				got := testing.AllocsPerRun(100, func() {
					f()
					for _, s := range readers {
						_, err := s.Poll(10, handle)
						must(err)
					}
				})
				if got != 0 {
					t.Errorf("%v allocations", got)
				}
			})
		}
	}
}
