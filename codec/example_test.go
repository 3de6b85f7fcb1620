package codec_test

import (
	"fmt"

	"github.com/mycelium-bus/mycelium/codec"
)

func ExampleBuilder() {
	trade := codec.Trade{
		Instrument: codec.Instrument{AssetID: codec.SymbolAsset("BTC"), VenueID: codec.VenueKraken, AssetType: codec.AssetCoin},
		Price:      45_000_50000000, // 1e-8
		Volume:     25_000_000,
		Side:       codec.Buy,
	}
	buf := make([]byte, codec.Size(codec.TradeSize)) // or a claim on a ring

	var b codec.Builder
	b.Reset(buf, codec.Header{Domain: codec.DomainMarketData, Source: codec.SourceKrakenCollector, Sequence: 1})
	trade.AppendTo(&b)
	n, err := b.Finish()
	fmt.Println(n, err)
	// Output: 74 <nil>
}

func ExampleMessage_TLVs() {
	buf := make([]byte, 512)
	var b codec.Builder
	b.Reset(buf, codec.Header{Domain: codec.DomainMarketData, Source: codec.SourcePolygonCollector})
	swap := codec.PoolSwap{AmountIn: codec.Uint128{Lo: 1e18}, AmountOut: codec.Uint128{Lo: 2_500_000_000}}
	swap.AppendTo(&b)
	b.Append(150, []byte("nobody knows this type"))
	place := codec.EventPosition{BlockNumber: 62_000_000, LogIndex: 17}
	place.AppendTo(&b)
	n, _ := b.Finish()

	m, err := codec.Parse(buf[:n])
	if err != nil {
		fmt.Println(err)
		return
	}
	for t, value := range m.TLVs() {
		switch t {
		case codec.TypePoolSwap:
			err = swap.Decode(value)
			fmt.Println("swap of", swap.AmountIn, "for", swap.AmountOut, err)
		case codec.TypeEventPosition:
			err = place.Decode(value)
			fmt.Println("at log", place.LogIndex, err)
		default:
			fmt.Println("type", t, "of", len(value), "bytes")
		}
	}
	// Output:
	// swap of 1000000000000000000 for 2500000000 <nil>
	// type 150 of 22 bytes
	// at log 17 <nil>
}

func ExampleFieldsOf() {
	value := make([]byte, codec.TradeSize)
	trade := codec.Trade{
		Instrument: codec.Instrument{AssetID: codec.SymbolAsset("BTC"), VenueID: codec.VenueKraken, AssetType: codec.AssetCoin},
		Price:      45_000_50000000, Volume: 25_000_000, Side: codec.Sell,
	}
	trade.Encode(value)

	fields, err := codec.FieldsOf(codec.TypeTrade, value)
	fmt.Println(fields, err)
	// Output: asset_id=BTC price=45000.5 volume=0.25 execution_timestamp_ns=0 venue_id=Kraken asset_type=Coin reserved=0 side=sell <nil>
}

func ExampleSplit() {
	buf := make([]byte, 256)
	var b codec.Builder
	b.Reset(buf, codec.Header{})
	b.Append(codec.TypeText, []byte("hello"))
	n, _ := b.Finish()

	stream := append([]byte("noise"), buf[:n]...)
	skip, size := codec.Split(stream, 65536)
	fmt.Println(skip, size)
	// Output: 5 39
}
