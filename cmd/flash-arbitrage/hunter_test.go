package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/mycelium-bus/mycelium/bus/topic"
	"github.com/mycelium-bus/mycelium/cmd/internal/cli/clitest"
	"github.com/mycelium-bus/mycelium/cmd/internal/dex"
	"github.com/mycelium-bus/mycelium/cmd/internal/dex/dextest"
	"github.com/mycelium-bus/mycelium/codec"
	"github.com/mycelium-bus/mycelium/internal/script"
)

func TestMain(m *testing.M) {
	serve := clitest.Broker(topic.Config{Name: "market_data", Size: topic.MiB}, topic.Config{Name: "signals", Size: topic.MiB})
	script.Main(m, map[string]func(){"flash-arbitrage": main, "broker": serve, "attached": clitest.Attached})
}

func TestTranscripts(t *testing.T) { script.Run(t, "testdata") }

func TestHelp(t *testing.T) { clitest.Help(t, newCommand()) }

func TestJSONIsDocumented(t *testing.T) {
	clitest.JSON(t, "flash-arbitrage", map[string]any{"flash-arbitrage": cycleJSON{}})
}

// market is the messages of a made-up market and how many cycles it has. Message i is published at second 100 + i.
func market(t testing.TB, seed, events uint64) (messages [][]byte, cycles uint64) {
	t.Helper()
	s := dex.NewSynthetic(seed, events)
	return encodeAll(t, dex.NewMerge([]dex.Source{s}, nil), dex.SyntheticPools()), s.Cycles()
}

func encodeAll(t testing.TB, m *dex.Merge, pools *dex.Pools) (messages [][]byte) {
	t.Helper()
	clock := uint64(99e9)
	enc := dex.NewEncoder(pools, func() uint64 { clock += 1e9; return clock })
	var e dex.Event
	for m.Next(&e) == nil {
		if err := enc.Encode(&e, func(b []byte) error { messages = append(messages, bytes.Clone(b)); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Err(); err != nil {
		t.Fatal(err)
	}
	return messages
}

// hunt plays messages, each received 5 us after it was published, and returns what was printed and signalled.
func hunt(t testing.TB, pools *dex.Pools, messages [][]byte) (h *hunter, printed []cycleJSON, signals []codec.ArbitrageSignal) {
	t.Helper()
	var out bytes.Buffer
	now := uint64(50e9)
	h = newHunter(pools, func(b []byte) error {
		m, err := codec.Parse(b)
		if err != nil {
			return err
		}
		if m.Domain() != codec.DomainSignal || m.Source() != codec.SourceArbitrageStrategy || m.Sequence() != uint64(len(signals)+1) {
			t.Errorf("signal %d has the header %+v", len(signals), m.Header())
		}
		value, ok := m.Find(codec.TypeArbitrageSignal)
		if !ok {
			t.Error("a message without a signal")
			return nil
		}
		var s codec.ArbitrageSignal
		if err := s.Decode(value); err != nil {
			return err
		}
		signals = append(signals, s)
		return m.VerifyChecksum()
	}, cyclePrinter(&out, true), func() uint64 { return now })
	for i, b := range messages {
		now = uint64(100e9) + uint64(i)*1e9 + 5000
		if err := h.message(b, false); err != nil {
			t.Fatal(err)
		}
	}
	dec := json.NewDecoder(&out)
	for {
		var c cycleJSON
		err := dec.Decode(&c)
		if err == io.EOF {
			return h, printed, signals
		}
		if err != nil {
			t.Fatal(err)
		}
		printed = append(printed, c)
	}
}

func TestEveryCycleIsPrintedAndSignalled(t *testing.T) {
	messages, cycles := market(t, 5, 20000)
	h, printed, signals := hunt(t, nil, messages)
	if h.cycles != cycles || uint64(len(printed)) != cycles || uint64(len(signals)) != cycles || cycles == 0 {
		t.Fatalf("%d cycles in the market, %d found, %d printed, %d signalled", cycles, h.cycles, len(printed), len(signals))
	}
	ids := map[uint64]bool{}
	for i, p := range printed {
		s := signals[i]
		if p.BuyIn != s.SourcePool.String() || p.SellIn != s.TargetPool.String() || p.ChainID != s.ChainID || p.Quote != "USDC" || p.Base != "WETH" {
			t.Errorf("cycle %+v\nsignal %+v", p, s)
		}
		for what, c := range map[string][2]float64{
			"profit": {p.GrossProfit, float64(s.NetProfitUSDQ8) / 1e8}, "capital": {p.QuoteIn, float64(s.RequiredCapitalUSDQ8) / 1e8},
			"spread": {p.PriceRatioMinus1 * 1e4, float64(s.SpreadBps)}} {
			if math.Abs(c[0]-c[1]) > 0.51 || what != "spread" && math.Abs(c[0]-c[1]) > 1e-8 {
				t.Errorf("cycle %d: %s is %v printed, %v signalled", i, what, c[0], c[1])
			}
		}
		if ids[s.SignalID] {
			t.Errorf("id %d twice", s.SignalID)
		}
		ids[s.SignalID] = true
		if s.ValidUntil != uint32(s.TimestampNs/1e9)+300 {
			t.Errorf("published at %d, valid until %d", s.TimestampNs, s.ValidUntil)
		}
	}
	_, _, again := hunt(t, nil, messages)
	for i := range signals {
		if again[i] != signals[i] {
			t.Fatalf("read again, signal %d is another", i)
		}
	}
}

func TestTheRecordedDay(t *testing.T) {
	var want struct {
		Opportunities []cycleJSON `json:"opportunities"`
	}
	b, err := os.ReadFile(dextest.Data(t, "dex", "ethereum_2024-01-05_h00-12.cross_pool.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &want); err != nil {
		t.Fatal(err)
	}
	pools, err := dex.LoadPools(dextest.Data(t, "dex", "pools.json"))
	if err != nil {
		t.Fatal(err)
	}
	var sources []dex.Source
	for _, pool := range []string{"88e6a0", "8ad599"} {
		s, err := dex.OpenFile(dextest.Data(t, "dex", "ethereum_univ3_"+pool+"_2024-01-05_h00-12.raw.csv.gz"), dex.OpenOptions{Pools: pools})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		sources = append(sources, s)
	}
	_, printed, signals := hunt(t, nil, encodeAll(t, dex.NewMerge(sources, nil), pools))
	if len(printed) != 29 || len(want.Opportunities) != 29 || len(signals) != 29 {
		t.Fatalf("%d cycles, %d signals, want %d", len(printed), len(signals), len(want.Opportunities))
	}
	for i, w := range want.Opportunities {
		g := printed[i]
		if math.Abs(g.QuoteIn-w.QuoteIn) > 0.01 || math.Abs(g.GrossProfit-w.GrossProfit) > 0.01 || math.Abs(g.PriceRatioMinus1-w.PriceRatioMinus1) > 1e-9 {
			t.Errorf("cycle %d: %+v, want %+v", i, g, w)
		}
		w.QuoteIn, w.GrossProfit, w.PriceRatioMinus1 = g.QuoteIn, g.GrossProfit, g.PriceRatioMinus1
		w.ChainID, w.Quote, w.Base = 1, "USDC", "WETH"
		if g != w {
			t.Errorf("cycle %d: %+v, want %+v", i, g, w)
		}
	}
}

func TestJSONKeys(t *testing.T) {
	messages, _ := market(t, 5, 5000)
	var out bytes.Buffer
	h := newHunter(nil, func([]byte) error { return nil }, cyclePrinter(&out, true), func() uint64 { return 1 })
	for _, m := range messages {
		if err := h.message(m, false); err != nil {
			t.Fatal(err)
		}
	}
	first, _, ok := strings.Cut(out.String(), "\n")
	if !ok {
		t.Fatal("nothing printed")
	}
	const want = `{"after_block":`
	var got map[string]any
	if err := json.Unmarshal([]byte(first), &got); err != nil || !strings.HasPrefix(first, want) {
		t.Fatalf("%v: %s", err, first)
	}
	for _, key := range []string{"after_block", "after_log_index", "buy_weth_in", "sell_weth_in", "price_ratio_minus_1", "usdc_in", "gross_profit_usdc"} {
		if _, ok := got[key]; !ok {
			t.Errorf("no key %s in %s", key, first)
		}
	}
}

func TestLatencyIsThatOfMessagesSinceTheStart(t *testing.T) {
	messages, _ := market(t, 1, 997)
	h, _, _ := hunt(t, nil, messages)
	if h.latency.TotalCount() != 1000 || h.older != 0 || h.latency.ValueAtPercentile(50) < 4990 || h.latency.Max() > 5010 {
		t.Errorf("%d latencies, p50 %d, max %d; want 1000 of 5 us", h.latency.TotalCount(), h.latency.ValueAtPercentile(50), h.latency.Max())
	}
	late := newHunter(nil, func([]byte) error { return nil }, func(*dex.Cycle) error { return nil }, func() uint64 { return 600e9 })
	late.began = 600e9
	for _, m := range messages {
		if err := late.message(m, false); err != nil {
			t.Fatal(err)
		}
	}
	// Message i is of second 100 + i: 500 are older, one is of now, the others come from the future of a clock that was set.
	if late.older != 500 || late.latency.TotalCount() != 500 || late.latency.Max() != latencyLowest {
		t.Errorf("%d are older, %d counted, up to %d", late.older, late.latency.TotalCount(), late.latency.Max())
	}
}

func TestOnlyWhatIsPublishedSinceCounts(t *testing.T) {
	messages, cycles := market(t, 5, 20000)
	all, _, _ := hunt(t, nil, messages)
	if all.cycles != cycles {
		t.Fatalf("%d cycles of %d", all.cycles, cycles)
	}
	var later uint64
	const since = 10100e9 // message 10000
	h := newHunter(nil, func([]byte) error { return nil }, func(*dex.Cycle) error { later++; return nil }, func() uint64 { return 1 })
	h.since = since
	for _, m := range messages {
		if err := h.message(m, false); err != nil {
			t.Fatal(err)
		}
	}
	if later == 0 || later >= cycles || later != h.cycles {
		t.Errorf("%d cycles since the middle of a market with %d", later, cycles)
	}
	// As many as a second hunter finds that saw the first half before.
	want := cyclesOf(t, messages) - cyclesOf(t, messages[:10000])
	if later != want {
		t.Errorf("%d cycles, want the second half's %d", later, want)
	}
}

func cyclesOf(t *testing.T, messages [][]byte) uint64 {
	h, _, _ := hunt(t, nil, messages)
	return h.cycles
}

func TestProcessStart(t *testing.T) {
	start, err := processStart()
	if err != nil {
		t.Fatal(err)
	}
	// The tests of this package take less than an hour, and the process began before they did.
	if now := wallNow(); start >= now || now-start > 3600e9 {
		t.Errorf("started at %d, now is %d", start, now)
	}
}

func TestSummary(t *testing.T) {
	messages, _ := market(t, 1, 2997)
	h, _, _ := hunt(t, nil, append(messages, []byte("no message"), messages[5]))
	var out bytes.Buffer
	if err := h.printSummary(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{" 2,998 events, 3,002 messages", "1 messages could not be read", "1 events came out of order", "p50 5us", "p99.9 5us", "max "} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in:\n%s", want, out.String())
		}
	}
}

func TestPoolsWithoutTokensAreCounted(t *testing.T) {
	messages := encodeAll(t, dex.NewMerge([]dex.Source{dex.NewSynthetic(1, 200)}, nil), dex.NewPools())
	h, printed, _ := hunt(t, nil, messages)
	var out bytes.Buffer
	if err := h.printSummary(&out); err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("  %d pools were compared with none", h.finder.Uncompared()); h.finder.Uncompared() < 2 || len(printed) > 0 || !strings.Contains(out.String(), want) {
		t.Errorf("%d cycles, no %q in:\n%s", len(printed), want, out.String())
	}
}

func TestMessagesThatCannotBeReadAreCounted(t *testing.T) {
	messages, _ := market(t, 1, 10)
	cut := bytes.Clone(messages[4])
	cut[codec.HeaderSize+1]-- // the value's length: now the TLVs do not fill the payload
	h, printed, _ := hunt(t, nil, [][]byte{nil, []byte("x"), cut, messages[4][:50]})
	if h.broken != 4 || h.events != 0 || len(printed) != 0 || h.messages != 4 {
		t.Errorf("%d broken, %d events of %d messages", h.broken, h.events, h.messages)
	}
}

func TestFaultsOfPublishingAndPrintingEndTheHunt(t *testing.T) {
	messages, _ := market(t, 5, 5000)
	full := errors.New("full")
	good := func([]byte) error { return nil }
	for name, h := range map[string]*hunter{
		"publish": newHunter(nil, func([]byte) error { return full }, func(*dex.Cycle) error { return nil }, func() uint64 { return 1 }),
		"print":   newHunter(nil, good, func(*dex.Cycle) error { return full }, func() uint64 { return 1 }),
	} {
		var err error
		for _, m := range messages {
			if err = h.message(m, false); err != nil {
				break
			}
		}
		if !errors.Is(err, full) || !strings.Contains(err.Error(), name) || h.cycles == 0 {
			t.Errorf("%s: %v after %d cycles", name, err, h.cycles)
		}
	}
}

func BenchmarkMessage(b *testing.B) {
	messages, _ := market(b, 1, 10000)
	h := newHunter(nil, func([]byte) error { return nil }, func(*dex.Cycle) error { return nil }, wallNow)
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		if err := h.message(messages[i], false); err != nil {
			b.Fatal(err)
		}
		if i++; i == len(messages) {
			i = 0
		}
	}
}
