package codec

// What a value is about can be read without decoding it, for who has to choose among many messages.

// InstrumentAt returns the i-th instrument, from 0, that a value of type t names, and whether there is one: of a Trade, a Quote or
// QuoteUpdate, an OrderBook, and of a StateInvalidation, which may name several. It reads in place and does not allocate. Pools are
// named by their addresses, see [PoolAt].
func InstrumentAt(t Type, value []byte, i int) (in Instrument, ok bool) {
	switch t {
	case TypeTrade:
		return apart(value, i, 0, 32)
	case TypeQuote, TypeQuoteUpdate:
		return apart(value, i, 0, 48)
	case TypeOrderBook:
		return apart(value, i, 24, 32)
	case TypeStateInvalidation:
		if len(value) != StateInvalidationSize || uint(i) >= uint(min(le.Uint16(value[16:]), InvalidatedInstruments)) {
			return in, false
		}
		in.decode(value[24+InstrumentSize*i:])
		return in, true
	}
	return in, false
}

// apart reads an instrument, the only one of its value, whose asset id stands apart from the rest.
func apart(value []byte, i, asset, rest int) (in Instrument, ok bool) {
	if i != 0 || len(value) < rest+4 {
		return in, false
	}
	in.AssetID = le.Uint64(value[asset:])
	in.VenueID = Venue(le.Uint16(value[rest:]))
	in.AssetType, in.Reserved = AssetType(value[rest+2]), value[rest+3]
	return in, true
}

// PoolAt returns the i-th pool, from 0, that a value of type t names, and whether there is one: of the pools' own types, and both pools of
// an ArbitrageSignal. It reads in place and does not allocate.
func PoolAt(t Type, value []byte, i int) (pool Address, ok bool) {
	off := 0
	switch t {
	case TypePoolSwap, TypePoolMint, TypePoolBurn:
		off = 80
	case TypePoolTick:
		off = 32
	case TypePoolState:
		off = 96
	case TypePoolSync:
		off = 64
	case TypePoolLiquidity:
		off = 160
	case TypeArbitrageSignal:
		off = 14
		if i == 1 {
			i, off = 0, 34
		}
	default:
		return pool, false
	}
	if i != 0 || len(value) < off+len(pool) {
		return pool, false
	}
	return Address(value[off : off+len(pool)]), true
}
