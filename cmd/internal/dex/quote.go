package dex

import "strings"

// wellKnown are tokens whose symbol and decimals need no pools file: the bus message of a pool names its tokens by
// address alone. Addresses are those of the issuers' own pages; chain SyntheticChain is the made-up market's.
var wellKnown = []Token{
	{chainEthereum, mustAddress("0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48"), "USDC", 6},
	{chainEthereum, mustAddress("0xdac17f958d2ee523a2206206994597c13d831ec7"), "USDT", 6},
	{chainEthereum, mustAddress("0x6b175474e89094c44da98b954eedeac495271d0f"), "DAI", 18},
	{chainEthereum, mustAddress("0xc02aaa39b223fe8d0a0e5c4f27ead9083c756cc2"), "WETH", 18},
	{chainEthereum, mustAddress("0x2260fac5e5542a773aa44fbcfedf7c193bc2c599"), "WBTC", 8},
	{chainPolygon, mustAddress("0x3c499c542cef5e3811e1192ce70d8cc03d5c3359"), "USDC", 6},
	{chainPolygon, mustAddress("0x2791bca1f2de4661ed88a30c99a7a9449aa84174"), "USDC.e", 6},
	{chainPolygon, mustAddress("0xc2132d05d31c914a87c6611c10748aeb04b58e8f"), "USDT", 6},
	{chainPolygon, mustAddress("0x8f3cf7ad23cd3cadbd9735aff958023239c6a063"), "DAI", 18},
	{chainPolygon, mustAddress("0x7ceb23fd6bc0add59e62ac25578270cff1b9f619"), "WETH", 18},
	{chainPolygon, mustAddress("0x0d500b1d8e8ef31e21c99d1db9a6444d3adf1270"), "WMATIC", 18},
	{SyntheticChain, syntheticDollar, "USDC", 6},
	{SyntheticChain, syntheticEther, "WETH", 18},
}

func mustAddress(s string) Address {
	a, err := ParseAddress(s)
	if err != nil {
		panic("dex: bad address constant: " + err.Error())
	}
	return a
}

// quoteRank says how well a token serves to count profit in; lower is better.
func quoteRank(symbol string) int {
	switch strings.ToUpper(symbol) {
	case "USDC":
		return 0
	case "USDC.E", "USDBC":
		return 1
	case "USDT":
		return 2
	case "DAI":
		return 3
	case "BUSD", "FRAX", "LUSD", "TUSD", "USDP", "PYUSD", "USDE", "CRVUSD":
		return 4
	case "WETH", "ETH":
		return 10
	case "WBTC":
		return 11
	case "WMATIC", "WPOL", "MATIC", "POL", "WBNB", "WAVAX":
		return 12
	}
	return 100
}

// isDollar is true for tokens that are taken to be worth a dollar.
func isDollar(symbol string) bool { return quoteRank(symbol) < 10 }

// quoteIs1 says which token of a pair profit is counted in and a cycle starts and ends with, true for token1:
//
//  1. a dollar coin before anything else (USDC, then bridged USDC, USDT, DAI, others), then WETH, WBTC, the chain's
//     own coin, by the symbols of the pools file or of wellKnown;
//  2. of two unknown tokens, the one with fewer decimals, where both are known: dollar coins mostly have 6, others 18;
//  3. else token1, as in Uniswap's own prices (token1 per token0).
func quoteIs1(token0, token1 Token) bool {
	if r0, r1 := quoteRank(token0.Symbol), quoteRank(token1.Symbol); r0 != r1 {
		return r1 < r0
	}
	if d0, d1 := token0.Decimals, token1.Decimals; d0 != 0 && d1 != 0 && d0 != d1 {
		return d1 < d0
	}
	return true
}
