package dex

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLoadPools(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pools.json")
	text := `{"note": "x",
	 "tokens": [{"chain_id": 1, "address": "0x00000000000000000000000000000000000000AA", "symbol": "AAA", "decimals": 9}],
	 "pools": [{"chain_id": 1, "pool": "0x00000000000000000000000000000000000000cc", "protocol": "pancakeswap_v3", "fee_pips": 2500,
	  "tick_spacing": 50, "token0": "0x00000000000000000000000000000000000000aa", "token1": "0x00000000000000000000000000000000000000bb"}]}`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := LoadPools(path)
	if err != nil {
		t.Fatal(err)
	}
	want := Pool{1, Address{19: 0xcc}, UniswapV3, 2500, Address{19: 0xaa}, Address{19: 0xbb}}
	if got, ok := p.Pool(1, want.Address); !ok || got != want {
		t.Errorf("pool %+v, want %+v", got, want)
	}
	if _, ok := p.Pool(137, want.Address); ok {
		t.Error("the pool is known on another chain")
	}
	if got := p.Token(1, want.Token0); got.Symbol != "AAA" || got.Decimals != 9 {
		t.Errorf("token %+v", got)
	}
	if got := p.Token(1, want.Token1); got.Symbol != "" || got.Decimals != 0 || got.Address != want.Token1 {
		t.Errorf("unknown token %+v", got)
	}
}

func TestLoadPoolsReportsEveryFault(t *testing.T) {
	pool := `{"chain_id": 1, "pool": "0x00000000000000000000000000000000000000cc", "protocol": "uniswap_v3", "fee_pips": 500,
	  "token0": "0x00000000000000000000000000000000000000aa", "token1": "0x00000000000000000000000000000000000000bb"}`
	swap := strings.NewReplacer
	list := strings.Join([]string{
		pool, pool,
		swap("cc", "c1", "uniswap_v3", "curve").Replace(pool),
		swap("cc", "c2", "500", "1000000").Replace(pool),
		swap("cc", "c3", "aa", "bb", "bb", "aa").Replace(pool),
		swap("cc", "c4", `"chain_id": 1`, `"chain_id": 0`).Replace(pool),
	}, ",")
	_, err := parsePools([]byte(`{"pools": [` + list + `], "tokens": [{"symbol": "NIX"}]}`))
	if err == nil {
		t.Fatal("no fault")
	}
	for _, want := range []string{"twice", "curve", "1000000", "smaller", "chain_id", "NIX"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no word of %q in:\n%v", want, err)
		}
	}
	for text, want := range map[string]string{
		"":                                     "line 1: no JSON, or it is cut",
		"{\n\"pools\": [\n":                    "line 3: no JSON, or it is cut",
		"{\n\"pools\": x}":                     `line 2: no JSON from "x}" on`,
		"[]":                                   "line 1: the file: a JSON array does not fit there",
		`{"pools": [{"pool": "0x12"}]}`:        `address "0x12" is not 0x and 40 hex digits`,
		"{\"tokens\":\n[{\"decimals\": 256}]}": "line 2: tokens.decimals: a JSON number 256 does not fit there",
	} {
		if _, err := parsePools([]byte(text)); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

func TestQuoteToken(t *testing.T) {
	usdc, usdt, dai, weth, wbtc := Token{Symbol: "USDC", Decimals: 6}, Token{Symbol: "USDT", Decimals: 6}, Token{Symbol: "DAI", Decimals: 18},
		Token{Symbol: "WETH", Decimals: 18}, Token{Symbol: "WBTC", Decimals: 8}
	six, eighteen, unknown := Token{Decimals: 6}, Token{Decimals: 18}, Token{}
	for _, c := range []struct {
		quote, base Token
	}{
		{usdc, weth}, {usdc, usdt}, {usdt, dai}, {dai, weth}, {weth, wbtc}, {weth, Token{Symbol: "PEPE", Decimals: 18}},
		{weth, six}, {usdc, six}, {six, eighteen}, {Token{Symbol: "usdc.e"}, weth},
	} {
		if !quoteIs1(c.base, c.quote) || quoteIs1(c.quote, c.base) {
			t.Errorf("of %+v and %+v the second is quote", c.quote, c.base)
		}
	}
	for _, c := range [][2]Token{{unknown, unknown}, {six, unknown}, {eighteen, eighteen}} {
		if !quoteIs1(c[0], c[1]) {
			t.Errorf("of %+v and %+v nothing speaks for token0", c[0], c[1])
		}
	}
}
