package dex

import (
	"encoding/hex"
	"math/big"
	"math/bits"
	"slices"
	"strings"
	"testing"

	"github.com/holiman/uint256"
)

// keccak256 is the hash of Ethereum, for one block of less than 136 bytes (FIPS 202 with the padding of the original
// Keccak submission, 0x01).
func keccak256(text string) [32]byte {
	var block [136]byte
	copy(block[:], text)
	block[len(text)] ^= 0x01
	block[135] ^= 0x80
	var s [25]uint64
	for i, c := range block {
		s[i/8] ^= uint64(c) << (8 * (i % 8))
	}
	lfsr := byte(1)
	for range 24 {
		var c [5]uint64
		for i := range s {
			c[i%5] ^= s[i]
		}
		for i := range s {
			s[i] ^= c[(i+4)%5] ^ bits.RotateLeft64(c[(i+1)%5], 1)
		}
		x, y, lane := 1, 0, s[1]
		for step := range 24 {
			x, y = y, (2*x+3*y)%5
			s[x+5*y], lane = bits.RotateLeft64(lane, (step+1)*(step+2)/2%64), s[x+5*y]
		}
		for row := 0; row < 25; row += 5 {
			r := [5]uint64(s[row : row+5])
			for i := range r {
				s[row+i] = r[i] ^ ^r[(i+1)%5]&r[(i+2)%5]
			}
		}
		for j := range 7 {
			if lfsr&1 != 0 {
				s[0] ^= 1 << (1<<j - 1)
			}
			lfsr = lfsr<<1 ^ 0x71*(lfsr>>7)
		}
	}
	var out [32]byte
	for i := range out {
		out[i] = byte(s[i/8] >> (8 * (i % 8)))
	}
	return out
}

func TestTopicsAreTheHashesOfTheSignatures(t *testing.T) {
	if got := keccak256(""); hex.EncodeToString(got[:]) != "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470" {
		t.Fatalf("keccak256 of nothing is %x", got)
	}
	for signature, got := range map[string]topic{
		"Swap(address,address,int256,int256,uint160,uint128,int24)": topicV3Swap,
		"Mint(address,address,int24,int24,uint128,uint256,uint256)": topicV3Mint,
		"Burn(address,int24,int24,uint128,uint256,uint256)":         topicV3Burn,
		"Swap(address,uint256,uint256,uint256,uint256,address)":     topicV2Swap,
		"Mint(address,uint256,uint256)":                             topicV2Mint,
		"Burn(address,uint256,uint256,address)":                     topicV2Burn,
		"Sync(uint112,uint112)":                                     topicV2Sync,
	} {
		if want := topic(keccak256(signature)); got != want {
			t.Errorf("topic of %s is %x, its hash %x", signature, got, want)
		}
	}
	aave := map[string]string{
		"ReserveDataUpdated": "(address,uint256,uint256,uint256,uint256,uint256)",
		"Supply":             "(address,address,address,uint256,uint16)",
		"Withdraw":           "(address,address,address,uint256)",
		"Borrow":             "(address,address,address,uint256,uint8,uint256,uint16)",
		"Repay":              "(address,address,address,uint256,bool)",
		"LiquidationCall":    "(address,address,address,uint256,uint256,address,bool)",
	}
	for got, name := range aaveTopics {
		if want := topic(keccak256(name + aave[name])); got != want {
			t.Errorf("topic of Aave's %s is %x, its hash %x", name, got, want)
		}
	}
}

func bit(n uint) uint256.Int { return *new(uint256.Int).Lsh(uint256.NewInt(1), n) }

func less1(x uint256.Int) uint256.Int { return *new(uint256.Int).SubUint64(&x, 1) }

func TestSigned256BitExtremes(t *testing.T) {
	for _, c := range []struct{ word, want string }{
		{strings.Repeat("00", 32), "0"},
		{strings.Repeat("00", 31) + "01", "1"},
		{strings.Repeat("ff", 32), "-1"},
		{"7f" + strings.Repeat("ff", 31), "57896044618658097711785492504343953926634992332820282019728792003956564819967"},
		{"80" + strings.Repeat("00", 31), "-57896044618658097711785492504343953926634992332820282019728792003956564819968"},
		{"80" + strings.Repeat("00", 30) + "01", "-57896044618658097711785492504343953926634992332820282019728792003956564819967"},
		{strings.Repeat("ff", 16) + strings.Repeat("00", 16), "-340282366920938463463374607431768211456"},
	} {
		b, err := hex.DecodeString(c.word)
		if err != nil {
			t.Fatal(err)
		}
		var w uint256.Int
		w.SetBytes32(b)
		got := Signed(w)
		if got.String() != c.want {
			t.Errorf("0x%s is %s, want %s", c.word, got, c.want)
		}
		if back := word(got); !slices.Equal(back, b) {
			t.Errorf("%s as a word is %x, want %s", got, back, c.word)
		}
		if parsed, err := ParseAmount(c.want); err != nil || parsed != got {
			t.Errorf("ParseAmount(%s) is %s, %v", c.want, parsed, err)
		}
	}
}

func TestDifferenceHoldsEvery256BitPair(t *testing.T) {
	top := less1(uint256.Int{})
	values := []uint256.Int{{}, {1}, bit(128), less1(bit(255)), bit(255), top}
	for _, x := range values {
		for _, y := range values {
			want := new(big.Int).Sub(x.ToBig(), y.ToBig())
			if got := Difference(&x, &y); got.String() != want.String() {
				t.Errorf("%s - %s is %s, want %s", x.Dec(), y.Dec(), got, want)
			}
		}
	}
}

func TestParseAmountRefusesWhatIsNoNumber(t *testing.T) {
	for _, s := range []string{"", "-", "+1", "--1", "1.0", "0x1", "1e3", " 1", "1_000", strings.Repeat("9", 78), strings.Repeat("1", 1000)} {
		if a, err := ParseAmount(s); err == nil {
			t.Errorf("ParseAmount(%q) is %s", s, a)
		}
	}
	if a, err := ParseAmount("-0"); err != nil || a != (Amount{}) {
		t.Errorf("-0 is %+v, %v: zero must have one form", a, err)
	}
}

// extremes are events with the ends of every field's range.
func extremes() []Event {
	least, most := Amount{Abs: bit(255), Neg: true}, Amount{Abs: less1(bit(255))}
	all := Unsigned(less1(uint256.Int{}))
	var a, b Address
	for i := range a {
		a[i], b[i] = 0xff, byte(i)
	}
	return []Event{
		{Kind: Swap, Version: V3, Amount0: least, Amount1: most, SqrtPriceX96: less1(bit(160)), Liquidity: less1(bit(128)), Tick: -1 << 23, Sender: a, Recipient: b},
		{Kind: Swap, Version: V3, Amount0: most, Amount1: least, SqrtPriceX96: uint256.Int{4295128739}, Tick: 1<<23 - 1},
		{Kind: Swap, Version: V2, Amount0: all, Amount1: Amount{Abs: all.Abs, Neg: true}, Sender: a, Recipient: b},
		{Kind: Mint, Version: V3, Amount0: all, Liquidity: less1(bit(128)), TickLower: -1 << 23, TickUpper: 1<<23 - 1, Sender: a, Recipient: b},
		{Kind: Burn, Version: V3, Amount1: all, Liquidity: uint256.Int{1}, TickLower: -887272, TickUpper: 887272, Sender: b},
		{Kind: Mint, Version: V2, Amount0: all, Amount1: all, Sender: a},
		{Kind: Burn, Version: V2, Amount0: all, Amount1: all, Sender: a, Recipient: b},
		{Kind: Sync, Version: V2, HasReserves: true, Reserve0: less1(bit(112)), Reserve1: uint256.Int{}},
	}
}

func TestDecodeLogReadsEveryFieldsExtremes(t *testing.T) {
	for _, want := range extremes() {
		var got Event
		if ok, err := decodeLog(encodeLog(&want), &got); !ok || err != nil {
			t.Errorf("%s v%d: %v, %v", want.Kind, want.Version, ok, err)
		} else if got != want {
			t.Errorf("decoded\n%+v\nwant\n%+v", got, want)
		}
	}
}

func TestDecodeLogRefusesWordsOutOfTheirType(t *testing.T) {
	swap := extremes()[0]
	set := func(word int, b ...byte) func(*rawLog) {
		return func(l *rawLog) { copy(l.data[32*word+32-len(b):], b) }
	}
	fill := func(word int, b byte) func(*rawLog) {
		return func(l *rawLog) { copy(l.data[32*word:], slices.Repeat([]byte{b}, 32)) }
	}
	for name, change := range map[string]func(*rawLog){
		"price of 161 bits":        func(l *rawLog) { l.data[2*32+11] = 1 },
		"liquidity of 129 bits":    func(l *rawLog) { l.data[3*32+15] = 1 },
		"tick of 25 bits":          set(4, 0xff, 0xff, 0xff, 0xfe, 0xff, 0xff, 0xff),
		"tick with a broken sign":  func(l *rawLog) { l.data[4*32] = 0x7f },
		"positive tick of 24 bits": func(l *rawLog) { fill(4, 0)(l); set(4, 0x80, 0, 0)(l) },
		"sender of 21 bytes":       func(l *rawLog) { l.topics[1][11] = 1 },
		"a topic missing":          func(l *rawLog) { l.topics = l.topics[:2] },
		"a topic too many":         func(l *rawLog) { l.topics = append(l.topics, topic{}) },
		"half a word":              func(l *rawLog) { l.data = l.data[:150] },
		"a word missing":           func(l *rawLog) { l.data = l.data[:128] },
		"a word too many":          func(l *rawLog) { l.data = append(l.data, make([]byte, 32)...) },
		"no data":                  func(l *rawLog) { l.data = nil },
	} {
		log := encodeLog(&swap)
		change(&log)
		var e Event
		if ok, err := decodeLog(log, &e); ok || err == nil {
			t.Errorf("%s: decoded as %+v", name, e)
		}
	}
	sync := Event{Kind: Sync, Version: V2, Reserve0: bit(112)}
	if ok, err := decodeLog(encodeLog(&sync), new(Event)); ok || err == nil {
		t.Error("a reserve of 113 bits was read")
	}
}

func TestOtherLogsAreSkippedWithoutAnError(t *testing.T) {
	for _, log := range []rawLog{
		{},
		{topics: []topic{topicV3Collect}, data: make([]byte, 7)},
		{topics: []topic{{1}}},
		{topics: []topic{topic(keccak256("Flash(address,address,uint256,uint256,uint256,uint256)"))}},
	} {
		if ok, err := decodeLog(log, new(Event)); ok || err != nil {
			t.Errorf("%x: %v, %v", log.topics, ok, err)
		}
	}
}

func FuzzDecodeLog(f *testing.F) {
	for _, e := range extremes() {
		log := encodeLog(&e)
		var topics []byte
		for _, t := range log.topics {
			topics = append(topics, t[:]...)
		}
		f.Add(topics, log.data)
	}
	f.Fuzz(func(t *testing.T, topics, data []byte) {
		log := rawLog{data: data}
		for ; len(topics) >= 32; topics = topics[32:] {
			log.topics = append(log.topics, topic(topics[:32]))
		}
		var e Event
		ok, err := decodeLog(log, &e)
		if ok && err != nil {
			t.Fatalf("both an event and %v", err)
		}
		if !ok {
			return
		}
		back := encodeLog(&e)
		if !slices.Equal(back.topics, log.topics) {
			t.Fatalf("topics %x came back as %x", log.topics, back.topics)
		}
		if e.Version == V2 && e.Kind == Swap { // ins and outs become net: decoding again must change nothing
			var again Event
			if ok, err := decodeLog(back, &again); !ok || err != nil || again != e {
				t.Fatalf("%+v came back as %+v, %v", e, again, err)
			}
		} else if !slices.Equal(back.data, data) {
			t.Fatalf("data %x came back as %x", data, back.data)
		}
	})
}

func bitless(n int64) uint256.Int { return *uint256.NewInt(uint64(n)) }
