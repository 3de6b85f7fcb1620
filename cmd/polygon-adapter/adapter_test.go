package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mycelium-bus/mycelium/bus/topic"
	"github.com/mycelium-bus/mycelium/cmd/internal/cli"
	"github.com/mycelium-bus/mycelium/cmd/internal/cli/clitest"
	"github.com/mycelium-bus/mycelium/cmd/internal/dex"
	"github.com/mycelium-bus/mycelium/codec"
	"github.com/mycelium-bus/mycelium/internal/script"
)

func TestMain(m *testing.M) {
	script.Main(m, map[string]func(){"polygon-adapter": main, "broker": clitest.Broker(topic.Config{Name: "market_data", Size: topic.MiB}), "attached": clitest.Attached})
}

func TestTranscripts(t *testing.T) { script.Run(t, "testdata") }

func TestHelp(t *testing.T) { clitest.Help(t, newCommand()) }

func TestJSONIsDocumented(t *testing.T) {
	clitest.JSON(t, "polygon-adapter", map[string]any{"polygon-adapter": summary{}})
}

const (
	poolA  = "0x00000000000000000000000000000000000000a1"
	poolB  = "0x00000000000000000000000000000000000000b2"
	aave   = "0x804c9b842b2748a22bb64b345453a3de7ca54a6ca45ce00d415894979e22897a" // ReserveDataUpdated
	swap   = "0xc42079f94a6350d7e6235f29174924f928cc2ac818eb64fed8004e115fbcca67"
	header = "block_number,block_timestamp,transaction_hash,transaction_index,log_index,topics,data"
	pools  = `{"tokens": [], "pools": [
		{"chain_id": 1, "pool": "` + poolA + `", "protocol": "uniswap_v3", "fee_pips": 500, "token0": "0x0000000000000000000000000000000000000001", "token1": "0x0000000000000000000000000000000000000002"},
		{"chain_id": 1, "pool": "` + poolB + `", "protocol": "uniswap_v3", "fee_pips": 500, "token0": "0x0000000000000000000000000000000000000001", "token1": "0x0000000000000000000000000000000000000002"}]}`
)

// row is a log with the given first topic, at second s; a Swap has amounts 1 and 0 unless amount0 is given as 64 digits.
func row(topic0 string, s int, amount0 string) string {
	word := func(n int) string { return fmt.Sprintf("%064x", n) }
	if amount0 == "" {
		amount0 = word(1)
	}
	data := amount0 + word(0) + word(5) + word(6) + word(7)
	account := "0x" + word(9)
	return fmt.Sprintf("%d,2024-01-05 00:00:%02d,0x%064x,0,%d,\"['%s', '%s', '%s']\",0x%s", 100+s, s, s, s, topic0, account, account, data)
}

// folder makes files, of names and contents by turns.
func folder(t *testing.T, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for i := 0; i < len(files); i += 2 {
		if err := os.WriteFile(filepath.Join(dir, files[i]), []byte(files[i+1]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func lines(l ...string) string { return strings.Join(l, "\n") + "\n" }

// fakeClock is time that passes only in sleeps.
type fakeClock struct {
	now    time.Time
	sleeps []time.Duration
}

func (c *fakeClock) Now() time.Time { return c.now }
func (c *fakeClock) Sleep(ctx context.Context, d time.Duration) error {
	c.sleeps = append(c.sleeps, d)
	c.now = c.now.Add(d)
	return ctx.Err()
}

// playAll plays what o names, without a bus.
func playAll(t *testing.T, o options) (sum summary, messages []codec.Message, stderr string, err error) {
	t.Helper()
	var warnings bytes.Buffer
	in, err := openInputs(o, &warnings)
	if err != nil {
		return sum, nil, warnings.String(), err
	}
	p := player{in: in, speed: o.speed, loop: o.loop, limit: o.events, clock: &fakeClock{now: time.Unix(5, 0)}, stderr: &warnings,
		publish: func(b []byte) error {
			m, err := codec.Parse(bytes.Clone(b))
			messages = append(messages, m)
			return err
		}}
	sum, err = p.play(t.Context())
	return sum, messages, warnings.String(), err
}

func TestAFolderStandsForItsRawFilesAlone(t *testing.T) {
	dir := folder(t,
		"pools.json", pools,
		"x_0x00000000000000000000000000000000000000a1.raw.csv", lines(header, row(swap, 1, ""), row(swap, 3, "")),
		"y_0x00000000000000000000000000000000000000b2.raw.csv", lines(header, row(swap, 2, "")),
		"aave.raw.csv", lines(header, row(aave, 1, "")),
		"z.events.csv", "no events at all",
		"gas.csv", "block_timestamp,gas_price\n")
	sum, messages, stderr, err := playAll(t, options{args: []string{dir}})
	if err != nil {
		t.Fatal(err)
	}
	want := summary{Rows: 3, Published: 3, PoolStates: 2, Messages: 5, SkippedFiles: 1, Rounds: 1}
	if sum != want {
		t.Errorf("summary %+v\nwant    %+v", sum, want)
	}
	if !strings.Contains(stderr, "aave.raw.csv") || !strings.Contains(stderr, "Aave") {
		t.Errorf("stderr does not name what was passed over: %q", stderr)
	}
	var blocks []uint64
	for _, m := range messages {
		if v, ok := m.Find(codec.TypePoolSwap); ok {
			var s codec.PoolSwap
			if err := s.Decode(v); err != nil {
				t.Fatal(err)
			}
			blocks = append(blocks, s.BlockNumber)
		}
	}
	if fmt.Sprint(blocks) != "[101 102 103]" {
		t.Errorf("blocks %v: the files are not merged", blocks)
	}
}

func TestMalformedRowsAreReportedCountedAndPassedOver(t *testing.T) {
	tooLarge := "00000000000000000000000000000001" + strings.Repeat("0", 32) // 2^128
	dir := folder(t, "a.csv", lines(header, row(swap, 1, ""), "nonsense", row(swap, 2, tooLarge), row(swap, 3, ""), row(swap, 4, "")+"x"))
	path := filepath.Join(dir, "a.csv")
	sum, _, stderr, err := playAll(t, options{args: []string{poolA + "=" + path}})
	if err != nil {
		t.Fatal(err)
	}
	if sum.Rows != 5 || sum.Published != 2 || sum.Malformed != 3 {
		t.Errorf("summary %+v", sum)
	}
	for _, want := range []string{path + ":3: ", path + ":4: ", path + ":6: ", "128"} {
		if !strings.Contains(stderr, want) {
			t.Errorf("stderr does not have %q:\n%s", want, stderr)
		}
	}
	if sum.UnknownPools != 1 || !strings.Contains(stderr, "pools file") {
		t.Errorf("%d unknown pools, stderr:\n%s", sum.UnknownPools, stderr)
	}
}

func TestReportsOfMalformedRowsHaveAnEnd(t *testing.T) {
	text := lines(header, row(swap, 1, "")) + strings.Repeat("nonsense\n", 1000)
	sum, _, stderr, err := playAll(t, options{args: []string{poolA + "=" + filepath.Join(folder(t, "a.csv", text), "a.csv")}})
	if err != nil || sum.Malformed != 1000 || sum.Published != 1 {
		t.Errorf("summary %+v, %v", sum, err)
	}
	if n := strings.Count(stderr, "malformed row"); n != maxReports+1 {
		t.Errorf("%d rows are named, want %d", n, maxReports+1)
	}
}

func TestWhatIsWrongWithFilesIsSaidBeforeAnythingIsPublished(t *testing.T) {
	dir := folder(t,
		"good.csv", lines(header, row(swap, 1, "")),
		"gas.csv", "block_timestamp,gas_price\n",
		"aave.raw.csv", lines(header, row(aave, 1, "")),
		"packed.csv.gz", "\x1f\x8bnothing of the kind",
		"bad.json", "{")
	empty := folder(t)
	onlyAave := folder(t, "aave.raw.csv", lines(header, row(aave, 1, "")))
	badPools := folder(t, "a.csv", lines(header), "pools.json", "{")
	at := func(name string) string { return filepath.Join(dir, name) }
	for name, c := range map[string]struct {
		o          options
		want, hint string
		usage      bool
	}{
		"no arguments":      {options{}, "no files", "synthetic", true},
		"both":              {options{synthetic: true, args: []string{"x"}}, "--synthetic", "", true},
		"pools of synth":    {options{synthetic: true, pools: "x"}, "--pools", "", true},
		"missing file":      {options{args: []string{at("none")}}, "none", "--synthetic", false},
		"missing folders":   {options{args: []string{at("none/"), at("gone/")}}, "gone", "name files or folders", false},
		"damaged file":      {options{args: []string{poolA + "=" + at("packed.csv.gz")}}, "packed.csv.gz", "damaged", false},
		"gas":               {options{args: []string{at("gas.csv")}}, "gas prices", "events", false},
		"Aave by name":      {options{args: []string{poolA + "=" + at("good.csv"), at("aave.raw.csv")}}, "Aave", "events", false},
		"unknown pool":      {options{args: []string{at("good.csv")}}, "unknown pool", "0xPOOL=FILE", false},
		"both wrong":        {options{args: []string{at("good.csv"), at("gas.csv")}}, "gas prices", "", false},
		"pool is no pool":   {options{args: []string{"0x12=" + at("good.csv")}}, "0x12", "", true},
		"pool but no file":  {options{args: []string{poolA + "="}}, "no file", "", true},
		"pool for a folder": {options{args: []string{poolA + "=" + dir}}, "folder", "", true},
		"empty folder":      {options{args: []string{empty}}, "*.raw.csv", "events.csv", false},
		"folder of others":  {options{args: []string{onlyAave}}, "no file", "", false},
		"unknown alone":     {options{args: []string{folder(t, "x.raw.csv", lines(header))}}, "unknown pool", "0xPOOL=FILE", false},
		"pools missing":     {options{args: []string{poolA + "=" + at("good.csv")}, pools: at("none")}, "none", "--pools", false},
		"pools broken":      {options{args: []string{poolA + "=" + at("good.csv")}, pools: at("bad.json")}, "bad.json", "--pools", false},
		"pools beside":      {options{args: []string{poolA + "=" + filepath.Join(badPools, "a.csv")}}, "pools.json", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("MYC_DATA", "")
			_, messages, _, err := playAll(t, c.o)
			if err == nil || !strings.Contains(err.Error(), c.want) || len(messages) > 0 {
				t.Fatalf("error %v, %d messages; want an error with %q", err, len(messages), c.want)
			}
			if !strings.Contains(cli.Hint(err), c.hint) {
				t.Errorf("hint %q, want %q", cli.Hint(err), c.hint)
			}
		})
	}
}

func TestPoolsFilesInTheirOrder(t *testing.T) {
	fee := func(n int) string {
		return strings.ReplaceAll(pools, `"fee_pips": 500`, fmt.Sprintf(`"fee_pips": %d`, n))
	}
	data := folder(t)
	if err := os.Mkdir(filepath.Join(data, "dex"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(data, "dex", "pools.json"), []byte(fee(30)), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("MYC_DATA", data)
	beside, bare := folder(t, "pools.json", fee(20)), folder(t)
	given := filepath.Join(folder(t, "p.json", fee(10)), "p.json")
	address, err := dex.ParseAddress(poolA)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		given, dir string
		want       uint32
	}{"given": {given, beside, 10}, "beside": {"", beside, 20}, "in MYC_DATA": {"", bare, 30}} {
		p, err := loadPools(c.given, []input{{path: filepath.Join(c.dir, "a.csv")}})
		if err != nil {
			t.Fatal(err)
		}
		if pool, ok := p.Pool(1, address); !ok || pool.FeePips != c.want {
			t.Errorf("%s: fee %d, want %d", name, pool.FeePips, c.want)
		}
	}
	t.Setenv("MYC_DATA", "")
	if p, err := loadPools("", []input{{path: filepath.Join(bare, "a.csv")}}); err != nil || p.Len() != 0 {
		t.Errorf("without any file %d pools are known, %v", p.Len(), err)
	}
}

func TestSpeed(t *testing.T) {
	path := filepath.Join(folder(t, "a.csv", lines(header, row(swap, 1, ""), row(swap, 1, "")+"x", row(swap, 2, ""), row(swap, 12, ""), row(swap, 5, ""))), "a.csv")
	for speed, want := range map[string]string{"max": "[]", "1x": "[1s 10s]", "10x": "[100ms 1s]", "0.5x": "[2s 20s]"} {
		f, err := parseSpeed(speed)
		if err != nil {
			t.Fatal(err)
		}
		in, err := openInputs(options{args: []string{poolA + "=" + path}}, &bytes.Buffer{})
		if err != nil {
			t.Fatal(err)
		}
		c := &fakeClock{now: time.Unix(9, 0)}
		p := player{in: in, speed: f, clock: c, stderr: &bytes.Buffer{}, publish: func([]byte) error { return nil }}
		sum, err := p.play(t.Context())
		if err != nil || sum.Published != 4 || sum.OutOfOrder != 1 {
			t.Errorf("%+v, %v", sum, err)
		}
		if fmt.Sprint(c.sleeps) != want {
			t.Errorf("at %s it slept %v, want %s", speed, c.sleeps, want)
		}
	}
	for _, bad := range []string{"", "x", "10", "0x", "-1x", "NaNx", "Infx", "1x1", "fast"} {
		if f, err := parseSpeed(bad); err == nil {
			t.Errorf("speed %q is %g", bad, f)
		}
	}
}

func TestASlowConsumerIsNotWaitedForTwice(t *testing.T) {
	// What publishing took is taken off the next wait.
	c := &fakeClock{now: time.Unix(9, 0)}
	p := pacer{speed: 1, clock: c}
	for i, want := range []int{0, 0, 1} {
		e := dex.Event{TimeNS: 1e18 + uint64(i)*1e9}
		if err := p.wait(t.Context(), &e); err != nil {
			t.Fatal(err)
		}
		if len(c.sleeps) != want {
			t.Errorf("after event %d: %d sleeps, want %d", i, len(c.sleeps), want)
		}
		if i == 0 {
			c.now = c.now.Add(1500 * time.Millisecond)
		}
	}
	if c.sleeps[0] != 500*time.Millisecond {
		t.Errorf("slept %v, want what was left of it", c.sleeps[0])
	}
}

func TestLoopBeginsAgainWithThePools(t *testing.T) {
	path := filepath.Join(folder(t, "a.csv", lines(header, row(swap, 1, ""), "nonsense", row(swap, 2, ""))), "a.csv")
	sum, messages, _, err := playAll(t, options{args: []string{poolA + "=" + path}, loop: true, events: 5})
	if err != nil {
		t.Fatal(err)
	}
	if sum.Published != 5 || sum.Rounds != 3 || sum.PoolStates != 3 || sum.Messages != 8 || sum.Malformed < 2 {
		t.Errorf("summary %+v", sum)
	}
	for i, m := range messages {
		_, state := m.Find(codec.TypePoolState)
		if state != (i%3 == 0) {
			t.Errorf("message %d: pool state %v", i, state)
		}
		if m.Sequence() != uint64(i+1) {
			t.Errorf("message %d has number %d", i, m.Sequence())
		}
	}
}

func TestSyntheticCountsItsCycles(t *testing.T) {
	sum, messages, _, err := playAll(t, options{synthetic: true, seed: 7, events: 20000})
	if err != nil {
		t.Fatal(err)
	}
	if sum.Published != 20000 || sum.Rows != 20000 || sum.PoolStates != 3 || sum.Malformed+sum.Other+sum.Duplicates+sum.OutOfOrder != 0 {
		t.Errorf("summary %+v", sum)
	}
	if len(messages) != 20003 || sum.Messages != 20003 {
		t.Errorf("%d messages", len(messages))
	}
	if sum.Cycles == nil || *sum.Cycles == 0 {
		t.Fatal("no cycles counted")
	}
	if again, _, _, _ := playAll(t, options{synthetic: true, seed: 7, events: 20000}); *again.Cycles != *sum.Cycles {
		t.Errorf("%d cycles, then %d", *sum.Cycles, *again.Cycles)
	}
	if one, _, _, _ := playAll(t, options{synthetic: true, seed: 7}); one.Published != syntheticEvents {
		t.Errorf("%d events without --events", one.Published)
	}
}

func TestPlayingEndsWithItsContextAndItsPublisher(t *testing.T) {
	in, err := openInputs(options{synthetic: true, loop: true}, &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	p := player{in: in, loop: true, clock: wallClock{}, stderr: &bytes.Buffer{}, publish: func([]byte) error {
		if n++; n == 1000 {
			cancel()
		}
		return nil
	}}
	if sum, err := p.play(ctx); !errors.Is(err, context.Canceled) || sum.Messages != 1000 {
		t.Errorf("%+v, %v", sum, err)
	}
	full := errors.New("full")
	p = player{in: in, clock: wallClock{}, stderr: &bytes.Buffer{}, publish: func([]byte) error { return full }}
	if sum, err := p.play(t.Context()); !errors.Is(err, full) || sum.Published != 0 {
		t.Errorf("%+v, %v", sum, err)
	}
}

func TestAPipeIsReadOnce(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := w.WriteString(lines(header, row(swap, 1, ""), row(swap, 2, ""))); err != nil {
		t.Fatal(err)
	}
	w.Close()
	sum, _, _, err := playAll(t, options{args: []string{poolA + "=" + fmt.Sprintf("/dev/fd/%d", r.Fd())}})
	if err != nil || sum.Published != 2 {
		t.Errorf("%d events of 2, %v", sum.Published, err)
	}
}

func TestSummaryAsJSON(t *testing.T) {
	var out bytes.Buffer
	cycles := uint64(0)
	sum := summary{Rows: 5, Published: 3, Malformed: 2, Cycles: &cycles}
	if err := sum.print(&out, true); err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]float64{"rows": 5, "published": 3, "malformed": 2, "cycles": 0} {
		if got[key] != want {
			t.Errorf("%s is %v, want %v", key, got[key], want)
		}
	}
}

func TestRateIsEven(t *testing.T) {
	c := &fakeClock{now: time.Unix(100, 0)}
	p := pacer{clock: c}
	for range 5 {
		if err := p.evenly(t.Context(), 4); err != nil {
			t.Fatal(err)
		}
	}
	if got := fmt.Sprint(c.sleeps); got != "[250ms 250ms 250ms 250ms]" {
		t.Errorf("4 events a second: slept %s", got)
	}
	c.now = c.now.Add(10 * time.Second) // held up: what is late goes out at once
	c.sleeps = nil
	for range 5 {
		if err := p.evenly(t.Context(), 4); err != nil {
			t.Fatal(err)
		}
	}
	if len(c.sleeps) != 0 {
		t.Errorf("slept %v while late", c.sleeps)
	}
	if err := p.evenly(t.Context(), 0); err != nil || len(c.sleeps) != 0 {
		t.Error("no rate, and yet a wait")
	}
}
