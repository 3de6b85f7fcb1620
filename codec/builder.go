package codec

import "math"

// A Builder writes one message into a caller's bytes, for instance a claim on a ring, and allocates nothing. The zero
// value is ready for Reset, and one Builder may build any number of messages, one after the other.
//
//	var b codec.Builder
//	b.Reset(buf, codec.Header{Domain: codec.DomainMarketData, Source: codec.SourceTestClient, TimestampNs: now})
//	trade.AppendTo(&b)
//	n, err := b.Finish()
//
// The first error stays: what is added after it is ignored, and Finish returns it, so that nothing needs to be checked
// in between. A Builder is for one goroutine.
type Builder struct {
	buf []byte
	off int // where the next TLV goes; beyond HeaderSize only while err is nil
	err error
}

// Reset begins a message at the start of buf with header h. Of h, PayloadSize and Checksum are ignored, and a Version
// of
// 0 becomes [Version]. The message may use all of len(buf); [Size] tells how much it needs.
func (b *Builder) Reset(buf []byte, h Header) {
	if len(buf) < HeaderSize {
		*b = Builder{err: ErrNoRoom}
		return
	}
	if h.Version == 0 {
		h.Version = Version
	}
	h.PayloadSize, h.Checksum = 0, 0
	h.Encode(buf)
	b.buf, b.off, b.err = buf, HeaderSize, nil
}

// Reserve adds a TLV of type t and returns the n bytes of its value, to be filled before Finish: they hold whatever the
// buffer held. Any type may be added, registered or not. Up to MaxStandard bytes it has the standard form, beyond (and
// for type 255, which is the mark of that form) the extended one. It returns nil, and the Builder keeps the error, when
// n
// does not fit: [ErrNoRoom], or [ErrTooLarge] if n is negative or more than MaxValue.
func (b *Builder) Reserve(t Type, n int) []byte {
	start := b.off + standardHeader
	end := start + n
	if uint(n) > MaxStandard || t == TypeExtended || uint(end) > uint(len(b.buf)) || b.err != nil {
		return b.ReserveExtended(t, n)
	}
	b.buf[b.off], b.buf[b.off+1] = byte(t), byte(n)
	b.off = end
	return b.buf[start:end:end]
}

// ReserveExtended is Reserve with the extended form whatever the length. Values of up to MaxStandard bytes do not need
// it, and some old consumers cannot read it; it is there to write again what was read.
func (b *Builder) ReserveExtended(t Type, n int) []byte {
	if b.err != nil {
		return nil
	}
	if uint(n) > MaxValue {
		b.err = ErrTooLarge
		return nil
	}
	end := b.off + extendedHeader + n
	if end > len(b.buf) {
		b.err = ErrNoRoom
		return nil
	}
	d := b.buf[b.off:end:end]
	d[0], d[1], d[2] = byte(TypeExtended), 0, byte(t)
	le.PutUint16(d[3:], uint16(n))
	b.off = end
	return d[extendedHeader:]
}

// Append adds a TLV of type t with a copy of value. Its form and its errors are those of Reserve.
func (b *Builder) Append(t Type, value []byte) {
	copy(b.Reserve(t, len(value)), value)
}

// AppendExtended is Append with the form of ReserveExtended.
func (b *Builder) AppendExtended(t Type, value []byte) {
	copy(b.ReserveExtended(t, len(value)), value)
}

// Len is the size in bytes of the message so far.
func (b *Builder) Len() int { return b.off }

// Err returns the error that Finish would return.
func (b *Builder) Err() error { return b.err }

// Finish completes the message with its checksum, and returns its size in bytes. More may be added after it, and then
// Finish called again. The checksum of a short message takes several times as long as the rest of its building; where
// the bytes do not leave the machine's memory, FinishUnchecked will do.
func (b *Builder) Finish() (int, error) {
	n, err := b.FinishUnchecked()
	if err != nil {
		return 0, err
	}
	le.PutUint32(b.buf[offChecksum:], Checksum(b.buf[:n]))
	return n, nil
}

// FinishUnchecked completes the message with checksum 0, which means absent, and returns its size in bytes.
func (b *Builder) FinishUnchecked() (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	if uint64(b.off-HeaderSize) > math.MaxUint32 {
		b.err = ErrTooLarge
		return 0, b.err
	}
	h := (*[HeaderSize]byte)(b.buf)
	le.PutUint32(h[offPayloadSize:], uint32(b.off-HeaderSize))
	le.PutUint32(h[offChecksum:], 0)
	return b.off, nil
}
