package control

import (
	"encoding/binary"
	"fmt"
	"unicode/utf8"
)

// wire walks a message's fields: it encodes them, decodes them, or describes them. The first error stays, and what
// follows it does nothing.
//
// In bytes: numbers are little-endian; text, bytes and lists begin with a u16, the length in bytes or the number of
// entries; a flag is a byte, 0 or 1. Nothing is aligned. Part of the format.
type wire struct {
	mode mode
	buf  []byte // encoding: what was written; decoding: what is left
	err  error

	described []Field
}

type mode uint8

const (
	encoding mode = iota
	decoding
	describing
)

// Field describes one field of a message for documentation.
type Field struct {
	Name string // a list's entries as "topics[].name"
	Form string // u8, u16, u32, u64, flag, text, bytes, list
	Max  int    // bytes, for text and bytes
}

var le = binary.LittleEndian

// fail keeps the first error.
func (w *wire) fail(field, format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf("%w: field %s: %s", ErrMessage, field, fmt.Sprintf(format, args...))
	}
}

// take returns the next n bytes of what is decoded, nil if they are not there.
func (w *wire) take(field string, n int) []byte {
	if w.err != nil {
		return nil
	}
	if n > len(w.buf) {
		w.fail(field, "%d bytes are left, want %d", len(w.buf), n)
		return nil
	}
	b := w.buf[:n:n]
	w.buf = w.buf[n:]
	return b
}

func (w *wire) describe(name, form string, limit int) {
	w.described = append(w.described, Field{name, form, limit})
}

func (w *wire) u16(name string, p *uint16) {
	switch w.mode {
	case encoding:
		w.buf = le.AppendUint16(w.buf, *p)
	case decoding:
		if b := w.take(name, 2); b != nil {
			*p = le.Uint16(b)
		}
	case describing:
		w.describe(name, "u16", 0)
	}
}

func (w *wire) u32(name string, p *uint32) {
	switch w.mode {
	case encoding:
		w.buf = le.AppendUint32(w.buf, *p)
	case decoding:
		if b := w.take(name, 4); b != nil {
			*p = le.Uint32(b)
		}
	case describing:
		w.describe(name, "u32", 0)
	}
}

func (w *wire) u64(name string, p *uint64) {
	switch w.mode {
	case encoding:
		w.buf = le.AppendUint64(w.buf, *p)
	case decoding:
		if b := w.take(name, 8); b != nil {
			*p = le.Uint64(b)
		}
	case describing:
		w.describe(name, "u64", 0)
	}
}

// enum is a byte between two values.
func (w *wire) enum(name string, p *uint8, low, high uint8) {
	switch w.mode {
	case encoding:
		w.buf = append(w.buf, *p)
	case decoding:
		if b := w.take(name, 1); b != nil {
			*p = b[0]
		}
	case describing:
		w.describe(name, "u8", 0)
		return
	}
	if *p < low || *p > high {
		w.fail(name, "%d is not between %d and %d", *p, low, high)
	}
}

func (w *wire) flag(name string, p *bool) {
	switch w.mode {
	case encoding:
		v := byte(0)
		if *p {
			v = 1
		}
		w.buf = append(w.buf, v)
	case decoding:
		if b := w.take(name, 1); b != nil {
			if b[0] > 1 {
				w.fail(name, "%d is not 0 or 1", b[0])
			}
			*p = b[0] == 1
		}
	case describing:
		w.describe(name, "flag", 0)
	}
}

// text is UTF-8 of at most limit bytes.
func (w *wire) text(name string, p *string, limit int) {
	if w.mode == describing {
		w.describe(name, "text", limit)
		return
	}
	b := []byte(*p)
	w.counted(name, &b, limit)
	if !utf8.Valid(b) {
		w.fail(name, "not UTF-8")
	}
	*p = string(b)
}

// bytes is anything of at most limit bytes; decoded, it is a copy.
func (w *wire) bytes(name string, p *[]byte, limit int) {
	if w.mode == describing {
		w.describe(name, "bytes", limit)
		return
	}
	b := *p
	w.counted(name, &b, limit)
	if w.mode == decoding && len(b) > 0 {
		*p = append([]byte(nil), b...)
	}
}

func (w *wire) counted(name string, p *[]byte, limit int) {
	n := uint16(min(len(*p), 1<<16-1))
	w.u16(name, &n)
	switch {
	case w.mode == encoding && len(*p) > limit, int(n) > limit:
		w.fail(name, "%d bytes, at most %d", max(len(*p), int(n)), limit)
	case w.mode == encoding:
		w.buf = append(w.buf, *p...)
	default:
		*p = w.take(name, int(n))
	}
}

// list is a number of entries that each have fields of their own.
func list[T any](w *wire, name string, p *[]T, fields func(*T, *wire)) {
	if w.mode == describing {
		w.describe(name, "list", 0)
		var entry wire
		entry.mode = describing
		fields(new(T), &entry)
		for _, f := range entry.described {
			w.describe(name+"[]."+f.Name, f.Form, f.Max)
		}
		return
	}
	n := uint16(min(len(*p), 1<<16-1))
	w.u16(name, &n)
	if w.mode == encoding {
		if len(*p) > 1<<16-1 {
			w.fail(name, "%d entries, at most %d", len(*p), 1<<16-1)
		}
		for i := range *p {
			fields(&(*p)[i], w)
		}
		return
	}
	// Entries are added one by one, each of at least a byte that is there: the count alone allocates nothing.
	for i := 0; i < int(n) && w.err == nil; i++ {
		var entry T
		fields(&entry, w)
		if w.err == nil {
			*p = append(*p, entry)
		}
	}
}
