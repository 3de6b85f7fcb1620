package dex

import (
	"bytes"
	"errors"
	"testing"

	"github.com/holiman/uint256"

	"github.com/mycelium-bus/mycelium/codec"
)

// encode returns copies of an event's messages.
func encode(t testing.TB, enc *Encoder, e *Event) (out []codec.Message, err error) {
	t.Helper()
	err = enc.Encode(e, func(b []byte) error {
		m, err := codec.Parse(bytes.Clone(b))
		if err != nil {
			t.Fatal(err)
		}
		if err := m.VerifyChecksum(); err != nil {
			t.Error(err)
		}
		out = append(out, m)
		return nil
	})
	return out, err
}

func TestMessagesComeBackAsTheirEvents(t *testing.T) {
	enc := NewEncoder(SyntheticPools(), func() uint64 { return 77 })
	var sequence uint64
	events := market(t, 4, 5000)
	// Traces have swaps that carry reserves.
	traced := events[len(events)-1]
	traced.Kind, traced.Version, traced.Pool = Swap, V2, syntheticPools[2].Address
	traced.SqrtPriceX96, traced.Liquidity, traced.Tick, traced.TickLower, traced.TickUpper = uint256.Int{}, uint256.Int{}, 0, 0, 0
	traced.Amount0, traced.Amount1 = Unsigned(bitless(5)), Amount{Abs: bitless(6), Neg: true}
	traced.HasReserves, traced.Reserve0, traced.Reserve1 = true, bitless(70), bitless(80)
	events = append(events, traced)
	for i := range events {
		want := events[i]
		messages, err := encode(t, enc, &want)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range messages {
			sequence++
			if h := m.Header(); h.Sequence != sequence || h.TimestampNs != 77 || h.Domain != codec.DomainMarketData || h.Source != codec.SourcePolygonCollector {
				t.Fatalf("header %+v, sequence should be %d", h, sequence)
			}
		}
		var r Received
		if err := r.Decode(messages[len(messages)-1]); err != nil {
			t.Fatal(err)
		}
		want.TxHash = [32]byte{}
		if want.Kind == Swap {
			want.Sender, want.Recipient = Address{}, Address{}
		} else {
			provider := want.Provider()
			want.Sender, want.Recipient = Address{}, Address{}
			if want.Kind == Mint && want.Version == V3 {
				want.Recipient = provider
			} else if want.Kind != Sync {
				want.Sender = provider
			}
		}
		if !r.HasEvent || r.HasPool || r.Event != want {
			t.Fatalf("event %d came back as\n%+v\nwant\n%+v", i, r.Event, want)
		}
	}
	if enc.PoolStates() != uint64(len(syntheticPools)) {
		t.Errorf("%d pool states", enc.PoolStates())
	}
}

func TestEachEventIsFollowedByItsPosition(t *testing.T) {
	enc := NewEncoder(SyntheticPools(), func() uint64 { return 1 })
	for _, e := range market(t, 4, 500) {
		messages, err := encode(t, enc, &e)
		if err != nil {
			t.Fatal(err)
		}
		m := messages[len(messages)-1]
		want := map[Kind]codec.Type{Swap: codec.TypePoolSwap, Mint: codec.TypePoolMint, Burn: codec.TypePoolBurn, Sync: codec.TypePoolSync}[e.Kind]
		var types []codec.Type
		for tlv := range m.TLVs() {
			types = append(types, tlv)
		}
		if len(types) != 2 || types[0] != want || types[1] != codec.TypeEventPosition {
			t.Fatalf("%s has the TLVs %v", e.Kind, types)
		}
		value, _ := m.Find(codec.TypeEventPosition)
		var p codec.EventPosition
		if err := p.Decode(value); err != nil {
			t.Fatal(err)
		}
		if (Position{p.ChainID, p.BlockNumber, p.TxIndex, p.LogIndex}) != e.Position {
			t.Fatalf("position %+v, want %+v", p, e.Position)
		}
	}
}

func TestPoolStateComesFirstAndAgainWhenTheMarketBeginsAnew(t *testing.T) {
	pools := SyntheticPools()
	enc := NewEncoder(pools, func() uint64 { return 1 })
	e := market(t, 1, 1)[0]
	for round, want := range []int{2, 1, 2} {
		if round == 2 {
			enc.Announce()
		}
		messages, err := encode(t, enc, &e)
		if err != nil || len(messages) != want {
			t.Fatalf("round %d: %d messages, %v; want %d", round, len(messages), err, want)
		}
		var r Received
		if err := r.Decode(messages[0]); err != nil {
			t.Fatal(err)
		}
		if r.HasPool != (want == 2) {
			t.Fatalf("round %d: pool state first: %v", round, r.HasPool)
		}
		if !r.HasPool {
			continue
		}
		if pool, _ := pools.Pool(e.ChainID, e.Pool); r.Pool != pool {
			t.Errorf("pool %+v, want %+v", r.Pool, pool)
		}
		if r.Token0 != (Token{SyntheticChain, syntheticDollar, "", 6}) || r.Token1 != (Token{SyntheticChain, syntheticEther, "", 18}) {
			t.Errorf("tokens %+v and %+v", r.Token0, r.Token1)
		}
	}
}

func TestASwapKeepsAll160BitsOfThePrice(t *testing.T) {
	enc := NewEncoder(SyntheticPools(), func() uint64 { return 1 })
	e := Event{Pool: syntheticPools[0].Address, Kind: Swap, Version: V3, SqrtPriceX96: less1(bit(160)),
		Amount0: Amount{Abs: less1(bit(128)), Neg: true}, Amount1: Unsigned(less1(bit(128))), Liquidity: less1(bit(128)), Tick: -887272}
	e.ChainID = SyntheticChain
	messages, err := encode(t, enc, &e)
	if err != nil {
		t.Fatal(err)
	}
	var r Received
	if err := r.Decode(messages[1]); err != nil || r.Event != e {
		t.Errorf("%v, came back as\n%+v\nwant\n%+v", err, r.Event, e)
	}
}

func TestSwapDirections(t *testing.T) {
	enc := NewEncoder(SyntheticPools(), func() uint64 { return 1 })
	for _, c := range []struct {
		amount0, amount1, in, out int64
		token0In                  bool
	}{
		{5, -6, 5, 6, true}, {-5, 6, 6, 5, false}, {0, -6, 0, 6, true}, {-5, 0, 0, 5, false},
		{5, 0, 5, 0, true}, {0, 6, 6, 0, false}, {0, 0, 0, 0, true},
	} {
		num := func(n int64) Amount { return Amount{Abs: bitless(max(n, -n)), Neg: n < 0} }
		e := Event{Pool: syntheticPools[0].Address, Kind: Swap, Version: V3, Amount0: num(c.amount0), Amount1: num(c.amount1)}
		e.ChainID = SyntheticChain
		messages, err := encode(t, enc, &e)
		if err != nil {
			t.Errorf("%+v: %v", c, err)
			continue
		}
		value, _ := messages[len(messages)-1].Find(codec.TypePoolSwap)
		var s codec.PoolSwap
		if err := s.Decode(value); err != nil {
			t.Fatal(err)
		}
		in, out, inDecimals := syntheticDollar, syntheticEther, uint8(6)
		if !c.token0In {
			in, out, inDecimals = out, in, 18
		}
		if s.AmountIn.Lo != uint64(c.in) || s.AmountOut.Lo != uint64(c.out) || s.TokenInAddr != in || s.TokenOutAddr != out || s.AmountInDecimals != inDecimals {
			t.Errorf("%+v became %+v", c, s)
		}
	}
}

func TestWhatTheLayoutCannotHoldIsNotPublished(t *testing.T) {
	large := Unsigned(bit(128))
	least := Amount{Abs: bit(255), Neg: true}
	one := Unsigned(bitless(1))
	enc := NewEncoder(SyntheticPools(), func() uint64 { return 1 })
	enc.Encode(&Event{Position: Position{ChainID: SyntheticChain}, Pool: syntheticPools[0].Address, Kind: Sync}, func([]byte) error { return nil })
	for name, e := range map[string]Event{
		"in of 129 bits":        {Kind: Swap, Amount0: large},
		"the least int256":      {Kind: Swap, Amount0: least, Amount1: one},
		"both in":               {Kind: Swap, Amount0: one, Amount1: one},
		"both out":              {Kind: Swap, Amount0: Amount{one.Abs, true}, Amount1: Amount{one.Abs, true}},
		"liquidity of 129 bits": {Kind: Swap, Liquidity: large.Abs},
		"mint of 129 bits":      {Kind: Mint, Amount1: large},
		"burn of 129 bits":      {Kind: Burn, Liquidity: large.Abs},
		"reserve of 129 bits":   {Kind: Sync, Reserve1: large.Abs},
		"no kind":               {},
	} {
		e.ChainID, e.Pool = SyntheticChain, syntheticPools[0].Address
		err := enc.Encode(&e, func([]byte) error { t.Errorf("%s: published", name); return nil })
		if !errors.Is(err, ErrNotRepresentable) {
			t.Errorf("%s: error is %v", name, err)
		}
	}
	messages, err := encode(t, enc, &Event{Position: Position{ChainID: SyntheticChain}, Pool: syntheticPools[0].Address, Kind: Sync})
	if err != nil || len(messages) != 1 || messages[0].Sequence() != 3 {
		t.Errorf("the next message is %v, %v; its number should be 3, without a gap", messages, err)
	}
}

func TestPoolsWithoutTokensAreTold(t *testing.T) {
	enc := NewEncoder(SyntheticPools(), func() uint64 { return 1 })
	var told []Address
	enc.Unknown = func(chain uint32, pool Address) { told = append(told, pool) }
	known, stranger := syntheticPools[0].Address, Address{9}
	for _, pool := range []Address{known, stranger, known, stranger} {
		e := Event{Position: Position{ChainID: SyntheticChain}, Pool: pool, Kind: Swap, Version: V3, Amount1: Unsigned(bitless(5)), SqrtPriceX96: bit(96)}
		messages, err := encode(t, enc, &e)
		if err != nil {
			t.Fatal(err)
		}
		var r Received
		if err := r.Decode(messages[len(messages)-1]); err != nil || r.Event.Pool != pool || r.Event.Version != V3 {
			t.Errorf("%v, %+v", err, r.Event)
		}
	}
	if len(told) != 1 || told[0] != stranger {
		t.Errorf("told of %v", told)
	}
}

func TestAPublishErrorIsPassedOn(t *testing.T) {
	full := errors.New("full")
	enc := NewEncoder(SyntheticPools(), func() uint64 { return 1 })
	e := market(t, 1, 1)[0]
	for range 2 {
		if err := enc.Encode(&e, func([]byte) error { return full }); err != full {
			t.Errorf("error is %v", err)
		}
	}
	if enc.PoolStates() != 0 {
		t.Error("a pool state that was not published was counted")
	}
}

func TestMessagesAboutOtherThingsAndBrokenOnes(t *testing.T) {
	build := func(add func(b *codec.Builder)) codec.Message {
		var b codec.Builder
		buf := make([]byte, 4096)
		b.Reset(buf, codec.Header{})
		add(&b)
		n, err := b.Finish()
		if err != nil {
			t.Fatal(err)
		}
		m, err := codec.Parse(buf[:n])
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	var r Received
	if err := r.Decode(build(func(b *codec.Builder) { (&codec.Trade{}).AppendTo(b) })); err != nil || r.HasEvent || r.HasPool {
		t.Errorf("a trade: %v, %+v", err, r)
	}
	for _, typ := range []codec.Type{codec.TypePoolSwap, codec.TypePoolMint, codec.TypePoolBurn, codec.TypePoolSync, codec.TypePoolState, codec.TypeEventPosition} {
		m := build(func(b *codec.Builder) {
			(&codec.PoolSwap{}).AppendTo(b)
			b.Append(typ, make([]byte, 31))
		})
		if err := r.Decode(m); !errors.Is(err, codec.ErrSize) || r.HasEvent || r.HasPool {
			t.Errorf("%s of 31 bytes: %v, %+v", typ, err, r.HasEvent)
		}
	}
	old := build(func(b *codec.Builder) { (&codec.PoolSwap{BlockNumber: 9, AmountIn: codec.Uint128{Lo: 4}}).AppendTo(b) })
	if err := r.Decode(old); err != nil || !r.HasEvent || r.Event.Position != (Position{Block: 9}) {
		t.Errorf("a swap without a position: %v, %+v", err, r.Event)
	}
}

func TestEncodeAndDecodeDoNotAllocate(t *testing.T) {
	enc := NewEncoder(SyntheticPools(), func() uint64 { return 1 })
	events := market(t, 1, 1000)
	var r Received
	for i := range events {
		receive := func(b []byte) error {
			m, err := codec.Parse(b)
			if err != nil {
				return err
			}
			return r.Decode(m)
		}
		publish := func() {
			if err := enc.Encode(&events[i], receive); err != nil {
				t.Error(err)
			}
		}
		if i < 100 {
			publish() // announces the pools
			continue
		}
		if n := testing.AllocsPerRun(10, publish); n != 0 {
			t.Fatalf("%v allocations for a %s", n, events[i].Kind)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	enc := NewEncoder(SyntheticPools(), func() uint64 { return 1 })
	events := market(b, 1, 10000)
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		if err := enc.Encode(&events[i], func([]byte) error { return nil }); err != nil {
			b.Fatal(err)
		}
		if i++; i == len(events) {
			i = 0
		}
	}
}
