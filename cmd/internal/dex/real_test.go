package dex

import (
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/holiman/uint256"

	"github.com/mycelium-bus/mycelium/cmd/internal/dex/dextest"
	"github.com/mycelium-bus/mycelium/codec"
)

func realFile(t testing.TB, parts ...string) string { return dextest.Data(t, parts...) }

func realPools(t testing.TB) *Pools {
	t.Helper()
	pools, err := LoadPools(realFile(t, "dex", "pools.json"))
	if err != nil {
		t.Fatal(err)
	}
	return pools
}

// The recorded pools: raw logs, the same decoded, and a tick table of the same made by another decoder.
var (
	ethereumRaw = []string{
		"ethereum_univ3_88e6a0_2024-01-05_h00-12.raw.csv.gz",
		"ethereum_univ3_8ad599_2024-01-05_h00-12.raw.csv.gz",
		"ethereum_univ3_82c427_2024-01-05_h00-12.raw.csv.gz",
	}
	realDays = []struct {
		raw    []string
		events string
		want   map[Kind]int
		other  uint64
	}{
		{ethereumRaw, "ethereum_2024-01-05_h00-12.events.csv.gz", map[Kind]int{Swap: 3040, Mint: 32, Burn: 44}, 43},
		{[]string{"polygon_univ3_45dda9_2021-12-22.raw.csv.gz"}, "polygon_2021-12-22.events.csv.gz", map[Kind]int{Swap: 199, Mint: 7, Burn: 2}, 2},
		{[]string{"polygon_univ3_45dda9_2022-01-05.raw.csv.gz"}, "polygon_2022-01-05.events.csv.gz", map[Kind]int{Swap: 3972, Mint: 64, Burn: 62}, 60},
	}
)

func mergeReal(t testing.TB, pools *Pools, names ...string) (*Merge, []Event) {
	t.Helper()
	var sources []Source
	for _, name := range names {
		sources = append(sources, open(t, realFile(t, "dex", name), OpenOptions{Pools: pools}))
	}
	m := NewMerge(sources, func(e *RowError) { t.Error(e) })
	events := mergeAll(t, m)
	if err := m.Err(); err != nil {
		t.Error(err)
	}
	return m, events
}

func TestRealRawAndDecodedFilesGiveTheSameMessages(t *testing.T) {
	pools := realPools(t)
	messages := func(events []Event) (out []string) {
		enc := NewEncoder(pools, func() uint64 { return 1 })
		for i := range events {
			err := enc.Encode(&events[i], func(m []byte) error { out = append(out, string(m)); return nil })
			if err != nil {
				t.Fatalf("%+v: %v", events[i], err)
			}
		}
		return out
	}
	for _, day := range realDays {
		t.Run(day.events, func(t *testing.T) {
			m, raw := mergeReal(t, pools, day.raw...)
			_, decoded := mergeReal(t, pools, day.events)
			compare(t, raw, decoded)
			kinds := map[Kind]int{}
			for i := range raw {
				kinds[raw[i].Kind]++
			}
			for k, n := range day.want {
				if kinds[k] != n {
					t.Errorf("%d of kind %s, want %d", kinds[k], k, n)
				}
			}
			if c := m.Counts(); c.Other != day.other || c.Malformed != 0 || c.Rows != uint64(len(raw))+day.other {
				t.Errorf("counts %+v, want %d others", c, day.other)
			}
			got, want := messages(raw), messages(decoded)
			if len(got) != len(raw)+len(day.raw) {
				t.Errorf("%d messages for %d events of %d pools", len(got), len(raw), len(day.raw))
			}
			for i := range got {
				if got[i] != want[i] {
					t.Fatalf("message %d differs", i)
				}
			}
		})
	}
}

func TestRealTickTablesAgreeFieldByField(t *testing.T) {
	pools := realPools(t)
	for _, day := range realDays {
		for _, name := range day.raw {
			t.Run(name, func(t *testing.T) {
				_, events := mergeReal(t, pools, name)
				rows := tickTable(t, realFile(t, "dex", strings.Replace(name, ".raw.", ".tick.", 1)))
				if len(rows) != len(events) {
					t.Fatalf("%d rows in the tick table, %d events", len(rows), len(events))
				}
				for i := range rows {
					compareTick(t, rows[i], &events[i])
				}
			})
		}
	}
}

// tickTable reads the rows that are no Collects.
func tickTable(t *testing.T, path string) (rows []map[string]string) {
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	r := csv.NewReader(z)
	header, err := r.Read()
	if err != nil {
		t.Fatal(err)
	}
	for {
		record, err := r.Read()
		if err == io.EOF {
			return rows
		}
		if err != nil {
			t.Fatal(err)
		}
		row := map[string]string{}
		for i, name := range header {
			row[strings.TrimPrefix(name, "pool_")] = record[i]
		}
		if row["tx_type"] != "COLLECT" {
			rows = append(rows, row)
		}
	}
}

func compareTick(t *testing.T, row map[string]string, e *Event) {
	t.Helper()
	time, err := parseTime(row["block_timestamp"])
	if err != nil {
		t.Fatal(err)
	}
	account := func(a Address) string {
		if a == (Address{}) {
			return ""
		}
		return a.String()
	}
	got := map[string]string{
		"block_number": fmt.Sprint(e.Block), "tx_index": fmt.Sprint(e.TxIndex), "log_index": fmt.Sprint(e.LogIndex),
		"transaction_hash": fmt.Sprintf("0x%x", e.TxHash), "tx_type": strings.ToUpper(e.Kind.String()),
		"sender": account(e.Sender), "amount0": e.Amount0.String(), "amount1": e.Amount1.String(),
	}
	if time != e.TimeNS {
		t.Errorf("log %d: time %d, tick table %d", e.LogIndex, e.TimeNS, time)
	}
	switch e.Kind {
	case Swap:
		got["receipt"], got["sqrtPriceX96"] = account(e.Recipient), e.SqrtPriceX96.Dec()
		got["total_liquidity"], got["current_tick"] = e.Liquidity.Dec(), fmt.Sprintf("%d.0", e.Tick)
	case Mint, Burn:
		got["tick_lower"], got["tick_upper"] = fmt.Sprintf("%d.0", e.TickLower), fmt.Sprintf("%d.0", e.TickUpper)
		got["liquidity"] = e.Liquidity.Dec()
	}
	for name, value := range got {
		if row[name] != value {
			t.Errorf("block %d log %d %s: %s is %q, the tick table has %q", e.Block, e.LogIndex, e.Kind, name, value, row[name])
		}
	}
}

// crossPool is a table of the cycles of a day that was computed apart from this package.
type crossPool struct {
	Count         int `json:"count"`
	Opportunities []struct {
		AfterBlock    uint64  `json:"after_block"`
		AfterLogIndex uint32  `json:"after_log_index"`
		Buy           string  `json:"buy_weth_in"`
		Sell          string  `json:"sell_weth_in"`
		Ratio         float64 `json:"price_ratio_minus_1"`
		In            float64 `json:"usdc_in"`
		Profit        float64 `json:"gross_profit_usdc"`
	} `json:"opportunities"`
}

// TestRealCycles plays the day through messages, as the programs do.
func TestRealCycles(t *testing.T) {
	var want crossPool
	readJSON(t, realFile(t, "dex", "ethereum_2024-01-05_h00-12.cross_pool.json"), &want)
	pools := realPools(t)
	for name, known := range map[string]*Pools{"with the pools file": pools, "by PoolState alone": nil} {
		t.Run(name, func(t *testing.T) {
			_, events := mergeReal(t, pools, ethereumRaw...)
			got := throughMessages(t, pools, NewFinder(known), events)
			if len(got) != want.Count || len(got) != len(want.Opportunities) {
				t.Fatalf("%d cycles, want %d", len(got), want.Count)
			}
			for i, w := range want.Opportunities {
				g := got[i]
				if g.After.Block != w.AfterBlock || g.After.LogIndex != w.AfterLogIndex || g.After.ChainID != 1 ||
					g.Buy.Address.String() != w.Buy || g.Sell.Address.String() != w.Sell {
					t.Errorf("cycle %d: after block %d log %d, %s to %s; want %+v", i, g.After.Block, g.After.LogIndex, g.Buy.Address, g.Sell.Address, w)
				}
				if math.Abs(g.QuoteIn-w.In) > 0.01 || math.Abs(g.GrossProfit-w.Profit) > 0.01 || math.Abs(g.PriceRatioMinus1-w.Ratio) > 1e-9 {
					t.Errorf("cycle %d: in %.4f, profit %.4f, ratio %.10f; want %+v", i, g.QuoteIn, g.GrossProfit, g.PriceRatioMinus1, w)
				}
				if g.Quote.Symbol != "USDC" || g.Base.Symbol != "WETH" || g.QuoteDollars != 1 {
					t.Errorf("cycle %d is from %s over %s at %v dollars", i, g.Quote.Symbol, g.Base.Symbol, g.QuoteDollars)
				}
			}
		})
	}
}

func readJSON(t *testing.T, path string, into any) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatal(err)
	}
}

// throughMessages finds cycles in what is left of events after they were messages.
func throughMessages(t testing.TB, pools *Pools, f *Finder, events []Event) (cycles []Cycle) {
	t.Helper()
	enc := NewEncoder(pools, func() uint64 { return 1 })
	var r Received
	for i := range events {
		err := enc.Encode(&events[i], func(b []byte) error {
			m, err := codec.Parse(b)
			if err != nil {
				return err
			}
			if err := r.Decode(m); err != nil {
				return err
			}
			if r.HasPool {
				f.AddPool(r.Pool, r.Token0, r.Token1)
			}
			if r.HasEvent {
				f.Observe(&r.Event, func(c *Cycle) { cycles = append(cycles, *c) })
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return cycles
}

func TestRealTraces(t *testing.T) {
	pools := realPools(t)
	s := open(t, realFile(t, "mev", "events.csv.gz"), OpenOptions{Pools: pools})
	events, faults := readAll(t, s)
	if len(faults) != 0 || len(events) != 571 {
		t.Fatalf("%d events, faults %v; want 571 events", len(events), faults)
	}
	if n := pools.Len(); n < 172 {
		t.Errorf("%d pools are known, the file has 172", n)
	}
	enc := NewEncoder(pools, func() uint64 { return 1 })
	for i := range events {
		if err := enc.Encode(&events[i], func([]byte) error { return nil }); err != nil {
			t.Errorf("%+v: %v", events[i].Position, err)
		}
	}
	if enc.PoolStates() != 172 {
		t.Errorf("%d pools were announced, want 172", enc.PoolStates())
	}
}

// TestRealArbitrages compares sizes and profits with what exact integer arithmetic found for arbitrages that were
// made. They begin with two v2 pairs' reserves, for which constant product is no approximation.
func TestRealArbitrages(t *testing.T) {
	var known []struct {
		TxHash string `json:"tx_hash"`
		V2Only bool   `json:"v2_only"`
		Legs   []struct {
			Pool       string
			TokenIn    string `json:"token_in"`
			TokenOut   string `json:"token_out"`
			ReserveIn  string `json:"reserve_in_before"`
			ReserveOut string `json:"reserve_out_before"`
		}
		Optimum struct {
			AmountIn string `json:"amount_in"`
			Profit   string `json:"profit"`
		} `json:"computed_optimum"`
	}
	readJSON(t, realFile(t, "mev", "known_arbitrages.json"), &known)
	tested := 0
	for _, k := range known {
		if !k.V2Only || len(k.Legs) != 2 {
			continue
		}
		tested++
		number := func(s string) uint256.Int {
			n, err := parseUint256(s)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		quote := Token{Address: mustAddress(k.Legs[0].TokenIn), Symbol: "USDC"} // profit is counted in what it begins with
		base := Token{Address: mustAddress(k.Legs[0].TokenOut)}
		f := NewFinder(nil)
		var cycles []Cycle
		for i, leg := range k.Legs {
			quoteReserve, baseReserve := number(leg.ReserveIn), number(leg.ReserveOut)
			if i == 1 {
				quoteReserve, baseReserve = baseReserve, quoteReserve
			}
			p := Pool{ChainID: 99, Address: mustAddress(leg.Pool), Protocol: UniswapV2, FeePips: 3000}
			e := Event{Pool: p.Address, Kind: Sync, Version: V2, HasReserves: true}
			e.ChainID, e.LogIndex = 99, uint32(i)
			p.Token0, p.Token1, e.Reserve0, e.Reserve1 = quote.Address, base.Address, quoteReserve, baseReserve
			t0, t1 := quote, base
			if less(base.Address, quote.Address) {
				p.Token0, p.Token1, e.Reserve0, e.Reserve1 = base.Address, quote.Address, baseReserve, quoteReserve
				t0, t1 = base, quote
			}
			f.AddPool(p, t0, t1)
			f.Observe(&e, func(c *Cycle) { cycles = append(cycles, *c) })
		}
		if len(cycles) != 1 {
			t.Errorf("%s: %d cycles, want 1", k.TxHash, len(cycles))
			continue
		}
		wantIn, wantProfit := number(k.Optimum.AmountIn), number(k.Optimum.Profit)
		c := cycles[0]
		// Integer division loses a few wei a leg, and the search stops where profit is flat.
		if got, want := c.GrossProfit, wantProfit.Float64(); math.Abs(got-want) > 1e-6*want {
			t.Errorf("%s: profit %.0f, want %.0f", k.TxHash, got, want)
		}
		if got, want := c.QuoteIn, wantIn.Float64(); math.Abs(got-want) > 1e-4*want {
			t.Errorf("%s: in %.0f, want %.0f", k.TxHash, got, want)
		}
	}
	if tested == 0 {
		t.Error("no arbitrage of two v2 pairs in the file")
	}
	t.Logf("%d arbitrages of two v2 pairs", tested)
}

func TestRealFilesOfOtherKinds(t *testing.T) {
	pools := realPools(t)
	for name, want := range map[string]string{
		"polygon_aavev3_weth_2024-01-06.raw.csv.gz":   "Aave",
		"polygon_gas_price_2023-08-14_17.csv.gz":      "gas prices",
		"polygon_univ3_45dda9_2022-01-05.tick.csv.gz": "tick table",
		"pools.json":                           "JSON",
		"../cex/kraken_2021-04-17.ws.log.gz":   "WebSocket",
		"../cex/coinbase_2021-04-17.ws.log.gz": "WebSocket",
		"../mev/blocks/10921991.json.gz":       "JSON",
	} {
		_, err := OpenFile(realFile(t, "dex", name), OpenOptions{Pools: pools})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
}
