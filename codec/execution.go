package codec

// Lengths in bytes of the values in this file. Part of the format.
const (
	OrderRequestSize = 32
	OrderStatusSize  = 25
)

// OrderRequest asks for an order (type 40).
type OrderRequest struct {
	OrderID    uint64
	Instrument uint64 // an asset id
	Price      int64  // 1e-8 of the quote currency
	Quantity   int64  // 1e-8 of the asset
}

// Decode reads s from a value of type TypeOrderRequest, of exactly OrderRequestSize bytes, or returns an [ErrSize]. It
// copies all it keeps.
func (s *OrderRequest) Decode(p []byte) error {
	if len(p) != OrderRequestSize {
		return sizeFault(TypeOrderRequest, len(p), OrderRequestSize)
	}
	d := (*[OrderRequestSize]byte)(p)
	s.OrderID = le.Uint64(d[0:])
	s.Instrument = le.Uint64(d[8:])
	s.Price = int64(le.Uint64(d[16:]))
	s.Quantity = int64(le.Uint64(d[24:]))
	return nil
}

// Encode writes s to the first OrderRequestSize bytes of dst, padding as zeros. It panics if dst is shorter.
func (s *OrderRequest) Encode(dst []byte) {
	d := (*[OrderRequestSize]byte)(dst)
	le.PutUint64(d[0:], s.OrderID)
	le.PutUint64(d[8:], s.Instrument)
	le.PutUint64(d[16:], uint64(s.Price))
	le.PutUint64(d[24:], uint64(s.Quantity))
}

// AppendTo adds s to the message that b builds.
func (s *OrderRequest) AppendTo(b *Builder) {
	if d := b.Reserve(TypeOrderRequest, OrderRequestSize); d != nil {
		s.Encode(d)
	}
}

// OrderStatus is the state of an order (type 41). The registry declared 24 bytes for it; the only layout known has 25.
type OrderStatus struct {
	OrderID   uint64
	Status    uint8
	Filled    int64 // 1e-8 of the asset
	Remaining int64 // 1e-8 of the asset
}

// Decode reads s from a value of type TypeOrderStatus, of exactly OrderStatusSize bytes, or returns an [ErrSize]. It
// copies all it keeps.
func (s *OrderStatus) Decode(p []byte) error {
	if len(p) != OrderStatusSize {
		return sizeFault(TypeOrderStatus, len(p), OrderStatusSize)
	}
	d := (*[OrderStatusSize]byte)(p)
	s.OrderID = le.Uint64(d[0:])
	s.Status = d[8]
	s.Filled = int64(le.Uint64(d[9:]))
	s.Remaining = int64(le.Uint64(d[17:]))
	return nil
}

// Encode writes s to the first OrderStatusSize bytes of dst, padding as zeros. It panics if dst is shorter.
func (s *OrderStatus) Encode(dst []byte) {
	d := (*[OrderStatusSize]byte)(dst)
	le.PutUint64(d[0:], s.OrderID)
	d[8] = s.Status
	le.PutUint64(d[9:], uint64(s.Filled))
	le.PutUint64(d[17:], uint64(s.Remaining))
}

// AppendTo adds s to the message that b builds.
func (s *OrderStatus) AppendTo(b *Builder) {
	if d := b.Reserve(TypeOrderStatus, OrderStatusSize); d != nil {
		s.Encode(d)
	}
}
