package codec

import (
	"bytes"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"testing"

	"pgregory.net/rapid"
)

func vector(name string) []byte { return must(hex.DecodeString(vectors[name])) }

// feed gives data to a reader in pieces of at most n bytes, and returns the messages it finds.
func feed(data []byte, n, limit int) (found [][]byte) {
	var kept []byte
	for len(data) > 0 {
		n := min(n, len(data))
		kept, data = append(kept, data[:n]...), data[n:]
		for {
			skip, size := Split(kept, limit)
			if size == 0 {
				kept = kept[skip:]
				break
			}
			found = append(found, bytes.Clone(kept[skip:skip+size]))
			kept = kept[skip+size:]
		}
	}
	return found
}

func wantMessages(t *testing.T, got [][]byte, want ...[]byte) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d messages, want %d", len(got), len(want))
	}
	for i := range got {
		if !bytes.Equal(got[i], want[i]) {
			t.Errorf("message %d is\n%x, want\n%x", i, got[i], want[i])
		}
	}
}

func TestAStreamFindsItselfAgain(t *testing.T) {
	trade, quote, ident := vector("trade_direct"), vector("quote"), vector("identification")
	bad := bytes.Clone(trade)
	bad[0] ^= 1
	huge := bytes.Clone(trade)
	le.PutUint32(huge[offPayloadSize:], 0xFFFFFFFF)
	for _, c := range []struct {
		name string
		data []byte
		want [][]byte
	}{
		{"after a message with a broken magic", slicesOf(bad, quote), [][]byte{quote}},
		{"after a payload size that cannot be", slicesOf(huge, quote), [][]byte{quote}},
		{"after text", slicesOf([]byte("GET / HTTP/1.1\r\n\r\n"), quote), [][]byte{quote}},
		{"after the first bytes of a magic", slicesOf(magicBytes[:3], quote), [][]byte{quote}},
		{"in two messages of one write", slicesOf(trade, quote), [][]byte{trade, quote}},
		{"in an identification and a message", slicesOf(ident, trade), [][]byte{ident, trade}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for n := 1; n <= len(c.data); n++ {
				wantMessages(t, feed(c.data, n, 65536), c.want...)
			}
		})
	}
}

func TestAMessageSplitAnywhereIsOneMessage(t *testing.T) {
	trade := vector("trade_direct")
	for at := 1; at < len(trade); at++ {
		if skip, size := Split(trade[:at], 0); skip != 0 || size != 0 {
			t.Errorf("the first %d bytes: skip %d, size %d", at, skip, size)
		}
		if skip, size := Split(trade, 0); skip != 0 || size != len(trade) {
			t.Errorf("all bytes: skip %d, size %d", skip, size)
		}
	}
}

func TestSplitKeepsNoMoreThanItsLimit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(HeaderSize, 300).Draw(t, "limit")
		var data []byte
		var want [][]byte
		for range rapid.IntRange(0, 8).Draw(t, "messages") {
			noise := rapid.SliceOfN(rapid.ByteRange(0, 0x7F), 0, 40).Draw(t, "noise")
			n := rapid.IntRange(0, 300).Draw(t, "payload")
			msg := make([]byte, HeaderSize+n)
			(&Header{PayloadSize: uint32(n)}).Encode(msg)
			data = append(append(data, noise...), msg...)
			if len(msg) <= limit {
				want = append(want, msg)
			}
		}
		got := feed(data, rapid.IntRange(1, 400).Draw(t, "piece"), limit)
		if len(got) != len(want) {
			t.Fatalf("%d messages, want %d", len(got), len(want))
		}
		skip, size := Split(data, limit)
		if size == 0 && len(data)-skip > limit {
			t.Fatalf("%d bytes kept, the limit is %d", len(data)-skip, limit)
		}
	})
}

func TestABitFlippedUnderAChecksum(t *testing.T) {
	msg := vector("trade_checksum")
	for bit := range 8 * len(msg) {
		bad := bytes.Clone(msg)
		bad[bit/8] ^= 1 << (bit % 8)
		m, err := Parse(bad)
		if err != nil {
			continue // magic, payload size or framing
		}
		lenient, strict := Rules{Checksum: ChecksumSkip, Sizes: SizeSkip, Byte: ByteSkip}, Rules{Byte: ByteSkip}
		if err := lenient.Check(m); err != nil {
			t.Errorf("bit %d: without verification: %v", bit, err)
		}
		if err := strict.Check(m); !errors.Is(err, ErrChecksum) {
			t.Errorf("bit %d: with verification: %v, want %v", bit, err, ErrChecksum)
		}
	}
}

func TestTheWrongChecksumsOfOldProgramsAreWrong(t *testing.T) {
	msg := vector("trade_checksum")
	if got := Checksum(msg); got != 0xa0adf35d {
		t.Errorf("checksum %08x, want a0adf35d", got)
	}
	whole, header := crc32.ChecksumIEEE(msg), crc32.ChecksumIEEE(msg[:offChecksum])
	if whole != 0xb882037c || header != 0xe969715c {
		t.Fatalf("over all bytes %08x, over the header %08x, want b882037c and e969715c", whole, header)
	}
	for _, crc := range []uint32{whole, header} {
		le.PutUint32(msg[offChecksum:], crc)
		if err := must(Parse(msg)).VerifyChecksum(); !errors.Is(err, ErrChecksum) {
			t.Errorf("checksum %08x: %v, want %v", crc, err, ErrChecksum)
		}
	}
	ident := vector("identification")
	if got := Checksum(ident); got != 0x72ee71ee {
		t.Errorf("checksum of the identification %08x, want 72ee71ee", got)
	}
}

func TestATradeOf39Bytes(t *testing.T) {
	msg := vector("trade_direct")
	msg = msg[:len(msg)-1]
	le.PutUint32(msg[offPayloadSize:], uint32(len(msg)-HeaderSize))
	msg[HeaderSize+1] = 39
	m, err := Parse(msg)
	if err != nil {
		t.Fatalf("a well framed message: %v", err) // who forwards it need not understand it
	}
	for _, sizes := range []SizeRule{SizeStructs, SizeFixed, SizeRegistry} {
		r := Rules{Sizes: sizes}
		err := r.Check(m)
		var fe *FormatError
		if !errors.Is(err, ErrSize) || !errors.As(err, &fe) || fe.Got != 39 || fe.Want != 40 || fe.Offset != HeaderSize+2 {
			t.Errorf("rule %d: %v, want %v at byte 34, 39 for 40", sizes, err, ErrSize)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	trade := vector("trade_direct")
	with := func(i int, b byte) []byte {
		msg := bytes.Clone(trade)
		msg[i] = b
		return msg
	}
	payload := func(p ...byte) []byte {
		msg := make([]byte, HeaderSize, HeaderSize+len(p))
		(&Header{PayloadSize: uint32(len(p))}).Encode(msg)
		return append(msg, p...)
	}
	for _, c := range []struct {
		name string
		msg  []byte
		err  error
	}{
		{"nothing", nil, ErrShort},
		{"half a header", trade[:16], ErrShort},
		{"another magic", with(0, 0xEE), ErrMagic},
		{"a payload that is cut short", trade[:len(trade)-1], ErrShort},
		{"bytes after the message", append(bytes.Clone(trade), 0), ErrTrailing},
		{"a payload size of 4 GiB", with(offPayloadSize+3, 0xFF), ErrShort},
		{"a TLV longer than the payload", with(HeaderSize+1, 41), ErrFraming},
		{"a TLV that leaves one byte over", with(HeaderSize+1, 39), ErrFraming},
		{"one byte of a TLV", payload(1), ErrFraming},
		{"an extended TLV without its length", payload(255, 0, 1, 0), ErrFraming},
		{"an extended TLV whose second byte is 1", payload(255, 1, 1, 0, 0), ErrFraming},
		{"an extended TLV longer than the payload", payload(255, 0, 1, 1, 0), ErrFraming},
		{"a standard TLV of the extended form's type", payload(255, 3, 1, 2, 3), ErrFraming},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse(c.msg)
			var fe *FormatError
			if !errors.Is(err, c.err) || !errors.As(err, &fe) || fe.Field == "" {
				t.Errorf("%v, want %v", err, c.err)
			}
		})
	}
	if _, err := Parse(payload(255, 0, 3, 5, 0, 1, 2, 3, 4, 5)); err != nil {
		t.Errorf("a short value in the extended form: %v", err)
	}
}

// Bytes that change under a Message (a sender that breaks the rules of shared memory) may give nonsense, but no fault.
func TestAMessageWhoseBytesChangeDoesNotPanic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		msg := vector("trade_direct")
		m := must(Parse(msg))
		copy(msg, rapid.SliceOfN(rapid.Byte(), len(msg), len(msg)).Draw(t, "bytes"))
		n := 0
		for _, value := range m.TLVs() {
			n += len(value)
		}
		for c := m.Cursor(); c.Next(); {
			n += len(c.Value)
		}
		m.Find(3)
		_ = m.VerifyChecksum()
		_ = (&Rules{}).Check(m)
		if n > 2*len(msg) {
			t.Fatalf("%d bytes of values", n)
		}
	})
}

func slicesOf(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
