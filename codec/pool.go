package codec

import "strconv"

// Lengths in bytes of the values in this file. Part of the format.
const (
	PoolLiquiditySize = 208
	PoolSwapSize      = 208
	PoolMintSize      = 208
	PoolBurnSize      = 208
	PoolTickSize      = 64
	PoolStateSize     = 192
	PoolSyncSize      = 160

	PoolReserves = 8 // room in a PoolLiquidity
)

// PoolSwap is one swap in a pool (type 11). Its place on the chain is in an [EventPosition] beside it.
// Of old senders: the Polygon collector wrote the price into LiquidityAfter too, the event collector exchanged the two
// and
// always gave token 0 as TokenInAddr, and all cut the price to 128 bits.
type PoolSwap struct {
	AmountIn          Uint128 // in the token's smallest unit
	AmountOut         Uint128 // in the token's smallest unit
	LiquidityAfter    Uint128 // the active liquidity of a V3 pool, 0 for V2
	TimestampNs       uint64  // nanoseconds since the Unix epoch
	BlockNumber       uint64
	TickAfter         int32
	Venue             Venue
	AmountInDecimals  uint8 // of token in
	AmountOutDecimals uint8 // of token out
	PoolAddress       Address
	TokenInAddr       Address
	TokenOutAddr      Address
	SqrtPriceX96After Uint256 // all 160 bits; 0 for V2
}

// Decode reads s from a value of type TypePoolSwap, of exactly PoolSwapSize bytes, or returns an [ErrSize]. It copies
// all it keeps.
func (s *PoolSwap) Decode(p []byte) error {
	if len(p) != PoolSwapSize {
		return sizeFault(TypePoolSwap, len(p), PoolSwapSize)
	}
	d := (*[PoolSwapSize]byte)(p)
	s.AmountIn = u128(d[0:])
	s.AmountOut = u128(d[16:])
	s.LiquidityAfter = u128(d[32:])
	s.TimestampNs = le.Uint64(d[48:])
	s.BlockNumber = le.Uint64(d[56:])
	s.TickAfter = int32(le.Uint32(d[64:]))
	s.Venue = Venue(le.Uint16(d[68:]))
	s.AmountInDecimals = d[70]
	s.AmountOutDecimals = d[71]
	getAddress(&s.PoolAddress, d[80:])
	getAddress(&s.TokenInAddr, d[112:])
	getAddress(&s.TokenOutAddr, d[144:])
	s.SqrtPriceX96After = u256(d[176:])
	return nil
}

// Encode writes s to the first PoolSwapSize bytes of dst, padding as zeros. It panics if dst is shorter.
func (s *PoolSwap) Encode(dst []byte) {
	d := (*[PoolSwapSize]byte)(dst)
	putU128(d[0:], s.AmountIn)
	putU128(d[16:], s.AmountOut)
	putU128(d[32:], s.LiquidityAfter)
	le.PutUint64(d[48:], s.TimestampNs)
	le.PutUint64(d[56:], s.BlockNumber)
	le.PutUint32(d[64:], uint32(s.TickAfter))
	le.PutUint16(d[68:], uint16(s.Venue))
	d[70] = s.AmountInDecimals
	d[71] = s.AmountOutDecimals
	*(*[8]byte)(d[72:]) = [8]byte{}
	putAddress(d[80:], &s.PoolAddress)
	putAddress(d[112:], &s.TokenInAddr)
	putAddress(d[144:], &s.TokenOutAddr)
	putU256(d[176:], s.SqrtPriceX96After)
}

// AppendTo adds s to the message that b builds.
func (s *PoolSwap) AppendTo(b *Builder) {
	if d := b.Reserve(TypePoolSwap, PoolSwapSize); d != nil {
		s.Encode(d)
	}
}

// PoolMint is liquidity added to a pool (type 12); a [PoolBurn] is laid out alike.
type PoolMint struct {
	LiquidityDelta Uint128
	Amount0        Uint128 // in the token's smallest unit
	Amount1        Uint128 // in the token's smallest unit
	TimestampNs    uint64  // nanoseconds since the Unix epoch
	TickLower      int32
	TickUpper      int32
	Venue          Venue
	Token0Decimals uint8
	Token1Decimals uint8
	PoolAddress    Address
	ProviderAddr   Address
	Token0Addr     Address
	Token1Addr     Address
}

// Decode reads s from a value of type TypePoolMint, of exactly PoolMintSize bytes, or returns an [ErrSize]. It copies
// all it keeps.
func (s *PoolMint) Decode(p []byte) error { return s.decode(TypePoolMint, p) }

func (s *PoolMint) decode(t Type, p []byte) error {
	if len(p) != PoolMintSize {
		return sizeFault(t, len(p), PoolMintSize)
	}
	d := (*[PoolMintSize]byte)(p)
	s.LiquidityDelta = u128(d[0:])
	s.Amount0 = u128(d[16:])
	s.Amount1 = u128(d[32:])
	s.TimestampNs = le.Uint64(d[48:])
	s.TickLower = int32(le.Uint32(d[56:]))
	s.TickUpper = int32(le.Uint32(d[60:]))
	s.Venue = Venue(le.Uint16(d[64:]))
	s.Token0Decimals = d[66]
	s.Token1Decimals = d[67]
	getAddress(&s.PoolAddress, d[80:])
	getAddress(&s.ProviderAddr, d[112:])
	getAddress(&s.Token0Addr, d[144:])
	getAddress(&s.Token1Addr, d[176:])
	return nil
}

// Encode writes s to the first PoolMintSize bytes of dst, padding as zeros. It panics if dst is shorter.
func (s *PoolMint) Encode(dst []byte) {
	d := (*[PoolMintSize]byte)(dst)
	putU128(d[0:], s.LiquidityDelta)
	putU128(d[16:], s.Amount0)
	putU128(d[32:], s.Amount1)
	le.PutUint64(d[48:], s.TimestampNs)
	le.PutUint32(d[56:], uint32(s.TickLower))
	le.PutUint32(d[60:], uint32(s.TickUpper))
	le.PutUint16(d[64:], uint16(s.Venue))
	d[66] = s.Token0Decimals
	d[67] = s.Token1Decimals
	*(*[12]byte)(d[68:]) = [12]byte{}
	putAddress(d[80:], &s.PoolAddress)
	putAddress(d[112:], &s.ProviderAddr)
	putAddress(d[144:], &s.Token0Addr)
	putAddress(d[176:], &s.Token1Addr)
}

// AppendTo adds s to the message that b builds.
func (s *PoolMint) AppendTo(b *Builder) {
	if d := b.Reserve(TypePoolMint, PoolMintSize); d != nil {
		s.Encode(d)
	}
}

// PoolBurn is liquidity taken out of a pool (type 13). It converts from and to a [PoolMint].
type PoolBurn PoolMint

// Decode is [PoolMint.Decode].
func (s *PoolBurn) Decode(p []byte) error { return (*PoolMint)(s).decode(TypePoolBurn, p) }

// Encode is [PoolMint.Encode].
func (s *PoolBurn) Encode(dst []byte) { (*PoolMint)(s).Encode(dst) }

// AppendTo adds s to the message that b builds.
func (s *PoolBurn) AppendTo(b *Builder) {
	if d := b.Reserve(TypePoolBurn, PoolBurnSize); d != nil {
		s.Encode(d)
	}
}

// PoolSync is the reserves of a V2 pool after a change (type 16).
type PoolSync struct {
	Reserve0       Uint128 // in the token's smallest unit
	Reserve1       Uint128 // in the token's smallest unit
	TimestampNs    uint64  // nanoseconds since the Unix epoch
	BlockNumber    uint64
	Venue          Venue
	Token0Decimals uint8
	Token1Decimals uint8
	PoolAddress    Address
	Token0Addr     Address
	Token1Addr     Address
}

// Decode reads s from a value of type TypePoolSync, of exactly PoolSyncSize bytes, or returns an [ErrSize]. It copies
// all it keeps.
func (s *PoolSync) Decode(p []byte) error {
	if len(p) != PoolSyncSize {
		return sizeFault(TypePoolSync, len(p), PoolSyncSize)
	}
	d := (*[PoolSyncSize]byte)(p)
	s.Reserve0 = u128(d[0:])
	s.Reserve1 = u128(d[16:])
	s.TimestampNs = le.Uint64(d[32:])
	s.BlockNumber = le.Uint64(d[40:])
	s.Venue = Venue(le.Uint16(d[48:]))
	s.Token0Decimals = d[50]
	s.Token1Decimals = d[51]
	getAddress(&s.PoolAddress, d[64:])
	getAddress(&s.Token0Addr, d[96:])
	getAddress(&s.Token1Addr, d[128:])
	return nil
}

// Encode writes s to the first PoolSyncSize bytes of dst, padding as zeros. It panics if dst is shorter.
func (s *PoolSync) Encode(dst []byte) {
	d := (*[PoolSyncSize]byte)(dst)
	putU128(d[0:], s.Reserve0)
	putU128(d[16:], s.Reserve1)
	le.PutUint64(d[32:], s.TimestampNs)
	le.PutUint64(d[40:], s.BlockNumber)
	le.PutUint16(d[48:], uint16(s.Venue))
	d[50] = s.Token0Decimals
	d[51] = s.Token1Decimals
	*(*[12]byte)(d[52:]) = [12]byte{}
	putAddress(d[64:], &s.PoolAddress)
	putAddress(d[96:], &s.Token0Addr)
	putAddress(d[128:], &s.Token1Addr)
}

// AppendTo adds s to the message that b builds.
func (s *PoolSync) AppendTo(b *Builder) {
	if d := b.Reserve(TypePoolSync, PoolSyncSize); d != nil {
		s.Encode(d)
	}
}

// PoolState is what is known of a pool (type 15). Adapters send it before the first event of the pool.
type PoolState struct {
	Reserve0       Uint128 // in the token's smallest unit
	Reserve1       Uint128 // in the token's smallest unit
	SqrtPriceX96   Uint128 // its low 128 bits; 0 for V2
	Liquidity      Uint128
	BlockNumber    uint64
	TimestampNs    uint64 // nanoseconds since the Unix epoch
	Tick           int32
	FeeRate        uint32 // basis points: 30 is 0.3 %
	Venue          Venue
	PoolType       PoolType
	Token0Decimals uint8
	Token1Decimals uint8
	PoolAddress    Address
	Token0Addr     Address
	Token1Addr     Address
}

// Decode reads s from a value of type TypePoolState, of exactly PoolStateSize bytes, or returns an [ErrSize]. It copies
// all it keeps.
func (s *PoolState) Decode(p []byte) error {
	if len(p) != PoolStateSize {
		return sizeFault(TypePoolState, len(p), PoolStateSize)
	}
	d := (*[PoolStateSize]byte)(p)
	s.Reserve0 = u128(d[0:])
	s.Reserve1 = u128(d[16:])
	s.SqrtPriceX96 = u128(d[32:])
	s.Liquidity = u128(d[48:])
	s.BlockNumber = le.Uint64(d[64:])
	s.TimestampNs = le.Uint64(d[72:])
	s.Tick = int32(le.Uint32(d[80:]))
	s.FeeRate = le.Uint32(d[84:])
	s.Venue = Venue(le.Uint16(d[88:]))
	s.PoolType = PoolType(d[90])
	s.Token0Decimals = d[91]
	s.Token1Decimals = d[92]
	getAddress(&s.PoolAddress, d[96:])
	getAddress(&s.Token0Addr, d[128:])
	getAddress(&s.Token1Addr, d[160:])
	return nil
}

// Encode writes s to the first PoolStateSize bytes of dst, padding as zeros. It panics if dst is shorter.
func (s *PoolState) Encode(dst []byte) {
	d := (*[PoolStateSize]byte)(dst)
	putU128(d[0:], s.Reserve0)
	putU128(d[16:], s.Reserve1)
	putU128(d[32:], s.SqrtPriceX96)
	putU128(d[48:], s.Liquidity)
	le.PutUint64(d[64:], s.BlockNumber)
	le.PutUint64(d[72:], s.TimestampNs)
	le.PutUint32(d[80:], uint32(s.Tick))
	le.PutUint32(d[84:], s.FeeRate)
	le.PutUint16(d[88:], uint16(s.Venue))
	d[90] = byte(s.PoolType)
	d[91] = s.Token0Decimals
	d[92] = s.Token1Decimals
	d[93], d[94], d[95] = 0, 0, 0
	putAddress(d[96:], &s.PoolAddress)
	putAddress(d[128:], &s.Token0Addr)
	putAddress(d[160:], &s.Token1Addr)
}

// AppendTo adds s to the message that b builds.
func (s *PoolState) AppendTo(b *Builder) {
	if d := b.Reserve(TypePoolState, PoolStateSize); d != nil {
		s.Encode(d)
	}
}

// PoolTick is one initialised tick of a pool (type 14).
type PoolTick struct {
	LiquidityNet int64
	PriceSqrt    uint64 // meant as X96, of which 64 bits are left
	TimestampNs  uint64 // nanoseconds since the Unix epoch
	Tick         int32
	Venue        Venue
	PoolAddress  Address
}

// Decode reads s from a value of type TypePoolTick, of exactly PoolTickSize bytes, or returns an [ErrSize]. It copies
// all it keeps.
func (s *PoolTick) Decode(p []byte) error {
	if len(p) != PoolTickSize {
		return sizeFault(TypePoolTick, len(p), PoolTickSize)
	}
	d := (*[PoolTickSize]byte)(p)
	s.LiquidityNet = int64(le.Uint64(d[0:]))
	s.PriceSqrt = le.Uint64(d[8:])
	s.TimestampNs = le.Uint64(d[16:])
	s.Tick = int32(le.Uint32(d[24:]))
	s.Venue = Venue(le.Uint16(d[28:]))
	getAddress(&s.PoolAddress, d[32:])
	return nil
}

// Encode writes s to the first PoolTickSize bytes of dst, padding as zeros. It panics if dst is shorter.
func (s *PoolTick) Encode(dst []byte) {
	d := (*[PoolTickSize]byte)(dst)
	le.PutUint64(d[0:], uint64(s.LiquidityNet))
	le.PutUint64(d[8:], s.PriceSqrt)
	le.PutUint64(d[16:], s.TimestampNs)
	le.PutUint32(d[24:], uint32(s.Tick))
	le.PutUint16(d[28:], uint16(s.Venue))
	d[30], d[31] = 0, 0
	putAddress(d[32:], &s.PoolAddress)
}

// AppendTo adds s to the message that b builds.
func (s *PoolTick) AppendTo(b *Builder) {
	if d := b.Reserve(TypePoolTick, PoolTickSize); d != nil {
		s.Encode(d)
	}
}

// PoolLiquidity is the reserves of a pool of up to eight tokens (type 10).
type PoolLiquidity struct {
	TimestampNs uint64 // nanoseconds since the Unix epoch
	Count       uint16 // Reserves[:Count] are in use
	Reserves    [PoolReserves]Uint128
	PoolAddress Address
	Venue       Venue
}

// Decode reads s from a value of type TypePoolLiquidity, of exactly PoolLiquiditySize bytes. It copies all it keeps,
// reserves
// beyond the count too. It returns an [ErrSize], or an [ErrCount] if it counts more reserves than there is room for.
func (s *PoolLiquidity) Decode(p []byte) error {
	if len(p) != PoolLiquiditySize {
		return sizeFault(TypePoolLiquidity, len(p), PoolLiquiditySize)
	}
	d := (*[PoolLiquiditySize]byte)(p)
	s.TimestampNs = le.Uint64(d[0:])
	s.Count = le.Uint16(d[16:])
	if s.Count > PoolReserves {
		return fault(ErrCount, "PoolLiquidity reserves", 16, uint64(s.Count), PoolReserves)
	}
	for i := range s.Reserves {
		s.Reserves[i] = u128(d[32+16*i:])
	}
	getAddress(&s.PoolAddress, d[160:])
	s.Venue = Venue(le.Uint16(d[192:]))
	return nil
}

// Encode writes s to the first PoolLiquiditySize bytes of dst, padding as zeros. It panics if dst is shorter.
func (s *PoolLiquidity) Encode(dst []byte) {
	d := (*[PoolLiquiditySize]byte)(dst)
	le.PutUint64(d[0:], s.TimestampNs)
	*(*[8]byte)(d[8:]) = [8]byte{}
	le.PutUint16(d[16:], s.Count)
	*(*[14]byte)(d[18:]) = [14]byte{}
	for i := range s.Reserves {
		putU128(d[32+16*i:], s.Reserves[i])
	}
	putAddress(d[160:], &s.PoolAddress)
	le.PutUint16(d[192:], uint16(s.Venue))
	*(*[14]byte)(d[194:]) = [14]byte{}
}

// AppendTo adds s to the message that b builds.
func (s *PoolLiquidity) AppendTo(b *Builder) {
	if d := b.Reserve(TypePoolLiquidity, PoolLiquiditySize); d != nil {
		s.Encode(d)
	}
}

// PoolType is the protocol of a pool, in the numbering of PoolState. (Two more numberings stood in the old code, for
// other purposes.)
type PoolType uint8

// The protocols.
const (
	PoolUniswapV2   PoolType = 0
	PoolUniswapV3   PoolType = 1
	PoolSushiswapV2 PoolType = 2
	PoolQuickswapV3 PoolType = 3
	PoolCurve       PoolType = 4
	PoolBalancer    PoolType = 5
)

var poolTypeNames = [...]string{"UniswapV2", "UniswapV3", "SushiswapV2", "QuickswapV3", "Curve", "Balancer"}

// String returns the protocol's name, or its number if it has none.
func (p PoolType) String() string {
	if int(p) < len(poolTypeNames) {
		return poolTypeNames[p]
	}
	return strconv.Itoa(int(p))
}
