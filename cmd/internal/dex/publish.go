package dex

import (
	"fmt"

	"github.com/holiman/uint256"

	"github.com/mycelium-bus/mycelium/codec"
)

// MaxMessage is the size in bytes of the largest message that an [Encoder] makes: a swap with its position, and the
// reserves that it left.
var MaxMessage = codec.Size(codec.PoolSwapSize, codec.EventPositionSize, codec.PoolSyncSize)

// Encoder turns events into bus messages: PoolSwap, PoolMint, PoolBurn or PoolSync, each followed by its EventPosition, and
// before the first event of a pool its PoolState (tokens and fee; prices and reserves are 0, which means unknown),
// with the position of the block in which the pool begins here. A Swap that carries reserves has them as a third TLV,
// PoolSync. Messages bear checksums and are numbered from 1. An Encoder is for one goroutine.
//
// What the layout cannot hold is an error, never cut: amounts beyond 128 bits, and swaps whose tokens both flow one way.
// Of a pool whose tokens are unknown the addresses are 0, and the direction of its swaps is lost.
type Encoder struct {
	// Pools knows tokens and fees.
	Pools *Pools
	// Now is the wall clock in ns since 1970, of the header's time of building.
	Now func() uint64
	// Unknown, unless nil, is told once of each pool that Pools does not know.
	Unknown func(chain uint32, pool Address)

	sequence uint64
	known    map[On]*described
	poolsOut uint64
	buf      []byte
	builder  codec.Builder
}

// described is what messages say about a pool.
type described struct {
	pool           Pool
	token0, token1 Token
	venue          codec.Venue
	announced      bool
}

// NewEncoder makes an Encoder.
func NewEncoder(pools *Pools, now func() uint64) *Encoder {
	return &Encoder{Pools: pools, Now: now, known: map[On]*described{}, buf: make([]byte, MaxMessage)}
}

// Encode calls publish with the event's message, and before it with the PoolState of a pool that comes for the first
// time. The bytes are lent for the call. The error is publish's, or ErrNotRepresentable, in which case publish was not
// called with the event.
func (c *Encoder) Encode(e *Event, publish func(message []byte) error) error {
	d := c.describe(e)
	if !d.announced {
		c.begin()
		c.poolState(e, d)
		if err := c.send(publish); err != nil {
			return err
		}
		d.announced = true
		c.poolsOut++
	}
	c.begin()
	if err := c.event(e, d); err != nil {
		return err
	}
	return c.send(publish)
}

// PoolStates is how many of the messages were PoolStates.
func (c *Encoder) PoolStates() uint64 { return c.poolsOut }

// Announce makes each pool's PoolState come anew before its next event: the market begins again, and what
// consumers know of its prices no longer holds.
func (c *Encoder) Announce() {
	for _, d := range c.known {
		d.announced = false
	}
}

func (c *Encoder) describe(e *Event) *described {
	on := On{e.ChainID, e.Pool}
	if d, ok := c.known[on]; ok {
		return d
	}
	pool, ok := c.Pools.Pool(e.ChainID, e.Pool)
	if !ok {
		pool = Pool{ChainID: e.ChainID, Address: e.Pool, Protocol: UniswapV3}
		if e.Version == V2 {
			pool.Protocol = UniswapV2
		}
	}
	if c.Unknown != nil && pool.Token0 == pool.Token1 {
		c.Unknown(e.ChainID, e.Pool)
	}
	d := &described{
		pool: pool, venue: venueOf(pool),
		token0: c.Pools.Token(e.ChainID, pool.Token0), token1: c.Pools.Token(e.ChainID, pool.Token1),
	}
	c.known[on] = d
	return d
}

// begin starts the next message.
func (c *Encoder) begin() {
	c.builder.Reset(c.buf, codec.Header{
		Domain: codec.DomainMarketData, Source: codec.SourcePolygonCollector,
		Sequence: c.sequence + 1, TimestampNs: c.Now(),
	})
}

func (c *Encoder) send(publish func([]byte) error) error {
	n, err := c.builder.Finish()
	if err != nil {
		return err
	}
	c.sequence++
	return publish(c.buf[:n])
}

func (c *Encoder) poolState(e *Event, d *described) {
	s := codec.PoolState{
		BlockNumber: e.Block, TimestampNs: e.TimeNS,
		FeeRate: (d.pool.FeePips + 50) / 100, // basis points: to the nearest
		Venue:   d.venue, PoolType: codec.PoolType(d.pool.Protocol),
		Token0Decimals: d.token0.Decimals, Token1Decimals: d.token1.Decimals,
		PoolAddress: d.pool.Address, Token0Addr: d.pool.Token0, Token1Addr: d.pool.Token1,
	}
	s.AppendTo(&c.builder)
	(&codec.EventPosition{BlockNumber: e.Block, ChainID: e.ChainID}).AppendTo(&c.builder)
}

func (c *Encoder) event(e *Event, d *described) error {
	var w narrow
	switch e.Kind {
	case Swap:
		c.swap(e, d, &w)
	case Mint, Burn:
		m := codec.PoolMint{
			LiquidityDelta: w.uint128("liquidity", &e.Liquidity),
			Amount0:        w.uint128("amount0", &e.Amount0.Abs), Amount1: w.uint128("amount1", &e.Amount1.Abs),
			TimestampNs: e.TimeNS, TickLower: e.TickLower, TickUpper: e.TickUpper, Venue: d.venue,
			Token0Decimals: d.token0.Decimals, Token1Decimals: d.token1.Decimals,
			PoolAddress: e.Pool, ProviderAddr: e.Provider(), Token0Addr: d.pool.Token0, Token1Addr: d.pool.Token1,
		}
		if e.Kind == Mint {
			m.AppendTo(&c.builder)
		} else {
			(*codec.PoolBurn)(&m).AppendTo(&c.builder)
		}
	case Sync:
		c.sync(e, d, &w)
	default:
		return fmt.Errorf("%w: %s", ErrNotRepresentable, e.Kind)
	}
	if w.err != nil {
		return w.err
	}
	if e.Kind != Swap {
		c.position(e)
	}
	return nil
}

func (c *Encoder) position(e *Event) {
	(&codec.EventPosition{BlockNumber: e.Block, ChainID: e.ChainID, TxIndex: e.TxIndex, LogIndex: e.LogIndex}).
		AppendTo(&c.builder)
}

func (c *Encoder) swap(e *Event, d *described, w *narrow) {
	in, out := &e.Amount0, &e.Amount1
	from, to := &d.token0, &d.token1
	if in.Sign() < 0 || in.Sign() == 0 && out.Sign() > 0 {
		in, out = out, in
		from, to = to, from
	}
	if in.Sign() < 0 || out.Sign() > 0 {
		w.fail("amounts %s and %s both flow one way, a PoolSwap has one in and one out", e.Amount0, e.Amount1)
		return
	}
	s := codec.PoolSwap{
		AmountIn: w.uint128("amount in", &in.Abs), AmountOut: w.uint128("amount out", &out.Abs),
		LiquidityAfter: w.uint128("liquidity", &e.Liquidity),
		TimestampNs:    e.TimeNS, BlockNumber: e.Block, TickAfter: e.Tick, Venue: d.venue,
		AmountInDecimals: from.Decimals, AmountOutDecimals: to.Decimals,
		PoolAddress: e.Pool, TokenInAddr: from.Address, TokenOutAddr: to.Address,
		SqrtPriceX96After: codec.Uint256(e.SqrtPriceX96),
	}
	s.AppendTo(&c.builder)
	c.position(e)
	if e.HasReserves {
		c.sync(e, d, w)
	}
}

func (c *Encoder) sync(e *Event, d *described, w *narrow) {
	s := codec.PoolSync{
		Reserve0: w.uint128("reserve0", &e.Reserve0), Reserve1: w.uint128("reserve1", &e.Reserve1),
		TimestampNs: e.TimeNS, BlockNumber: e.Block, Venue: d.venue,
		Token0Decimals: d.token0.Decimals, Token1Decimals: d.token1.Decimals,
		PoolAddress: e.Pool, Token0Addr: d.pool.Token0, Token1Addr: d.pool.Token1,
	}
	s.AppendTo(&c.builder)
}

// narrow puts 256 bits into the message's 128 and keeps the first failure.
type narrow struct{ err error }

func (w *narrow) fail(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf("%w: %s", ErrNotRepresentable, fmt.Sprintf(format, args...))
	}
}

func (w *narrow) uint128(what string, x *uint256.Int) codec.Uint128 {
	if x[2]|x[3] != 0 {
		w.fail("%s %s needs %d bits, the message has 128", what, x.Dec(), x.BitLen())
	}
	return codec.Uint128{Lo: x[0], Hi: x[1]}
}

// venueOf names the protocol as messages do; forks have no names of their own there. What is made up is no venue's.
func venueOf(p Pool) codec.Venue {
	switch {
	case p.ChainID == SyntheticChain:
		return codec.VenueTest
	case p.Protocol == SushiswapV2 && p.ChainID == chainPolygon:
		return codec.VenueSushiSwapPolygon
	case p.Protocol == SushiswapV2:
		return codec.VenueSushiSwap
	case p.Protocol == QuickswapV3:
		return codec.VenueQuickSwap
	case p.Protocol == UniswapV2:
		return codec.VenueUniswapV2
	}
	return codec.VenueUniswapV3
}
