package codec

import (
	"bytes"
	"testing"
)

func FuzzHeader(f *testing.F) {
	for _, v := range vectors {
		f.Add(must(hexBytes(v)))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := ParseHeader(b)
		if (err == nil) != (len(b) >= HeaderSize && bytes.HasPrefix(b, magicBytes)) {
			t.Fatalf("%x: %v", b, err)
		}
		if err != nil {
			return
		}
		var again [HeaderSize]byte
		h.Encode(again[:])
		if !bytes.Equal(again[:], b[:HeaderSize]) {
			t.Fatalf("encoded again %x, was %x", again, b[:HeaderSize])
		}
	})
}

func FuzzWalk(f *testing.F) {
	f.Add([]byte{0xC8, 4, 1, 2, 3, 4})
	f.Add([]byte{0xFF, 0, 3, 5, 0, 1, 2, 3, 4, 5})
	f.Add(append([]byte{0xFF, 0, 0xC8, 0x2C, 1}, bytes.Repeat([]byte{1}, 300)...))
	f.Fuzz(func(t *testing.T, p []byte) {
		var b Builder
		buf := make([]byte, HeaderSize+len(p))
		b.Reset(buf, Header{})
		c := Walk(p)
		for c.Next() {
			if c.Extended {
				b.AppendExtended(c.Type, c.Value)
			} else {
				b.Append(c.Type, c.Value)
			}
		}
		n, err := b.Finish()
		if err != nil {
			t.Fatal(err)
		}
		walked := framed(p)
		if !bytes.Equal(buf[HeaderSize:n], p[:walked]) {
			t.Fatalf("built again %x, was %x", buf[HeaderSize:n], p[:walked])
		}
		if (c.Err() == nil) != (walked == len(p)) {
			t.Fatalf("%d of %d bytes framed, %v", walked, len(p), c.Err())
		}
	})
}

func FuzzMessage(f *testing.F) {
	for _, v := range vectors {
		f.Add(must(hexBytes(v)), uint8(0))
	}
	f.Fuzz(func(t *testing.T, b []byte, profile uint8) {
		skip, size := Split(b, 0)
		if skip+size > len(b) {
			t.Fatalf("skip %d, size %d of %d", skip, size, len(b))
		}
		m, err := Parse(b)
		if err == nil && len(b) <= MaxMessage && (skip != 0 || size != len(b)) {
			t.Fatalf("a message, but Split gives skip %d, size %d of %d", skip, size, len(b))
		}
		if err != nil {
			if m.b != nil {
				t.Fatal("a Message and an error")
			}
			return
		}
		n := HeaderSize
		c := m.Cursor()
		for typ, value := range m.TLVs() {
			if !c.Next() || c.Type != typ || !bytes.Equal(c.Value, value) {
				t.Fatalf("the cursor is at %v %x, TLVs at %v %x", c.Type, c.Value, typ, value)
			}
			if n += TLVSize(len(value)); c.Extended && len(value) <= MaxStandard {
				n += extendedHeader - standardHeader
			}
		}
		if c.Next() || c.Err() != nil || n != len(b) {
			t.Fatalf("walked %d of %d bytes, %v", n, len(b), c.Err())
		}
		for d := range DomainSystem + 1 {
			r := RulesFor(Profile(profile%5), d)
			if err := NewValidator(r).Check(m, m.TimestampNs()); err != nil && err.Error() == "" {
				t.Fatal("an error without words")
			}
		}
	})
}

func FuzzStruct(f *testing.F) {
	for _, typ := range structTypes {
		p := make([]byte, registry[typ].StructSize)
		if s, ok := sample(typ).(*Snapshot); ok {
			p = make([]byte, s.Size())
		}
		sample(typ).Encode(p)
		f.Add(uint8(typ), p)
	}
	f.Add(uint8(TypeQuote), make([]byte, QuoteSizeShort))
	f.Fuzz(func(t *testing.T, typ uint8, p []byte) {
		if newStruct(Type(typ)) == nil {
			if fields, err := FieldsOf(Type(typ), p); err != nil || Type(typ) != TypeText && fields != nil {
				t.Fatalf("fields %v, %v of a type without a struct", fields, err)
			}
			return
		}
		checkRoundTrip(t, Type(typ), p)
		fields, err := FieldsOf(Type(typ), p)
		if err != nil {
			return
		}
		if _, err := fields.MarshalJSON(); err != nil || fields.String() == "" {
			t.Fatalf("printing %v: %v", fields, err)
		}
		_ = checkPlausible(Type(typ), p)
	})
}
