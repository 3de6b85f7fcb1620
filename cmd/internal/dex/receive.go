package dex

import (
	"github.com/holiman/uint256"

	"github.com/mycelium-bus/mycelium/codec"
)

// Received is what a message of market data says about pools; [Received.Decode] overwrites it. It does not allocate,
// and copies what it keeps.
type Received struct {
	// HasEvent and HasPool say which of the two the message held.
	HasEvent, HasPool bool
	// Event has no TxHash, and no accounts but a Mint's or Burn's provider: messages do not carry them. Without an
	// EventPosition, as old senders had it, chain and log index are 0. Of a swap in a pool whose tokens are
	// unknown, token0 is taken to be what came in.
	Event Event
	// Pool and its tokens are those of a PoolState; symbols are unknown, the fee is rounded to 0.01 %.
	Pool           Pool
	Token0, Token1 Token
}

// Decode reads a message. Messages about other things leave both flags false. The error says that a value has the
// wrong length for its type.
func (r *Received) Decode(m codec.Message) error {
	r.HasEvent, r.HasPool = false, false
	var position codec.EventPosition
	var positioned bool
	var err error
	for c := m.Cursor(); c.Next() && err == nil; {
		switch c.Type {
		case codec.TypePoolSwap:
			err = r.swap(c.Value)
		case codec.TypePoolMint, codec.TypePoolBurn:
			err = r.provision(c.Type, c.Value)
		case codec.TypePoolSync:
			err = r.sync(c.Value)
		case codec.TypePoolState:
			err = r.state(c.Value)
		case codec.TypeEventPosition:
			err, positioned = position.Decode(c.Value), true
		}
	}
	if err != nil {
		r.HasEvent, r.HasPool = false, false
		return err
	}
	if positioned {
		p := Position{ChainID: position.ChainID, Block: position.BlockNumber, TxIndex: position.TxIndex, LogIndex: position.LogIndex}
		if r.HasEvent {
			r.Event.Position = p
		}
		if r.HasPool {
			r.Pool.ChainID, r.Token0.ChainID, r.Token1.ChainID = p.ChainID, p.ChainID, p.ChainID
		}
	}
	return nil
}

func (r *Received) swap(value []byte) error {
	var s codec.PoolSwap
	if err := s.Decode(value); err != nil {
		return err
	}
	e := &r.Event
	*e = Event{Pool: s.PoolAddress, Kind: Swap, TimeNS: s.TimestampNs, Tick: s.TickAfter}
	e.Block = s.BlockNumber
	e.SqrtPriceX96, e.Liquidity = uint256.Int(s.SqrtPriceX96After), widen(s.LiquidityAfter)
	e.Version = versionOf(s.Venue, s.SqrtPriceX96After != codec.Uint256{})
	in, out := Unsigned(widen(s.AmountIn)), negative(widen(s.AmountOut))
	if less(s.TokenOutAddr, s.TokenInAddr) {
		in, out = out, in
	}
	e.Amount0, e.Amount1 = in, out
	r.HasEvent = true
	return nil
}

func (r *Received) provision(t codec.Type, value []byte) error {
	var s codec.PoolMint
	kind, decode := Mint, s.Decode
	if t == codec.TypePoolBurn {
		kind, decode = Burn, (*codec.PoolBurn)(&s).Decode
	}
	if err := decode(value); err != nil {
		return err
	}
	e := &r.Event
	*e = Event{Pool: s.PoolAddress, Kind: kind, TimeNS: s.TimestampNs, TickLower: s.TickLower, TickUpper: s.TickUpper}
	e.Version = versionOf(s.Venue, s.TickLower != 0 || s.TickUpper != 0)
	e.Liquidity = widen(s.LiquidityDelta)
	e.Amount0, e.Amount1 = Unsigned(widen(s.Amount0)), Unsigned(widen(s.Amount1))
	if kind == Mint && e.Version == V3 {
		e.Recipient = s.ProviderAddr
	} else {
		e.Sender = s.ProviderAddr
	}
	r.HasEvent = true
	return nil
}

// sync reads the reserves of a Sync, or those that a swap before it in the message left.
func (r *Received) sync(value []byte) error {
	var s codec.PoolSync
	if err := s.Decode(value); err != nil {
		return err
	}
	e := &r.Event
	if !r.HasEvent || e.Kind != Swap || e.Pool != s.PoolAddress {
		*e = Event{Pool: s.PoolAddress, Kind: Sync, Version: V2, TimeNS: s.TimestampNs}
		e.Block = s.BlockNumber
	}
	e.HasReserves, e.Reserve0, e.Reserve1 = true, widen(s.Reserve0), widen(s.Reserve1)
	r.HasEvent = true
	return nil
}

func (r *Received) state(value []byte) error {
	var s codec.PoolState
	if err := s.Decode(value); err != nil {
		return err
	}
	r.Pool = Pool{Address: s.PoolAddress, Protocol: Protocol(s.PoolType), FeePips: min(s.FeeRate, 9999) * 100,
		Token0: s.Token0Addr, Token1: s.Token1Addr}
	r.Token0 = Token{Address: s.Token0Addr, Decimals: s.Token0Decimals}
	r.Token1 = Token{Address: s.Token1Addr, Decimals: s.Token1Decimals}
	r.HasPool = true
	return nil
}

func widen(u codec.Uint128) uint256.Int { return uint256.Int{u.Lo, u.Hi} }

// versionOf tells a pool's generation by its venue, and where that does not say, by what only v3 has.
func versionOf(v codec.Venue, looksV3 bool) Version {
	switch v {
	case codec.VenueUniswapV2, codec.VenueSushiSwap, codec.VenueSushiSwapPolygon:
		return V2
	case codec.VenueUniswapV3, codec.VenueQuickSwap:
		return V3
	}
	if looksV3 {
		return V3
	}
	return V2
}
