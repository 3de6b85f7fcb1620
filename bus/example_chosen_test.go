package bus_test

import (
	"fmt"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/codec"
)

// publishTrades publishes a trade of each instrument.
func publishTrades(pub *bus.Publisher, symbols ...string) {
	buf := make([]byte, codec.Size(codec.TradeSize))
	for _, symbol := range symbols {
		trade := codec.Trade{Side: codec.Buy, Instrument: codec.Instrument{AssetID: codec.SymbolAsset(symbol), VenueID: codec.VenueKraken}}
		var b codec.Builder
		b.Reset(buf, codec.Header{Source: codec.SourceKrakenCollector})
		trade.AppendTo(&b)
		n, _ := b.Finish()
		_ = pub.Publish(buf[:n])
	}
}

// symbolOf names what a trade is of.
func symbolOf(m bus.Message) (symbol string) {
	v, _ := m.TLV()
	for t, value := range v.TLVs() {
		if in, ok := codec.InstrumentAt(t, value, 0); ok {
			symbol, _ = codec.AssetSymbol(in.AssetID)
		}
	}
	return symbol
}

// A filter hands out the messages that are wanted; the others are passed over and counted.
func ExampleFilter() {
	c, end := exampleBus()
	defer end()
	btc := codec.Instrument{AssetID: codec.SymbolAsset("BTC"), VenueID: codec.VenueKraken}
	sub, _ := c.Subscribe("market_data", bus.Filter(bus.Types(codec.TypeTrade), bus.Instruments(btc)))
	defer sub.Close()
	pub, _ := c.Publisher("market_data")
	defer pub.Close()
	publishTrades(pub, "ETH", "BTC", "SOL")

	_, err := sub.Poll(10, func(m bus.Message) error {
		fmt.Println(symbolOf(m))
		return nil
	})
	stats, _ := sub.Stats()
	fmt.Println(stats.Messages, stats.Skipped, err)
	// Output:
	// BTC
	// 1 2 <nil>
}

// Who shows a state wants the newest message only.
func ExampleLatest() {
	c, end := exampleBus()
	defer end()
	pub, _ := c.Publisher("market_data")
	defer pub.Close()
	publishTrades(pub, "ETH", "BTC", "SOL")

	sub, _ := c.Subscribe("market_data", bus.Latest())
	defer sub.Close()
	n, err := sub.Poll(10, func(m bus.Message) error {
		fmt.Println(symbolOf(m))
		return nil
	})
	fmt.Println(n, err)
	// Output:
	// SOL
	// 1 <nil>
}

// A subscription that holds nobody up may read in place, if it asks afterwards whether what it read was whole.
func ExampleInPlace() {
	c, end := exampleBus()
	defer end()
	sub, _ := c.Subscribe("market_data", bus.Lossy(), bus.InPlace())
	defer sub.Close()
	pub, _ := c.Publisher("market_data")
	defer pub.Close()
	publishTrades(pub, "BTC")

	_, err := sub.Poll(10, func(m bus.Message) error {
		symbol := symbolOf(m)
		if !m.Intact() {
			return nil // it was overwritten meanwhile: Poll tells what was missed
		}
		fmt.Println(symbol)
		return nil
	})
	fmt.Println(err)
	// Output:
	// BTC
	// <nil>
}
