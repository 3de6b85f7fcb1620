package dex

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestEveryFormOfAFileGivesTheSameEvents(t *testing.T) {
	want := market(t, 7, 3000)
	pools := SyntheticPools()
	rows := func(header string, row func(*Event) string, of func(*Event) bool) []string {
		lines := []string{header}
		for i := range want {
			if of(&want[i]) {
				lines = append(lines, row(&want[i]))
			}
		}
		return lines
	}
	t.Run("decoded, of all pools", func(t *testing.T) {
		got, faults := readAll(t, open(t, write(t, "x.events.csv.gz", rows(decodedHeader, decodedRow, func(*Event) bool { return true })...), OpenOptions{Pools: pools}))
		compare(t, got, want)
		if len(faults) > 0 {
			t.Error(faults[0])
		}
	})
	for form, row := range map[string]func(*Event) string{rawHeader: rawRow, proxyHeader: proxyRow} {
		for _, name := range []string{"x.raw.csv", "x.raw.csv.gz", "misnamed.txt"} {
			t.Run("raw, of one pool each, "+name+", "+form[:60], func(t *testing.T) {
				var sources []Source
				for _, p := range syntheticPools {
					path := write(t, name, rows(form, row, func(e *Event) bool { return e.Pool == p.Address })...)
					sources = append(sources, open(t, path, OpenOptions{Pool: p.Address, Pools: pools}))
				}
				compare(t, mergeAll(t, NewMerge(sources, nil)), want)
			})
		}
	}
}

// swapRow is a good row of a raw file, and swapRowAs one with another field.
func swapRow() string {
	e := Event{Position: Position{1, 5, 6, 7}, Kind: Swap, Version: V3, TimeNS: 1704412823e9, Amount0: Amount{Abs: bit(3)}}
	return rawRow(&e)
}

func swapRowAs(column int, with string) string {
	parts := strings.SplitN(swapRow(), `"`, 3)
	fields := append(strings.Split(strings.TrimSuffix(parts[0], ","), ","), `"`+parts[1]+`"`, strings.TrimPrefix(parts[2], ","))
	fields[column] = with
	return strings.Join(fields, ",")
}

func TestMalformedRowsAreNamedAndTheRestGoesOn(t *testing.T) {
	if swapRowAs(0, "5") != swapRow() {
		t.Fatalf("the helper changes rows: %s", swapRowAs(0, "5"))
	}
	topics := func(s string) string { return swapRowAs(5, s) }
	hash := strings.Repeat("ab", 32)
	for name, c := range map[string]struct{ row, want string }{
		"too few columns":           {"1,2,3", "3 columns"},
		"too many columns":          {swapRow() + ",", "8 columns"},
		"an open quote":             {`5,"2024`, "quoted"},
		"text after a quote":        {topics(`"[]"x`), "quoted"},
		"block in words":            {swapRowAs(0, "five"), "block_number"},
		"block beyond 64 bits":      {swapRowAs(0, "18446744073709551616"), "block_number"},
		"negative log index":        {swapRowAs(4, "-1"), "log_index"},
		"log index beyond 32 bits":  {swapRowAs(4, "4294967296"), "log_index"},
		"no time":                   {swapRowAs(1, ""), "time"},
		"a time before 1970":        {swapRowAs(1, "1969-12-31 23:59:59"), "time"},
		"a time beyond ns":          {swapRowAs(1, "99999999999999"), "time"},
		"a short hash":              {swapRowAs(2, "0xabcd"), "transaction_hash"},
		"topics not a list":         {topics("0x" + hash), "list of topics"},
		"topics without quotes":     {topics("[0x" + hash + "]"), "topic"},
		"a topic cut short":         {topics("['0x" + hash[2:] + "']"), "topic"},
		"a topic that is no hex":    {topics("['0x" + hash[2:] + "zz']"), "topic"},
		"mixed quotes":              {topics(`"['0x` + hash + `""]"`), "topic"},
		"topics without a comma":    {topics("['0x" + hash + "' '0x" + hash + "']"), "comma"},
		"five topics":               {topics(`"[` + strings.Repeat("'0x"+hash+"',", 4) + "'0x" + hash + `']"`), "4 topics"},
		"data without 0x":           {swapRowAs(6, "00"), "0x"},
		"data of odd length":        {swapRowAs(6, "0x000"), "data"},
		"data of half the words":    {swapRowAs(6, "0x00"), "bytes"},
		"a line beyond all measure": {strings.Repeat("x", 3*maxLine), "longer than"},
		"binary":                    {"\x00\xff\xfe,,,,,,", "list of topics"},
	} {
		t.Run(name, func(t *testing.T) {
			path := write(t, "x.raw.csv.gz", rawHeader, swapRow(), c.row, swapRow())
			s := open(t, path, OpenOptions{Pool: Address{1}})
			events, faults := readAll(t, s)
			if len(events) != 2 || len(faults) != 1 {
				t.Fatalf("%d events and faults %v, want the 2 good rows and 1 fault", len(events), faults)
			}
			if f := faults[0]; f.File != path || f.Line != 3 || !strings.Contains(f.Error(), c.want) {
				t.Errorf("fault %q, want line 3 and %q", f, c.want)
			}
			if got, want := s.Counts(), (Counts{Rows: 3, Malformed: 1}); got != want {
				t.Errorf("counts %+v, want %+v", got, want)
			}
		})
	}
}

func TestMalformedDecodedRows(t *testing.T) {
	events := market(t, 1, 2000)
	find := func(k Kind, v Version) string {
		for i := range events {
			if events[i].Kind == k && events[i].Version == v {
				return decodedRow(&events[i])
			}
		}
		t.Fatalf("no %s v%d", k, v)
		return ""
	}
	set := func(row string, column int, with string) string {
		f := strings.Split(row, ",")
		f[column] = with
		return strings.Join(f, ",")
	}
	swap, mint, burn, sync := find(Swap, V3), find(Mint, V3), find(Burn, V3), find(Sync, V2)
	two255 := "57896044618658097711785492504343953926634992332820282019728792003956564819968"
	rows := []string{
		set(swap, 0, ""), set(swap, 0, "4294967296"), set(swap, 1, "0x12"), set(swap, 7, ""), set(swap, 8, "0xzz"),
		set(swap, 10, ""), set(swap, 10, "1.5"), set(swap, 10, two255), set(swap, 12, "-1"), set(swap, 12, "1461501637330902918203684832716283019655932542976"),
		set(swap, 13, "340282366920938463463374607431768211456"), set(swap, 14, "8388608"), set(swap, 14, "199045.0"),
		set(mint, 10, "-5"), set(mint, 17, "-5"), set(mint, 17, ""), set(burn, 17, "5"), set(burn, 15, "x"),
		set(sync, 18, "5192296858534827628530496329220096"), set(sync, 19, ""),
	}
	lines := append([]string{decodedHeader, swap}, rows...)
	got, faults := readAll(t, open(t, write(t, "x.events.csv", append(lines, burn)...), OpenOptions{}))
	if len(got) != 2 {
		t.Errorf("%d events, want the first and the last row", len(got))
	}
	if len(faults) != len(rows) {
		t.Errorf("%d faults, want %d", len(faults), len(rows))
	}
	for i, f := range faults {
		if f.Line != i+3 {
			t.Fatalf("fault %d is on line %d, want %d: %v", i, f.Line, i+3, f)
		}
	}
	if f := set(swap, 10, "-"+two255); true {
		if got, faults := readAll(t, open(t, write(t, "x.events.csv", decodedHeader, f), OpenOptions{})); len(got) != 1 {
			t.Errorf("the least int256 was refused: %v", faults)
		}
	}
}

func TestSkippedLogsAreCountedAsOther(t *testing.T) {
	collect := swapRowAs(5, "['0x"+fmt.Sprintf("%x", topicV3Collect)+"']")
	s := open(t, write(t, "x.raw.csv", rawHeader, collect, "", swapRow(), swapRowAs(5, "[]")), OpenOptions{Pool: Address{1}})
	events, faults := readAll(t, s)
	if len(events) != 1 || len(faults) != 0 {
		t.Errorf("%d events, faults %v", len(events), faults)
	}
	if got, want := s.Counts(), (Counts{Rows: 3, Other: 2}); got != want {
		t.Errorf("counts %+v, want %+v", got, want)
	}
}

func TestFilesOfOtherKindsSayWhatTheyAre(t *testing.T) {
	aave := fmt.Sprintf("%x", keccak256("Borrow(address,address,address,uint256,uint8,uint256,uint16)"))
	for name, c := range map[string]struct {
		lines []string
		want  string
	}{
		"gas prices":     {[]string{"block_timestamp,gas_price", "2023-08-14 00:00:00,53.08"}, "gas prices"},
		"Aave":           {[]string{rawHeader, swapRowAs(5, "['0x"+aave+"']")}, "Aave"},
		"a tick table":   {[]string{"block_number,block_timestamp,tx_type,transaction_hash,tx_index,log_index,sender"}, "tick table"},
		"JSON":           {[]string{`{"note": "x"}`}, "JSON"},
		"a WebSocket":    {[]string{`wss://ws.kraken.com -> 1618673155.1: {"event":"x"}`}, "WebSocket"},
		"something else": {[]string{"a,b,c"}, `"a,b,c"`},
		"nothing":        {nil, "first line"},
		"JSON, one line": {[]string{`{"a": "` + strings.Repeat("x", 2*maxLine) + `"}`}, "JSON"},
		"one long line":  {[]string{strings.Repeat("x", 2*maxLine)}, "xxx"},
	} {
		_, err := OpenFile(write(t, "88e6a0.raw.csv.gz", c.lines...), OpenOptions{Pool: Address{1}})
		if !errors.Is(err, ErrNotEvents) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error is %v, want %q", name, err, c.want)
		}
	}
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenFile(empty, OpenOptions{}); !errors.Is(err, ErrNotEvents) {
		t.Errorf("an empty file: %v", err)
	}
	if _, err := OpenFile(empty+"-not", OpenOptions{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}

func TestAHeaderAloneIsNoEvents(t *testing.T) {
	events, faults := readAll(t, open(t, write(t, "x.raw.csv", rawHeader), OpenOptions{Pool: Address{1}}))
	if len(events)+len(faults) != 0 {
		t.Errorf("%v, %v", events, faults)
	}
}

func TestATruncatedFileEndsWithAnErrorAfterWhatIsThere(t *testing.T) {
	// Hashes that differ keep gzip from packing all rows into its last block.
	rng := rand.New(rand.NewPCG(1, 2))
	lines := []string{rawHeader}
	for range 2000 {
		lines = append(lines, swapRowAs(2, fmt.Sprintf("0x%016x%016x%016x%016x", rng.Uint64(), rng.Uint64(), rng.Uint64(), rng.Uint64())))
	}
	packed := pack(t, []byte(strings.Join(lines, "\n")))
	s, err := newFile("cut.raw.csv.gz", bytes.NewReader(packed[:len(packed)*2/3]), OpenOptions{Pool: Address{1}})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	var e Event
	for err = s.Next(&e); err == nil; err = s.Next(&e) {
		n++
	}
	if !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(err.Error(), "cut.raw.csv.gz") {
		t.Errorf("error is %v", err)
	}
	if n == 0 || n >= 2000 {
		t.Errorf("%d rows were read before it", n)
	}
	if again := s.Next(&e); again == nil || again == io.EOF {
		t.Errorf("asked again, the error is %v", again)
	}
}

var manyX = strings.Repeat("x", 64<<10)

// endless is a file whose first line never ends.
type endless struct{ given int }

func (r *endless) Read(p []byte) (int, error) {
	if r.given > 1<<30 {
		return 0, io.EOF
	}
	n := copy(p, manyX)
	r.given += n
	return n, nil
}

func TestALineOfAGigabyteIsNotHeld(t *testing.T) {
	header := strings.NewReader(rawHeader + "\n")
	s, err := newFile("hostile", io.MultiReader(header, &endless{}, strings.NewReader("\n"+swapRow())), OpenOptions{Pool: Address{1}})
	if err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var e Event
	if err := s.Next(&e); !errors.Is(err, errLineTooLong) {
		t.Errorf("error is %v", err)
	}
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 1<<20 {
		t.Errorf("%d bytes were allocated for a line that is skipped", took)
	}
	if events, faults := readAll(t, s); len(events) != 1 || len(faults) != 0 {
		t.Errorf("after it %d events, faults %v", len(events), faults)
	}
}

func FuzzFile(f *testing.F) {
	e := market(f, 3, 50)
	f.Add([]byte(rawHeader + "\n" + rawRow(&e[0]) + "\n" + rawRow(&e[1])))
	f.Add([]byte(proxyHeader + "\r\n" + proxyRow(&e[2]) + "\r\n"))
	f.Add([]byte(decodedHeader + "\n" + decodedRow(&e[3]) + "\n" + decodedRow(&e[4])))
	f.Add([]byte(traceHeader + "\n" + traceSwap))
	f.Add(pack(f, []byte(rawHeader+"\n"+rawRow(&e[0]))))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := newFile("f", bytes.NewReader(b), OpenOptions{Pool: Address{1}})
		if err != nil {
			return
		}
		var events uint64
		for range len(b)*1100 + 2 { // a byte of gzip is at most 1,032 of text, and a row at least one
			var e Event
			err := s.Next(&e)
			if _, isRow := err.(*RowError); err != nil && !isRow {
				c := s.Counts()
				if c.Rows != events+c.Malformed+c.Other {
					t.Fatalf("%d events and counts %+v", events, c)
				}
				return
			}
			if err == nil {
				events++
				if e.Kind < Swap || e.Kind > Sync || e.Version != V2 && e.Version != V3 {
					t.Fatalf("event of no kind: %+v", e)
				}
			}
		}
		t.Fatal("the file does not end")
	})
}

const (
	traceHeader = "block_number,tx_index,trace_seq,tx_hash,event,pool,kind,token0,token1,reserve0_before,reserve1_before,pre_source,amount0_in,amount1_in,amount0_out,amount1_out,reserve0_after,reserve1_after"
	traceTokens = "0x00000000000000000000000000000000000000a0,0x00000000000000000000000000000000000000b0"
	traceSwap   = "10921991,0,4,,swap,0x00000000000000000000000000000000000000c2,v2," + traceTokens + ",1000,2000,state,1,200,100,0,901,2200"
	traceState  = "10921991,0,1,,state,0x00000000000000000000000000000000000000c2,v2," + traceTokens + ",,,,,,,,1000,2000"
	traceV3     = "10921991,1,9,,swap,0x00000000000000000000000000000000000000c3,v3," + traceTokens + ",,,,0,7,5,0,,"
)

func TestTracesAreReadAsWhatTheyAre(t *testing.T) {
	pools := NewPools()
	got, faults := readAll(t, open(t, write(t, "events.csv", traceHeader, traceState, traceSwap, traceV3, strings.Replace(traceSwap, "v2", "v4", 1)), OpenOptions{Pools: pools}))
	if len(faults) != 1 || faults[0].Line != 5 {
		t.Errorf("faults %v", faults)
	}
	num := func(n int64) Amount {
		if n < 0 {
			return Amount{Abs: bitless(-n), Neg: true}
		}
		return Amount{Abs: bitless(n)}
	}
	c2, c3 := Address{19: 0xc2}, Address{19: 0xc3}
	compare(t, got, []Event{
		{Position: Position{1, 10921991, 0, 1}, Pool: c2, Kind: Sync, Version: V2, HasReserves: true, Reserve0: bitless(1000), Reserve1: bitless(2000)},
		{Position: Position{1, 10921991, 0, 4}, Pool: c2, Kind: Swap, Version: V2, Amount0: num(-99), Amount1: num(200), HasReserves: true, Reserve0: bitless(901), Reserve1: bitless(2200)},
		{Position: Position{1, 10921991, 1, 9}, Pool: c3, Kind: Swap, Version: V3, Amount0: num(-5), Amount1: num(7)},
	})
	want := Pool{1, c2, UniswapV2, 3000, Address{19: 0xa0}, Address{19: 0xb0}}
	if p, ok := pools.Pool(1, c2); !ok || p != want {
		t.Errorf("the v2 pool is known as %+v", p)
	}
	if p, ok := pools.Pool(1, c3); !ok || p.Protocol != UniswapV3 || p.FeePips != 0 {
		t.Errorf("the v3 pool is known as %+v", p)
	}
}
