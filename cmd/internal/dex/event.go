package dex

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"fmt"

	"github.com/holiman/uint256"

	"github.com/mycelium-bus/mycelium/codec"
)

// Address is an account of an EVM chain; the zero value means unknown.
type Address = codec.Address

// ParseAddress reads 0x and 40 hex digits, in either case; checksummed spelling is not checked.
func ParseAddress(s string) (Address, error) {
	var a Address
	if len(s) != 42 || s[0] != '0' || s[1]|0x20 != 'x' {
		return a, fmt.Errorf("address %q is not 0x and 40 hex digits", clip(s))
	}
	if _, err := hex.Decode(a[:], []byte(s[2:])); err != nil {
		return Address{}, fmt.Errorf("address %q is not 0x and 40 hex digits", clip(s))
	}
	return a, nil
}

// less orders addresses as Uniswap does: token0 is the smaller address of a pair.
func less(a, b Address) bool { return bytes.Compare(a[:], b[:]) < 0 }

// Kind says what happened to a pool.
type Kind uint8

// The four kinds that are published. Other logs of a pool (Collect, Flash, Initialize, ...) are counted, not read.
const (
	Swap Kind = iota + 1 // a trade
	Mint                 // liquidity was added
	Burn                 // liquidity was removed
	Sync                 // a v2 pair states its reserves
)

func (k Kind) String() string {
	switch k {
	case Swap:
		return "Swap"
	case Mint:
		return "Mint"
	case Burn:
		return "Burn"
	case Sync:
		return "Sync"
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// Version is the generation of the pool's contract, known from the event itself.
type Version uint8

// V2 pools hold two reserves; V3 pools a price and the liquidity around it.
const (
	V2 Version = 2
	V3 Version = 3
)

// Position is where an event stands in the history of all chains.
type Position struct {
	ChainID  uint32
	Block    uint64
	TxIndex  uint32
	LogIndex uint32 // within the block; of traces, the sequence number of the trace
}

// Compare orders positions by chain, block and log index. The transaction's index follows from the other two.
func (p Position) Compare(q Position) int {
	return cmp.Or(cmp.Compare(p.ChainID, q.ChainID), cmp.Compare(p.Block, q.Block), cmp.Compare(p.LogIndex, q.LogIndex))
}

// Event is one event of one pool, with the numbers of the chain exactly as they were. Two events that say the same
// are equal by ==. Amounts are in the tokens' smallest units.
//
// What a field means where it depends on the kind:
//
//	field                Swap                     Mint, Burn                  Sync
//	Amount0, Amount1     into the pool, so what   added or removed, both      -
//	                     it paid is negative      not negative
//	SqrtPriceX96, Tick   after it; v3 only        -                           -
//	Liquidity            active after it; v3      added or removed; v3 only   -
//	TickLower, TickUpper -                        range; v3 only              -
//	Reserve0, Reserve1   after it, if             -                           the reserves
//	                     HasReserves (traces)
//	Sender, Recipient    caller, receiver         Mint: caller, owner (v2: none);
//	                                              Burn: owner (v2: caller), receiver (v2 only)
type Event struct {
	Position
	Pool    Address
	Kind    Kind
	Version Version
	TimeNS  uint64 // of the block, in ns since 1970; 0 unknown

	Amount0, Amount1     Amount
	SqrtPriceX96         uint256.Int // uint160: sqrt(token1/token0) * 2^96, in smallest units
	Liquidity            uint256.Int // uint128
	Tick                 int32       // int24
	TickLower, TickUpper int32       // int24
	Reserve0, Reserve1   uint256.Int // uint112
	HasReserves          bool

	TxHash            [32]byte
	Sender, Recipient Address
}

// Provider is whose liquidity a Mint or Burn moved, as far as the event says so.
func (e *Event) Provider() Address {
	if e.Kind == Mint && e.Version == V3 {
		return e.Recipient
	}
	return e.Sender
}

// clip shortens foreign text for an error message.
func clip(s string) string {
	if len(s) > 80 {
		return s[:77] + "..."
	}
	return s
}
