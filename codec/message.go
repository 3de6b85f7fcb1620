package codec

import "iter"

// A Message is a view of one whole message in somebody else's bytes. It copies nothing: it, and every value that comes
// out of it, lives as long as those bytes do and stay unchanged. The zero Message is not valid. Any number of
// goroutines
// may read one.
type Message struct {
	b []byte // header and payload, checked by Parse
}

// Parse views b as one message, which must fill it exactly. It checks magic, payload size and the framing of every TLV,
// so that the walk over a Message cannot fail; it looks neither at types nor at values, nor at the checksum, which is
// [Message.VerifyChecksum]'s. It does not allocate unless it fails.
//
// The errors are [ErrShort], [ErrMagic], [ErrTrailing] and [ErrFraming]. To find messages in a stream see [Split].
func Parse(b []byte) (Message, error) {
	if len(b) < HeaderSize || le.Uint32(b) != Magic {
		_, err := ParseHeader(b)
		return Message{}, err
	}
	payload := b[HeaderSize:]
	if uint64(le.Uint32(b[offPayloadSize:])) != uint64(len(payload)) {
		return Message{}, payloadFault(b)
	}
	if n := framed(payload); n != len(payload) {
		return Message{}, framingFault(payload, n, HeaderSize)
	}
	return Message{b}, nil
}

func payloadFault(b []byte) error {
	want, got := uint64(le.Uint32(b[offPayloadSize:])), uint64(len(b)-HeaderSize)
	err := ErrShort
	if got > want {
		err = ErrTrailing
	}
	return fault(err, "bytes after the header", HeaderSize, got, want)
}

// Bytes returns the whole message, header and payload.
func (m Message) Bytes() []byte { return m.b }

// Payload returns the bytes after the header: the TLVs.
func (m Message) Payload() []byte { return m.b[HeaderSize:] }

// Header returns a copy of the header.
func (m Message) Header() Header { return readHeader((*[HeaderSize]byte)(m.b)) }

// Domain returns the domain byte; see [Numbering] for what it means.
func (m Message) Domain() Domain { return Domain(m.b[offDomain]) }

// Source returns the source byte.
func (m Message) Source() Source { return Source(m.b[offSource]) }

// Sequence returns the sender's sequence number. It is advisory.
func (m Message) Sequence() uint64 { return le.Uint64(m.b[offSequence:]) }

// TimestampNs returns the time the message was built, in nanoseconds since the Unix epoch.
func (m Message) TimestampNs() uint64 { return le.Uint64(m.b[offTimestamp:]) }

// Cursor returns a cursor before the first TLV. Its Err is always nil.
func (m Message) Cursor() Cursor { return Cursor{buf: m.b[HeaderSize:]} }

// TLVs yields type and value of each TLV in order, of known and unknown types alike, whatever their form.
// The values are not copied, and the walk does not allocate.
func (m Message) TLVs() iter.Seq2[Type, []byte] {
	return func(yield func(Type, []byte) bool) {
		p := m.b[HeaderSize:]
		for len(p) >= standardHeader {
			t, start, end := Type(p[0]), standardHeader, standardHeader+int(p[1])
			if t == TypeExtended {
				t, start, end = extended(p)
			}
			if uint(end) > uint(len(p)) {
				return // Parse saw to it that this cannot be, unless the bytes have changed since
			}
			if !yield(t, p[start:end:end]) {
				return
			}
			p = p[end:]
		}
	}
}

// Find returns the value of the first TLV of type t, and whether there is one. A value of length 0 is found too.
func (m Message) Find(t Type) (value []byte, ok bool) {
	for c := m.Cursor(); c.Next(); {
		if c.Type == t {
			return c.Value, true
		}
	}
	return nil, false
}
