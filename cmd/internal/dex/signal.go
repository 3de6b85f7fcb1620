package dex

import (
	"math"

	"github.com/mycelium-bus/mycelium/codec"
)

// What every signal of this strategy says, as the old one did.
const (
	strategyFlashArbitrage = 21
	slippageToleranceBps   = 50
	maxGasPriceGwei        = 100
	signalValidSeconds     = 300
)

// SignalSize is the size in bytes of a message with one signal.
var SignalSize = codec.Size(codec.ArbitrageSignalSize)

// Signal says a cycle as strategies do. now is the wall clock in ns since 1970, and the signal's id: the caller sees to
// it that no two are equal. token in is quote, token out is base. Expected profit is what the two prices leave before
// fees, dex fees are both pools', gas and slippage are 0 (not estimated), and net profit is the cycle's gross profit.
// Where quote's worth in dollars is unknown, all amounts are 0. Shares beyond their field's range are the greatest
// it holds.
func (c *Cycle) Signal(now uint64) codec.ArbitrageSignal {
	spread := saturate(c.PriceRatioMinus1*1e4, math.MaxUint16)
	return codec.ArbitrageSignal{
		StrategyID: strategyFlashArbitrage, SignalID: now, ChainID: c.After.ChainID,
		SourcePool: c.Buy.Address, TargetPool: c.Sell.Address,
		SourceVenue: venueOf(c.Buy), TargetVenue: venueOf(c.Sell),
		TokenIn: c.Quote.Address, TokenOut: c.Base.Address,
		ExpectedProfitUSDQ8:  c.q8(c.GrossProfit) + c.q8(c.BuyFees+c.SellFees),
		RequiredCapitalUSDQ8: c.q8(c.QuoteIn),
		SpreadBps:            uint16(spread),
		DexFeesUSDQ8:         c.q8(c.BuyFees + c.SellFees),
		NetProfitUSDQ8:       c.q8(c.GrossProfit),
		SlippageToleranceBps: slippageToleranceBps,
		MaxGasPriceGwei:      maxGasPriceGwei,
		ValidUntil:           uint32(saturate(float64(now/1e9+signalValidSeconds), math.MaxUint32)),
		Priority:             uint16(saturate(math.Round(spread)*10, math.MaxUint16)),
		TimestampNs:          now,
	}
}

// q8 is an amount of quote in 1e-8 dollars. Half of the field's range is its limit, so that two of them can be added.
func (c *Cycle) q8(amount float64) int64 {
	return int64(saturate(amount*c.QuoteDollars*1e8, math.MaxInt64/2))
}

// saturate rounds a number and keeps it between 0 and the limit; what is no number is 0.
func saturate(x, limit float64) float64 {
	if math.IsNaN(x) {
		return 0
	}
	return min(max(math.Round(x), 0), limit)
}
