package dex

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/holiman/uint256"
)

// pairOf makes two v3 pools of one pair, with prices of token1 per token0 in smallest units.
type pairOf struct {
	f      *Finder
	cycles []Cycle
	log    uint32
}

func (p *pairOf) add(n byte, fee uint32, token0, token1 Token) Pool {
	pool := Pool{ChainID: 9, Address: Address{n}, Protocol: UniswapV3, FeePips: fee, Token0: token0.Address, Token1: token1.Address}
	p.f.AddPool(pool, token0, token1)
	return pool
}

func (p *pairOf) swap(pool Pool, price, liquidity float64) {
	e := Event{Position: Position{ChainID: 9, Block: 1, LogIndex: p.log}, Pool: pool.Address, Kind: Swap, Version: V3}
	p.log++
	setFloat(&e.SqrtPriceX96, math.Sqrt(price)*two96)
	setFloat(&e.Liquidity, liquidity)
	p.f.Observe(&e, func(c *Cycle) { p.cycles = append(p.cycles, *c) })
}

var (
	usd  = Token{Address: Address{1}, Symbol: "USDC", Decimals: 6}
	eth  = Token{Address: Address{2}, Symbol: "WETH", Decimals: 18}
	euro = Token{Address: Address{0}, Symbol: "EURX", Decimals: 6}
	pepe = Token{Address: Address{3}, Symbol: "PEPE", Decimals: 18}
)

func TestACyclePaysFromTheFeesOn(t *testing.T) {
	for _, c := range []struct{ fee1, fee2 uint32 }{{500, 3000}, {100, 100}, {10000, 3000}, {2500, 30}} {
		edge := 1 / ((1 - float64(c.fee1)/1e6) * (1 - float64(c.fee2)/1e6))
		for name, s := range map[string]struct {
			by   float64
			want int
		}{"a millionth below": {1 - 1e-6, 0}, "a millionth above": {1 + 1e-6, 1}} {
			p := &pairOf{f: NewFinder(nil)}
			a, b := p.add(1, c.fee1, usd, eth), p.add(2, c.fee2, usd, eth)
			p.swap(a, 5e8, 1e18)
			p.swap(b, 5e8*edge*s.by, 1e18)
			if len(p.cycles) != s.want {
				t.Errorf("fees %d and %d, %s what pays: %d cycles, want %d", c.fee1, c.fee2, name, len(p.cycles), s.want)
			}
			p = &pairOf{f: NewFinder(nil)}
			a, b = p.add(1, c.fee1, usd, eth), p.add(2, c.fee2, usd, eth)
			p.swap(b, 5e8, 1e18)
			p.swap(a, 5e8*edge*s.by, 1e18)
			if len(p.cycles) != s.want {
				t.Errorf("fees %d and %d turned round, %s what pays: %d cycles, want %d", c.fee1, c.fee2, name, len(p.cycles), s.want)
			}
		}
	}
}

func TestDirectionAndQuote(t *testing.T) {
	for name, c := range map[string]struct {
		token0, token1 Token
		quote          string
		cheap          float64 // of base, as a factor on the price of token1 per token0
	}{
		"dollar is token0": {usd, eth, "USDC", 1.02}, // more ether for a dollar: cheaper ether
		"dollar is token1": {euro, usd, "USDC", 0.98},
		"ether is token0":  {eth, pepe, "WETH", 1.02},
	} {
		t.Run(name, func(t *testing.T) {
			p := &pairOf{f: NewFinder(nil)}
			a, b := p.add(1, 500, c.token0, c.token1), p.add(2, 500, c.token0, c.token1)
			p.swap(a, 2, 1e20)
			p.swap(b, 2*c.cheap, 1e20)
			if len(p.cycles) != 1 {
				t.Fatalf("%d cycles", len(p.cycles))
			}
			if got := p.cycles[0]; got.Quote.Symbol != c.quote || got.Buy != b || got.Sell != a {
				t.Errorf("quote %s, buy in %s, sell in %s; want quote %s, buy in %s", got.Quote.Symbol, got.Buy.Address, got.Sell.Address, c.quote, b.Address)
			}
		})
	}
}

// TestTheOptimumIsOne compares with arithmetic in big.Float, and with inputs around it.
func TestTheOptimumIsOne(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for i := range 300 {
		p := &pairOf{f: NewFinder(nil)}
		tokens := [][2]Token{{usd, eth}, {euro, usd}, {eth, pepe}}[i%3]
		fees := []uint32{100, 500, 3000, 10000}
		a, b := p.add(1, fees[rng.IntN(4)], tokens[0], tokens[1]), p.add(2, fees[rng.IntN(4)], tokens[0], tokens[1])
		price := math.Exp(rng.Float64()*60 - 30)
		p.swap(a, price, math.Exp(rng.Float64()*20+30))
		p.swap(b, price*math.Exp(0.021+rng.Float64()*rng.Float64()*3), math.Exp(rng.Float64()*20+30))
		if len(p.cycles) != 1 {
			t.Fatalf("%d cycles", len(p.cycles))
		}
		c := p.cycles[0]
		buy, sell := p.f.pools[On{9, c.Buy.Address}], p.f.pools[On{9, c.Sell.Address}]
		in := c.QuoteIn * math.Pow10(int(c.Quote.Decimals))
		profit := c.GrossProfit * math.Pow10(int(c.Quote.Decimals))
		best := profitAt(buy, sell, in)
		if math.Abs(best-profit) > 1e-9*math.Abs(best) {
			t.Errorf("profit %g, by big.Float %g", profit, best)
		}
		for _, factor := range []float64{0.5, 0.99, 1.01, 2} {
			if other := profitAt(buy, sell, in*factor); other >= best {
				t.Errorf("%g times the input gives %g, not less than %g", factor, other, best)
			}
		}
	}
}

// profitAt plays an input through the two pools.
func profitAt(buy, sell *tracked, in float64) float64 {
	big := func(f float64) *bigFloat { return new(bigFloat).SetPrec(300).SetFloat64(f) }
	swap := func(x, from, to *bigFloat, fee uint32) *bigFloat {
		left := new(bigFloat).Mul(x, new(bigFloat).Quo(big(float64(1_000_000-fee)), big(1e6)))
		return new(bigFloat).Quo(new(bigFloat).Mul(left, to), new(bigFloat).Add(from, left))
	}
	reserves := func(t *tracked) (quote, base *bigFloat) {
		token0, token1 := new(bigFloat).Quo(big(t.liquidity), big(t.sqrt)), new(bigFloat).Mul(big(t.liquidity), big(t.sqrt))
		if t.quote1 {
			return token1, token0
		}
		return token0, token1
	}
	q1, b1 := reserves(buy)
	q2, b2 := reserves(sell)
	out := swap(swap(big(in), q1, b1, buy.FeePips), b2, q2, sell.FeePips)
	f, _ := new(bigFloat).Sub(out, big(in)).Float64()
	return f
}

type bigFloat = big.Float

func TestEachStateOfABlockIsReported(t *testing.T) {
	p := &pairOf{f: NewFinder(nil)}
	a, b, c := p.add(1, 500, usd, eth), p.add(2, 3000, usd, eth), p.add(3, 3000, usd, eth)
	other := p.add(4, 500, usd, pepe)
	p.swap(a, 100, 1e18)
	p.swap(other, 300, 1e18) // another pair: no matter
	p.swap(b, 101, 1e18)     // pays against a
	p.swap(b, 102, 1e18)     // again
	p.swap(c, 101, 1e18)     // pays against a, and against b
	p.swap(a, 100, 1e18)     // pays against both
	p.swap(a, 101.5, 1e18)   // pays against b (0.49 %) and c (0.495 %)
	p.swap(a, 101.51, 0)     // no liquidity
	p.swap(b, 101, 1e18)     // a has none, c is equal
	counts := map[uint32]int{}
	for _, c := range p.cycles {
		counts[c.After.LogIndex]++
	}
	if want := map[uint32]int{2: 1, 3: 1, 4: 2, 5: 2, 6: 2}; fmt.Sprint(counts) != fmt.Sprint(want) {
		t.Errorf("cycles by log index %v, want %v", counts, want)
	}
}

func TestMintsAndBurnsAndUnknownPoolsChangeNothing(t *testing.T) {
	p := &pairOf{f: NewFinder(nil)}
	a, b := p.add(1, 500, usd, eth), p.add(2, 500, usd, eth)
	feeless := p.add(3, 0, usd, eth)
	p.swap(a, 100, 1e18)
	p.swap(b, 100, 1e18)
	p.swap(feeless, 200, 1e18)
	p.swap(Pool{Address: Address{77}}, 500, 1e18)
	for _, e := range []Event{
		{Kind: Mint, Version: V3, Liquidity: bit(100)}, {Kind: Burn, Version: V3, Liquidity: bit(20)},
		{Kind: Swap, Version: V3}, {Kind: Swap, Version: V2, Amount0: Unsigned(bit(90))},
	} {
		e.ChainID, e.Pool = 9, b.Address
		p.f.Observe(&e, func(c *Cycle) { t.Errorf("%s made a cycle", e.Kind) })
	}
	if len(p.cycles) != 0 {
		t.Errorf("%d cycles", len(p.cycles))
	}
	p.swap(b, 102, 1e18)
	if len(p.cycles) != 1 {
		t.Errorf("%d cycles after a swap that makes one", len(p.cycles))
	}
}

func TestPoolsThatCannotBeComparedAreCounted(t *testing.T) {
	p := &pairOf{f: NewFinder(nil)}
	p.add(1, 0, usd, eth) // no event yet
	for _, c := range []struct {
		what string
		pool Pool
		want uint64
	}{
		{"a pool with all", p.add(2, 500, usd, eth), 0},
		{"a pool without a fee", p.add(3, 0, usd, eth), 1},
		{"the same again", p.add(3, 0, usd, eth), 1},
		{"a pool without tokens", p.add(4, 500, Token{}, Token{}), 2},
		{"a pool that was never announced", Pool{Address: Address{5}}, 3},
	} {
		p.swap(c.pool, 5e8, 1e18)
		if got := p.f.Uncompared(); got != c.want {
			t.Errorf("after %s: %d, want %d", c.what, got, c.want)
		}
	}
	p.add(5, 500, usd, eth)
	p.add(3, 500, usd, eth)
	if got := p.f.Uncompared(); got != 1 {
		t.Errorf("when two are known: %d, want 1", got)
	}
	p.add(4, 0, usd, eth) // its event was before
	if got := p.f.Uncompared(); got != 1 {
		t.Errorf("when one has tokens, but no fee: %d, want 1", got)
	}
}

func TestAPoolThatIsAnnouncedAgainBeginsAnew(t *testing.T) {
	p := &pairOf{f: NewFinder(nil)}
	a, b := p.add(1, 500, usd, eth), p.add(2, 500, usd, eth)
	p.swap(a, 100, 1e18)
	p.add(1, 500, usd, eth)
	p.swap(b, 110, 1e18)
	if len(p.cycles) != 0 {
		t.Error("a state from before was used")
	}
	p.swap(a, 100, 1e18)
	if len(p.cycles) != 1 {
		t.Errorf("%d cycles", len(p.cycles))
	}
	b = p.add(2, 500, usd, pepe) // it was another pair all along
	p.swap(b, 120, 1e18)
	p.swap(a, 100, 1e18)
	if len(p.cycles) != 1 {
		t.Errorf("%d cycles: the pool is still in its old pair", len(p.cycles))
	}
}

func TestAStateThatIsYetToComeDoesNotCount(t *testing.T) {
	p := &pairOf{f: NewFinder(nil)}
	a, b := p.add(1, 500, usd, eth), p.add(2, 500, usd, eth)
	p.swap(a, 100, 1e18)
	p.swap(b, 110, 1e18) // pays
	p.log = 0            // once more from the beginning
	p.swap(a, 100, 1e18) // b is not there yet
	if len(p.cycles) != 1 || p.f.OutOfOrder() != 1 {
		t.Errorf("%d cycles, %d out of order", len(p.cycles), p.f.OutOfOrder())
	}
	p.swap(b, 110, 1e18)
	if len(p.cycles) != 2 {
		t.Errorf("%d cycles", len(p.cycles))
	}
}

func TestPlayingAMarketAgainFindsTheSameCycles(t *testing.T) {
	s := NewSynthetic(4, 5000)
	events, _ := readAll(t, s)
	f := NewFinder(SyntheticPools())
	var found uint64
	for round := range uint64(3) {
		for i := range events {
			f.Observe(&events[i], func(*Cycle) { found++ })
		}
		if found != (round+1)*s.Cycles() {
			t.Fatalf("after %d rounds %d cycles, want %d in each", round+1, found, s.Cycles())
		}
	}
}

func TestThePoolsFileGoesBeforeTheMessage(t *testing.T) {
	known := NewPools()
	for n := range byte(2) {
		known.Add(Pool{ChainID: 9, Address: Address{n + 1}, Protocol: UniswapV3, FeePips: 130, Token0: usd.Address, Token1: eth.Address})
	}
	known.AddToken(Token{ChainID: 9, Address: usd.Address, Symbol: "USDC", Decimals: 6})
	p := &pairOf{f: NewFinder(known)}
	a, b := p.add(1, 100, usd, eth), p.add(2, 100, usd, eth) // 0.013 % as a message has it
	p.swap(a, 100, 1e18)
	p.swap(b, 100*(1+0.000230), 1e18)
	if len(p.cycles) != 0 {
		t.Error("the fee was the message's")
	}
	p.swap(b, 100*(1+0.000270), 1e18)
	if len(p.cycles) != 1 || p.cycles[0].Quote.Symbol != "USDC" {
		t.Errorf("cycles %+v", p.cycles)
	}
}

func TestDollarsOfAQuoteThatIsNone(t *testing.T) {
	p := &pairOf{f: NewFinder(nil)}
	a, b := p.add(1, 500, eth, pepe), p.add(2, 500, eth, pepe)
	small, large := p.add(3, 500, usd, eth), p.add(4, 500, usd, eth)
	p.swap(a, 100, 1e18)
	p.swap(b, 102, 1e18)
	p.swap(small, 1e18/1000e6, 1e15)
	p.swap(large, 1e18/2000e6, 1e18)
	p.swap(b, 102, 1e18)
	var worth []float64
	for _, c := range p.cycles {
		if c.Quote.Symbol == "WETH" {
			worth = append(worth, math.Round(c.QuoteDollars))
		}
	}
	if fmt.Sprint(worth) != "[0 2000]" {
		t.Errorf("an ether is worth %v, want nothing known and then 2000", worth)
	}
	if s := p.cycles[0].Signal(5); s.RequiredCapitalUSDQ8 != 0 || s.ExpectedProfitUSDQ8 != 0 {
		t.Errorf("signal in dollars that are not known: %+v", s)
	}
}

func TestSignal(t *testing.T) {
	p := &pairOf{f: NewFinder(nil)}
	a, b := p.add(1, 500, usd, eth), p.add(2, 3000, usd, eth)
	p.swap(a, 1e18/2000e6, 1e18)
	p.swap(b, 1e18/2030e6, 1e18)
	if len(p.cycles) != 1 {
		t.Fatalf("%d cycles", len(p.cycles))
	}
	c := p.cycles[0]
	const now = 1704412823_000000123
	s := c.Signal(now)
	if s.StrategyID != 21 || s.SignalID != now || s.TimestampNs != now || s.ValidUntil != 1704413123 || s.ChainID != 9 {
		t.Errorf("identity %+v", s)
	}
	if s.SourcePool != a.Address || s.TargetPool != b.Address || s.TokenIn != usd.Address || s.TokenOut != eth.Address {
		t.Errorf("way %+v", s)
	}
	if s.SpreadBps != 150 || s.Priority != 1500 || s.SlippageToleranceBps != 50 || s.MaxGasPriceGwei != 100 {
		t.Errorf("figures %+v", s)
	}
	if want := int64(math.Round(c.QuoteIn * 1e8)); s.RequiredCapitalUSDQ8 != want {
		t.Errorf("capital %d, want %d", s.RequiredCapitalUSDQ8, want)
	}
	if want := int64(math.Round(c.GrossProfit * 1e8)); s.NetProfitUSDQ8 != want || s.ExpectedProfitUSDQ8-s.DexFeesUSDQ8 != want {
		t.Errorf("profit %d net, %d less %d; want %d", s.NetProfitUSDQ8, s.ExpectedProfitUSDQ8, s.DexFeesUSDQ8, want)
	}
	// Fees are 0.05 % of what goes into the first pool and 0.3 % of what goes into the second, which is worth as much
	// in the first order.
	if rough := c.QuoteIn * 0.0035 * 1e8; math.Abs(float64(s.DexFeesUSDQ8)-rough) > 0.02*rough {
		t.Errorf("fees %d, want about %.0f", s.DexFeesUSDQ8, rough)
	}
	huge := Cycle{PriceRatioMinus1: 1e9, QuoteIn: 1e300, GrossProfit: math.Inf(1), BuyFees: math.NaN(), QuoteDollars: 1}
	if s := huge.Signal(math.MaxUint64); s.SpreadBps != math.MaxUint16 || s.Priority != math.MaxUint16 ||
		s.ExpectedProfitUSDQ8 <= 0 || s.RequiredCapitalUSDQ8 <= 0 || s.ValidUntil != math.MaxUint32 {
		t.Errorf("beyond the fields' ranges: %+v", s)
	}
}

func TestFinderSurvivesAnyNumbers(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 8))
	p := &pairOf{f: NewFinder(nil)}
	pools := []Pool{p.add(1, 500, usd, eth), p.add(2, 999999, usd, eth), p.add(3, 100, usd, eth)}
	random := func() (z uint256.Int) {
		for i := range z {
			z[i] = rng.Uint64()
		}
		z.Rsh(&z, uint(rng.IntN(256)))
		return z
	}
	for range 20000 {
		e := Event{Kind: Swap, Version: V3, SqrtPriceX96: random(), Liquidity: random()}
		if rng.IntN(3) == 0 {
			e = Event{Kind: Sync, Version: V2, HasReserves: true, Reserve0: random(), Reserve1: random()}
		}
		e.ChainID, e.Pool = 9, pools[rng.IntN(3)].Address
		p.f.Observe(&e, func(c *Cycle) {
			if math.IsNaN(c.GrossProfit) || math.IsInf(c.QuoteIn, 0) || c.GrossProfit < 0 || c.QuoteIn < 0 {
				t.Fatalf("cycle %+v", c)
			}
			c.Signal(1)
		})
	}
}

func BenchmarkFinder(b *testing.B) {
	events := market(b, 1, 10000)
	f := NewFinder(SyntheticPools())
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		f.Observe(&events[i], func(*Cycle) {})
		if i++; i == len(events) {
			i = 0
		}
	}
}
