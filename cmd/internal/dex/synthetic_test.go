package dex

import (
	"fmt"
	"io"
	"math"
	"testing"

	"github.com/holiman/uint256"
)

func TestTheSameSeedGivesTheSameMarket(t *testing.T) {
	compare(t, market(t, 42, 20000), market(t, 42, 20000))
	a, b := market(t, 1, 100), market(t, 2, 100)
	same := 0
	for i := range a {
		if a[i] == b[i] {
			same++
		}
	}
	if same > 10 {
		t.Errorf("markets of two seeds have %d of 100 events in common", same)
	}
}

func TestTheMarketContainsTheCyclesItCounts(t *testing.T) {
	seeds := uint64(20)
	if testing.Short() {
		seeds = 3
	}
	for seed := range seeds {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			s := NewSynthetic(seed, 20000)
			events, _ := readAll(t, s)
			if s.Cycles() == 0 || s.Cycles() > 1000 {
				t.Errorf("%d cycles in 20,000 events", s.Cycles())
			}
			got := throughMessages(t, SyntheticPools(), NewFinder(nil), events)
			if uint64(len(got)) != s.Cycles() {
				t.Errorf("the finder found %d cycles, the market counts %d", len(got), s.Cycles())
			}
			for _, c := range got {
				if c.Quote.Symbol != "USDC" || !(c.GrossProfit > 0) || !(c.QuoteIn > c.GrossProfit) {
					t.Fatalf("cycle %+v", c)
				}
			}
		})
	}
}

func TestCyclesAreCountedAlsoWhereTheMarketIsCutOff(t *testing.T) {
	const n = 3000
	s := NewSynthetic(9, 0)
	f := NewFinder(SyntheticPools())
	var found uint64
	for i := range n {
		var e Event
		if err := s.Next(&e); err != nil {
			t.Fatal(err)
		}
		f.Observe(&e, func(*Cycle) { found++ })
		if found != s.Cycles() {
			t.Fatalf("after event %d: found %d, counted %d", i, found, s.Cycles())
		}
	}
	if f.OutOfOrder() != 0 {
		t.Errorf("%d events out of order", f.OutOfOrder())
	}
}

func TestTheMarketObeysTheContracts(t *testing.T) {
	events := market(t, 3, 50000)
	kinds := map[string]int{}
	price, reserve := map[Address]uint256.Int{}, map[Address][2]uint256.Int{}
	var last Position
	for i := range events {
		e := &events[i]
		kinds[fmt.Sprintf("%s v%d", e.Kind, e.Version)]++
		if i > 0 && e.Compare(last) <= 0 {
			t.Fatalf("event %d stands at %+v after %+v", i, e.Position, last)
		}
		last = e.Position
		switch {
		case e.Kind == Swap && e.Version == V3:
			if before, ok := price[e.Pool]; ok {
				checkV3(t, e, &before)
			}
			price[e.Pool] = e.SqrtPriceX96
			if want := 2 * math.Log(e.SqrtPriceX96.Float64()/two96) / math.Log(1.0001); math.Abs(float64(e.Tick)+0.5-want) > 0.501 {
				t.Fatalf("tick %d at price %f", e.Tick, want)
			}
		case e.Kind == Sync:
			if before, ok := reserve[e.Pool]; ok && events[min(i+1, len(events)-1)].Kind == Swap {
				checkV2(t, e, &events[i+1], before)
			}
			reserve[e.Pool] = [2]uint256.Int{e.Reserve0, e.Reserve1}
		}
	}
	for _, kind := range []string{"Swap v2", "Swap v3", "Mint v2", "Mint v3", "Burn v2", "Burn v3", "Sync v2"} {
		if kinds[kind] < 50 {
			t.Errorf("%d of %s", kinds[kind], kind)
		}
	}
}

// checkV3 wants amounts that flow against the price's move, the output rounded for the pool.
func checkV3(t *testing.T, e *Event, before *uint256.Int) {
	t.Helper()
	rising := before.Lt(&e.SqrtPriceX96)
	if before.Eq(&e.SqrtPriceX96) {
		return
	}
	if rising != (e.Amount1.Sign() > 0) || rising == (e.Amount0.Sign() > 0) {
		t.Fatalf("price rises: %v, amounts %s and %s", rising, e.Amount0, e.Amount1)
	}
	diff := e.SqrtPriceX96.Float64() - before.Float64()
	want1 := e.Liquidity.Float64() * diff / two96
	want0 := e.Liquidity.Float64() * (1/e.SqrtPriceX96.Float64() - 1/before.Float64()) * two96
	for _, c := range []struct {
		got  Amount
		want float64
	}{{e.Amount0, want0}, {e.Amount1, want1}} {
		got := c.got.Abs.Float64()
		// An input is larger by the fee of up to 0.3 %; differences of prices carry their rounding.
		if want := math.Abs(c.want); got < want*(1-1e-6)-2 || got > want*1.0031+2 {
			t.Fatalf("amount %s, want about %f", c.got, c.want)
		}
	}
}

// checkV2 is the check at the end of UniswapV2Pair.swap: the product may not shrink after the fee.
func checkV2(t *testing.T, sync, swap *Event, before [2]uint256.Int) {
	t.Helper()
	product := func(x, y *uint256.Int) *uint256.Int { return new(uint256.Int).Mul(x, y) }
	after := [2]uint256.Int{sync.Reserve0, sync.Reserve1}
	thousand := uint256.NewInt(1000)
	var adjusted [2]uint256.Int
	for i, a := range []Amount{swap.Amount0, swap.Amount1} {
		if got := Difference(&after[i], &before[i]); got != a {
			t.Fatalf("reserve %d changed by %s, the swap says %s", i, got, a)
		}
		adjusted[i].Mul(&after[i], thousand)
		if a.Sign() > 0 {
			adjusted[i].Sub(&adjusted[i], product(&a.Abs, uint256.NewInt(3)))
		}
	}
	least := product(product(&before[0], &before[1]), uint256.NewInt(1_000_000))
	if product(&adjusted[0], &adjusted[1]).Lt(least) {
		t.Fatalf("the pair would refuse the swap: reserves %v to %v", before, after)
	}
}

func TestALongMarketStaysInBounds(t *testing.T) {
	s := NewSynthetic(11, 0)
	var e Event
	for range 300000 {
		if err := s.Next(&e); err != nil {
			t.Fatal(err)
		}
	}
	for i := range s.pools {
		p := &s.pools[i]
		if math.Abs(p.log-syntheticMid) > 1 {
			t.Errorf("pool %d's price is %g times what it was", i, math.Exp(p.log-syntheticMid))
		}
		first := 1e18 * float64(1+2*i)
		now := p.liquidity.Float64()
		if p.Protocol.V2() {
			now = math.Sqrt(p.reserve0.Float64() * p.reserve1.Float64())
		}
		if now < first/4 || now > first*4 {
			t.Errorf("pool %d's liquidity is %g times what it was", i, now/first)
		}
	}
}

func TestSetFloat(t *testing.T) {
	for _, f := range []float64{0, 0.9, 1, 1e9, 1 << 53, 1<<63 - 1024, 1 << 63, 1 << 64, 1.5e30, 1 << 200, math.Exp2(255.99)} {
		var z uint256.Int
		setFloat(&z, f)
		if got := z.Float64(); got != math.Floor(f) {
			t.Errorf("%g became %g", f, got)
		}
	}
}

func BenchmarkSynthetic(b *testing.B) {
	s := NewSynthetic(1, 0)
	var e Event
	for b.Loop() {
		if err := s.Next(&e); err == io.EOF {
			b.Fatal(err)
		}
	}
}
