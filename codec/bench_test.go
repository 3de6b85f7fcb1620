package codec_test

import (
	"testing"

	"github.com/mycelium-bus/mycelium/codec"
)

var (
	benchTrade = codec.Trade{
		Instrument: codec.Instrument{AssetID: codec.SymbolAsset("BTC"), VenueID: codec.VenueKraken, AssetType: codec.AssetCoin},
		Price:      45_000_00000000, Volume: 50_000_000, ExecutionTimestampNs: 1_700_000_000_000_000_000, Side: codec.Buy,
	}
	benchHeader = codec.Header{
		Domain: codec.DomainMarketData, Source: codec.SourceKrakenCollector, Sequence: 1, TimestampNs: 1_700_000_000_000_001_000,
	}
	benchSwap = codec.PoolSwap{AmountIn: codec.Uint128{Lo: 1e18}, BlockNumber: 62_000_000, Venue: codec.VenuePolygon}
)

func BenchmarkBuildTrade(b *testing.B) {
	for _, checksum := range []bool{false, true} {
		b.Run(checksumName(checksum), func(b *testing.B) {
			buf := make([]byte, codec.Size(codec.TradeSize))
			h, t := benchHeader, benchTrade
			b.SetBytes(int64(len(buf)))
			b.ReportAllocs()
			for b.Loop() {
				h.Sequence++
				t.Price++
				var bd codec.Builder
				bd.Reset(buf, h)
				t.AppendTo(&bd)
				var err error
				if checksum {
					_, err = bd.Finish()
				} else {
					_, err = bd.FinishUnchecked()
				}
				if err != nil {
					b.Fatal(err)
				}
			}
			reportRate(b)
		})
	}
}

func BenchmarkParseTrade(b *testing.B) {
	for _, checksum := range []bool{false, true} {
		b.Run(checksumName(checksum), func(b *testing.B) {
			buf := make([]byte, codec.Size(codec.TradeSize))
			var bd codec.Builder
			bd.Reset(buf, benchHeader)
			benchTrade.AppendTo(&bd)
			finish := bd.FinishUnchecked
			if checksum {
				finish = bd.Finish
			}
			if _, err := finish(); err != nil {
				b.Fatal(err)
			}
			var sum int64
			var trade codec.Trade
			b.SetBytes(int64(len(buf)))
			b.ReportAllocs()
			for b.Loop() {
				m, err := codec.Parse(buf)
				if err != nil {
					b.Fatal(err)
				}
				if checksum {
					if err := m.VerifyChecksum(); err != nil {
						b.Fatal(err)
					}
				}
				h := m.Header()
				sum += int64(h.Sequence)
				for t, value := range m.TLVs() {
					if t == codec.TypeTrade {
						if err := trade.Decode(value); err != nil {
							b.Fatal(err)
						}
						sum += trade.Price
					}
				}
			}
			if sum == 0 {
				b.Fatal("nothing was read")
			}
			reportRate(b)
		})
	}
}

// A swap as adapters send it, with its place on the chain.
func BenchmarkBuildSwap(b *testing.B) {
	buf := make([]byte, codec.Size(codec.PoolSwapSize, codec.EventPositionSize))
	h, swap, place := benchHeader, benchSwap, codec.EventPosition{BlockNumber: 62_000_000}
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		h.Sequence++
		place.LogIndex++
		var bd codec.Builder
		bd.Reset(buf, h)
		swap.AppendTo(&bd)
		place.AppendTo(&bd)
		if _, err := bd.FinishUnchecked(); err != nil {
			b.Fatal(err)
		}
	}
	reportRate(b)
}

func BenchmarkParseSwap(b *testing.B) {
	buf := make([]byte, codec.Size(codec.PoolSwapSize, codec.EventPositionSize))
	var bd codec.Builder
	bd.Reset(buf, benchHeader)
	swap, place := benchSwap, codec.EventPosition{BlockNumber: 62_000_000}
	swap.AppendTo(&bd)
	place.AppendTo(&bd)
	if _, err := bd.FinishUnchecked(); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	var sum uint64
	for b.Loop() {
		m, err := codec.Parse(buf)
		if err != nil {
			b.Fatal(err)
		}
		for t, value := range m.TLVs() {
			switch t {
			case codec.TypePoolSwap:
				err = swap.Decode(value)
			case codec.TypeEventPosition:
				err = place.Decode(value)
			}
			if err != nil {
				b.Fatal(err)
			}
		}
		sum += swap.AmountIn.Lo + place.BlockNumber
	}
	if sum == 0 {
		b.Fatal("nothing was read")
	}
	reportRate(b)
}

// The lenient rules on a Trade, on top of parsing.
func BenchmarkCheckTrade(b *testing.B) {
	buf := make([]byte, codec.Size(codec.TradeSize))
	var bd codec.Builder
	bd.Reset(buf, benchHeader)
	benchTrade.AppendTo(&bd)
	if _, err := bd.FinishUnchecked(); err != nil {
		b.Fatal(err)
	}
	v := codec.NewValidator(codec.RulesFor(codec.ProfileLenient, codec.DomainMarketData))
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		m, err := codec.Parse(buf)
		if err == nil {
			err = v.Check(m, 0)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	reportRate(b)
}

func checksumName(on bool) string {
	if on {
		return "checksum=yes"
	}
	return "checksum=no"
}

func reportRate(b *testing.B) {
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds()/1e6, "Mmsg/s")
}
