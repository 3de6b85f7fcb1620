package dex

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// Chains by the names that recorders give their files.
const (
	chainEthereum = 1
	chainPolygon  = 137
)

var chainNames = map[string]uint32{
	"ethereum": chainEthereum, "mainnet": chainEthereum, "eth": chainEthereum,
	"optimism": 10, "bsc": 56, "polygon": chainPolygon, "matic": chainPolygon,
	"base": 8453, "arbitrum": 42161, "avalanche": 43114,
}

// poolOf finds the pool of a raw file, which the file itself does not name: the one given, else the one that hex digits
// in the file's name stand for.
func poolOf(path string, opt OpenOptions) (Pool, error) {
	words := nameWords(path)
	chain := chainOf(words)
	if opt.Pool != (Address{}) {
		return givenPool(opt.Pool, chain, opt.Pools)
	}
	for _, prefix := range hexWords(words) {
		switch fits := poolsByPrefix(opt.Pools, prefix, chain); {
		case len(fits) == 1:
			return fits[0], nil
		case len(fits) > 1:
			return Pool{}, fmt.Errorf("%w: %q in the file's name fits %d pools, among them %s and %s",
				ErrUnknownPool, prefix, len(fits), fits[0].Address, fits[1].Address)
		case len(prefix) == 40:
			pool, err := ParseAddress("0x" + prefix)
			if err != nil {
				return Pool{}, err
			}
			return givenPool(pool, chain, opt.Pools)
		}
	}
	return Pool{}, fmt.Errorf("%w: a raw log does not name its pool, and no hex digits in the file's name fit one of the %d pools known",
		ErrUnknownPool, opt.Pools.Len())
}

// givenPool completes an address by what is known; where nothing is, tokens and fee stay unknown.
func givenPool(address Address, chain uint32, pools *Pools) (Pool, error) {
	fits := poolsByPrefix(pools, strings.TrimPrefix(address.String(), "0x"), chain)
	switch len(fits) {
	case 0:
		return Pool{ChainID: chain, Address: address, Protocol: UniswapV3}, nil
	case 1:
		return fits[0], nil
	}
	return Pool{}, fmt.Errorf("%w: %s is a pool of several chains, and the file's name names none", ErrUnknownPool, address)
}

// poolsByPrefix lists the pools whose address begins with the digits; chain 0 is any.
func poolsByPrefix(pools *Pools, prefix string, chain uint32) []Pool {
	var fits []Pool
	for on, pool := range pools.pools {
		if (chain == 0 || chain == on.ChainID) && strings.HasPrefix(on.Address.String()[2:], prefix) {
			fits = append(fits, pool)
		}
	}
	return fits
}

// nameWords cuts a file's name, without folder and endings, where neither letter nor digit stands.
func nameWords(path string) []string {
	name := strings.ToLower(filepath.Base(path))
	return strings.FieldsFunc(name, func(r rune) bool { return !('a' <= r && r <= 'z' || '0' <= r && r <= '9') })
}

func chainOf(words []string) uint32 {
	for _, w := range words {
		if chain, ok := chainNames[w]; ok {
			return chain
		}
	}
	return 0
}

// hexWords are the words that may be an address or the beginning of one, longest first. Four digits without a letter
// are a year rather than a pool.
func hexWords(words []string) []string {
	var out []string
	for _, w := range words {
		digits, marked := strings.CutPrefix(w, "0x")
		if len(digits) < 4 || len(digits) > 40 || strings.Trim(digits, "0123456789abcdef") != "" {
			continue
		}
		if !marked && len(digits) < 6 && strings.Trim(digits, "0123456789") == "" {
			continue
		}
		out = append(out, digits)
	}
	slices.SortStableFunc(out, func(a, b string) int { return len(b) - len(a) })
	return out
}
