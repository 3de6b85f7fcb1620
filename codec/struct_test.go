package codec

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"unicode"

	"pgregory.net/rapid"
)

// wire is what all structs have in common.
type wire interface {
	Decode([]byte) error
	Encode([]byte)
	AppendTo(*Builder)
}

// newStruct returns an empty struct of the type, or nil if it has none.
func newStruct(t Type) wire {
	switch t {
	case TypeTrade:
		return new(Trade)
	case TypeQuote:
		return new(Quote)
	case TypeOrderBook:
		return new(OrderBook)
	case TypePoolLiquidity:
		return new(PoolLiquidity)
	case TypePoolSwap:
		return new(PoolSwap)
	case TypePoolMint:
		return new(PoolMint)
	case TypePoolBurn:
		return new(PoolBurn)
	case TypePoolTick:
		return new(PoolTick)
	case TypePoolState:
		return new(PoolState)
	case TypePoolSync:
		return new(PoolSync)
	case TypeQuoteUpdate:
		return new(QuoteUpdate)
	case TypeGasPrice:
		return new(GasPrice)
	case TypeStateInvalidationReason:
		return new(StateInvalidationReason)
	case TypeSignalIdentity:
		return new(SignalIdentity)
	case TypeArbitrageSignal:
		return new(ArbitrageSignal)
	case TypeOrderRequest:
		return new(OrderRequest)
	case TypeOrderStatus:
		return new(OrderStatus)
	case TypeHeartbeat:
		return new(Heartbeat)
	case TypeSnapshot:
		return new(Snapshot)
	case TypeStateInvalidation:
		return new(StateInvalidation)
	case TypeSystemHealth:
		return new(SystemHealth)
	case TypeTraceContext:
		return new(TraceContext)
	case TypeRecoveryRequest:
		return new(RecoveryRequest)
	case TypeEventPosition:
		return new(EventPosition)
	}
	return nil
}

var structTypes = func() (all []Type) {
	for t := range 256 {
		if newStruct(Type(t)) != nil {
			all = append(all, Type(t))
		}
	}
	return all
}()

// sample returns a struct in which every byte of every field is different from its neighbours.
func sample(t Type) wire {
	size := registry[t].StructSize
	p := make([]byte, size)
	for i := range p {
		p[i] = byte(i*7 + 1)
	}
	switch t {
	case TypeOrderBook:
		le.PutUint16(p[offBids:], 2)
		le.PutUint16(p[offAsks:], 3)
	case TypePoolLiquidity:
		le.PutUint16(p[16:], 3)
	case TypeStateInvalidation:
		le.PutUint16(p[16:], 2)
	case TypeSnapshot:
		p = append(p, `{"version":1}`...)
	}
	s := newStruct(t)
	if err := s.Decode(p); err != nil {
		panic(err)
	}
	return s
}

// fieldSize is how many bytes a field takes, padding after it left out. The size of a reading is known by trying it.
func fieldSize(t Type, l fieldLayout, value []byte) int {
	switch reflect.ValueOf(l.as).Pointer() {
	case reflect.ValueOf(asLevels).Pointer(), reflect.ValueOf(asReserves).Pointer(), reflect.ValueOf(asInstruments).Pointer():
		return -1
	case reflect.ValueOf(asText).Pointer():
		return len(value) - l.off
	}
	for n := 1; ; n++ {
		if reads(l.as, n) {
			return n
		}
	}
}

func reads(as reading, n int) (ok bool) {
	defer func() { ok = recover() == nil }()
	as(make([]byte, n))
	return
}

// payloadMask returns which bytes of a value belong to fields: the others are padding.
func payloadMask(t Type, value []byte) []bool {
	mask := make([]bool, len(value))
	mark := func(off, n int) {
		for i := range n {
			if off+i < len(mask) {
				mask[off+i] = true
			}
		}
	}
	for _, l := range layouts[t] {
		switch n := fieldSize(t, l, value); {
		case n >= 0:
			mark(l.off, n)
		case t == TypeOrderBook:
			mark(l.off, 2)
			mark(l.off+offLevels, OrderBookLevels*OrderLevelSize)
		case t == TypePoolLiquidity:
			mark(l.off, 2)
			mark(l.off+16, PoolReserves*16)
		case t == TypeStateInvalidation:
			mark(l.off, 2)
			mark(l.off+8, InvalidatedInstruments*InstrumentSize)
		}
	}
	return mask
}

// checkRoundTrip holds a value to the promise: what decodes encodes to the same bytes, padding becomes zeros, and what
// was encoded decodes to the same struct.
func checkRoundTrip(t interface {
	Fatalf(string, ...any)
	Helper()
}, typ Type, value []byte) {
	t.Helper()
	s := newStruct(typ)
	err := s.Decode(value)
	if (err == nil) != (checkValue(typ, value) == nil) {
		t.Fatalf("%v: Decode says %v, checkValue %v", typ, err, checkValue(typ, value))
	}
	fields, ferr := FieldsOf(typ, value)
	if (err == nil) != (ferr == nil) {
		t.Fatalf("%v: Decode says %v, FieldsOf %v", typ, err, ferr)
	}
	if err != nil {
		if !errors.Is(err, ErrSize) && !errors.Is(err, ErrCount) {
			t.Fatalf("%v: %v is neither of size nor of count", typ, err)
		}
		return
	}
	want := bytes.Clone(value)
	for i, used := range payloadMask(typ, value) {
		if !used {
			want[i] = 0
		}
	}
	got := bytes.Repeat([]byte{0xAA}, len(value))
	s.Encode(got)
	if !bytes.Equal(got, want) {
		t.Fatalf("%v: decoded and encoded again\n%x, want\n%x", typ, got, want)
	}
	again := newStruct(typ)
	if err := again.Decode(got); err != nil || !reflect.DeepEqual(again, s) {
		t.Fatalf("%v: encoded and decoded again %+v, %v, want %+v", typ, again, err, s)
	}
	checkFields(t, typ, s, fields)
}

// checkFields holds the fields read by the layout to those of the struct, which were read by Decode.
func checkFields(t interface {
	Fatalf(string, ...any)
	Helper()
}, typ Type, s wire, fields Fields) {
	t.Helper()
	v := reflect.ValueOf(s).Elem()
	if v.Kind() == reflect.Uint8 {
		if fields[0].Value != v.Uint() {
			t.Fatalf("%v: field %v, want %d", typ, fields[0], v.Uint())
		}
		return
	}
	n := 0
	for _, f := range fields {
		fv := v.FieldByName(goName(f.Name))
		if in := v.FieldByName("Instrument"); !fv.IsValid() || in.IsValid() && in.Kind() == reflect.Struct && f.Name == "reserved" {
			fv = in.FieldByName(goName(f.Name))
		}
		n++
		got := fmt.Sprint(f.Value)
		want := fmt.Sprint(fv)
		switch {
		case fv.Kind() >= reflect.Int && fv.Kind() <= reflect.Int64:
			want = fmt.Sprint(fv.Int())
		case fv.Kind() >= reflect.Uint && fv.Kind() <= reflect.Uint64:
			want = fmt.Sprint(fv.Uint())
		case fv.Kind() == reflect.Array && fv.Type().Elem().Kind() == reflect.Uint8 && fv.Type() != reflect.TypeFor[Address]():
			want = fmt.Sprintf("%x", fv)
		case f.Name == "body":
			b := fv.Bytes()
			if want = string(b); !strings.EqualFold(got, fmt.Sprintf("%x", b)) && got != want {
				t.Fatalf("%v: body %q, want %q", typ, got, want)
			}
			continue
		case f.Name == "bids", f.Name == "asks":
			count := int(fv.FieldByName("Count").Uint())
			list := f.Value.([]Fields)
			if len(list) != count {
				t.Fatalf("%v: %d %s, want %d", typ, len(list), f.Name, count)
			}
			for i, e := range list {
				l := fv.FieldByName("Levels").Index(i).Interface().(OrderLevel)
				if e[0].Value != l.Price || e[1].Value != l.Size || e[2].Value != uint64(l.OrderCount) {
					t.Fatalf("%v: %s[%d] is %v, want %+v", typ, f.Name, i, e, l)
				}
			}
			continue
		case f.Name == "reserves":
			want = fmt.Sprint(fv.Slice(0, int(v.FieldByName("Count").Uint())))
		case f.Name == "instruments":
			list := f.Value.([]Fields)
			for i, e := range list {
				in := fv.Index(i).Interface().(Instrument)
				if (e[0].Value != in.AssetID) || e[1].Value != uint64(in.VenueID) || e[2].Value != uint64(in.AssetType) || e[3].Value != uint64(in.Reserved) {
					t.Fatalf("%v: instrument %d is %v, want %+v", typ, i, e, in)
				}
			}
			if len(list) != int(v.FieldByName("Count").Uint()) {
				t.Fatalf("%v: %d instruments", typ, len(list))
			}
			continue
		}
		if got != want {
			t.Fatalf("%v: field %s is %s, want %s", typ, f.Name, got, want)
		}
	}
	want := v.NumField()
	if in := v.FieldByName("Instrument"); in.IsValid() && in.Kind() == reflect.Struct {
		want += in.NumField() - 1
	}
	if v.FieldByName("Count").IsValid() {
		want--
	}
	if n != want {
		t.Fatalf("%v: %d fields, the struct has %d", typ, n, want)
	}
}

// goName is the Go name of a field.
func goName(snake string) string {
	var b strings.Builder
	for _, p := range strings.Split(snake, "_") {
		switch p {
		case "id", "usd", "cpu", "tlv":
			b.WriteString(strings.ToUpper(p))
		default:
			b.WriteString(strings.ToUpper(p[:1]) + p[1:])
		}
	}
	return b.String()
}

func snake(camel string) string {
	var b strings.Builder
	for i, r := range camel {
		if unicode.IsUpper(r) && i > 0 {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

func TestEveryStructIsInTheRegistry(t *testing.T) {
	for i := range 256 {
		typ := Type(i)
		if has, size := newStruct(typ) != nil, registry[typ].StructSize; has != (size > 0) || has && layouts[typ] == nil {
			t.Errorf("%v: struct %v, size %d, layout %v", typ, has, size, layouts[typ] != nil)
		}
	}
}

func TestStructsRoundTrip(t *testing.T) {
	for _, typ := range structTypes {
		t.Run(typ.String(), rapid.MakeCheck(func(t *rapid.T) {
			value := rapid.SliceOfN(rapid.Byte(), registry[typ].StructSize, registry[typ].StructSize).Draw(t, "value")
			switch typ {
			case TypeOrderBook:
				le.PutUint16(value[offBids:], rapid.Uint16Max(OrderBookLevels+1).Draw(t, "bids"))
				le.PutUint16(value[offAsks:], rapid.Uint16Max(OrderBookLevels+1).Draw(t, "asks"))
			case TypePoolLiquidity, TypeStateInvalidation:
				le.PutUint16(value[16:], rapid.Uint16Max(InvalidatedInstruments+1).Draw(t, "count"))
			case TypeQuote, TypeQuoteUpdate:
				if rapid.Bool().Draw(t, "short") {
					value = value[:QuoteSizeShort]
				}
			case TypeSnapshot:
				value = append(value, rapid.SliceOf(rapid.Byte()).Draw(t, "body")...)
			}
			checkRoundTrip(t, typ, value)
		}))
	}
}

func TestStructsOfTheWrongLengthAreRefused(t *testing.T) {
	for _, typ := range structTypes {
		size := registry[typ].StructSize
		for _, n := range []int{0, 1, size - 1, size + 1, size + 100} {
			if n == size || n > size && typ == TypeSnapshot {
				continue
			}
			if err := newStruct(typ).Decode(make([]byte, n)); !errors.Is(err, ErrSize) {
				t.Errorf("%v of %d bytes: %v, want %v", typ, n, err, ErrSize)
			}
		}
	}
}

func TestCountsBeyondTheRoomAreRefused(t *testing.T) {
	for _, c := range []struct {
		typ       Type
		off, most int
	}{
		{TypeOrderBook, offBids, OrderBookLevels}, {TypeOrderBook, offAsks, OrderBookLevels},
		{TypePoolLiquidity, 16, PoolReserves}, {TypeStateInvalidation, 16, InvalidatedInstruments},
	} {
		p := make([]byte, registry[c.typ].StructSize)
		le.PutUint16(p[c.off:], uint16(c.most))
		if err := newStruct(c.typ).Decode(p); err != nil {
			t.Errorf("%v with %d: %v", c.typ, c.most, err)
		}
		le.PutUint16(p[c.off:], uint16(c.most+1))
		if err := newStruct(c.typ).Decode(p); !errors.Is(err, ErrCount) {
			t.Errorf("%v with %d: %v, want %v", c.typ, c.most+1, err, ErrCount)
		}
	}
}
