package codec

// Lengths in bytes of the values in this file. Part of the format.
const (
	SignalIdentitySize  = 16
	ArbitrageSignalSize = 170
)

// ArbitrageSignal is a cycle over two pools that pays (type 32): packed, and its addresses without padding. One with no
// profit at all is an old strategy's note that it looked at a swap.
type ArbitrageSignal struct {
	StrategyID           uint16 // 21 is flash arbitrage
	SignalID             uint64
	ChainID              uint32  // 137 is Polygon, 1 is Ethereum
	SourcePool           Address // bought from
	TargetPool           Address // sold to
	SourceVenue          Venue
	TargetVenue          Venue
	TokenIn              Address
	TokenOut             Address
	ExpectedProfitUSDQ8  int64  // 1e-8 USD
	RequiredCapitalUSDQ8 int64  // 1e-8 USD
	SpreadBps            uint16 // 150 is 1.5 %
	DexFeesUSDQ8         int64  // 1e-8 USD
	GasCostUSDQ8         int64  // 1e-8 USD
	SlippageUSDQ8        int64  // 1e-8 USD
	NetProfitUSDQ8       int64  // 1e-8 USD: expected profit less fees, gas and slippage
	SlippageToleranceBps uint16
	MaxGasPriceGwei      uint32
	ValidUntil           uint32 // seconds since the Unix epoch
	Priority             uint16
	Reserved             [2]byte
	TimestampNs          uint64 // nanoseconds since the Unix epoch
}

// Decode reads s from a value of type TypeArbitrageSignal, of exactly ArbitrageSignalSize bytes, or returns an
// [ErrSize]. It copies all it keeps.
func (s *ArbitrageSignal) Decode(p []byte) error {
	if len(p) != ArbitrageSignalSize {
		return sizeFault(TypeArbitrageSignal, len(p), ArbitrageSignalSize)
	}
	d := (*[ArbitrageSignalSize]byte)(p)
	s.StrategyID = le.Uint16(d[0:])
	s.SignalID = le.Uint64(d[2:])
	s.ChainID = le.Uint32(d[10:])
	getAddress(&s.SourcePool, d[14:])
	getAddress(&s.TargetPool, d[34:])
	s.SourceVenue = Venue(le.Uint16(d[54:]))
	s.TargetVenue = Venue(le.Uint16(d[56:]))
	getAddress(&s.TokenIn, d[58:])
	getAddress(&s.TokenOut, d[78:])
	s.ExpectedProfitUSDQ8 = int64(le.Uint64(d[98:]))
	s.RequiredCapitalUSDQ8 = int64(le.Uint64(d[106:]))
	s.SpreadBps = le.Uint16(d[114:])
	s.DexFeesUSDQ8 = int64(le.Uint64(d[116:]))
	s.GasCostUSDQ8 = int64(le.Uint64(d[124:]))
	s.SlippageUSDQ8 = int64(le.Uint64(d[132:]))
	s.NetProfitUSDQ8 = int64(le.Uint64(d[140:]))
	s.SlippageToleranceBps = le.Uint16(d[148:])
	s.MaxGasPriceGwei = le.Uint32(d[150:])
	s.ValidUntil = le.Uint32(d[154:])
	s.Priority = le.Uint16(d[158:])
	s.Reserved = [2]byte(d[160:162])
	s.TimestampNs = le.Uint64(d[162:])
	return nil
}

// Encode writes s to the first ArbitrageSignalSize bytes of dst, padding as zeros. It panics if dst is shorter.
func (s *ArbitrageSignal) Encode(dst []byte) {
	d := (*[ArbitrageSignalSize]byte)(dst)
	le.PutUint16(d[0:], s.StrategyID)
	le.PutUint64(d[2:], s.SignalID)
	le.PutUint32(d[10:], s.ChainID)
	*(*[20]byte)(d[14:]) = s.SourcePool
	*(*[20]byte)(d[34:]) = s.TargetPool
	le.PutUint16(d[54:], uint16(s.SourceVenue))
	le.PutUint16(d[56:], uint16(s.TargetVenue))
	*(*[20]byte)(d[58:]) = s.TokenIn
	*(*[20]byte)(d[78:]) = s.TokenOut
	le.PutUint64(d[98:], uint64(s.ExpectedProfitUSDQ8))
	le.PutUint64(d[106:], uint64(s.RequiredCapitalUSDQ8))
	le.PutUint16(d[114:], s.SpreadBps)
	le.PutUint64(d[116:], uint64(s.DexFeesUSDQ8))
	le.PutUint64(d[124:], uint64(s.GasCostUSDQ8))
	le.PutUint64(d[132:], uint64(s.SlippageUSDQ8))
	le.PutUint64(d[140:], uint64(s.NetProfitUSDQ8))
	le.PutUint16(d[148:], s.SlippageToleranceBps)
	le.PutUint32(d[150:], s.MaxGasPriceGwei)
	le.PutUint32(d[154:], s.ValidUntil)
	le.PutUint16(d[158:], s.Priority)
	*(*[2]byte)(d[160:]) = s.Reserved
	le.PutUint64(d[162:], s.TimestampNs)
}

// AppendTo adds s to the message that b builds.
func (s *ArbitrageSignal) AppendTo(b *Builder) {
	if d := b.Reserve(TypeArbitrageSignal, ArbitrageSignalSize); d != nil {
		s.Encode(d)
	}
}

// SignalIdentity names a signal (type 20). Two other layouts were written under this type, of 13 or more and of 20
// bytes;
// this one is the only one of the registered length.
type SignalIdentity struct {
	SignalID   uint64
	Confidence uint64
}

// Decode reads s from a value of type TypeSignalIdentity, of exactly SignalIdentitySize bytes, or returns an [ErrSize].
// It copies all it keeps.
func (s *SignalIdentity) Decode(p []byte) error {
	if len(p) != SignalIdentitySize {
		return sizeFault(TypeSignalIdentity, len(p), SignalIdentitySize)
	}
	d := (*[SignalIdentitySize]byte)(p)
	s.SignalID = le.Uint64(d[0:])
	s.Confidence = le.Uint64(d[8:])
	return nil
}

// Encode writes s to the first SignalIdentitySize bytes of dst, padding as zeros. It panics if dst is shorter.
func (s *SignalIdentity) Encode(dst []byte) {
	d := (*[SignalIdentitySize]byte)(dst)
	le.PutUint64(d[0:], s.SignalID)
	le.PutUint64(d[8:], s.Confidence)
}

// AppendTo adds s to the message that b builds.
func (s *SignalIdentity) AppendTo(b *Builder) {
	if d := b.Reserve(TypeSignalIdentity, SignalIdentitySize); d != nil {
		s.Encode(d)
	}
}
