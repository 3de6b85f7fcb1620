package codec

import (
	"encoding/hex"
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

func hexBytes(s string) ([]byte, error) { return hex.DecodeString(s) }

func TestDomainNumberings(t *testing.T) {
	for d := DomainMarketData; d <= DomainSystem; d++ {
		for _, n := range []Numbering{NumberingZero, NumberingOne} {
			wire := n.Wire(d)
			if got, ok := n.Domain(wire); !ok || got != d {
				t.Errorf("numbering %d: %v is written as %d and read as %v, %v", n, d, wire, got, ok)
			}
			if !n.Matches(wire, d) || !NumberingEither.Matches(wire, d) {
				t.Errorf("numbering %d: %d does not match %v", n, wire, d)
			}
			if got, ok := NumberingEither.Domain(wire); ok && got != d {
				t.Errorf("%d is read as %v, want %v", wire, got, d)
			}
			if n.Matches(n.Wire((d+1)%4), d) {
				t.Errorf("numbering %d: %d matches %v", n, n.Wire((d+1)%4), d)
			}
		}
	}
	for _, c := range []struct {
		n    Numbering
		wire Domain
		ok   bool
	}{
		{NumberingZero, 4, false}, {NumberingOne, 0, false}, {NumberingOne, 5, false}, {NumberingEither, 0, true},
		{NumberingEither, 1, false}, {NumberingEither, 3, false}, {NumberingEither, 4, true}, {NumberingEither, 5, false},
	} {
		if _, ok := c.n.Domain(c.wire); ok != c.ok {
			t.Errorf("numbering %d, byte %d: %v, want %v", c.n, c.wire, ok, c.ok)
		}
	}
	if s := DomainExecution.String() + " " + Domain(4).String(); s != "execution 4" {
		t.Error(s)
	}
}

func TestSourceNumberings(t *testing.T) {
	if s := SourceKrakenCollector; s.String() != "KrakenCollector" || s.TopicTableName() != "CoinbaseCollector" {
		t.Errorf("3 is %v and %v", s, s.TopicTableName())
	}
	if s := Source(42); s.String() != "42" || s.TopicTableName() != "ExecutionEngine" || Source(7).TopicTableName() != "" {
		t.Errorf("42 is %v and %v", s, s.TopicTableName())
	}
}

func TestTypesBelongToDomains(t *testing.T) {
	for _, c := range []struct {
		t       Type
		r       Domains
		domains string // M, S, E, Y
	}{
		{TypeTrade, DomainsEither, "M"}, {19, DomainsEither, "M"}, {20, DomainsEither, "S"}, {39, DomainsTypes, "S"},
		{40, DomainsEither, "E"}, {59, DomainsRelays, "E"},
		{60, DomainsEither, "SE"}, {60, DomainsTypes, "S"}, {79, DomainsRelays, "E"},
		{80, DomainsEither, "Y"}, {100, DomainsRelays, "Y"}, {119, DomainsEither, "Y"},
		{TypeStateInvalidation, DomainsEither, "MY"}, {TypeRecoveryRequest, DomainsTypes, "MSEY"},
		{0, DomainsEither, "MSEY"}, {120, DomainsEither, "MSEY"}, {TypeEventPosition, DomainsRelays, "MSEY"}, {255, DomainsTypes, "MSEY"},
	} {
		got := ""
		for d := range DomainSystem + 1 {
			if c.r.Admits(c.t, d) {
				got += "MSEY"[d : d+1]
			}
		}
		if got != c.domains {
			t.Errorf("type %v, rule %d: admitted in %s, want %s", c.t, c.r, got, c.domains)
		}
	}
}

func TestAssetIDs(t *testing.T) {
	if id := SymbolAsset("BTC"); id != 0x4254430000000000 {
		t.Errorf("BTC is %x", id)
	}
	if id := SymbolAsset("LONGSYMBOL"); id != SymbolAsset("LONGSYMB") {
		t.Errorf("a long symbol is %x", id)
	}
	for _, s := range []string{"A", "BTC/USD", "12345678"} {
		if got, ok := AssetSymbol(SymbolAsset(s)); !ok || got != s {
			t.Errorf("%s comes back as %q, %v", s, got, ok)
		}
	}
	for _, id := range []uint64{0, 1, 0x4100430000000000, 0xFF00000000000000} {
		if s, ok := AssetSymbol(id); ok {
			t.Errorf("%x is the symbol %q", id, s)
		}
	}
	weth := address("7ceb23fd6bc0add59e62ac25578270cff1b9f619")
	if id := TokenAsset(weth); id != 0x7ceb23fd6bc0add5 {
		t.Errorf("a token is %x", id)
	}
	if PoolAsset(7, 5) != 5*31+7 || PoolAsset(5, 7) != 5*31+7 {
		t.Error("a pool's asset depends on the order of its tokens, or is not min*31 + max")
	}
	for _, p := range [][3]uint64{{1, 2, 3}, {3, 1, 2}, {2, 3, 1}} {
		if got := PoolAsset3(p[0], p[1], p[2]); got != 1*31+2*17+3 {
			t.Errorf("%v: %d", p, got)
		}
	}
}

func TestBigIntegersPrintAsBigDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		u := Uint128{rapid.Uint64().Draw(t, "lo"), rapid.Uint64().Draw(t, "hi")}
		want := new(big.Int).Lsh(new(big.Int).SetUint64(u.Hi), 64)
		want.Or(want, new(big.Int).SetUint64(u.Lo))
		if u.String() != want.String() || u.Big().Cmp(want) != 0 {
			t.Fatalf("%x is %s and %s, want %s", u, u, u.Big(), want)
		}
		w := Uint256{u.Lo, u.Hi, rapid.Uint64().Draw(t, "w2"), rapid.Uint64().Draw(t, "w3")}
		wide := new(big.Int).SetUint64(w[3])
		for _, x := range []uint64{w[2], w[1], w[0]} {
			wide.Or(wide.Lsh(wide, 64), new(big.Int).SetUint64(x))
		}
		if w.String() != wide.String() {
			t.Fatalf("%x is %s, want %s", w, w, wide)
		}
	})
	if s := (Uint128{^uint64(0), ^uint64(0)}).String(); s != "340282366920938463463374607431768211455" {
		t.Error(s)
	}
}

func TestNames(t *testing.T) {
	for got, want := range map[string]string{
		VenueKraken.String(): "Kraken", Venue(7).String(): "7", AssetCoin.String(): "Coin", AssetType(9).String(): "9",
		Buy.String(): "buy", Sell.String(): "sell", Side(2).String(): "2", PoolUniswapV3.String(): "UniswapV3",
		PoolType(6).String(): "6", HealthDegraded.String(): "degraded", Health(9).String(): "9",
		ReasonStaleness.String(): "staleness", StateInvalidationReason(8).String(): "8", TypeTrade.String(): "Trade",
		Type(150).String(): "150", Bounded.String(): "bounded", Class(9).String(): "invalid",
		filled(0xAB).String(): "0xabababababababababababababababababababab",
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
