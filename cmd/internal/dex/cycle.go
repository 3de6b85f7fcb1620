package dex

import "math"

// Cycle is a round trip through two pools of one pair that pays after the pools' fees: quote -> base in the pool where
// base is cheap, base -> quote in the other. Amounts are in whole tokens of quote (smallest units where its decimals
// are unknown). See [Finder] for the rule, and quoteIs1 for which token is quote.
type Cycle struct {
	After             Position // of the event that made it
	Buy, Sell         Pool     // base is bought in Buy and sold in Sell
	Quote, Base       Token
	PriceRatioMinus1  float64 // how much dearer base is in Sell than in Buy, before fees
	QuoteIn           float64 // the input that pays most
	GrossProfit       float64 // what comes back beyond QuoteIn: after the pools' fees, before gas
	BuyFees, SellFees float64 // what of the two swaps' inputs the pools keep, at each pool's price of before
	QuoteDollars      float64 // dollars for one quote; 0 unknown
}

// Finder follows the states of pools and finds the two-pool cycles that pay. It is for one goroutine.
//
// State of a pool: price and liquidity as of its last v3 Swap, or the reserves of its last v2 Sync (a swap that
// carries reserves counts as one; a v2 pair is a v3 pool of liquidity sqrt(r0*r1) over all prices). Mint and Burn do not
// change the state: what they change shows in the next Swap.
//
// Rule: after each event that states a pool's state, this pool is compared with every other pool of the same pair
// and chain whose fee is known, and whose state as of that event is. A cycle is reported each time when
//
//	price(sell)/price(buy) > 1/((1-fee(buy))(1-fee(sell)))
//
// A state that stands later in the chain than the event does not count: it was not so yet. That happens when a
// recorded day is played once more, and the other pool's state is still that of its end.
//
// so as long as two pools stay apart, each further Swap of either reports them anew; each event of a block is a state of
// its own. Only one direction of a pair of pools can pay. Size and profit are the optimum at constant liquidity (no tick
// is crossed), in float64.
type Finder struct {
	pools  map[On]*tracked
	pairs  map[pair][]*tracked
	dollar map[On][]*tracked // pools of a token with a dollar coin, for the token's price
	tokens *Pools

	last       map[uint32]*Position // of each chain
	chain      *Position            // of the chain that was seen last
	strangers  map[On]struct{}      // pools with events of which nothing is known
	outOfOrder uint64
	cycle      Cycle // what found is lent
}

type pair struct {
	chain          uint32
	token0, token1 Address
}

type tracked struct {
	Pool
	key            pair
	token0, token1 Token
	quote1         bool
	keep           float64 // 1 - fee
	sqrt           float64 // sqrt(token1/token0) in smallest units; 0 unknown
	liquidity      float64
	as             Position // of the event that stated it
	seen           bool     // there was an event
}

// NewFinder starts with the pools known, of which none has a state yet; events of others are ignored until AddPool.
// It uses the directory for tokens and fees that are not known otherwise; nil knows the well-known tokens.
func NewFinder(known *Pools) *Finder {
	if known == nil {
		known = NewPools()
	}
	f := &Finder{
		pools: map[On]*tracked{}, pairs: map[pair][]*tracked{}, dollar: map[On][]*tracked{},
		tokens: known, last: map[uint32]*Position{}, strangers: map[On]struct{}{},
	}
	for _, p := range known.pools {
		f.AddPool(p, known.Token(p.ChainID, p.Token0), known.Token(p.ChainID, p.Token1))
	}
	return f
}

// AddPool makes a pool known and forgets its state, which begins anew with its next event. What the directory given
// to NewFinder says about the pool and its tokens goes before what is said here: a bus message rounds the fee.
func (f *Finder) AddPool(p Pool, token0, token1 Token) {
	on := On{p.ChainID, p.Address}
	if known, ok := f.tokens.pools[on]; ok {
		p = known
	}
	_, seen := f.strangers[on]
	token0, token1 = f.complete(p.ChainID, p.Token0, token0), f.complete(p.ChainID, p.Token1, token1)
	if t, ok := f.pools[on]; ok {
		if t.Pool == p && t.token0 == token0 && t.token1 == token1 {
			t.sqrt, t.liquidity = 0, 0
			return
		}
		f.remove(t)
		seen = t.seen
	}
	t := &tracked{
		seen: seen,
		Pool: p, key: pair{p.ChainID, p.Token0, p.Token1}, token0: token0, token1: token1,
		quote1: quoteIs1(token0, token1), keep: 1 - float64(p.FeePips)/1e6,
	}
	f.pools[on] = t
	delete(f.strangers, on)
	if p.Token0 == p.Token1 {
		return // unknown tokens make no pair
	}
	f.pairs[t.key] = append(f.pairs[t.key], t)
	if isDollar(t.token0.Symbol) != isDollar(t.token1.Symbol) {
		f.dollar[t.other()] = append(f.dollar[t.other()], t)
	}
}

func (f *Finder) complete(chain uint32, address Address, t Token) Token {
	if known := f.tokens.Token(chain, address); known.Decimals != 0 || known.Symbol != "" {
		return known
	}
	t.ChainID, t.Address = chain, address
	return t
}

func (f *Finder) remove(t *tracked) {
	drop := func(list []*tracked) []*tracked {
		kept := list[:0]
		for _, u := range list {
			if u != t {
				kept = append(kept, u)
			}
		}
		return kept
	}
	f.pairs[t.key] = drop(f.pairs[t.key])
	f.dollar[t.other()] = drop(f.dollar[t.other()])
}

// other is the token of a dollar pool that is not the dollar.
func (t *tracked) other() On {
	if isDollar(t.token0.Symbol) {
		return On{t.ChainID, t.Token1}
	}
	return On{t.ChainID, t.Token0}
}

// OutOfOrder counts events that came after one of their chain that they should have preceded.
func (f *Finder) OutOfOrder() uint64 { return f.outOfOrder }

// Uncompared counts the pools that had events and are compared with none, for their tokens or their fee are unknown.
func (f *Finder) Uncompared() uint64 {
	n := uint64(len(f.strangers))
	for _, t := range f.pools {
		if t.seen && (t.Token0 == t.Token1 || t.FeePips == 0) {
			n++
		}
	}
	return n
}

// Observe takes the next event and calls found for each cycle that its state makes pay; the Cycle is lent for the call.
func (f *Finder) Observe(e *Event, found func(*Cycle)) {
	f.order(e)
	on := On{e.ChainID, e.Pool}
	t, ok := f.pools[on]
	if !ok {
		f.strangers[on] = struct{}{}
		return
	}
	t.seen = true
	if !t.update(e) || !t.known() {
		return
	}
	for _, u := range f.pairs[t.key] {
		if u == t || !u.known() || u.as.Compare(t.as) > 0 {
			continue
		}
		buy, sell := t, u
		if t.basePrice() > u.basePrice() {
			buy, sell = u, t
		}
		c := &f.cycle
		if !twoPools(buy, sell, c) {
			continue
		}
		c.After = e.Position
		c.QuoteDollars = f.dollars(c.Quote)
		found(c)
	}
}

// order counts an event that stands before its chain's last.
func (f *Finder) order(e *Event) {
	if f.chain == nil || f.chain.ChainID != e.ChainID {
		last, ok := f.last[e.ChainID]
		if !ok {
			last = &Position{ChainID: e.ChainID}
			f.last[e.ChainID] = last
		}
		f.chain = last
	}
	if e.Compare(*f.chain) < 0 {
		f.outOfOrder++
	}
	*f.chain = e.Position
}

// known says whether there is something to compare.
func (t *tracked) known() bool { return t.FeePips != 0 && t.liquidity > 0 && t.sqrt > 0 }

// update takes a state over; false when the event states none.
func (t *tracked) update(e *Event) bool {
	switch {
	case e.Version == V3 && e.Kind == Swap && !e.SqrtPriceX96.IsZero():
		t.sqrt = e.SqrtPriceX96.Float64() / two96
		t.liquidity = e.Liquidity.Float64()
	case e.HasReserves:
		x, y := e.Reserve0.Float64(), e.Reserve1.Float64()
		t.sqrt, t.liquidity = 0, 0
		if x > 0 && y > 0 {
			t.sqrt, t.liquidity = math.Sqrt(y/x), math.Sqrt(x*y)
		}
	default:
		return false
	}
	t.as = e.Position
	return true
}

// basePrice is quote for one base, in smallest units.
func (t *tracked) basePrice() float64 {
	if t.quote1 {
		return t.sqrt * t.sqrt
	}
	return 1 / (t.sqrt * t.sqrt)
}

// reserves are those of the constant product that the pool is around its price.
func (t *tracked) reserves() (quote, base float64) {
	token0, token1 := t.liquidity/t.sqrt, t.liquidity*t.sqrt
	if t.quote1 {
		return token1, token0
	}
	return token0, token1
}

// twoPools is the best round trip through two constant products with fees.
//
// With reserves Q1, B1 where base is bought and Q2, B2 where it is sold, and g1, g2 what the fees leave of an input:
//
//	out(x) = N x / (D + k x),  N = g1 g2 B1 Q2,  D = Q1 B2,  k = g1 (B2 + g2 B1)
//
// out(x) - x is greatest where its slope is 1, at x = (sqrt(N D) - D)/k, and there (sqrt N - sqrt D)^2 / k; it pays if
// N > D, which is the rule of Finder.
func twoPools(buy, sell *tracked, c *Cycle) bool {
	ratio := buy.sqrt / sell.sqrt
	if buy.quote1 {
		ratio = 1 / ratio
	}
	ratio *= ratio
	g1, g2 := buy.keep, sell.keep
	if !(ratio > 1/(g1*g2)) {
		return false
	}
	q1, b1 := buy.reserves()
	_, b2 := sell.reserves()
	k := g1 * (b2 + g2*b1)
	root := math.Sqrt(g1*g2*ratio) - 1 // sqrt(N/D) - 1
	d := q1 * b2
	in := d * root / k
	profit := in * root
	bought := g1 * in * b1 / (q1 + g1*in)

	quote, base := buy.token0, buy.token1
	if buy.quote1 {
		quote, base = base, quote
	}
	*c = Cycle{
		Buy: buy.Pool, Sell: sell.Pool, Quote: quote, Base: base,
		PriceRatioMinus1: ratio - 1,
		QuoteIn:          units(in, quote.Decimals),
		GrossProfit:      units(profit, quote.Decimals),
		BuyFees:          units(in*(1-g1), quote.Decimals),
		SellFees:         units(bought*(1-g2)*sell.basePrice(), quote.Decimals),
	}
	return !math.IsInf(in, 0) && !math.IsNaN(profit)
}

// dollars is what one whole token is worth: 1 for a dollar coin, else its price in the pool with a dollar coin that holds
// most dollars around its price; 0 where none is known.
func (f *Finder) dollars(token Token) float64 {
	if isDollar(token.Symbol) {
		return 1
	}
	most, price := 0.0, 0.0
	for _, t := range f.dollar[On{token.ChainID, token.Address}] {
		if t.sqrt <= 0 || t.liquidity <= 0 {
			continue
		}
		quote, _ := t.reserves() // the dollar outranks all else, so it is quote
		dollar := t.token0
		if t.quote1 {
			dollar = t.token1
		}
		if held := units(quote, dollar.Decimals); held > most {
			most = held
			price = t.basePrice() * math.Pow10(int(token.Decimals)-int(dollar.Decimals))
		}
	}
	return price
}
