package bus_test

import (
	"testing"
	"time"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/bus/topic"
	"github.com/mycelium-bus/mycelium/codec"
)

// One goroutine publishes 1,000 messages of 64 bytes, then polls them: what the calls cost without another core.
func BenchmarkPublishAndPoll(b *testing.B) {
	const burst = 1000
	message := make([]byte, 64)
	for _, kind := range []topic.Kind{topic.SPSC, topic.MPMC} {
		for _, call := range []struct {
			name    string
			publish func(*bus.Publisher) error
		}{
			{"publish", func(p *bus.Publisher) error { return p.Publish(message) }},
			{"claim", func(p *bus.Publisher) error {
				c, err := p.Claim(64)
				if err != nil {
					return err
				}
				copy(c.Bytes(), message)
				return c.Commit(64)
			}},
			{"write", func(p *bus.Publisher) error {
				return p.Write(64, func(b []byte) (int, error) { return copy(b, message), nil })
			}},
		} {
			b.Run("kind="+kind.String()+"/call="+call.name, func(b *testing.B) {
				c := newBus(b, topic.Config{Name: "t", Kind: kind, Size: topic.MiB})
				pub, sub := publisher(b, c, "t"), subscribe(b, c, "t")
				sum := 0
				handle := func(m bus.Message) error { sum += len(m.Bytes()); return nil }
				b.SetBytes(64)
				n := 0
				for b.Loop() {
					if err := call.publish(pub); err != nil {
						b.Fatal(err)
					}
					if n++; n%burst == 0 {
						if got, err := sub.Poll(burst, handle); got != burst || err != nil {
							b.Fatal(got, err)
						}
					}
				}
			})
		}
	}
}

// Poll alone: the same messages again and again, by subscriptions that begin at the oldest.
func BenchmarkPoll(b *testing.B) {
	for _, mode := range []struct {
		name    string
		options []bus.SubscribeOption
	}{{"block", nil}, {"lossy", []bus.SubscribeOption{bus.Lossy()}}, {"group", []bus.SubscribeOption{bus.Group("g")}}} {
		b.Run("mode="+mode.name, func(b *testing.B) {
			c := newBus(b, topic.Config{Name: "t", Size: topic.MiB})
			pub := publisher(b, c, "t")
			sum, left := 0, 0
			handle := func(m bus.Message) error { sum += len(m.Bytes()); return nil }
			sub := subscribe(b, c, "t", mode.options...)
			b.SetBytes(64)
			for b.Loop() {
				if left == 0 {
					b.StopTimer()
					for ; left < 5000; left++ {
						if err := pub.Publish(make([]byte, 64)); err != nil {
							b.Fatal(err)
						}
					}
					b.StartTimer()
					if n, err := sub.Poll(left, handle); n != left || err != nil {
						b.Fatal(n, err)
					}
				}
				left--
			}
		})
	}
}

// Subscribing at a time that the newest message of a full ring alone has: what the scan costs a message.
func BenchmarkAt(b *testing.B) {
	c := newBus(b, topic.Config{Name: "t", Size: 16 * topic.MiB})
	pub := publisher(b, c, "t")
	n := 16 << 20 / bus.FrameSize(codec.Size(40))
	for i := range n {
		if err := pub.Publish(stamped(b, uint64(i+1), "12345678901234567890123456789012345678")); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		sub, err := c.Subscribe("t", bus.At(time.Unix(0, int64(n))))
		if err != nil {
			b.Fatal(err)
		}
		sub.Close()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n)*4/3, "ns/message") // a quarter of the ring is not safe to begin in
}

// One message a Poll: what a call costs beside its messages.
func BenchmarkPollOne(b *testing.B) {
	c := newBus(b, topic.Config{Name: "t", Kind: topic.SPSC, Size: topic.MiB})
	pub, sub := publisher(b, c, "t"), subscribe(b, c, "t")
	message := make([]byte, 64)
	handle := func(bus.Message) error { return nil }
	for b.Loop() {
		if err := pub.Publish(message); err != nil {
			b.Fatal(err)
		}
		if n, err := sub.Poll(1, handle); n != 1 || err != nil {
			b.Fatal(n, err)
		}
	}
}
