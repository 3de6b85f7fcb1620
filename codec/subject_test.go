package codec_test

import (
	"reflect"
	"testing"

	"github.com/mycelium-bus/mycelium/codec"
)

// What is read in place is what Decode reads, for every type whose struct has an instrument or a pool.
func TestSubjectsAreTheStructs(t *testing.T) {
	random := make([]byte, 4096)
	for i := range random {
		random[i] = byte(i*7 + 3)
	}
	instruments := map[codec.Type]interface{ Decode([]byte) error }{
		codec.TypeTrade: new(codec.Trade), codec.TypeQuote: new(codec.Quote), codec.TypeQuoteUpdate: new(codec.Quote),
	}
	sizes := map[codec.Type]int{codec.TypeTrade: codec.TradeSize, codec.TypeQuote: codec.QuoteSize, codec.TypeQuoteUpdate: codec.QuoteSize,
		codec.TypeOrderBook: codec.OrderBookSize, codec.TypePoolSwap: codec.PoolSwapSize, codec.TypePoolMint: codec.PoolMintSize,
		codec.TypePoolBurn: codec.PoolBurnSize, codec.TypePoolTick: codec.PoolTickSize, codec.TypePoolState: codec.PoolStateSize,
		codec.TypePoolSync: codec.PoolSyncSize, codec.TypePoolLiquidity: codec.PoolLiquiditySize}
	for tlv, s := range instruments {
		value := random[:sizes[tlv]]
		if err := s.Decode(value); err != nil {
			t.Fatal(tlv, err)
		}
		want := reflect.ValueOf(s).Elem().FieldByName("Instrument").Interface()
		if got, ok := codec.InstrumentAt(tlv, value, 0); !ok || got != want {
			t.Errorf("%v: %v %v, want %v", tlv, got, ok, want)
		}
	}
	book := codec.OrderBook{Instrument: codec.Instrument{AssetID: 1 << 60, VenueID: codec.VenueKraken, AssetType: codec.AssetCoin, Reserved: 9}}
	value := make([]byte, codec.OrderBookSize)
	book.Encode(value)
	if got, ok := codec.InstrumentAt(codec.TypeOrderBook, value, 0); !ok || got != book.Instrument {
		t.Errorf("order book: %v %v", got, ok)
	}
	many := codec.StateInvalidation{Count: 2}
	many.Instruments[0].AssetID, many.Instruments[1] = 5, book.Instrument
	value = make([]byte, codec.StateInvalidationSize)
	many.Encode(value)
	for i := range 3 {
		got, ok := codec.InstrumentAt(codec.TypeStateInvalidation, value, i)
		if ok != (i < 2) || ok && got != many.Instruments[i] {
			t.Errorf("invalidated instrument %d: %v %v", i, got, ok)
		}
	}

	for tlv, s := range map[codec.Type]interface{ Decode([]byte) error }{
		codec.TypePoolSwap: new(codec.PoolSwap), codec.TypePoolMint: new(codec.PoolMint), codec.TypePoolBurn: new(codec.PoolBurn),
		codec.TypePoolTick: new(codec.PoolTick), codec.TypePoolState: new(codec.PoolState), codec.TypePoolSync: new(codec.PoolSync),
	} {
		value := random[:sizes[tlv]]
		if err := s.Decode(value); err != nil {
			t.Fatal(tlv, err)
		}
		want := reflect.ValueOf(s).Elem().FieldByName("PoolAddress").Interface()
		if got, ok := codec.PoolAt(tlv, value, 0); !ok || got != want {
			t.Errorf("%v: %v %v, want %v", tlv, got, ok, want)
		}
	}
	liquidity := codec.PoolLiquidity{PoolAddress: codec.Address{1, 2, 3}}
	value = make([]byte, codec.PoolLiquiditySize)
	liquidity.Encode(value)
	if got, ok := codec.PoolAt(codec.TypePoolLiquidity, value, 0); !ok || got != liquidity.PoolAddress {
		t.Errorf("liquidity: %v %v", got, ok)
	}
	signal := codec.ArbitrageSignal{SourcePool: codec.Address{1}, TargetPool: codec.Address{2}}
	value = make([]byte, codec.ArbitrageSignalSize)
	signal.Encode(value)
	for i, want := range []codec.Address{{1}, {2}} {
		if got, ok := codec.PoolAt(codec.TypeArbitrageSignal, value, i); !ok || got != want {
			t.Errorf("signal's pool %d: %v %v", i, got, ok)
		}
	}
}

// Of other types, of indexes that are none, and of values that are too short, nothing is said; nothing is read outside.
func TestSubjectsOfAnything(t *testing.T) {
	for tlv := range 256 {
		for _, n := range []int{0, 1, 13, 33, 35, 51, 99, 200} {
			for _, i := range []int{-1, 0, 1, 2, 16, 1 << 40} {
				_, in := codec.InstrumentAt(codec.Type(tlv), make([]byte, n), i)
				_, pool := codec.PoolAt(codec.Type(tlv), make([]byte, n), i)
				if in && pool || i < 0 && (in || pool) || n == 0 && (in || pool) {
					t.Errorf("type %d, %d bytes, index %d: %v %v", tlv, n, i, in, pool)
				}
			}
		}
	}
}
