package codec

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A Field is one field of a value, for printing. Its Value is a uint64 or int64; a string for what is longer than 64
// bits
// (in decimal), addresses (0x and hexadecimal), other bytes (hexadecimal) and text; or a list: []Fields or []string.
type Field struct {
	Name  string // snake_case, stable
	Value any
	Label string // what a person would rather read, such as "Kraken" for venue 101 or "45000.5" for a fixed-point price; or ""
}

// Fields are the fields of one value, in the order of their places in it.
type Fields []Field

// FieldsOf reads the fields of a value of type t by the registry: nil for a type that has no struct. It is for tools:
// it
// allocates, where the structs' Decode does not. The errors are those of Decode.
//
// It does not know types 200-254 of messages that have a namespace of their own, such as the bus's control messages,
// from
// those of the registry.
func FieldsOf(t Type, value []byte) (Fields, error) {
	if layouts[t] == nil {
		return nil, nil
	}
	if err := checkValue(t, value); err != nil {
		return nil, err
	}
	fields := make(Fields, 0, len(layouts[t]))
	for _, l := range layouts[t] {
		v, label := l.as(value[l.off:])
		fields = append(fields, Field{l.name, v, label})
	}
	return fields, nil
}

// checkValue reports whether Decode would accept the value.
func checkValue(t Type, p []byte) error {
	size := registry[t].StructSize
	ok := len(p) == size
	switch t {
	case TypeQuote, TypeQuoteUpdate:
		ok = ok || len(p) == QuoteSizeShort
	case TypeSnapshot:
		ok = len(p) >= size
	default:
		ok = ok || size == 0
	}
	if !ok {
		return sizeFault(t, len(p), size)
	}
	switch t {
	case TypeOrderBook:
		if err := checkCount(p, offBids, OrderBookLevels, "OrderBook levels of a side"); err != nil {
			return err
		}
		return checkCount(p, offAsks, OrderBookLevels, "OrderBook levels of a side")
	case TypePoolLiquidity:
		return checkCount(p, 16, PoolReserves, "PoolLiquidity reserves")
	case TypeStateInvalidation:
		return checkCount(p, 16, InvalidatedInstruments, "StateInvalidation instruments")
	}
	return nil
}

func checkCount(p []byte, off, most int, field string) error {
	if n := le.Uint16(p[off:]); int(n) > most {
		return fault(ErrCount, field, off, uint64(n), uint64(most))
	}
	return nil
}

// MarshalJSON gives one object with the fields in their order. Labels are not in it.
func (f Fields) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, field := range f {
		if i > 0 {
			b.WriteByte(',')
		}
		v, err := json.Marshal(field.Value)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, "%q:%s", field.Name, v)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// String gives name=value pairs on one line, with labels in place of the values that have one.
func (f Fields) String() string {
	var b strings.Builder
	for i, field := range f {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(field.Name)
		b.WriteByte('=')
		switch v := field.Value.(type) {
		case []Fields:
			b.WriteByte('[')
			for j, entry := range v {
				if j > 0 {
					b.WriteString(", ")
				}
				b.WriteString(entry.String())
			}
			b.WriteByte(']')
		case string:
			if v == "" || strings.ContainsFunc(v, needsQuote) {
				v = strconv.Quote(v) // whatever a sender wrote, it does not reach a terminal as control characters
			}
			b.WriteString(v)
		default:
			if field.Label != "" {
				b.WriteString(field.Label)
			} else {
				fmt.Fprint(&b, v)
			}
		}
	}
	return b.String()
}

func needsQuote(r rune) bool {
	return r == ' ' || r == '"' || r == utf8.RuneError || !unicode.IsPrint(r)
}

// A reading reads one field from the bytes that begin with it: its Value and Label. checkValue has been there before.
type reading func(b []byte) (any, string)

func asU8(b []byte) (any, string)      { return uint64(b[0]), "" }
func asU16(b []byte) (any, string)     { return uint64(le.Uint16(b)), "" }
func asU32(b []byte) (any, string)     { return uint64(le.Uint32(b)), "" }
func asU64(b []byte) (any, string)     { return le.Uint64(b), "" }
func asI32(b []byte) (any, string)     { return int64(int32(le.Uint32(b))), "" }
func asI64(b []byte) (any, string)     { return int64(le.Uint64(b)), "" }
func asU128(b []byte) (any, string)    { return u128(b).String(), "" }
func asU256(b []byte) (any, string)    { return u256(b).String(), "" }
func asAddress(b []byte) (any, string) { return Address(b[:20]).String(), "" }
func asHex2(b []byte) (any, string)    { return hex.EncodeToString(b[:2]), "" }
func asHex8(b []byte) (any, string)    { return hex.EncodeToString(b[:8]), "" }
func asHex20(b []byte) (any, string)   { return hex.EncodeToString(b[:20]), "" }

func asVenue(b []byte) (any, string) {
	v := le.Uint16(b)
	return uint64(v), Venue(v).String()
}
func asAssetType(b []byte) (any, string) { return uint64(b[0]), AssetType(b[0]).String() }
func asSide(b []byte) (any, string)      { return uint64(b[0]), Side(b[0]).String() }
func asPoolType(b []byte) (any, string)  { return uint64(b[0]), PoolType(b[0]).String() }
func asHealth(b []byte) (any, string)    { return uint64(b[0]), Health(b[0]).String() }
func asReason(b []byte) (any, string) {
	return uint64(b[0]), StateInvalidationReason(b[0]).String()
}

func asAsset(b []byte) (any, string) {
	id := le.Uint64(b)
	symbol, _ := AssetSymbol(id)
	return id, symbol
}

// asE8 reads a fixed-point number with eight decimals.
func asE8(b []byte) (any, string) {
	v := int64(le.Uint64(b))
	sign, abs := "", uint64(v)
	if v < 0 {
		sign, abs = "-", -abs
	}
	label := fmt.Sprintf("%s%d.%08d", sign, abs/1e8, abs%1e8)
	return v, strings.TrimRight(strings.TrimRight(label, "0"), ".")
}

// asText reads all that is left, as text if it is UTF-8 and as hexadecimal otherwise.
func asText(b []byte) (any, string) {
	if utf8.Valid(b) {
		return string(b), ""
	}
	return hex.EncodeToString(b), ""
}

func asLevels(b []byte) (any, string) {
	levels := make([]Fields, le.Uint16(b))
	for i := range levels {
		l := b[offLevels+OrderLevelSize*i:]
		levels[i] = Fields{
			{Name: "price", Value: int64(le.Uint64(l))},
			{Name: "size", Value: int64(le.Uint64(l[8:]))},
			{Name: "order_count", Value: uint64(le.Uint32(l[16:]))},
		}
	}
	return levels, ""
}

func asReserves(b []byte) (any, string) {
	reserves := make([]string, le.Uint16(b))
	for i := range reserves {
		reserves[i] = u128(b[16+16*i:]).String()
	}
	return reserves, ""
}

func asInstruments(b []byte) (any, string) {
	list := make([]Fields, le.Uint16(b))
	for i := range list {
		e := b[8+InstrumentSize*i:]
		asset, symbol := asAsset(e)
		venue, venueName := asVenue(e[8:])
		sort, sortName := asAssetType(e[10:])
		list[i] = Fields{
			{"asset_id", asset, symbol}, {"venue_id", venue, venueName}, {"asset_type", sort, sortName},
			{Name: "reserved", Value: uint64(e[11])},
		}
	}
	return list, ""
}
