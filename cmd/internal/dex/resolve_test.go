package dex

import (
	"errors"
	"testing"
)

func TestThePoolOfARawFile(t *testing.T) {
	pools := NewPools()
	add := func(chain uint32, address string) Address {
		a := mustAddress(address)
		pools.Add(Pool{ChainID: chain, Address: a, Protocol: UniswapV3, FeePips: 500})
		return a
	}
	weth500 := add(1, "0x88e6a0c2ddd26feeb64f039a2c41296fcb3f5640")
	weth3000 := add(1, "0x8ad599c3a0ff1de082011efddc58f1908eb6e6d8")
	polygon := add(137, "0x45dda9cb7c25131df268515131f647d726f50608")
	year := add(1, "0x20240105aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")
	both := add(1, "0xb07400000000000000000000000000000000b074")
	add(137, both.String())
	stranger := mustAddress("0x00000000000000000000000000000000000000ff")

	for name, c := range map[string]struct {
		given Address
		chain uint32
		want  Address // zero: an error
	}{
		"ethereum_univ3_88e6a0_2024-01-05_h00-12.raw.csv.gz":                         {chain: 1, want: weth500},
		"x/y/ethereum-0x8ad599c3a0ff1de082011efddc58f1908eb6e6d8-2024-01-05.raw.csv": {chain: 1, want: weth3000},
		"POLYGON_45DDA9.RAW.CSV":         {chain: 137, want: polygon},
		"0x88e6.raw.csv":                 {chain: 1, want: weth500},
		"pool_88e6.csv":                  {chain: 1, want: weth500},
		"0x8.raw.csv":                    {},
		"2024-01-05.raw.csv":             {}, // the year is not a pool
		"20240105.raw.csv":               {chain: 1, want: year},
		"univ3_deadbeef_2024.raw.csv":    {},
		"facade_88e6a0.raw.csv":          {chain: 1, want: weth500},
		"polygon_88e6a0.raw.csv":         {}, // not a pool of that chain
		"b07400.raw.csv":                 {}, // two chains have it
		"ethereum_b07400.raw.csv":        {chain: 1, want: both},
		"polygon_b07400.raw.csv":         {chain: 137, want: both},
		"given, known":                   {given: polygon, chain: 137, want: polygon},
		"given, 88e6a0 in the name":      {given: polygon, chain: 137, want: polygon},
		"given, unknown":                 {given: stranger, chain: 0, want: stranger},
		"given, unknown, polygon":        {given: stranger, chain: 137, want: stranger},
		"given, on two chains":           {given: both},
		"given, on two chains, ethereum": {given: both, chain: 1, want: both},
		"arbitrum-0x00000000000000000000000000000000000000ff-2024.raw.csv": {chain: 42161, want: stranger},
	} {
		pool, err := poolOf(name, OpenOptions{Pool: c.given, Pools: pools})
		if c.want == (Address{}) {
			if !errors.Is(err, ErrUnknownPool) {
				t.Errorf("%s: %+v, %v; want ErrUnknownPool", name, pool, err)
			}
			continue
		}
		if err != nil || pool.Address != c.want || pool.ChainID != c.chain {
			t.Errorf("%s: chain %d pool %s, %v; want chain %d pool %s", name, pool.ChainID, pool.Address, err, c.chain, c.want)
		}
	}
}

func TestAPrefixThatFitsTwoPoolsIsRefused(t *testing.T) {
	pools := NewPools()
	pools.Add(Pool{ChainID: 1, Address: mustAddress("0x88e6a0c2ddd26feeb64f039a2c41296fcb3f5640")})
	pools.Add(Pool{ChainID: 1, Address: mustAddress("0x88e6a0ffffffffffffffffffffffffffffffffff")})
	if _, err := poolOf("univ3_88e6a0_2024.raw.csv", OpenOptions{Pools: pools}); !errors.Is(err, ErrUnknownPool) {
		t.Errorf("error is %v", err)
	}
	if p, err := poolOf("univ3_88e6a0c2_2024.raw.csv", OpenOptions{Pools: pools}); err != nil || p.Address[3] != 0xc2 {
		t.Errorf("pool %s, %v", p.Address, err)
	}
}
