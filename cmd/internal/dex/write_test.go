package dex

import (
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holiman/uint256"
)

// The tests write their own files: what encodeLog, rawRow and decodedRow make is what the readers must read.

// word is a number as an ABI word: two's complement if negative.
func word(a Amount) []byte {
	w := a.Abs
	if a.Neg {
		w.Neg(&w)
	}
	b := w.Bytes32()
	return b[:]
}

func tickWord(t int32) []byte {
	if t < 0 {
		return word(Amount{Abs: *uint256.NewInt(uint64(-int64(t))), Neg: true})
	}
	return word(Unsigned(*uint256.NewInt(uint64(t))))
}

func addressWord(a Address) []byte { return append(make([]byte, 12), a[:]...) }

// encodeLog is the inverse of decodeLog. Of a v2 Swap, whose event has net amounts, both sides' ins and outs are one.
func encodeLog(e *Event) rawLog {
	topicOf := func(b []byte) topic { return topic(b) }
	join := func(words ...[]byte) []byte { return bytes.Join(words, nil) }
	in := func(a Amount) []byte {
		if a.Neg {
			return word(Amount{})
		}
		return word(a)
	}
	out := func(a Amount) []byte { return word(Unsigned(map[bool]uint256.Int{true: a.Abs}[a.Neg])) }
	liquidity, price := word(Unsigned(e.Liquidity)), word(Unsigned(e.SqrtPriceX96))
	sender, recipient := topicOf(addressWord(e.Sender)), topicOf(addressWord(e.Recipient))
	lower, upper := topicOf(tickWord(e.TickLower)), topicOf(tickWord(e.TickUpper))
	switch {
	case e.Kind == Swap && e.Version == V3:
		return rawLog{[]topic{topicV3Swap, sender, recipient},
			join(word(e.Amount0), word(e.Amount1), price, liquidity, tickWord(e.Tick))}
	case e.Kind == Swap:
		return rawLog{[]topic{topicV2Swap, sender, recipient},
			join(in(e.Amount0), in(e.Amount1), out(e.Amount0), out(e.Amount1))}
	case e.Kind == Mint && e.Version == V3:
		return rawLog{[]topic{topicV3Mint, recipient, lower, upper},
			join(addressWord(e.Sender), liquidity, word(e.Amount0), word(e.Amount1))}
	case e.Kind == Mint:
		return rawLog{[]topic{topicV2Mint, sender}, join(word(e.Amount0), word(e.Amount1))}
	case e.Kind == Burn && e.Version == V3:
		return rawLog{[]topic{topicV3Burn, sender, lower, upper}, join(liquidity, word(e.Amount0), word(e.Amount1))}
	case e.Kind == Burn:
		return rawLog{[]topic{topicV2Burn, sender, recipient}, join(word(e.Amount0), word(e.Amount1))}
	}
	return rawLog{[]topic{topicV2Sync}, join(word(Unsigned(e.Reserve0)), word(Unsigned(e.Reserve1)))}
}

const (
	rawHeader     = "block_number,block_timestamp,transaction_hash,transaction_index,log_index,topics,data"
	proxyHeader   = "block_number,block_timestamp,transaction_hash,pool_tx_index,pool_log_index,pool_topics,pool_data,proxy_topics,proxy_data,proxy_log_index"
	decodedHeader = "chain_id,pool,block_number,block_time,tx_index,log_index,tx_hash,event,sender,recipient,amount0,amount1,sqrt_price_x96,liquidity,tick,tick_lower,tick_upper,liquidity_delta,reserve0,reserve1"
)

func topicList(topics []topic, quote string) string {
	var items []string
	for _, t := range topics {
		items = append(items, quote+"0x"+hex.EncodeToString(t[:])+quote)
	}
	return "[" + strings.Join(items, ", ") + "]"
}

func rawRow(e *Event) string {
	log := encodeLog(e)
	return fmt.Sprintf("%d,%s,0x%x,%d,%d,\"%s\",0x%x", e.Block, time.Unix(0, int64(e.TimeNS)).UTC().Format("2006-01-02 15:04:05"),
		e.TxHash, e.TxIndex, e.LogIndex, topicList(log.topics, "'"), log.data)
}

// proxyRow is the other header form, with the other quotes and the zone.
func proxyRow(e *Event) string {
	log := encodeLog(e)
	return fmt.Sprintf("%d,%s,0x%x,%d,%d,\"%s\",0x%x,[],,", e.Block, time.Unix(0, int64(e.TimeNS)).UTC().Format("2006-01-02 15:04:05+00:00"),
		e.TxHash, e.TxIndex, e.LogIndex, topicList(log.topics, `""`), log.data)
}

func decodedRow(e *Event) string {
	price, liquidity, tick, lower, upper, delta, res0, res1 := "", "", "", "", "", "", "", ""
	amount0, amount1 := e.Amount0.String(), e.Amount1.String()
	account := func(a Address) string {
		if a == (Address{}) {
			return ""
		}
		return a.String()
	}
	switch {
	case e.Kind == Sync:
		amount0, amount1, res0, res1 = "", "", e.Reserve0.Dec(), e.Reserve1.Dec()
	case e.Kind == Swap && e.Version == V3:
		price, liquidity, tick = e.SqrtPriceX96.Dec(), e.Liquidity.Dec(), fmt.Sprint(e.Tick)
	case e.Kind != Swap && e.Version == V3:
		lower, upper, delta = fmt.Sprint(e.TickLower), fmt.Sprint(e.TickUpper), Amount{Abs: e.Liquidity, Neg: e.Kind == Burn && !e.Liquidity.IsZero()}.String()
	}
	return fmt.Sprintf("%d,%s,%d,%d,%d,%d,0x%x,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s", e.ChainID, e.Pool, e.Block, e.TimeNS/1e9,
		e.TxIndex, e.LogIndex, e.TxHash, e.Kind, account(e.Sender), account(e.Recipient), amount0, amount1, price, liquidity, tick,
		lower, upper, delta, res0, res1)
}

// write makes a file in a folder of the test's own, packed if the name ends in .gz.
func write(t testing.TB, name string, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	text := []byte(strings.Join(lines, "\n") + "\n")
	if strings.HasSuffix(name, ".gz") {
		text = pack(t, text)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func pack(t testing.TB, text []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// open opens a file that must be one of events.
func open(t testing.TB, path string, opt OpenOptions) Source {
	t.Helper()
	s, err := OpenFile(path, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// readAll reads a source to its end, which must be io.EOF.
func readAll(t testing.TB, s Source) (events []Event, faults []*RowError) {
	t.Helper()
	for {
		var e Event
		err := s.Next(&e)
		switch fault, isRow := err.(*RowError); {
		case err == nil:
			events = append(events, e)
		case isRow:
			faults = append(faults, fault)
		case err == io.EOF:
			if err := s.Next(&e); err != io.EOF {
				t.Fatalf("after the end Next returned %v", err)
			}
			return events, faults
		default:
			t.Fatal(err)
		}
	}
}

// market is a made-up market's events, with hashes, so that nothing in them is left to be zero by chance.
func market(t testing.TB, seed, n uint64) []Event {
	t.Helper()
	events, _ := readAll(t, NewSynthetic(seed, n))
	for i := range events {
		events[i].TxHash = [32]byte{0: 0xab, 30: byte(i >> 8), 31: byte(i)}
	}
	return events
}

func compare(t testing.TB, got, want []Event) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%d events, want %d", len(got), len(want))
	}
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			t.Fatalf("event %d is\n%+v\nwant\n%+v", i, got[i], want[i])
		}
	}
}
