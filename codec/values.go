package codec

import (
	"encoding/hex"
	"math/big"
	"math/bits"
	"strconv"
)

// Uint128 is an unsigned integer of 128 bits, such as an amount in a token's smallest unit. It is comparable.
type Uint128 struct{ Lo, Hi uint64 }

// Uint256 is an unsigned integer of 256 bits, least significant word first. It is comparable, and converts to and from
// github.com/holiman/uint256's Int as a plain Go conversion.
type Uint256 [4]uint64

// Big returns the value as a new big.Int.
func (u Uint128) Big() *big.Int { return Uint256{u.Lo, u.Hi}.Big() }

// String returns the value in decimal.
func (u Uint128) String() string {
	if u.Hi == 0 {
		return strconv.FormatUint(u.Lo, 10)
	}
	// Below 10^38 two divisions by 10^19 do; beyond, one more digit is left.
	const e19 = 1e19
	qHi, r := bits.Div64(0, u.Hi, e19)
	qLo, low := bits.Div64(r, u.Lo, e19)
	top := Uint128{qLo, qHi}.String()
	digits := strconv.FormatUint(low, 10)
	return top + "0000000000000000000"[:19-len(digits)] + digits
}

// Big returns the value as a new big.Int.
func (u Uint256) Big() *big.Int {
	var b [32]byte
	for i, w := range u {
		for j := range 8 {
			b[31-8*i-j] = byte(w >> (8 * j))
		}
	}
	return new(big.Int).SetBytes(b[:])
}

// String returns the value in decimal.
func (u Uint256) String() string { return u.Big().String() }

func u128(b []byte) Uint128 { return Uint128{le.Uint64(b), le.Uint64(b[8:])} }

func putU128(b []byte, u Uint128) {
	le.PutUint64(b, u.Lo)
	le.PutUint64(b[8:], u.Hi)
}

func u256(b []byte) Uint256 {
	return Uint256{le.Uint64(b), le.Uint64(b[8:]), le.Uint64(b[16:]), le.Uint64(b[24:])}
}

func putU256(b []byte, u Uint256) {
	le.PutUint64(b, u[0])
	le.PutUint64(b[8:], u[1])
	le.PutUint64(b[16:], u[2])
	le.PutUint64(b[24:], u[3])
}

// Address is an EVM address: 20 bytes in the order in which they are written. In most structs 12 zero bytes follow it
// (the ABI's word has them in front); they are not part of the Address.
type Address [20]byte

// String returns the address as 0x and 40 lower-case hexadecimal digits.
func (a Address) String() string {
	var b [42]byte
	b[0], b[1] = '0', 'x'
	hex.Encode(b[2:], a[:])
	return string(b[:])
}

// getAddress and putAddress move an address, the latter with its 12 bytes of padding, in words that do not overlap:
// what the
// compiler makes of an array of 20 bytes are two overlapping stores, and a load soon after has to wait for both.
func getAddress(a *Address, b []byte) {
	s := (*[20]byte)(b)
	le.PutUint64(a[0:], le.Uint64(s[0:]))
	le.PutUint64(a[8:], le.Uint64(s[8:]))
	le.PutUint32(a[16:], le.Uint32(s[16:]))
}

func putAddress(b []byte, a *Address) {
	d := (*[32]byte)(b)
	le.PutUint64(d[0:], le.Uint64(a[0:]))
	le.PutUint64(d[8:], le.Uint64(a[8:]))
	le.PutUint64(d[16:], uint64(le.Uint32(a[16:])))
	le.PutUint64(d[24:], 0)
}

// Side is the side of a trade. The old programs disagreed: the dashboard read 1 as buy and 2 as sell, and the Binance
// adapter wrote 0 where the buyer was the maker.
type Side uint8

// The sides, as the struct's own definition has them.
const (
	Buy  Side = 0
	Sell Side = 1
)

// String returns "buy", "sell", or the number.
func (s Side) String() string {
	switch s {
	case Buy:
		return "buy"
	case Sell:
		return "sell"
	}
	return strconv.Itoa(int(s))
}
