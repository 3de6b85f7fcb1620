package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/bus/bustest"
	"github.com/mycelium-bus/mycelium/bus/topic"
	"github.com/mycelium-bus/mycelium/cmd/internal/cli/clitest"
	"github.com/mycelium-bus/mycelium/cmd/internal/dex"
	"github.com/mycelium-bus/mycelium/cmd/internal/dex/dextest"
	"github.com/mycelium-bus/mycelium/codec"
	"github.com/mycelium-bus/mycelium/internal/leak"
	"github.com/mycelium-bus/mycelium/internal/script"
)

func TestMain(m *testing.M) {
	serve := clitest.Broker(topic.Config{Name: "market_data", Size: topic.MiB}, topic.Config{Name: "signals", Size: topic.MiB})
	script.Main(m, map[string]func(){"flash-arbitrage": main, "broker": serve, "attached": clitest.Attached})
}

func TestTranscripts(t *testing.T) { script.Run(t, "testdata") }

func TestHelp(t *testing.T) { clitest.Help(t, newCommand()) }

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

// feedOf is a source of batches; a nil batch is a Wait that ends by its context.
type feedOf struct {
	t       *testing.T
	batches [][][]byte
	polls   int
	waits   int
	since   bool
	atEnd   func()
}

func (f *feedOf) Poll(limit int, handle func([]byte, bool) error) (int, error) {
	f.polls++
	if len(f.batches) == 0 || f.batches[0] == nil {
		return 0, nil
	}
	batch := f.batches[0]
	f.batches = f.batches[1:]
	for i, m := range batch {
		if i == limit {
			f.t.Fatal("a batch longer than the limit")
		}
		if err := handle(m, f.since); err != nil {
			return i, err
		}
	}
	return len(batch), nil
}

func (f *feedOf) Wait(ctx context.Context) error {
	f.waits++
	if len(f.batches) > 0 && f.batches[0] != nil {
		return nil
	}
	if len(f.batches) == 0 && f.atEnd != nil {
		f.atEnd()
	} else if len(f.batches) > 0 {
		f.batches = f.batches[1:]
		if _, bounded := ctx.Deadline(); !bounded {
			return nil
		}
	}
	<-ctx.Done()
	return ctx.Err()
}

func TestFollowEndsWhenTheMarketIsSilent(t *testing.T) {
	messages, _ := market(t, 1, 100)
	quiet := func() *hunter {
		return newHunter(nil, func([]byte) error { return nil }, func(*dex.Cycle) error { return nil }, func() uint64 { return 1 })
	}
	t.Run("after the first message", func(t *testing.T) {
		h := quiet()
		f := &feedOf{t: t, batches: [][][]byte{nil, messages[:50], {}, messages[50:]}}
		if err := follow(t.Context(), f, h, time.Millisecond); err != nil {
			t.Fatal(err)
		}
		if h.messages != uint64(len(messages)) {
			t.Errorf("%d messages of %d", h.messages, len(messages))
		}
	})
	t.Run("which is not one of before", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		h := quiet()
		h.since = math.MaxUint64
		f := &feedOf{t: t, batches: [][][]byte{messages[:50], nil, messages[50:]}, atEnd: cancel}
		if err := follow(ctx, f, h, time.Nanosecond); !errors.Is(err, context.Canceled) || h.messages != uint64(len(messages)) || h.some {
			t.Errorf("%d messages of %d, some %v, %v", h.messages, len(messages), h.some, err)
		}
	})
	t.Run("which has an old time and came since", func(t *testing.T) {
		h := quiet()
		h.since = math.MaxUint64
		f := &feedOf{t: t, batches: [][][]byte{nil, messages}, since: true}
		if err := follow(t.Context(), f, h, time.Millisecond); err != nil || !h.some {
			t.Errorf("some %v, %v", h.some, err)
		}
	})
	t.Run("not without --until-idle", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		h := quiet()
		f := &feedOf{t: t, batches: [][][]byte{messages}, atEnd: cancel}
		if err := follow(ctx, f, h, 0); !errors.Is(err, context.Canceled) || h.messages != uint64(len(messages)) {
			t.Errorf("%d messages, %v", h.messages, err)
		}
	})
	t.Run("a source's error is passed on", func(t *testing.T) {
		full := errors.New("full")
		h := newHunter(nil, func([]byte) error { return full }, func(*dex.Cycle) error { return nil }, func() uint64 { return 1 })
		many, _ := market(t, 5, 5000)
		var batches [][][]byte
		for len(many) > 0 {
			n := min(len(many), pollLimit)
			batches, many = append(batches, many[:n]), many[n:]
		}
		if err := follow(t.Context(), &feedOf{t: t, batches: batches}, h, time.Hour); !errors.Is(err, full) {
			t.Errorf("error is %v", err)
		}
	})
}

// TestThroughABus plays a market through rings of the real bus, smaller than what passes through.
func TestThroughABus(t *testing.T) {
	conn, err := bus.OpenDir(leak.ShmDir(t), bus.Options{Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, name := range []string{"market_data", "signals"} {
		if err := conn.CreateTopic(t.Context(), topic.Config{Name: name, Size: 1 << 20}); err != nil {
			t.Fatal(err)
		}
	}
	watch, err := conn.Subscribe("signals", bus.From(bus.Oldest))
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Close()
	messages, cycles := market(t, 5, 10000)
	pub, err := conn.Publisher("market_data")
	if err != nil {
		t.Fatal(err)
	}
	defer pub.Close()
	// Some are there before the hunter is: it begins with the oldest.
	for _, m := range messages[:100] {
		if err := pub.PublishWait(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	ready, stderr := newReady()
	var stdout bytes.Buffer
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() {
		done <- serve(ctx, conn, nil, options{topic: "market_data", signals: "signals", json: true}, &stdout, stderr)
	}()
	<-ready
	for _, m := range messages[100:] {
		if err := pub.PublishWait(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	for got := uint64(0); got < cycles; {
		if err := watch.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		n, err := watch.Poll(100, func(bus.Message) error { return nil })
		if err != nil {
			t.Fatal(err)
		}
		got += uint64(n)
	}
	cancel() // as Ctrl-C does
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(stdout.String(), "\n"); uint64(n) != cycles {
		t.Errorf("%d lines for %d cycles", n, cycles)
	}
	if want := fmt.Sprintf("%d cycles in", cycles); !strings.Contains(stderr.text.String(), want) {
		t.Errorf("stderr has no %q: %s", want, stderr.text.String())
	}
}

// TestTheProcess starts the program and publishes at once: what is sent after its start counts, whenever it is ready.
func TestTheProcess(t *testing.T) {
	b := bustest.New(t, topic.Config{Name: "market_data"}, topic.Config{Name: "signals"})
	conn := b.Dial("test")
	pub, err := conn.Publisher("market_data")
	if err != nil {
		t.Fatal(err)
	}
	defer pub.Close()
	watch, err := conn.Subscribe("signals", bus.From(bus.Oldest))
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Close()
	// A market that was played before the program began: its cycles are old news.
	if old := publishMarket(t, pub, 9, time.Hour); old == 0 {
		t.Fatal("no cycles in the old market")
	}

	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "flash-arbitrage", "-o", "json", "--socket", b.Socket)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	cycles := publishMarket(t, pub, 8, 0)
	for got := uint64(0); got < cycles; {
		if err := watch.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		n, err := watch.Poll(100, func(bus.Message) error { return nil })
		if err != nil {
			t.Fatal(err)
		}
		got += uint64(n)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	if n := strings.Count(stdout.String(), "\n"); uint64(n) != cycles {
		t.Errorf("%d lines for %d cycles", n, cycles)
	}
	for _, want := range []string{"ready", fmt.Sprintf("%d cycles in 10,000 events", cycles), "5,003 messages are older", "latency of 5,003 messages: p50 "} {
		if !strings.Contains(stderr.String(), want) {
			t.Errorf("no %q on stderr:\n%s", want, stderr.String())
		}
	}
}

// publishMarket publishes 5,000 events, stamped with a time so long ago, and returns how many cycles they have.
func publishMarket(t *testing.T, pub *bus.Publisher, seed uint64, ago time.Duration) uint64 {
	t.Helper()
	s := dex.NewSynthetic(seed, 5000)
	enc := dex.NewEncoder(dex.SyntheticPools(), func() uint64 { return wallNow() - uint64(ago) })
	var e dex.Event
	for s.Next(&e) == nil {
		if err := enc.Encode(&e, func(m []byte) error { return pub.PublishWait(t.Context(), m) }); err != nil {
			t.Fatal(err)
		}
	}
	return s.Cycles()
}

// readyWriter tells when the first thing was written.
type readyWriter struct {
	text  bytes.Buffer
	ready chan struct{}
	told  bool
}

func newReady() (<-chan struct{}, *readyWriter) {
	w := &readyWriter{ready: make(chan struct{})}
	return w.ready, w
}

func (w *readyWriter) Write(p []byte) (int, error) {
	n, err := w.text.Write(p)
	if !w.told {
		w.told = true
		close(w.ready)
	}
	return n, err
}

func TestLoadPools(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("MYC_DATA", "")
	if p, err := loadPools(""); p != nil || err != nil {
		t.Errorf("nothing given: %v, %v", p, err)
	}
	t.Setenv("MYC_DATA", dir)
	if p, err := loadPools(""); p != nil || err != nil {
		t.Errorf("nothing there: %v, %v", p, err)
	}
	if err := os.Mkdir(filepath.Join(dir, "dex"), 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "dex", "pools.json")
	if err := os.WriteFile(path, []byte(`{"pools": []}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if p, err := loadPools(""); p == nil || err != nil {
		t.Errorf("in MYC_DATA: %v, %v", p, err)
	}
	if err := os.WriteFile(path, []byte(`{`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, given := range []string{"", path, path + "-none"} {
		if _, err := loadPools(given); err == nil {
			t.Errorf("loadPools(%q) has no error", given)
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
