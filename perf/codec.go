package perf

import (
	"context"
	"fmt"
	"runtime"

	"github.com/mycelium-bus/mycelium/codec"
)

// CodecOptions say what [Codec] measures. The zero value is good.
type CodecOptions struct {
	Count  int // messages of each measurement; default 5 million; a tenth more warms up before
	Repeat int // of each measurement; the median is reported; default 3
	CPU    int // to which the process pins itself; Unpinned for none
}

// CodecReport is what the codec does in one thread.
type CodecReport struct {
	Verb  string `json:"verb"`
	Count int    `json:"count"`
	CPU   int    `json:"pinned_to"` // -1: to none
	Machine
	Results []CodecResult `json:"results"`
}

// CodecResult is one measurement.
type CodecResult struct {
	Message          string  `json:"message"` // Trade or PoolSwap
	Operation        string  `json:"operation"`
	Checksum         bool    `json:"checksum"` // computed, or verified
	Bytes            int     `json:"bytes"`    // of one message
	MessagesPerS     float64 `json:"messages_per_s"`
	NsPerMessage     float64 `json:"ns_per_message"`
	AllocsPerMessage float64 `json:"allocs_per_message"`
	Spread           Spread  `json:"messages_per_s_spread"`
}

// Codec builds and parses messages of package codec in a loop, each different from the one before; what was parsed is
// compared with what was built. It blocks, pins the whole process, and leaves it pinned.
func Codec(ctx context.Context, o CodecOptions) (*CodecReport, error) {
	setDefault(&o.Count, 5_000_000)
	setDefault(&o.Repeat, 3)
	if o.Count < 1 || o.Repeat < 1 {
		return nil, fmt.Errorf("%w: count %d and repeat %d: want at least 1 of each", ErrOptions, o.Count, o.Repeat)
	}
	if o.CPU != Unpinned {
		if err := pin(o.CPU); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrCPUs, err)
		}
	}
	r := &CodecReport{Verb: "codec", Count: o.Count, CPU: o.CPU, Machine: machine()}
	for _, checksum := range []bool{false, true} {
		for _, c := range []codecCase{tradeCase(checksum), swapCase(checksum)} {
			for _, op := range []struct {
				name string
				do   func(n int) error
			}{{"build", c.build}, {"parse", c.parse}} {
				res := CodecResult{Message: c.name, Operation: op.name, Checksum: checksum, Bytes: c.bytes}
				if err := res.measure(ctx, o, op.do); err != nil {
					return nil, fmt.Errorf("%s %s: %w", op.name, c.name, err)
				}
				r.Results = append(r.Results, res)
			}
		}
	}
	return r, nil
}

func (r *CodecResult) measure(ctx context.Context, o CodecOptions, do func(n int) error) error {
	if err := do(max(1, o.Count/10)); err != nil {
		return err
	}
	var rates []float64
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range o.Repeat {
		start := now()
		if err := do(o.Count); err != nil {
			return err
		}
		rates = append(rates, float64(o.Count)/max(1, float64(now()-start))*1e9)
		if err := context.Cause(ctx); err != nil {
			return err
		}
	}
	runtime.ReadMemStats(&after)
	r.Spread = spreadOf(rates, func(rate *float64) *float64 { return rate })
	r.MessagesPerS = r.Spread.Median
	r.NsPerMessage = ratio(1e9, r.MessagesPerS)
	// Whole allocations only: the runtime makes a few of its own now and then.
	r.AllocsPerMessage = float64((after.Mallocs - before.Mallocs) / uint64(o.Count*o.Repeat))
	return nil
}

// codecCase is one kind of message.
type codecCase struct {
	name         string
	bytes        int
	build, parse func(n int) error
}

var codecHeader = codec.Header{Domain: codec.DomainMarketData, Source: codec.SourceTestClient, Sequence: 1, TimestampNs: 1_700_000_000_000_000_000}

func tradeCase(checksum bool) codecCase {
	buf := make([]byte, codec.Size(codec.TradeSize))
	trade := codec.Trade{
		Instrument: codec.Instrument{AssetID: codec.SymbolAsset("BTC"), VenueID: codec.VenueKraken, AssetType: codec.AssetCoin},
		Price:      45_000_00000000, Volume: 50_000_000, ExecutionTimestampNs: 1_700_000_000_000_000_000, Side: codec.Buy,
	}
	h := codecHeader
	build := func(n int) error {
		for range n {
			h.Sequence++
			trade.Price++
			var b codec.Builder
			b.Reset(buf, h)
			trade.AppendTo(&b)
			if err := finish(&b, checksum); err != nil {
				return err
			}
		}
		return nil
	}
	parse := func(n int) error {
		if err := build(1); err != nil {
			return err
		}
		var got codec.Trade
		for range n {
			value, err := find(buf, codec.TypeTrade, h.Sequence, checksum)
			if err != nil {
				return err
			}
			if err := got.Decode(value); err != nil {
				return err
			}
			if got.Price != trade.Price {
				return fmt.Errorf("price %d, want %d", got.Price, trade.Price)
			}
		}
		return same(got, trade)
	}
	return codecCase{"Trade", len(buf), build, parse}
}

func swapCase(checksum bool) codecCase {
	buf := make([]byte, codec.Size(codec.PoolSwapSize))
	swap := codec.PoolSwap{
		AmountIn: codec.Uint128{Lo: 1e18}, AmountOut: codec.Uint128{Lo: 2_000_000_000}, LiquidityAfter: codec.Uint128{Lo: 1, Hi: 1},
		TimestampNs: 1_700_000_000_000_000_000, BlockNumber: 62_000_000, TickAfter: -200_000, Venue: codec.VenuePolygon,
		AmountInDecimals: 18, AmountOutDecimals: 6,
	}
	h := codecHeader
	build := func(n int) error {
		for range n {
			h.Sequence++
			swap.AmountIn.Lo++
			var b codec.Builder
			b.Reset(buf, h)
			swap.AppendTo(&b)
			if err := finish(&b, checksum); err != nil {
				return err
			}
		}
		return nil
	}
	parse := func(n int) error {
		if err := build(1); err != nil {
			return err
		}
		var got codec.PoolSwap
		for range n {
			value, err := find(buf, codec.TypePoolSwap, h.Sequence, checksum)
			if err != nil {
				return err
			}
			if err := got.Decode(value); err != nil {
				return err
			}
			if got.AmountIn != swap.AmountIn {
				return fmt.Errorf("amount in %v, want %v", got.AmountIn, swap.AmountIn)
			}
		}
		return same(got, swap)
	}
	return codecCase{"PoolSwap", len(buf), build, parse}
}

func finish(b *codec.Builder, checksum bool) error {
	var err error
	if checksum {
		_, err = b.Finish()
	} else {
		_, err = b.FinishUnchecked()
	}
	return err
}

// find parses a message and returns the value of its TLV of type t.
func find(message []byte, t codec.Type, sequence uint64, checksum bool) ([]byte, error) {
	m, err := codec.Parse(message)
	if err != nil {
		return nil, err
	}
	if checksum {
		if err := m.VerifyChecksum(); err != nil {
			return nil, err
		}
	}
	if got := m.Sequence(); got != sequence {
		return nil, fmt.Errorf("sequence number %d, want %d", got, sequence)
	}
	for c := m.Cursor(); c.Next(); {
		if c.Type == t {
			return c.Value, nil
		}
	}
	return nil, fmt.Errorf("no TLV of type %s", t)
}

// same compares the whole of the last message.
func same[T comparable](got, want T) error {
	if got != want {
		return fmt.Errorf("parsed %+v, built %+v", got, want)
	}
	return nil
}
