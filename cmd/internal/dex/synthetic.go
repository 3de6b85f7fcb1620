package dex

import (
	"fmt"
	"io"
	"math"
	"math/rand/v2"

	"github.com/holiman/uint256"
)

// SyntheticChain is the chain of the made-up market: the number that local development chains use.
const SyntheticChain = 31337

var (
	syntheticDollar = mustAddress("0x5e000000000000000000000000000000000000d1")
	syntheticEther  = mustAddress("0x5e000000000000000000000000000000000000e1")

	syntheticPools = [...]Pool{
		{SyntheticChain, mustAddress("0x5e000000000000000000000000000000000000a1"), UniswapV3, 500, syntheticDollar, syntheticEther},
		{SyntheticChain, mustAddress("0x5e000000000000000000000000000000000000a2"), UniswapV3, 3000, syntheticDollar, syntheticEther},
		{SyntheticChain, mustAddress("0x5e000000000000000000000000000000000000a3"), UniswapV2, 3000, syntheticDollar, syntheticEther},
	}
)

// Where prices may be, in parts of the difference at which a cycle of two pools begins to pay. Nothing is ever put
// between the two: so the number of cycles is known by how the market was made, and rounding cannot change it.
const (
	quietReach = 0.80 // other trades keep within this
	shockReach = 1.10 // a shock goes beyond this

	shockOdds = 400 // one trade in so many is a shock
	provOdds  = 64  // one event in so many adds or removes liquidity
)

// Synthetic is a made-up market of one pair in three pools: two of v3 with fees of 0.05 and 0.3 %, and a v2 pair. Mostly
// prices wander within the fees' reach of each other. Now and then a large trade, a shock, pushes one pool beyond the
// reach of both others, for one to three trades; then a trade brings it back. After each trade of a shock two cycles
// pay. Amounts obey the contracts' integer arithmetic. The same seed gives the same market (on the same
// architecture: exp and log differ in the last bit between them). It is a Source, for one goroutine.
type Synthetic struct {
	seed   uint64
	limit  uint64
	rng    *rand.Rand
	counts Counts
	cycles uint64

	pools   [len(syntheticPools)]syntheticPool
	pending Event // the v2 pair's second event
	hasMore bool

	shocked int // pool held out of reach, -1 none
	hold    int // further trades of this shock
	up      bool

	pos    Position
	timeNS uint64
}

type syntheticPool struct {
	Pool
	log       float64     // ln(token1/token0), of what was published last
	price     uint256.Int // v3: sqrt * 2^96
	liquidity uint256.Int // v3
	reserve0  uint256.Int // v2
	reserve1  uint256.Int
}

// NewSynthetic makes a market of that many events; 0 events is a market without end.
func NewSynthetic(seed, events uint64) *Synthetic {
	s := &Synthetic{
		seed: seed, limit: events,
		rng:     rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15)),
		shocked: -1,
		pos:     Position{ChainID: SyntheticChain, Block: 1_000_000},
		timeNS:  1_704_412_800 * 1e9, // 2024-01-05 00:00
	}
	for i := range s.pools {
		p := &s.pools[i]
		p.Pool = syntheticPools[i]
		p.log = syntheticMid
		liquidity := 1e18 * float64(1+i*2) // active; v2's is spread over all prices
		if p.Protocol.V2() {
			setFloat(&p.reserve0, liquidity*math.Exp(-p.log/2))
			setFloat(&p.reserve1, liquidity*math.Exp(p.log/2))
			continue
		}
		setFloat(&p.liquidity, liquidity)
		setFloat(&p.price, math.Exp(p.log/2)*two96)
	}
	return s
}

const two96 = 1 << 96

// syntheticMid is ln of 1e18 wei for 2,000 dollars of 1e6 units: where prices tend to.
var syntheticMid = math.Log(1e18 / 2000e6)

// SyntheticPools are the market's pools, in a directory that also knows its tokens.
func SyntheticPools() *Pools {
	p := NewPools()
	for _, pool := range syntheticPools {
		p.Add(pool)
	}
	return p
}

// Name is "synthetic" with the seed.
func (s *Synthetic) Name() string { return fmt.Sprintf("synthetic market %d", s.seed) }

// Line is 0.
func (s *Synthetic) Line() int { return 0 }

// Counts has one row an event.
func (s *Synthetic) Counts() Counts { return s.counts }

// Cycles is how many cycles pay in what was yielded so far: over all Swaps of v3 pools and Syncs of the v2 pair, the
// number of other pools against which the changed pool's price pays, as [Finder] counts them.
func (s *Synthetic) Cycles() uint64 { return s.cycles }

// Close does nothing.
func (s *Synthetic) Close() error { return nil }

// Next makes the next event.
func (s *Synthetic) Next(e *Event) error {
	if s.limit != 0 && s.counts.Rows == s.limit {
		return io.EOF
	}
	s.counts.Rows++
	switch {
	case s.hasMore:
		*e, s.hasMore = s.pending, false
	case s.counts.Rows > 8 && s.shocked < 0 && s.rng.IntN(provOdds) == 0:
		s.provide(e)
	default:
		s.trade(e)
	}
	return nil
}

// step moves the clock on and returns an event that bears it.
func (s *Synthetic) step(p *syntheticPool, kind Kind) Event {
	if s.rng.IntN(8) == 0 {
		s.pos.Block++
		s.pos.TxIndex, s.pos.LogIndex = 0, 0
		s.timeNS += 2e9
	}
	s.pos.TxIndex++
	s.pos.LogIndex += 1 + s.rng.Uint32N(4)
	e := Event{Position: s.pos, Pool: p.Address, Kind: kind, Version: V3, TimeNS: s.timeNS}
	if p.Protocol.V2() {
		e.Version = V2
	}
	e.Sender[0], e.Recipient[0] = 0x5e, 0x5e
	return e
}

// trade moves one pool's price: at random within reach of the others, or out of it, or back.
func (s *Synthetic) trade(e *Event) {
	i := s.rng.IntN(len(s.pools))
	if s.counts.Rows <= 6 {
		i = int(s.counts.Rows-1) % len(s.pools) // so that all states are known before the first shock
	} else if s.shocked >= 0 {
		i = s.shocked
	} else if s.rng.IntN(shockOdds) == 0 {
		s.shocked, s.hold, s.up = i, 1+s.rng.IntN(3), s.rng.IntN(2) == 0
	}
	p := &s.pools[i]
	low, high := s.reach(i, quietReach)
	var target float64
	switch {
	case s.shocked >= 0 && s.hold > 0:
		s.hold--
		// Beyond all others by the shock's reach, and up to twice as much again.
		beyond := (0.05 + s.rng.Float64()*2) * 0.0035
		lowest, highest := s.reach(i, -shockReach)
		if target = highest - beyond; s.up {
			target = lowest + beyond
		}
	default:
		s.shocked = -1
		sum := s.rng.Float64() + s.rng.Float64() + s.rng.Float64() - 1.5
		target = p.log + sum*0.001 + (syntheticMid-p.log)*0.0005
		target = min(max(target, low), high)
	}
	if p.Protocol.V2() {
		s.swapV2(p, e, target)
	} else {
		s.swapV3(p, e, target)
	}
	for j := range s.pools {
		if j != i && math.Abs(p.log-s.pools[j].log) > payingDifference(p.Pool, s.pools[j].Pool) {
			s.cycles++
		}
	}
}

// reach returns between which prices pool i keeps within part of the paying difference to each other pool. For a
// negative part the meaning is turned round: at or above low, and at or below high, it is beyond that of all.
func (s *Synthetic) reach(i int, part float64) (low, high float64) {
	low, high = math.Inf(-1), math.Inf(1)
	for j := range s.pools {
		if j == i {
			continue
		}
		d := part * payingDifference(s.pools[i].Pool, s.pools[j].Pool)
		low, high = max(low, s.pools[j].log-d), min(high, s.pools[j].log+d)
	}
	return low, high
}

// payingDifference is how far apart, in logarithms, the prices of two pools must be for a cycle to pay.
func payingDifference(a, b Pool) float64 {
	return -math.Log1p(-float64(a.FeePips)/1e6) - math.Log1p(-float64(b.FeePips)/1e6)
}

// swapV3 is the arithmetic of one tick range (v3-core SqrtPriceMath.sol and SwapMath.sol).
func (s *Synthetic) swapV3(p *syntheticPool, e *Event, target float64) {
	*e = s.step(p, Swap)
	var next, diff, amount0, amount1 uint256.Int
	setFloat(&next, math.Exp(target/2)*two96)
	falling := next.Lt(&p.price)
	if falling {
		diff.Sub(&p.price, &next)
	} else {
		diff.Sub(&next, &p.price)
	}
	// amount0 = L * 2^96 * diff / (price * next), amount1 = L * diff / 2^96
	amount0.Lsh(&p.liquidity, 96)
	amount0.MulDivOverflow(&amount0, &diff, &p.price)
	amount0.Div(&amount0, &next)
	amount1.Mul(&p.liquidity, &diff)
	amount1.Rsh(&amount1, 96)
	if falling { // token0 comes in
		withFee(&amount0, p.FeePips)
		e.Amount0, e.Amount1 = Unsigned(amount0), negative(amount1)
	} else {
		withFee(&amount1, p.FeePips)
		e.Amount0, e.Amount1 = negative(amount0), Unsigned(amount1)
	}
	p.price, p.log = next, target
	e.SqrtPriceX96, e.Liquidity = p.price, p.liquidity
	e.Tick = int32(math.Floor(target / math.Log(1.0001)))
}

// withFee turns what a swap needs into what it is given, rounding up as the contract does.
func withFee(amount *uint256.Int, pips uint32) {
	amount.AddUint64(amount, 1)
	amount.Mul(amount, uint256.NewInt(1_000_000))
	amount.AddUint64(amount, uint64(1_000_000-pips)-1)
	amount.Div(amount, uint256.NewInt(uint64(1_000_000-pips)))
}

func negative(x uint256.Int) Amount { return Amount{Abs: x, Neg: !x.IsZero()} }

// swapV2 is UniswapV2Library.getAmountOut; the pair's Sync stands before its Swap, as in the contract.
func (s *Synthetic) swapV2(p *syntheticPool, e *Event, target float64) {
	*e = s.step(p, Sync)
	x, y := p.reserve0.Float64(), p.reserve1.Float64()
	root := math.Sqrt(x * y)
	var in, out uint256.Int
	rising := target > p.log // token1 comes in
	if rising {
		setFloat(&in, (root*math.Exp(target/2)-y)/0.997)
	} else {
		setFloat(&in, (root*math.Exp(-target/2)-x)/0.997)
	}
	from, to := &p.reserve0, &p.reserve1
	if rising {
		from, to = to, from
	}
	var inLess, den uint256.Int
	inLess.Mul(&in, uint256.NewInt(997))
	den.Mul(from, uint256.NewInt(1000))
	den.Add(&den, &inLess)
	out.MulDivOverflow(&inLess, to, &den)
	from.Add(from, &in)
	to.Sub(to, &out)
	p.log = math.Log(p.reserve1.Float64() / p.reserve0.Float64())

	e.HasReserves, e.Reserve0, e.Reserve1 = true, p.reserve0, p.reserve1
	e.Sender, e.Recipient = Address{}, Address{}
	swap := Event{Position: e.Position, Pool: e.Pool, Kind: Swap, Version: V2, TimeNS: e.TimeNS}
	swap.Amount0, swap.Amount1 = Unsigned(in), negative(out)
	if rising {
		swap.Amount0, swap.Amount1 = swap.Amount1, swap.Amount0
	}
	s.follow(swap)
}

// follow queues an event of the same transaction, one log later.
func (s *Synthetic) follow(e Event) {
	s.pos.LogIndex++
	e.LogIndex = s.pos.LogIndex
	if e.Sender[0] = 0x5e; e.Kind != Mint { // a v2 Mint does not say whose the shares are
		e.Recipient[0] = 0x5e
	}
	s.pending, s.hasMore = e, true
}

// provide adds liquidity over all prices, or removes some, so that it stays around what it was at first.
func (s *Synthetic) provide(e *Event) {
	i := s.rng.IntN(len(s.pools))
	p := &s.pools[i]
	kind := Mint
	part := uint256.NewInt(uint64(200 + s.rng.IntN(800))) // of what there is
	first := 1e18 * float64(1+i*2)
	var now float64
	if p.Protocol.V2() {
		now = math.Sqrt(p.reserve0.Float64() * p.reserve1.Float64())
	} else {
		now = p.liquidity.Float64()
	}
	if now > first*1.5 || now > first*0.75 && s.rng.IntN(2) == 0 {
		kind = Burn
	}
	if p.Protocol.V2() {
		s.provideV2(p, e, kind, part)
		return
	}
	*e = s.step(p, kind)
	e.Liquidity.Div(&p.liquidity, part)
	root := math.Exp(p.log / 2)
	delta := e.Liquidity.Float64()
	setFloat(&e.Amount0.Abs, delta/root)
	setFloat(&e.Amount1.Abs, delta*root)
	e.TickLower, e.TickUpper = -887220, 887220
	if kind == Mint {
		p.liquidity.Add(&p.liquidity, &e.Liquidity)
	} else {
		e.Recipient = Address{} // v3 burns without paying out; Collect does that
		p.liquidity.Sub(&p.liquidity, &e.Liquidity)
	}
}

func (s *Synthetic) provideV2(p *syntheticPool, e *Event, kind Kind, part *uint256.Int) {
	*e = s.step(p, Sync)
	var amount0, amount1 uint256.Int
	amount0.Div(&p.reserve0, part)
	amount1.Div(&p.reserve1, part)
	if kind == Mint {
		p.reserve0.Add(&p.reserve0, &amount0)
		p.reserve1.Add(&p.reserve1, &amount1)
	} else {
		p.reserve0.Sub(&p.reserve0, &amount0)
		p.reserve1.Sub(&p.reserve1, &amount1)
	}
	p.log = math.Log(p.reserve1.Float64() / p.reserve0.Float64())
	e.HasReserves, e.Reserve0, e.Reserve1 = true, p.reserve0, p.reserve1
	e.Sender, e.Recipient = Address{}, Address{}
	s.follow(Event{Position: e.Position, Pool: e.Pool, Kind: kind, Version: V2, TimeNS: e.TimeNS,
		Amount0: Unsigned(amount0), Amount1: Unsigned(amount1)})
}

// setFloat sets z to f without its fraction; f is not negative and below 2^256.
func setFloat(z *uint256.Int, f float64) {
	if f < 1<<63 {
		z.SetUint64(uint64(max(f, 0)))
		return
	}
	mantissa, exp := math.Frexp(f) // f = mantissa * 2^exp, mantissa in [0.5, 1)
	z.SetUint64(uint64(mantissa * (1 << 53)))
	z.Lsh(z, uint(exp-53))
}
