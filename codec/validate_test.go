package codec

import (
	"errors"
	"testing"
	"time"
)

func message(t *testing.T, h Header, checksum bool, add ...func(*Builder)) Message {
	t.Helper()
	var b Builder
	buf := make([]byte, 8192)
	b.Reset(buf, h)
	for _, a := range add {
		a(&b)
	}
	finish := b.FinishUnchecked
	if checksum {
		finish = b.Finish
	}
	n, err := finish()
	if err != nil {
		t.Fatal(err)
	}
	return must(Parse(buf[:n]))
}

func value(t Type, n int) func(*Builder) { return func(b *Builder) { b.Append(t, make([]byte, n)) } }

func TestLenientRulesAcceptEveryGoldenMessage(t *testing.T) {
	for _, g := range goldens() {
		m := must(Parse(g.build(t)))
		for d := range DomainSystem + 1 {
			r := RulesFor(ProfileLenient, d)
			if err := NewValidator(r).Check(m, 0); err != nil {
				t.Errorf("%s in %v: %v", g.name, d, err)
			}
		}
	}
}

func TestRules(t *testing.T) {
	market := Header{Domain: DomainMarketData, Source: SourceTestClient}
	signal := Header{Domain: DomainSignal, Source: SourceTestClient}
	var swap PoolSwap
	trade := message(t, market, false, btc.AppendTo)
	for _, c := range []struct {
		name string
		m    Message
		r    Rules
		err  error
	}{
		{"any domain byte up to 4", message(t, Header{Domain: 4}, false), Rules{}, nil},
		{"no domain byte beyond 4", message(t, Header{Domain: 5}, false), Rules{}, ErrDomain},
		{"any domain byte when it is skipped", message(t, Header{Domain: 5}, false), Rules{Byte: ByteSkip}, nil},
		{"either numbering: counted from 0", message(t, signal, false), Rules{Domain: DomainSignal, Byte: ByteMatch}, nil},
		{"either numbering: counted from 1", message(t, Header{Domain: 2}, false), Rules{Domain: DomainSignal, Byte: ByteMatch}, nil},
		{"either numbering: another domain", message(t, Header{Domain: 3}, false), Rules{Domain: DomainSignal, Byte: ByteMatch}, ErrDomain},
		{"counted from 1, written from 0", trade, Rules{Byte: ByteMatch, Numbering: NumberingOne}, ErrDomain},
		{"counted from 0, written from 0", trade, Rules{Byte: ByteMatch, Numbering: NumberingZero}, nil},

		{"as long as allowed", trade, Rules{MaxSize: Size(TradeSize)}, nil},
		{"longer than allowed", trade, Rules{MaxSize: Size(TradeSize) - 1}, ErrTooLarge},

		{"no checksum", trade, Rules{}, nil},
		{"no checksum where it is required", trade, Rules{Checksum: ChecksumRequire}, ErrChecksum},
		{"a checksum where it is required", message(t, market, true, btc.AppendTo), Rules{Checksum: ChecksumRequire}, nil},

		{"source 0", message(t, Header{}, false), Rules{Sources: true}, ErrSource},
		{"source 101", message(t, Header{Source: 101}, false), Rules{Sources: true}, ErrSource},
		{"source 100", message(t, Header{Source: 100}, false), Rules{Sources: true}, nil},

		{"a trade among signals, types not looked at", message(t, signal, false, btc.AppendTo), Rules{Domain: DomainSignal}, nil},
		{"a trade among signals", message(t, signal, false, btc.AppendTo), Rules{Domain: DomainSignal, Types: true}, ErrType},
		{"a risk decision among signals", message(t, signal, false, value(60, 32)), Rules{Domain: DomainSignal, Types: true}, nil},
		{"a risk decision among signals, by the relays", message(t, signal, false, value(60, 32)), Rules{Domain: DomainSignal, Types: true, Domains: DomainsRelays}, ErrType},
		{"a risk decision among executions, by the types", message(t, signal, false, value(60, 32)), Rules{Domain: DomainExecution, Types: true, Domains: DomainsTypes}, ErrType},
		{"an invalidation among market data", message(t, market, false, value(106, StateInvalidationSize)), Rules{Types: true}, nil},
		{"an unknown type", message(t, market, false, value(150, 3)), Rules{Types: true}, nil},

		{"a quote of 52 bytes", message(t, market, false, value(2, 52)), Rules{}, nil},
		{"a quote of 56 bytes", message(t, market, false, value(2, 56)), Rules{}, nil},
		{"a quote of 54 bytes", message(t, market, false, value(2, 54)), Rules{}, ErrSize},
		{"a quote of 56 bytes by the strict parser", message(t, market, false, value(2, 56)), Rules{Sizes: SizeFixed}, ErrSize},
		{"an extended quote of 56 bytes by the strict parser", message(t, market, false, func(b *Builder) {
			b.AppendExtended(TypeQuote, make([]byte, 56))
		}), Rules{Sizes: SizeFixed}, nil},
		{"a swap", message(t, market, false, swap.AppendTo), Rules{}, nil},
		{"a swap by the strict parser", message(t, market, false, swap.AppendTo), Rules{Sizes: SizeFixed}, nil},
		{"a swap by the registry", message(t, market, false, swap.AppendTo), Rules{Sizes: SizeRegistry}, ErrSize},
		{"a swap of 60 bytes by the registry", message(t, market, false, value(11, 60)), Rules{Sizes: SizeRegistry}, nil},
		{"a swap of 59 bytes by the registry", message(t, market, false, value(11, 59)), Rules{Sizes: SizeRegistry}, ErrSize},
		{"a swap of 60 bytes", message(t, market, false, value(11, 60)), Rules{}, ErrSize},
		{"a swap of 60 bytes, lengths not looked at", message(t, market, false, value(11, 60)), Rules{Sizes: SizeSkip}, nil},
		{"a heartbeat of 2 bytes", message(t, market, false, value(100, 2)), Rules{}, ErrSize},
		{"a fill of 3 bytes: no struct", message(t, market, false, value(42, 3)), Rules{}, nil},
		{"a fill of 3 bytes by the strict parser", message(t, market, false, value(42, 3)), Rules{Sizes: SizeFixed}, ErrSize},
		{"a book that counts too much", message(t, market, false, func(b *Builder) {
			le.PutUint16(b.Reserve(TypeOrderBook, OrderBookSize)[offAsks:], 51)
		}), Rules{}, ErrCount},

		{"an extended TLV", message(t, market, false, value(200, 300)), Rules{}, nil},
		{"an extended TLV where it is refused", message(t, market, false, value(200, 300)), Rules{NoExtended: true}, ErrType},
		{"a swap of nothing", message(t, market, false, swap.AppendTo), Rules{Plausible: true}, ErrValue},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.r.Check(c.m)
			if !errors.Is(err, c.err) {
				t.Fatalf("%v, want %v", err, c.err)
			}
			var fe *FormatError
			if err != nil && (!errors.As(err, &fe) || fe.Field == "" || fe.Got == fe.Want && fe.Err != ErrSource) {
				t.Errorf("the error does not say what was wrong: %v", err)
			}
		})
	}
}

func TestErrorsSayWhereInTheMessage(t *testing.T) {
	var swap PoolSwap
	r := Rules{Types: true, Domain: DomainSignal}
	m := message(t, Header{Domain: 1}, false, value(150, 10), func(b *Builder) { b.AppendExtended(1, make([]byte, 40)) })
	var fe *FormatError
	if err := r.Check(m); !errors.As(err, &fe) || m.Bytes()[fe.Offset] != 1 || fe.Offset != HeaderSize+12+2 {
		t.Errorf("%v: want byte %d", err, HeaderSize+14)
	}
	m = message(t, Header{}, false, value(150, 10), swap.AppendTo, value(1, 39))
	if err := (&Rules{}).Check(m); !errors.As(err, &fe) || fe.Offset != HeaderSize+12+210+2 {
		t.Errorf("%v: want byte %d", err, HeaderSize+224)
	}
	if want := "codec: wrong length for the type: Trade length at byte 256 is 39, want 40"; fe.Error() != want {
		t.Errorf("%q, want %q", fe, want)
	}
}

func TestPlausiblePoolEvents(t *testing.T) {
	pool, one := filled(1), Uint128{Lo: 1}
	swap := PoolSwap{PoolAddress: pool, AmountIn: one, AmountOut: one, TickAfter: -maxTick, AmountInDecimals: 30}
	mint := PoolMint{PoolAddress: pool, LiquidityDelta: one, TickLower: -10, TickUpper: 10}
	burn := PoolBurn(mint)
	sync := PoolSync{PoolAddress: pool, Reserve0: one, Reserve1: one}
	tick := PoolTick{PoolAddress: pool, LiquidityNet: -1, Tick: maxTick}
	liquidity := PoolLiquidity{PoolAddress: pool, Count: 1}
	check := func(want error, what string, s wire) {
		t.Helper()
		r := Rules{Plausible: true}
		if err := r.Check(message(t, Header{}, false, s.AppendTo)); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	for _, s := range []wire{&swap, &mint, &burn, &sync, &tick, &liquidity, &btc} {
		check(nil, "as it should be", s)
	}
	s, m, y, k := swap, mint, sync, tick
	s.PoolAddress = Address{}
	check(ErrValue, "no pool", &s)
	s = swap
	s.AmountOut = Uint128{}
	check(ErrValue, "nothing out", &s)
	s = swap
	s.AmountOutDecimals = 31
	check(ErrValue, "31 decimals", &s)
	s = swap
	s.TickAfter--
	check(ErrValue, "a tick too low", &s)
	m.TickUpper = maxTick + 1
	check(ErrValue, "a tick too high", &m)
	m.TickUpper = m.TickLower
	check(ErrValue, "an empty range", &m)
	m.TickLower, m.TickUpper = 0, 0
	check(nil, "no ticks", &m)
	y.Reserve1 = Uint128{}
	check(ErrValue, "no reserve", &y)
	k.LiquidityNet = 0
	check(ErrValue, "no liquidity", &k)
	check(ErrValue, "no reserves", &PoolLiquidity{PoolAddress: pool})
}

func TestProfiles(t *testing.T) {
	for _, c := range []struct {
		p        Profile
		sizes    [4]int // longest message of each domain
		unsigned [4]bool
	}{
		{ProfileLenient, [4]int{0, 0, 0, 0}, [4]bool{true, true, true, true}},
		{ProfileRelay, [4]int{65536, 32768, 16384, 65536}, [4]bool{true, true, false, true}},
		{ProfileDefault, [4]int{4128, 8224, 16416, 32800}, [4]bool{}},
		{ProfileProduction, [4]int{2080, 4128, 8224, 16416}, [4]bool{}},
		{ProfileDevelopment, [4]int{8224, 16416, 32800, 65568}, [4]bool{}},
	} {
		for d := range DomainSystem + 1 {
			r := RulesFor(c.p, d)
			if r.Domain != d || r.MaxSize != c.sizes[d] {
				t.Errorf("profile %d, %v: %+v, want size %d", c.p, d, r, c.sizes[d])
			}
			m := message(t, Header{Domain: d, Source: 1}, false)
			if err := r.Check(m); (err == nil) != c.unsigned[d] {
				t.Errorf("profile %d, %v: a message without checksum: %v", c.p, d, err)
			}
			if err := r.Check(message(t, Header{Domain: d, Source: 1}, true)); err != nil {
				t.Errorf("profile %d, %v: a message with checksum: %v", c.p, d, err)
			}
		}
	}
	if r := RulesFor(ProfileProduction, DomainExecution); r.MaxAge != 30*time.Second || r.MaxAhead != 2*time.Second || r.MaxGap != 50 {
		t.Errorf("%+v", r)
	}
	if r := RulesFor(ProfileDefault, DomainMarketData); r.MaxAge != 0 || r.MaxGap != 0 {
		t.Errorf("%+v", r)
	}
}

func TestAValidatorLooksAtTheTime(t *testing.T) {
	v := NewValidator(Rules{MaxAge: time.Second, MaxAhead: time.Millisecond})
	const now = uint64(secondNs)
	for _, c := range []struct {
		at uint64
		ok bool
	}{{now, true}, {now - 1e9, true}, {now - 1e9 - 1, false}, {now + 1e6, true}, {now + 1e6 + 1, false}, {0, false}} {
		err := v.Check(message(t, Header{TimestampNs: c.at}, false), now)
		if (err == nil) != c.ok || err != nil && !errors.Is(err, ErrTimestamp) {
			t.Errorf("%d ns: %v", int64(c.at-now), err)
		}
	}
	if s := v.Stats(); s.Checked != 6 || s.Rejected != 3 || s.Unchecked != 6 {
		t.Errorf("%+v", s)
	}
}

func TestAValidatorCountsSequences(t *testing.T) {
	play := func(r Rules, seqs ...uint64) (ok []bool, s ValidatorStats) {
		v := NewValidator(r)
		for _, seq := range seqs {
			err := v.Check(message(t, Header{Source: 3, Sequence: seq}, true), 0)
			if err != nil && !errors.Is(err, ErrSequence) {
				t.Fatal(err)
			}
			ok = append(ok, err == nil)
			if err := v.Check(message(t, Header{Source: 4}, true), 0); err != nil && r.MaxGap == 0 {
				t.Fatal(err) // another source's numbers are its own
			}
		}
		return ok, v.Stats()
	}
	// The sender skips 7 and 8, begins anew, and repeats itself.
	ok, s := play(Rules{}, 5, 6, 9, 1, 2, 2)
	for i, fine := range ok {
		if !fine {
			t.Errorf("message %d is refused by rules that only count", i)
		}
	}
	if want := (ValidatorStats{Checked: 12, Unnumbered: 6, Repeated: 2, Skipped: 2}); s != want {
		t.Errorf("%+v, want %+v", s, want)
	}
	ok, _ = play(Rules{MaxGap: 2}, 5, 8, 8, 7, 12, 11, 0)
	for i, want := range []bool{true, true, false, false, false, true, false} {
		if ok[i] != want {
			t.Errorf("message %d: %v, want %v", i, ok[i], want)
		}
	}
}

func TestChecksumRulesHaveNames(t *testing.T) {
	for _, want := range []ChecksumRule{ChecksumPresent, ChecksumRequire, ChecksumSkip} {
		var got ChecksumRule
		if err := got.UnmarshalText([]byte(want.String())); err != nil || got != want {
			t.Errorf("%v: %v, %v", want, got, err)
		}
	}
	c := ChecksumSkip
	if err := c.UnmarshalText(nil); err != nil || c != ChecksumPresent {
		t.Errorf("no name: %v, %v", c, err)
	}
	if err := c.UnmarshalText([]byte("maybe")); err == nil || ChecksumRule(9).String() != "9" {
		t.Errorf("another name: %v", err)
	}
}
