package codec

// Lengths in bytes of the values in this file. Part of the format.
const (
	TradeSize       = 40
	QuoteSize       = 56 // what the old programs sent, and what is sent
	QuoteSizeShort  = 52 // what their registry declared; it is accepted
	OrderBookSize   = 2456
	OrderLevelSize  = 24
	GasPriceSize    = 32
	OrderBookLevels = 50 // on each side

	StateInvalidationReasonSize = 1
)

func sizeFault(t Type, got, want int) error {
	return fault(ErrSize, t.String()+" length", 0, uint64(got), uint64(want))
}

// Trade is one trade on an exchange (type 1).
type Trade struct {
	Instrument           Instrument
	Price                int64  // 1e-8 of the quote currency
	Volume               int64  // 1e-8 of the asset
	ExecutionTimestampNs uint64 // the exchange's time, nanoseconds since the Unix epoch
	Side                 Side
}

// Decode reads s from a value of type TypeTrade, of exactly TradeSize bytes, or returns an [ErrSize]. It copies all it
// keeps.
func (s *Trade) Decode(p []byte) error {
	if len(p) != TradeSize {
		return sizeFault(TypeTrade, len(p), TradeSize)
	}
	d := (*[TradeSize]byte)(p)
	s.Instrument.AssetID = le.Uint64(d[0:])
	s.Price = int64(le.Uint64(d[8:]))
	s.Volume = int64(le.Uint64(d[16:]))
	s.ExecutionTimestampNs = le.Uint64(d[24:])
	s.Instrument.VenueID = Venue(le.Uint16(d[32:]))
	s.Instrument.AssetType = AssetType(d[34])
	s.Instrument.Reserved = d[35]
	s.Side = Side(d[36])
	return nil
}

// Encode writes s to the first TradeSize bytes of dst, padding as zeros. It panics if dst is shorter.
func (s *Trade) Encode(dst []byte) {
	d := (*[TradeSize]byte)(dst)
	le.PutUint64(d[0:], s.Instrument.AssetID)
	le.PutUint64(d[8:], uint64(s.Price))
	le.PutUint64(d[16:], uint64(s.Volume))
	le.PutUint64(d[24:], s.ExecutionTimestampNs)
	le.PutUint16(d[32:], uint16(s.Instrument.VenueID))
	d[34] = byte(s.Instrument.AssetType)
	d[35] = s.Instrument.Reserved
	d[36] = byte(s.Side)
	d[37], d[38], d[39] = 0, 0, 0
}

// AppendTo adds s to the message that b builds.
func (s *Trade) AppendTo(b *Builder) {
	if d := b.Reserve(TypeTrade, TradeSize); d != nil {
		s.Encode(d)
	}
}

// Quote is the best bid and offer on an exchange (type 2, and as [QuoteUpdate] type 17).
type Quote struct {
	Instrument       Instrument
	BidPrice         int64  // 1e-8 of the quote currency
	BidSize          int64  // 1e-8 of the asset
	AskPrice         int64  // 1e-8 of the quote currency
	AskSize          int64  // 1e-8 of the asset
	QuoteTimestampNs uint64 // nanoseconds since the Unix epoch
}

// Decode reads s from a value of type TypeQuote, of QuoteSize or QuoteSizeShort bytes, or returns an [ErrSize]. It
// copies
// all it keeps.
func (s *Quote) Decode(p []byte) error { return s.decode(TypeQuote, p) }

func (s *Quote) decode(t Type, p []byte) error {
	if len(p) != QuoteSize && len(p) != QuoteSizeShort {
		return sizeFault(t, len(p), QuoteSize)
	}
	d := (*[QuoteSizeShort]byte)(p)
	s.Instrument.AssetID = le.Uint64(d[0:])
	s.BidPrice = int64(le.Uint64(d[8:]))
	s.BidSize = int64(le.Uint64(d[16:]))
	s.AskPrice = int64(le.Uint64(d[24:]))
	s.AskSize = int64(le.Uint64(d[32:]))
	s.QuoteTimestampNs = le.Uint64(d[40:])
	s.Instrument.VenueID = Venue(le.Uint16(d[48:]))
	s.Instrument.AssetType = AssetType(d[50])
	s.Instrument.Reserved = d[51]
	return nil
}

// Encode writes s to the first QuoteSize bytes of dst, the padding at their end as zeros. If dst is shorter it writes
// the
// QuoteSizeShort bytes before the padding, and it panics if dst is shorter than that.
func (s *Quote) Encode(dst []byte) {
	d := (*[QuoteSizeShort]byte)(dst)
	le.PutUint64(d[0:], s.Instrument.AssetID)
	le.PutUint64(d[8:], uint64(s.BidPrice))
	le.PutUint64(d[16:], uint64(s.BidSize))
	le.PutUint64(d[24:], uint64(s.AskPrice))
	le.PutUint64(d[32:], uint64(s.AskSize))
	le.PutUint64(d[40:], s.QuoteTimestampNs)
	le.PutUint16(d[48:], uint16(s.Instrument.VenueID))
	d[50] = byte(s.Instrument.AssetType)
	d[51] = s.Instrument.Reserved
	if len(dst) >= QuoteSize {
		*(*[4]byte)(dst[QuoteSizeShort:]) = [4]byte{}
	}
}

// AppendTo adds s to the message that b builds.
func (s *Quote) AppendTo(b *Builder) {
	if d := b.Reserve(TypeQuote, QuoteSize); d != nil {
		s.Encode(d)
	}
}

// QuoteUpdate is a [Quote] under type 17. They convert into each other.
type QuoteUpdate Quote

// Decode is [Quote.Decode].
func (s *QuoteUpdate) Decode(p []byte) error { return (*Quote)(s).decode(TypeQuoteUpdate, p) }

// Encode is [Quote.Encode].
func (s *QuoteUpdate) Encode(dst []byte) { (*Quote)(s).Encode(dst) }

// AppendTo adds s to the message that b builds.
func (s *QuoteUpdate) AppendTo(b *Builder) {
	if d := b.Reserve(TypeQuoteUpdate, QuoteSize); d != nil {
		s.Encode(d)
	}
}

// GasPrice is the price of gas after a block (type 18).
type GasPrice struct {
	BlockNumber     uint64
	TimestampNs     uint64 // nanoseconds since the Unix epoch
	GasPriceGwei    uint32 // base fee and priority fee together
	BaseFeeGwei     uint32
	PriorityFeeGwei uint32
	Network         uint16 // the chain's id (137 is Polygon), not a Venue
	Reserved        uint16
}

// Decode reads s from a value of type TypeGasPrice, of exactly GasPriceSize bytes, or returns an [ErrSize]. It copies
// all it keeps.
func (s *GasPrice) Decode(p []byte) error {
	if len(p) != GasPriceSize {
		return sizeFault(TypeGasPrice, len(p), GasPriceSize)
	}
	d := (*[GasPriceSize]byte)(p)
	s.BlockNumber = le.Uint64(d[0:])
	s.TimestampNs = le.Uint64(d[8:])
	s.GasPriceGwei = le.Uint32(d[16:])
	s.BaseFeeGwei = le.Uint32(d[20:])
	s.PriorityFeeGwei = le.Uint32(d[24:])
	s.Network = le.Uint16(d[28:])
	s.Reserved = le.Uint16(d[30:])
	return nil
}

// Encode writes s to the first GasPriceSize bytes of dst, padding as zeros. It panics if dst is shorter.
func (s *GasPrice) Encode(dst []byte) {
	d := (*[GasPriceSize]byte)(dst)
	le.PutUint64(d[0:], s.BlockNumber)
	le.PutUint64(d[8:], s.TimestampNs)
	le.PutUint32(d[16:], s.GasPriceGwei)
	le.PutUint32(d[20:], s.BaseFeeGwei)
	le.PutUint32(d[24:], s.PriorityFeeGwei)
	le.PutUint16(d[28:], s.Network)
	le.PutUint16(d[30:], s.Reserved)
}

// AppendTo adds s to the message that b builds.
func (s *GasPrice) AppendTo(b *Builder) {
	if d := b.Reserve(TypeGasPrice, GasPriceSize); d != nil {
		s.Encode(d)
	}
}

// An OrderBook is a snapshot of both sides of a book (type 3), by far the largest value: always an extended TLV. It is
// meant to be reused.
type OrderBook struct {
	SnapshotTimestampNs uint64 // nanoseconds since the Unix epoch
	Sequence            uint64 // the exchange's
	PrecisionFactor     int64  // what prices and sizes are to be divided by: 100,000,000 on exchanges
	Instrument          Instrument
	Bids                OrderSide // best, which is highest, first
	Asks                OrderSide // best, which is lowest, first
}

// OrderSide is one side of a book: Levels[:Count] are in use, and the others are zero.
type OrderSide struct {
	Count  uint16
	Levels [OrderBookLevels]OrderLevel
}

// OrderLevel is one price of a book.
type OrderLevel struct {
	Price      int64 // in units of the book's precision factor
	Size       int64 // in units of the book's precision factor
	OrderCount uint32
	Reserved   uint32
}

const (
	offBids       = 40
	offAsks       = 1248
	offLevels     = 8 // in a side
	orderSideSize = offLevels + OrderBookLevels*OrderLevelSize
)

const _ uint = OrderBookSize - (offAsks + orderSideSize)
const _ uint = (offAsks + orderSideSize) - OrderBookSize

// Decode reads s from a value of type TypeOrderBook, of exactly OrderBookSize bytes. It copies all it keeps, levels
// beyond
// the count too. It returns an [ErrSize], or an [ErrCount] if a side counts more levels than it has.
func (s *OrderBook) Decode(p []byte) error {
	if len(p) != OrderBookSize {
		return sizeFault(TypeOrderBook, len(p), OrderBookSize)
	}
	d := (*[OrderBookSize]byte)(p)
	s.SnapshotTimestampNs = le.Uint64(d[0:])
	s.Sequence = le.Uint64(d[8:])
	s.PrecisionFactor = int64(le.Uint64(d[16:]))
	s.Instrument.decode(d[24:36])
	if err := s.Bids.decode(d[:], offBids); err != nil {
		return err
	}
	return s.Asks.decode(d[:], offAsks)
}

// Encode writes s to the first OrderBookSize bytes of dst, padding as zeros. It panics if dst is shorter.
func (s *OrderBook) Encode(dst []byte) {
	d := (*[OrderBookSize]byte)(dst)
	le.PutUint64(d[0:], s.SnapshotTimestampNs)
	le.PutUint64(d[8:], s.Sequence)
	le.PutUint64(d[16:], uint64(s.PrecisionFactor))
	s.Instrument.encode(d[24:36])
	*(*[4]byte)(d[36:]) = [4]byte{}
	s.Bids.encode(d[offBids : offBids+orderSideSize])
	s.Asks.encode(d[offAsks : offAsks+orderSideSize])
}

// AppendTo adds s to the message that b builds.
func (s *OrderBook) AppendTo(b *Builder) {
	if d := b.Reserve(TypeOrderBook, OrderBookSize); d != nil {
		s.Encode(d)
	}
}

func (s *OrderSide) decode(book []byte, off int) error {
	d := book[off : off+orderSideSize]
	s.Count = le.Uint16(d)
	if s.Count > OrderBookLevels {
		return fault(ErrCount, "OrderBook levels of a side", off, uint64(s.Count), OrderBookLevels)
	}
	d = d[offLevels:]
	for i := range s.Levels {
		l, e := &s.Levels[i], (*[OrderLevelSize]byte)(d[i*OrderLevelSize:])
		l.Price = int64(le.Uint64(e[0:]))
		l.Size = int64(le.Uint64(e[8:]))
		l.OrderCount = le.Uint32(e[16:])
		l.Reserved = le.Uint32(e[20:])
	}
	return nil
}

func (s *OrderSide) encode(d []byte) {
	le.PutUint16(d, s.Count)
	*(*[6]byte)(d[2:]) = [6]byte{}
	d = d[offLevels:]
	for i := range s.Levels {
		l, e := &s.Levels[i], (*[OrderLevelSize]byte)(d[i*OrderLevelSize:])
		le.PutUint64(e[0:], uint64(l.Price))
		le.PutUint64(e[8:], uint64(l.Size))
		le.PutUint32(e[16:], l.OrderCount)
		le.PutUint32(e[20:], l.Reserved)
	}
}
