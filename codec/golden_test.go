package codec

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden messages anew")

const goldenDir = "../testdata/messages"

// vectors are messages laid out by hand from the description of the old relays' format, not by this package.
// docs/reference/message-format.md says what each is.
var vectors = map[string]string{
	"trade_direct": "efbeadde000103000100000000000000e8032a36fe9c97172a000000000000000128000000000043544200c8e6bc1704" +
		"000080f0fa020000000000002a36fe9c97176500330000000000",
	"trade_checksum": "efbeadde000103000000000000000000e8032a36fe9c97172a0000005df3ada00128000000000043544200c8e6bc1704" +
		"000080f0fa020000000000002a36fe9c97176500330000000000",
	"gas_price": "efbeadde00013d00000000000000000000002a36fe9c9717220000003e662a7c1220800bb2030000000000002a36fe9c" +
		"9717200000001e0000000200000089000000",
	"pool_swap": "efbeadde000104002a0000000000000000002a36fe9c9717d2000000000000000bd0000064a7b3b6e00d000000000000" +
		"000000f902950000000000000000000000000000000000000000000000000000000000002a36fe9c9717800bb2030000" +
		"000000000000ca001206000000000000000045dda9cb7c25131df268515131f647d726f5060800000000000000000000" +
		"00007ceb23fd6bc0add59e62ac25578270cff1b9f6190000000000000000000000002791bca1f2de4661ed88a30c99a7" +
		"a9449aa84174000000000000000000000000000000000000000000000000000000000000000000000000000000000000" +
		"0000",
	"arbitrage_signal": "efbeadde01010a00070000000000000000002a36fe9c9717ac0000000000000020aa150000002a36fe9c971789000000" +
		"010101010101010101010101010101010101010102020202020202020202020202020202020202029001910103030303" +
		"03030303030303030303030303030303040404040404040404040404040404040404040480d40657020000000010a5d4" +
		"e8000000960000bca0650100000000a3e111000000000065cd1d000000008010b7c1000000003200640000002cf25365" +
		"dc05000000002a36fe9c9717",
	"identification": "efbeadde01010200000000000000000000000000000000000000000000000000",
	"quote": "efbeadde00010300020000000000000000002a36fe9c97173a000000000000000238000000000048544540a41d7f5100" +
		"000000e1f50500000000801c9b8051000000c06878040000000000002a36fe9c97176500330000000000",
	"recovery_request": "efbeadde00011e00030000000000000000002a36fe9c97171a000000000000006e186400000000000000960000000000" +
		"00000700000001000000",
	"vendor_extended": "efbeadde01010a00090000000000000000002a36fe9c971731010000f01707d7ff00c82c01" + strings.Repeat("01", 300),
}

// A golden is a message that this package builds, and its file.
type golden struct {
	name     string
	header   Header
	add      func(b *Builder)
	checksum bool
}

const (
	second   = 1_700_000_000
	secondNs = second * 1_000_000_000
)

func address(s string) Address { return Address(must(hex.DecodeString(s))) }

func filled(b byte) Address { return Address(bytes.Repeat([]byte{b}, 20)) }

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

var btc = Trade{
	Instrument: Instrument{AssetID: SymbolAsset("BTC"), VenueID: VenueKraken, AssetType: AssetCoin},
	Price:      45_000_00000000, Volume: 50_000_000, ExecutionTimestampNs: secondNs,
}

// goldens are the vectors first, and then one message for each struct.
func goldens() []golden {
	h := func(d Domain, s Source, seq uint64) Header {
		return Header{Domain: d, Source: s, Sequence: seq, TimestampNs: secondNs}
	}
	trade := func(seq uint64) Header {
		t := h(DomainMarketData, SourceKrakenCollector, seq)
		t.TimestampNs += 1000
		return t
	}
	gas := GasPrice{BlockNumber: 62_000_000, TimestampNs: secondNs, GasPriceGwei: 32, BaseFeeGwei: 30, PriorityFeeGwei: 2, Network: 137}
	swap := PoolSwap{
		AmountIn: Uint128{Lo: 1e18}, AmountOut: Uint128{Lo: 2_500_000_000}, TimestampNs: secondNs, BlockNumber: 62_000_000,
		Venue: VenuePolygon, AmountInDecimals: 18, AmountOutDecimals: 6,
		PoolAddress:  address("45dda9cb7c25131df268515131f647d726f50608"),
		TokenInAddr:  address("7ceb23fd6bc0add59e62ac25578270cff1b9f619"),
		TokenOutAddr: address("2791bca1f2de4661ed88a30c99a7a9449aa84174"),
	}
	signal := ArbitrageSignal{
		StrategyID: 21, SignalID: secondNs, ChainID: 137, SourcePool: filled(1), TargetPool: filled(2),
		SourceVenue: VenueQuickSwap, TargetVenue: VenueSushiSwapPolygon, TokenIn: filled(3), TokenOut: filled(4),
		ExpectedProfitUSDQ8: 100_50000000, RequiredCapitalUSDQ8: 10_000_00000000, SpreadBps: 150, DexFeesUSDQ8: 60_00000000,
		GasCostUSDQ8: 3_00000000, SlippageUSDQ8: 5_00000000, NetProfitUSDQ8: 32_50000000, SlippageToleranceBps: 50,
		MaxGasPriceGwei: 100, ValidUntil: second + 300, Priority: 1500, TimestampNs: secondNs,
	}
	quote := Quote{
		Instrument: Instrument{AssetID: SymbolAsset("ETH"), VenueID: VenueKraken, AssetType: AssetCoin},
		BidPrice:   3_500_25000000, BidSize: 1_00000000, AskPrice: 3_500_50000000, AskSize: 75_000_000, QuoteTimestampNs: secondNs,
	}
	recovery := RecoveryRequest{LastSequence: 100, CurrentSequence: 150, ConsumerID: 7, RequestType: 1}
	all := []golden{
		{"trade_direct", trade(1), btc.AppendTo, false},
		{"trade_checksum", trade(0), btc.AppendTo, true},
		{"gas_price", h(DomainMarketData, 61, 0), gas.AppendTo, true},
		{"pool_swap", h(DomainMarketData, SourcePolygonCollector, 42), swap.AppendTo, false},
		{"arbitrage_signal", h(DomainSignal, SourceArbitrageStrategy, 7), signal.AppendTo, false},
		{"identification", Header{Domain: 1, Source: 2}, func(*Builder) {}, false},
		{"quote", h(DomainMarketData, SourceKrakenCollector, 2), quote.AppendTo, false},
		{"recovery_request", h(DomainMarketData, SourceDashboard, 3), recovery.AppendTo, false},
		{"vendor_extended", h(DomainSignal, SourceArbitrageStrategy, 9), func(b *Builder) {
			b.Append(TypePoolInfo, bytes.Repeat([]byte{1}, 300))
		}, true},
		{"quote_52", h(DomainMarketData, SourceKrakenCollector, 2), func(b *Builder) { quote.Encode(b.Reserve(TypeQuote, QuoteSizeShort)) }, true},
		{"swap_with_position", h(DomainMarketData, SourcePolygonCollector, 43), func(b *Builder) {
			s := swap
			s.SqrtPriceX96After = Uint256{1, 2, 0x80000003, 0} // 160 bits
			s.AppendTo(b)
			(&EventPosition{BlockNumber: 62_000_000, ChainID: 137, TxIndex: 12, LogIndex: 345}).AppendTo(b)
		}, true},
		{"unknown_types", h(DomainSystem, SourceTestClient, 5), func(b *Builder) {
			b.Append(0, nil)
			b.Append(150, []byte{1, 2, 3})
			b.AppendExtended(200, []byte{4})
			b.Append(255, []byte{5})
			b.Append(TypeText, []byte("hello"))
		}, true},
	}
	for i, t := range structTypes {
		all = append(all, golden{"struct_" + snake(t.String()), h(domainOf(t), SourceTestClient, uint64(i)), func(b *Builder) {
			sample(t).AppendTo(b)
		}, true})
	}
	return all
}

func domainOf(t Type) Domain {
	for d := range DomainSystem + 1 {
		if DomainsEither.Admits(t, d) {
			return d
		}
	}
	return DomainSystem
}

func (g golden) build(t *testing.T) []byte {
	t.Helper()
	var b Builder
	buf := bytes.Repeat([]byte{0xAA}, 8192) // so that what is left unwritten shows
	b.Reset(buf, g.header)
	g.add(&b)
	finish := b.FinishUnchecked
	if g.checksum {
		finish = b.Finish
	}
	n, err := finish()
	if err != nil {
		t.Fatal(err)
	}
	return buf[:n]
}

func TestGoldenMessages(t *testing.T) {
	written := map[string]bool{}
	for _, g := range goldens() {
		t.Run(g.name, func(t *testing.T) {
			msg := g.build(t)
			if want, ok := vectors[g.name]; ok && hex.EncodeToString(msg) != want {
				t.Errorf("built\n%x, the vector is\n%s", msg, want)
			}
			goldenFile(t, g.name+".hex", []byte(hex.EncodeToString(msg)+"\n"))
			goldenFile(t, g.name+".json", describe(t, msg))
			if got := rebuild(t, msg); !bytes.Equal(got, msg) {
				t.Errorf("decoded and encoded again\n%x, was\n%x", got, msg)
			}
		})
		written[g.name] = true
	}
	for name := range vectors {
		if !written[name] {
			t.Errorf("vector %s is not built", name)
		}
	}
	files, err := os.ReadDir(goldenDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		name, _, _ := strings.Cut(f.Name(), ".")
		if !written[name] {
			t.Errorf("%s/%s is no golden message's file", goldenDir, f.Name())
		}
	}
}

func goldenFile(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join(goldenDir, name)
	if *update {
		if err := os.MkdirAll(goldenDir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s: got\n%s, want\n%s", path, got, want)
	}
}

// describe gives the message as JSON, as a dump would.
func describe(t *testing.T, msg []byte) []byte {
	t.Helper()
	m, err := Parse(msg)
	if err != nil {
		t.Fatal(err)
	}
	type tlv struct {
		Type   Type   `json:"type"`
		Name   string `json:"name"`
		Length int    `json:"length"`
		Fields Fields `json:"fields,omitempty"`
	}
	h := m.Header()
	out := struct {
		Domain      string `json:"domain"`
		Source      string `json:"source"`
		Sequence    uint64 `json:"sequence"`
		TimestampNs uint64 `json:"timestamp_ns"`
		TLVs        []tlv  `json:"tlvs"`
	}{h.Domain.String(), h.Source.String(), h.Sequence, h.TimestampNs, nil}
	for typ, value := range m.TLVs() {
		fields, err := FieldsOf(typ, value)
		if err != nil {
			t.Fatal(err)
		}
		out.TLVs = append(out.TLVs, tlv{typ, typ.String(), len(value), fields})
	}
	b, err := json.MarshalIndent(out, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(b, '\n')
}

// rebuild decodes every value that has a struct, and encodes the whole message again.
func rebuild(t *testing.T, msg []byte) []byte {
	t.Helper()
	m, err := Parse(msg)
	if err != nil {
		t.Fatal(err)
	}
	var b Builder
	out := make([]byte, len(msg))
	b.Reset(out, m.Header())
	for c := m.Cursor(); c.Next(); {
		value := c.Value
		if s := newStruct(c.Type); s != nil {
			if err := s.Decode(value); err != nil {
				t.Fatal(err)
			}
			value = make([]byte, len(c.Value))
			s.Encode(value)
		}
		if c.Extended {
			b.AppendExtended(c.Type, value)
		} else {
			b.Append(c.Type, value)
		}
	}
	finish := b.FinishUnchecked
	if m.HasChecksum() {
		finish = b.Finish
	}
	n, err := finish()
	if err != nil {
		t.Fatal(err)
	}
	return out[:n]
}
