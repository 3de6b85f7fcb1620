package bus_test

import (
	"fmt"
	"time"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/codec"
)

// A subscription may begin with what was built since a moment.
func ExampleAt() {
	c, end := exampleBus()
	defer end()
	pub, _ := c.Publisher("market_data")
	defer pub.Close()
	opening := time.Date(2026, 3, 2, 14, 30, 0, 0, time.UTC)
	buf := make([]byte, codec.Size(codec.TradeSize))
	for i := range 4 {
		at := opening.Add(time.Duration(i-2) * time.Second)
		trade := codec.Trade{Price: int64(100 + i), Side: codec.Buy}
		var b codec.Builder
		b.Reset(buf, codec.Header{TimestampNs: uint64(at.UnixNano())})
		trade.AppendTo(&b)
		n, _ := b.Finish()
		_ = pub.Publish(buf[:n])
	}

	sub, _ := c.Subscribe("market_data", bus.From(bus.At(opening)))
	defer sub.Close()
	_, err := sub.Poll(10, func(m bus.Message) error {
		v, err := m.TLV()
		fmt.Println(time.Unix(0, int64(v.TimestampNs())).UTC().Format(time.TimeOnly))
		return err
	})
	fmt.Println(err)
	// Output:
	// 14:30:00
	// 14:30:01
	// <nil>
}
