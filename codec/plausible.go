package codec

const (
	maxTick     = 887272 // of a Uniswap V3 pool, either way
	maxDecimals = 30     // what the old adapters believed of a token
)

// poolFacts are what is checked of every pool event.
type poolFacts struct {
	pool     Address
	amounts  [2]Uint128 // neither may be 0
	decimals [2]uint8
	ticks    [2]int32
	ranged   bool // ticks are a range, whose lower end comes first; a V2 pool's is 0, 0
}

// checkPlausible has the rules that the old adapters' own tests had for pool events. A value that cannot be decoded is
// for SizeRule to judge.
func checkPlausible(t Type, value []byte) error {
	f, ok := factsOf(t, value)
	if !ok {
		return nil
	}
	name := t.String()
	lower, upper := f.ticks[0], f.ticks[1]
	switch decimals := max(f.decimals[0], f.decimals[1]); {
	case f.pool == Address{}:
		return fault(ErrValue, name+" pool address", 0, 0, 1)
	case f.amounts[0] == Uint128{} || f.amounts[1] == Uint128{}:
		return fault(ErrValue, name+" amount", 0, 0, 1)
	case decimals > maxDecimals:
		return fault(ErrValue, name+" decimals", 0, uint64(decimals), maxDecimals)
	case min(lower, upper) < -maxTick:
		return fault(ErrValue, name+" tick, negative", 0, uint64(-int64(min(lower, upper))), maxTick)
	case max(lower, upper) > maxTick:
		return fault(ErrValue, name+" tick", 0, uint64(max(lower, upper)), maxTick)
	case f.ranged && lower >= upper && f.ticks != [2]int32{}:
		return fault(ErrValue, name+" ticks, upper less lower", 0, uint64(int64(upper)-int64(lower)), 1)
	}
	return nil
}

func factsOf(t Type, value []byte) (f poolFacts, ok bool) {
	switch t {
	case TypePoolSwap:
		var s PoolSwap
		ok = s.Decode(value) == nil
		f.pool, f.amounts, f.ticks[0] = s.PoolAddress, [2]Uint128{s.AmountIn, s.AmountOut}, s.TickAfter
		f.decimals = [2]uint8{s.AmountInDecimals, s.AmountOutDecimals}
	case TypePoolMint, TypePoolBurn:
		var s PoolMint
		ok = s.decode(t, value) == nil
		f.pool, f.amounts = s.PoolAddress, [2]Uint128{s.LiquidityDelta, s.LiquidityDelta}
		f.decimals = [2]uint8{s.Token0Decimals, s.Token1Decimals}
		f.ticks, f.ranged = [2]int32{s.TickLower, s.TickUpper}, true
	case TypePoolSync:
		var s PoolSync
		ok = s.Decode(value) == nil
		f.pool, f.amounts = s.PoolAddress, [2]Uint128{s.Reserve0, s.Reserve1}
		f.decimals = [2]uint8{s.Token0Decimals, s.Token1Decimals}
	case TypePoolTick:
		var s PoolTick
		ok = s.Decode(value) == nil
		net := Uint128{Lo: uint64(s.LiquidityNet)}
		f.pool, f.amounts, f.ticks[0] = s.PoolAddress, [2]Uint128{net, net}, s.Tick
	case TypePoolLiquidity:
		var s PoolLiquidity
		ok = s.Decode(value) == nil
		count := Uint128{Lo: uint64(s.Count)}
		f.pool, f.amounts = s.PoolAddress, [2]Uint128{count, count}
	}
	return f, ok
}
