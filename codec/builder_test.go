package codec

import (
	"bytes"
	"errors"
	"testing"

	"pgregory.net/rapid"
)

type tlv struct {
	typ      Type
	extended bool
	value    []byte
}

func drawTLVs(t *rapid.T) []tlv {
	var all []tlv
	for range rapid.IntRange(0, 6).Draw(t, "TLVs") {
		n := rapid.OneOf(rapid.IntRange(0, 300), rapid.SampledFrom([]int{0, 254, 255, 256, 65535})).Draw(t, "length")
		v := bytes.Repeat([]byte{byte(n)}, n)
		all = append(all, tlv{Type(rapid.Byte().Draw(t, "type")), rapid.Bool().Draw(t, "extended"), v})
	}
	return all
}

func TestWhatIsBuiltIsWalked(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawTLVs(t)
		h := Header{
			Domain: Domain(rapid.Byte().Draw(t, "domain")), Version: rapid.ByteMin(1).Draw(t, "version"),
			Source: Source(rapid.Byte().Draw(t, "source")), Flags: rapid.Byte().Draw(t, "flags"),
			Sequence: rapid.Uint64().Draw(t, "sequence"), TimestampNs: rapid.Uint64().Draw(t, "timestamp"),
		}
		size := HeaderSize
		for i, v := range want {
			switch {
			case v.typ == TypeExtended || len(v.value) > MaxStandard:
				want[i].extended = true
				size += extendedHeader + len(v.value)
			case v.extended:
				size += extendedHeader + len(v.value)
			default:
				size += TLVSize(len(v.value))
			}
		}
		buf := make([]byte, size)
		var b Builder
		b.Reset(buf, h)
		for _, v := range want {
			if v.extended && v.typ != TypeExtended && len(v.value) <= MaxStandard {
				b.AppendExtended(v.typ, v.value)
			} else {
				b.Append(v.typ, v.value)
			}
		}
		n, err := b.Finish()
		if err != nil || n != size || n != b.Len() {
			t.Fatalf("finish: %d, %v, want %d", n, err, size)
		}
		m, err := Parse(buf)
		if err != nil {
			t.Fatal(err)
		}
		got := m.Header()
		if got.Checksum != Checksum(buf) || int(got.PayloadSize) != size-HeaderSize || got.MessageSize() != int64(size) {
			t.Fatalf("header %+v", got)
		}
		got.Checksum, got.PayloadSize = 0, 0
		if got != h {
			t.Fatalf("header %+v, want %+v", got, h)
		}
		i := 0
		for c := m.Cursor(); c.Next(); i++ {
			if c.Type != want[i].typ || c.Extended != want[i].extended || !bytes.Equal(c.Value, want[i].value) {
				t.Fatalf("TLV %d is %v %v %x", i, c.Type, c.Extended, c.Value)
			}
		}
		if i != len(want) {
			t.Fatalf("%d TLVs, want %d", i, len(want))
		}
		i = 0
		for typ, value := range m.TLVs() {
			if typ != want[i].typ || !bytes.Equal(value, want[i].value) {
				t.Fatalf("TLV %d is %v %x", i, typ, value)
			}
			first, ok := m.Find(typ)
			if j := firstOf(want, typ); !ok || !bytes.Equal(first, want[j].value) {
				t.Fatalf("find %v: %x %v", typ, first, ok)
			}
			i++
		}
		if i != len(want) {
			t.Fatalf("%d TLVs, want %d", i, len(want))
		}
		if firstOf(want, 77) < 0 {
			if _, ok := m.Find(77); ok {
				t.Fatal("found a type that is not there")
			}
		}
	})
}

func firstOf(all []tlv, typ Type) int {
	for i, v := range all {
		if v.typ == typ {
			return i
		}
	}
	return -1
}

func TestABuilderKeepsItsFirstError(t *testing.T) {
	big := make([]byte, 70000)
	for _, c := range []struct {
		name string
		size int
		add  func(b *Builder)
		err  error
	}{
		{"no room for the header", HeaderSize - 1, func(*Builder) {}, ErrNoRoom},
		{"no room for a value", Size(TradeSize) - 1, btc.AppendTo, ErrNoRoom},
		{"no room for an extended value", Size(300) - 1, func(b *Builder) { b.Append(200, big[:300]) }, ErrNoRoom},
		{"no room for a short extended value", Size(3) + 2, func(b *Builder) { b.AppendExtended(200, big[:3]) }, ErrNoRoom},
		{"a value beyond the longest", 70000, func(b *Builder) { b.Append(200, big[:MaxValue+1]) }, ErrTooLarge},
		{"a negative length", 70000, func(b *Builder) { b.Reserve(200, -1) }, ErrTooLarge},
		{"the largest length", 70000, func(b *Builder) { b.Reserve(200, int(^uint(0)>>1)) }, ErrTooLarge},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b Builder
			b.Reset(make([]byte, c.size), Header{})
			c.add(&b)
			b.Append(TypeText, nil) // would fit nearly everywhere
			if d := b.Reserve(TypeText, 0); d != nil {
				t.Error("room after an error")
			}
			if n, err := b.Finish(); n != 0 || !errors.Is(err, c.err) || b.Err() != err {
				t.Errorf("finish: %d, %v, want %v", n, err, c.err)
			}
			b.Reset(big, Header{})
			if _, err := b.Finish(); err != nil {
				t.Errorf("after Reset: %v", err)
			}
		})
	}
}

func TestABuilderWritesExactlyItsMessage(t *testing.T) {
	buf := bytes.Repeat([]byte{0xAA}, 200)
	var b Builder
	b.Reset(buf, Header{Checksum: 1, PayloadSize: 2})
	btc.AppendTo(&b)
	n, err := b.FinishUnchecked()
	if err != nil || n != Size(TradeSize) {
		t.Fatalf("finish: %d, %v", n, err)
	}
	if !bytes.Equal(buf[n:], bytes.Repeat([]byte{0xAA}, 200-n)) {
		t.Error("bytes after the message were written")
	}
	m, err := Parse(buf[:n])
	if h := m.Header(); err != nil || h.Version != Version || h.Checksum != 0 || h.PayloadSize != 42 {
		t.Errorf("header %+v, %v", h, err)
	}
	// More may be added after Finish, and a value's room ends where the next TLV begins.
	d := b.Reserve(TypeText, 2)
	if len(d) != 2 || cap(d) != 2 {
		t.Errorf("reserved %d of %d", len(d), cap(d))
	}
	copy(d, "ok")
	if n, err = b.Finish(); err != nil || n != Size(TradeSize, 2) {
		t.Fatalf("finish: %d, %v", n, err)
	}
	if m, err = Parse(buf[:n]); err != nil || m.VerifyChecksum() != nil || !m.HasChecksum() {
		t.Errorf("parse: %v, %v", err, m.VerifyChecksum())
	}
}

func TestNoAllocations(t *testing.T) {
	buf := make([]byte, Size(TradeSize, OrderBookSize, EventPositionSize))
	var b Builder
	var book OrderBook
	var trade Trade
	var pos EventPosition
	rules := RulesFor(ProfileLenient, DomainMarketData)
	rules.Types, rules.Plausible = true, true
	v := NewValidator(rules)
	h := Header{Domain: DomainMarketData, Source: SourceTestClient, Sequence: 1}
	allocs := testing.AllocsPerRun(100, func() {
		b.Reset(buf, h)
		btc.AppendTo(&b)
		book.AppendTo(&b)
		pos.AppendTo(&b)
		n, err := b.Finish()
		if err != nil || n != len(buf) {
			t.Fatal(n, err)
		}
		m, err := Parse(buf)
		if err != nil {
			t.Fatal(err)
		}
		if err := v.Check(m, 0); err != nil {
			t.Fatal(err)
		}
		seen := 0
		for typ, value := range m.TLVs() {
			switch typ {
			case TypeTrade:
				err = trade.Decode(value)
			case TypeOrderBook:
				err = book.Decode(value)
			case TypeEventPosition:
				err = pos.Decode(value)
			}
			if err != nil {
				t.Fatal(err)
			}
			seen++
		}
		for c := m.Cursor(); c.Next(); {
			seen++
		}
		if _, ok := m.Find(TypeEventPosition); !ok || seen != 6 || trade != btc || m.Header().Source != SourceTestClient {
			t.Fatal("not what was built")
		}
		if skip, size := Split(buf, 0); skip != 0 || size != len(buf) {
			t.Fatal(skip, size)
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

func TestStructsDoNotAllocate(t *testing.T) {
	for _, typ := range structTypes {
		s := sample(typ)
		size := registry[typ].StructSize
		if snap, ok := s.(*Snapshot); ok {
			size = snap.Size()
		}
		buf, p := make([]byte, Size(size)), make([]byte, size)
		var b Builder
		allocs := testing.AllocsPerRun(100, func() {
			b.Reset(buf, Header{})
			s.AppendTo(&b)
			s.Encode(p)
			if _, err := b.FinishUnchecked(); err != nil || s.Decode(p) != nil {
				t.Fatal("it failed")
			}
		})
		if allocs != 0 {
			t.Errorf("%v: %v allocations", typ, allocs)
		}
	}
}
