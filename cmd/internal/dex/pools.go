package dex

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
)

// Protocol is whose contract a pool is. The values are the bus message's (PoolState pool_type).
type Protocol uint8

// Protocols that pools.json may name.
const (
	UniswapV2 Protocol = iota
	UniswapV3
	SushiswapV2
	QuickswapV3
)

var protocolNames = [...]string{
	UniswapV2: "uniswap_v2", UniswapV3: "uniswap_v3", SushiswapV2: "sushiswap_v2", QuickswapV3: "quickswap_v3",
}

// parseProtocol takes a name of the list, or any other that says by its end which generation's events and
// arithmetic the pool has: forks of Uniswap have many names.
func parseProtocol(name string) (Protocol, bool) {
	if at := slices.Index(protocolNames[:], name); at >= 0 {
		return Protocol(at), true
	}
	if strings.HasSuffix(name, "v2") {
		return UniswapV2, true
	}
	return UniswapV3, strings.HasSuffix(name, "v3")
}

// V2 is true for pairs with two reserves.
func (p Protocol) V2() bool { return p == UniswapV2 || p == SushiswapV2 }

func (p Protocol) String() string {
	if int(p) < len(protocolNames) {
		return protocolNames[p]
	}
	return fmt.Sprintf("protocol_%d", uint8(p))
}

// Pool is what does not change about a pool.
type Pool struct {
	ChainID        uint32 // 0 unknown
	Address        Address
	Protocol       Protocol
	FeePips        uint32 // of a swap's input, in millionths; 0 unknown
	Token0, Token1 Address
}

// Token is what does not change about a token.
type Token struct {
	ChainID  uint32
	Address  Address
	Symbol   string
	Decimals uint8 // 0 unknown
}

// On is an account on a chain: the same address may be another contract on another chain.
type On struct {
	ChainID uint32
	Address Address
}

// Pools is a directory of pools and tokens, for one goroutine.
type Pools struct {
	pools  map[On]Pool
	tokens map[On]Token
}

// NewPools knows the well-known tokens of wellKnown and no pool.
func NewPools() *Pools {
	p := &Pools{pools: map[On]Pool{}, tokens: map[On]Token{}}
	for _, t := range wellKnown {
		p.tokens[On{t.ChainID, t.Address}] = t
	}
	return p
}

// Pool looks a pool up.
func (p *Pools) Pool(chain uint32, address Address) (Pool, bool) {
	pool, ok := p.pools[On{chain, address}]
	return pool, ok
}

// Token looks a token up; an unknown one has neither symbol nor decimals.
func (p *Pools) Token(chain uint32, address Address) Token {
	if t, ok := p.tokens[On{chain, address}]; ok {
		return t
	}
	return Token{ChainID: chain, Address: address}
}

// Len is the number of pools known.
func (p *Pools) Len() int { return len(p.pools) }

// Add enters a pool, or replaces what was known about it.
func (p *Pools) Add(pool Pool) { p.pools[On{pool.ChainID, pool.Address}] = pool }

// AddToken enters a token, or replaces what was known about it.
func (p *Pools) AddToken(t Token) { p.tokens[On{t.ChainID, t.Address}] = t }

// AddUnknown adds what q knows and p does not. Of tokens whose addresses are the same, p's symbol and decimals stay.
func (p *Pools) AddUnknown(q *Pools) {
	for _, pool := range q.pools {
		p.addIfUnknown(pool)
	}
	for on, token := range q.tokens {
		if _, ok := p.tokens[on]; !ok {
			p.tokens[on] = token
		}
	}
}

func (p *Pools) addIfUnknown(pool Pool) {
	if _, ok := p.pools[On{pool.ChainID, pool.Address}]; !ok {
		p.Add(pool)
	}
}

// maxPoolsFile bounds what is read of a pools file; 16 MiB hold about 50,000 pools.
const maxPoolsFile = 16 << 20

// PoolsHint says what a pools file is like, for the programs that are given one.
const PoolsHint = `--pools names a file like {"tokens": [{"chain_id", "address", "symbol", "decimals"}], ` +
	`"pools": [{"chain_id", "pool", "protocol", "fee_pips", "token0", "token1"}]}`

// LoadPools reads a pools file: {"tokens": [{chain_id, address, symbol, decimals}], "pools": [{chain_id, pool, protocol,
// fee_pips, token0, token1}]}; other keys are ignored. It reports every fault of the file at once.
func LoadPools(path string) (*Pools, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxPoolsFile+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxPoolsFile {
		return nil, fmt.Errorf("%s: larger than %d bytes", path, maxPoolsFile)
	}
	p, err := parsePools(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}

// text is an address as JSON has it.
type text Address

func (a *text) UnmarshalText(b []byte) error {
	address, err := ParseAddress(string(b))
	*a = text(address)
	return err
}

type poolsFile struct {
	Tokens []struct {
		ChainID  uint32 `json:"chain_id"`
		Address  text   `json:"address"`
		Symbol   string `json:"symbol"`
		Decimals uint8  `json:"decimals"`
	} `json:"tokens"`
	Pools []struct {
		ChainID  uint32 `json:"chain_id"`
		Pool     text   `json:"pool"`
		Protocol string `json:"protocol"`
		FeePips  uint32 `json:"fee_pips"`
		Token0   text   `json:"token0"`
		Token1   text   `json:"token1"`
	} `json:"pools"`
}

func parsePools(b []byte) (*Pools, error) {
	var in poolsFile
	if err := json.Unmarshal(b, &in); err != nil {
		return nil, jsonFault(b, err)
	}
	p := NewPools()
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	for _, t := range in.Tokens {
		if Address(t.Address) == (Address{}) || t.ChainID == 0 {
			fault("token %q has no address or chain_id", clip(t.Symbol))
		}
		p.AddToken(Token{ChainID: t.ChainID, Address: Address(t.Address), Symbol: t.Symbol, Decimals: t.Decimals})
	}
	for _, e := range in.Pools {
		protocol, ok := parseProtocol(e.Protocol)
		pool := Pool{ChainID: e.ChainID, Address: Address(e.Pool), Protocol: protocol, FeePips: e.FeePips,
			Token0: Address(e.Token0), Token1: Address(e.Token1)}
		switch _, twice := p.Pool(pool.ChainID, pool.Address); {
		case pool.Address == (Address{}) || pool.ChainID == 0:
			fault("a pool of tokens %s and %s has no address or chain_id", pool.Token0, pool.Token1)
		case twice:
			fault("pool %s of chain %d stands there twice", pool.Address, pool.ChainID)
		case !ok:
			fault("pool %s: protocol %q ends neither in v2 nor in v3", pool.Address, clip(e.Protocol))
		case pool.FeePips >= 1e6:
			fault("pool %s: fee_pips %d is not below 1000000", pool.Address, pool.FeePips)
		case pool.Token0 == (Address{}) || !less(pool.Token0, pool.Token1):
			fault("pool %s: token0 %s is not the smaller of two addresses", pool.Address, pool.Token0)
		}
		p.Add(pool)
	}
	return p, errors.Join(faults...)
}

// jsonFault says on which line of b what stands that cannot be read.
func jsonFault(b []byte, err error) error {
	line := func(offset int64) int { return 1 + bytes.Count(b[:min(max(offset, 0), int64(len(b)))], []byte("\n")) }
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Errorf("line %d: %s: a JSON %s does not fit there", line(wrong.Offset), cmp.Or(wrong.Field, "the file"), wrong.Value)
	}
	if broken, ok := errors.AsType[*json.SyntaxError](err); ok {
		if int(broken.Offset) >= len(b) {
			return fmt.Errorf("line %d: no JSON, or it is cut", line(broken.Offset))
		}
		from, _, _ := strings.Cut(string(b[max(broken.Offset-1, 0):]), "\n")
		return fmt.Errorf("line %d: no JSON from %q on", line(broken.Offset), clip(from))
	}
	return err // an address, which says itself what is wrong with it
}

// units turns an amount in smallest units into tokens. Unknown decimals count as 0.
func units(smallest float64, decimals uint8) float64 {
	return smallest / math.Pow10(int(decimals))
}
