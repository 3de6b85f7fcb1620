package codec

// Part of the format.
const (
	// MaxStandard is the longest value, in bytes, of a standard TLV.
	MaxStandard = 255

	// MaxValue is the longest value, in bytes, of any TLV.
	MaxValue = 65535

	standardHeader = 2 // type, length
	extendedHeader = 5 // 255, 0, type, length u16
)

// A Cursor walks TLVs. There are two forms, packed back to back without padding:
//
//	standard   type | length u8      | value
//	extended   255  | 0 | type | length u16 | value
//
// It is used as
//
//	for c := m.Cursor(); c.Next(); {
//		use(c.Type, c.Value)
//	}
//
// It does not allocate. The values alias the bytes that are walked, and live as long as they do.
type Cursor struct {
	Type     Type   // of the current TLV
	Extended bool   // whether it has the extended form
	Value    []byte // its value, not copied

	buf []byte
	off int // of the TLV after the current one
}

// Walk begins at the first TLV of payload, the bytes after a message's header. Unlike those of a [Message] they have
// not
// been checked: Next ends at the first fault, and Err tells.
func Walk(payload []byte) Cursor { return Cursor{buf: payload} }

// Next moves to the next TLV, and reports whether there is one. At the end, and at a fault, it returns false.
func (c *Cursor) Next() bool {
	b, i := c.buf, c.off
	if len(b)-i < standardHeader {
		return false
	}
	t := b[i]
	if t == byte(TypeExtended) {
		return c.nextExtended()
	}
	start := i + standardHeader
	end := start + int(b[i+1])
	if end > len(b) {
		return false
	}
	c.Type, c.Extended, c.Value, c.off = Type(t), false, b[start:end:end], end
	return true
}

func (c *Cursor) nextExtended() bool {
	b := c.buf[c.off:]
	if len(b) < extendedHeader || b[1] != 0 {
		return false
	}
	end := extendedHeader + int(le.Uint16(b[3:]))
	if end > len(b) {
		return false
	}
	c.Type, c.Extended, c.Value = Type(b[2]), true, b[extendedHeader:end:end]
	c.off += end
	return true
}

// Err returns nil when Next came to the end of the bytes, and an [ErrFraming] that says where it stopped otherwise.
// It is meaningful once Next has returned false.
func (c *Cursor) Err() error {
	if c.off == len(c.buf) {
		return nil
	}
	return framingFault(c.buf, c.off, 0)
}

// extended returns what the extended TLV at the start of p holds: its type, and where its value begins and ends. The
// end
// is beyond p where the TLV is broken.
//
//go:noinline
func extended(p []byte) (t Type, start, end int) {
	if len(p) < extendedHeader || p[1] != 0 {
		return 0, 0, len(p) + 1
	}
	return Type(p[2]), extendedHeader, extendedHeader + int(le.Uint16(p[3:]))
}

// framed returns how many bytes of p are whole TLVs: len(p) where the framing is good.
func framed(p []byte) int {
	i := 0
	for len(p)-i >= standardHeader {
		end := i + standardHeader + int(p[i+1])
		if p[i] == byte(TypeExtended) {
			if len(p)-i < extendedHeader || p[i+1] != 0 {
				return i
			}
			end = i + extendedHeader + int(le.Uint16(p[i+3:]))
		}
		if end > len(p) {
			return i
		}
		i = end
	}
	return i
}

// framingFault says what is wrong with the TLV at p[i], where p stands base bytes into the message.
func framingFault(p []byte, i, base int) error {
	left := uint64(len(p) - i)
	switch {
	case left < standardHeader:
		return fault(ErrFraming, "bytes left for a TLV", base+i, left, standardHeader)
	case p[i] != byte(TypeExtended):
		return fault(ErrFraming, "bytes left for a TLV", base+i, left, standardHeader+uint64(p[i+1]))
	case p[i+1] != 0:
		return fault(ErrFraming, "second byte of an extended TLV", base+i+1, uint64(p[i+1]), 0)
	case left < extendedHeader:
		return fault(ErrFraming, "bytes left for a TLV", base+i, left, extendedHeader)
	}
	return fault(ErrFraming, "bytes left for a TLV", base+i, left, extendedHeader+uint64(le.Uint16(p[i+3:])))
}

// TLVSize is the size in bytes of a TLV whose value has n bytes, its own header included: the standard form up to
// MaxStandard, the extended one beyond.
func TLVSize(n int) int {
	if n > MaxStandard {
		return extendedHeader + n
	}
	return standardHeader + n
}

// Size is the size in bytes of a message with one TLV for each of the given value lengths: what to claim before
// building
// it, as in Size(TradeSize, EventPositionSize).
func Size(values ...int) int {
	n := HeaderSize
	for _, v := range values {
		n += TLVSize(v)
	}
	return n
}
