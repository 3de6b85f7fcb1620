package main

import (
	"fmt"
	"io"

	"github.com/mycelium-bus/mycelium/cmd/internal/cli"
	"github.com/mycelium-bus/mycelium/cmd/internal/dex"
)

// cycleJSON is a cycle as programs read it. The names are those of the pair USDC/WETH, whatever the pair is.
type cycleJSON struct {
	AfterBlock       uint64  `json:"after_block"`
	AfterLogIndex    uint32  `json:"after_log_index"`
	BuyIn            string  `json:"buy_weth_in"`
	SellIn           string  `json:"sell_weth_in"`
	PriceRatioMinus1 float64 `json:"price_ratio_minus_1"`
	QuoteIn          float64 `json:"usdc_in"`           // in whole tokens of quote
	GrossProfit      float64 `json:"gross_profit_usdc"` // the same
	ChainID          uint32  `json:"chain_id"`
	Quote            string  `json:"quote"` // symbol, or address where that is unknown
	Base             string  `json:"base"`
}

// cyclePrinter prints each cycle on a line.
func cyclePrinter(w io.Writer, asJSON bool) func(*dex.Cycle) error {
	return func(c *dex.Cycle) error {
		if asJSON {
			return cli.PrintJSONLine(w, cycleJSON{
				AfterBlock: c.After.Block, AfterLogIndex: c.After.LogIndex, BuyIn: c.Buy.Address.String(), SellIn: c.Sell.Address.String(),
				PriceRatioMinus1: c.PriceRatioMinus1, QuoteIn: c.QuoteIn, GrossProfit: c.GrossProfit,
				ChainID: c.After.ChainID, Quote: tokenName(c.Quote), Base: tokenName(c.Base),
			})
		}
		_, err := fmt.Fprintf(w, "block %d log %d: buy %s in %s, sell in %s, %.4f %% apart: %.2f %s in, %.2f profit\n",
			c.After.Block, c.After.LogIndex, tokenName(c.Base), short(c.Buy.Address), short(c.Sell.Address),
			c.PriceRatioMinus1*100, c.QuoteIn, tokenName(c.Quote), c.GrossProfit)
		return err
	}
}

func tokenName(t dex.Token) string {
	if t.Symbol != "" {
		return t.Symbol
	}
	return t.Address.String()
}

// short keeps both ends of an address, which is how people compare them.
func short(a dex.Address) string { s := a.String(); return s[:8] + ".." + s[len(s)-4:] }

// printSummary says what was seen and how late: from a message's publishing, by its header, to its handling here.
func (h *hunter) printSummary(w io.Writer) error {
	rate := 0.0
	if h.last > h.first {
		rate = float64(h.latency.TotalCount()-1) / (float64(h.last-h.first) / 1e9)
	}
	_, err := fmt.Fprintf(w, "%s cycles in %s events, %s messages, %s\n",
		cli.Number(int64(h.cycles)), cli.Number(int64(h.events)), cli.Number(int64(h.messages)), cli.Rate(rate))
	for _, line := range []struct {
		n    uint64
		what string
	}{
		{h.broken, "messages could not be read"},
		{h.finder.OutOfOrder(), "events came out of order"},
		{h.finder.Uncompared(), "pools were compared with none: their tokens or fee are unknown, --pools can name them"},
		{h.older, "messages are older than this process: their latency is not counted"},
	} {
		if line.n > 0 && err == nil {
			_, err = fmt.Fprintf(w, "  %s %s\n", cli.Number(int64(line.n)), line.what)
		}
	}
	if n := h.latency.TotalCount(); n > 0 && err == nil {
		at := func(percent float64) string { return cli.Latency(h.latency.ValueAtPercentile(percent)) }
		_, err = fmt.Fprintf(w, "latency of %s messages: p50 %s, p99 %s, p99.9 %s, max %s\n",
			cli.Number(n), at(50), at(99), at(99.9), cli.Latency(h.latency.Max()))
	}
	return err
}
