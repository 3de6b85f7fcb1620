package control

import (
	"fmt"

	"github.com/mycelium-bus/mycelium/codec"
)

// header is that of every control message, but for the id in Sequence: there is nobody on the way who would need a time or
// a source, and the kernel's socket needs no checksum.
func header(id uint64) codec.Header {
	return codec.Header{Domain: codec.DomainSystem, Version: codec.Version, Sequence: id}
}

// Encode returns the bytes of a message with its id. It returns an [ErrMessage] that names the field for a value that no
// message can carry.
func Encode(id uint64, m Message) ([]byte, error) {
	w := wire{mode: encoding}
	m.fields(&w)
	if w.err != nil {
		return nil, fmt.Errorf("encode %s: %w", m.Type(), w.err)
	}
	size := codec.Size(len(w.buf))
	if size > MaxMessage {
		return nil, fmt.Errorf("encode %s: %w: %d bytes, at most %d", m.Type(), ErrMessage, size, MaxMessage)
	}
	var b codec.Builder
	out := make([]byte, size)
	b.Reset(out, header(id))
	b.Append(codec.Type(m.Type()), w.buf)
	if _, err := b.FinishUnchecked(); err != nil {
		return nil, fmt.Errorf("encode %s: %w", m.Type(), err)
	}
	return out, nil
}

// Decode reads one message. It keeps nothing of b. What is not exactly one known message is an [ErrMessage] that names what
// is wrong; the id is returned with it where the header could be read, so that the sender can be answered.
func Decode(b []byte) (id uint64, m Message, err error) {
	if len(b) > MaxMessage {
		return 0, nil, fmt.Errorf("%w: %d bytes, at most %d", ErrMessage, len(b), MaxMessage)
	}
	view, err := codec.Parse(b)
	if err != nil {
		return 0, nil, fmt.Errorf("%w: %w", ErrMessage, err)
	}
	h := view.Header()
	want := header(h.Sequence)
	want.PayloadSize = h.PayloadSize
	if h != want {
		return h.Sequence, nil, fmt.Errorf("%w: header %+v, want %+v", ErrMessage, h, want)
	}
	c := view.Cursor()
	if !c.Next() {
		return h.Sequence, nil, fmt.Errorf("%w: no TLV", ErrMessage)
	}
	t, value, extended := Type(c.Type), c.Value, c.Extended
	if extended && len(value) <= codec.MaxStandard {
		return h.Sequence, nil, fmt.Errorf("%w: %s: extended form for a value of %d bytes", ErrMessage, t, len(value))
	}
	if c.Next() {
		return h.Sequence, nil, fmt.Errorf("%w: %s: a second TLV, of type %d", ErrMessage, t, uint8(c.Type))
	}
	m, err = decodeBody(t, value)
	return h.Sequence, m, err
}

func decodeBody(t Type, value []byte) (Message, error) {
	create, ok := known[t]
	if !ok {
		return nil, fmt.Errorf("%w: unknown type %d", ErrMessage, uint8(t))
	}
	m := create()
	w := wire{mode: decoding, buf: value}
	m.fields(&w)
	if w.err != nil {
		return nil, fmt.Errorf("%s: %w", t, w.err)
	}
	if len(w.buf) > 0 {
		return nil, fmt.Errorf("%s: %w: %d bytes after the last field", t, ErrMessage, len(w.buf))
	}
	return m, nil
}

// Describe lists the fields of a message type in the order of their bytes, for documentation; nil for an unknown type.
func Describe(t Type) []Field {
	create, ok := known[t]
	if !ok {
		return nil
	}
	w := wire{mode: describing}
	create().fields(&w)
	return w.described
}
