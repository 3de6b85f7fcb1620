package codec

import "encoding/binary"

// le is the byte order of everything in a message.
var le = binary.LittleEndian

// Part of the format.
const (
	// Magic is the first field of every message; its bytes are EF BE AD DE.
	Magic = 0xDEADBEEF

	// Version is what the version byte holds. The old parsers never looked at it, nor does Parse.
	Version = 1

	// HeaderSize is the length of the header in bytes, and of the shortest message: an empty payload is legal.
	HeaderSize = 32

	// MaxMessage is the size in bytes up to which Split believes a header if it is not told another limit (1 MiB).
	MaxMessage = 1 << 20
)

const (
	offMagic       = 0
	offDomain      = 4
	offVersion     = 5
	offSource      = 6
	offFlags       = 7
	offSequence    = 8
	offTimestamp   = 16
	offPayloadSize = 24
	offChecksum    = 28
)

const _ uint = HeaderSize - (offChecksum + 4)
const _ uint = (offChecksum + 4) - HeaderSize

// Header is the fixed part in front of every message's TLVs.
//
//	0       4      5       6      7     8          16          24             28       32
//	+-------+------+-------+------+-----+----------+-----------+--------------+--------+
//	| magic |domain|version|source|flags| sequence | timestamp | payload size |checksum| TLVs ...
//	+-------+------+-------+------+-----+----------+-----------+--------------+--------+
type Header struct {
	Domain      Domain // the byte of the message; senders disagree on its meaning, see Numbering
	Version     uint8  // a Builder writes Version where this is 0
	Source      Source // the byte of the message; who sent it, see Source
	Flags       uint8  // no meaning was ever given to them
	Sequence    uint64 // advisory: gaps, zeros and restarts are normal
	TimestampNs uint64 // nanoseconds since the Unix epoch, when the message was built
	PayloadSize uint32 // bytes after the header; a Builder sets it
	Checksum    uint32 // see Checksum; 0 means absent; a Builder sets it
}

// ParseHeader reads the header at the start of b, which may be followed by anything. It checks the length and the magic
// and nothing else: the other fields are the sender's, and the payload need not be there yet. It does not allocate
// unless
// it fails, with [ErrShort] or [ErrMagic].
func ParseHeader(b []byte) (Header, error) {
	if len(b) < HeaderSize {
		return Header{}, fault(ErrShort, "header length", 0, uint64(len(b)), HeaderSize)
	}
	if m := le.Uint32(b); m != Magic {
		return Header{}, fault(ErrMagic, "magic", offMagic, uint64(m), Magic)
	}
	return readHeader((*[HeaderSize]byte)(b)), nil
}

// MessageSize is the length in bytes of the whole message that the header announces.
func (h *Header) MessageSize() int64 { return HeaderSize + int64(h.PayloadSize) }

// Encode writes the header as it is, payload size and checksum too, to the first HeaderSize bytes of dst. It panics if
// dst is shorter. A [Builder] does this, and sets what depends on the payload.
func (h *Header) Encode(dst []byte) {
	d := (*[HeaderSize]byte)(dst)
	le.PutUint32(d[offMagic:], Magic)
	d[offDomain] = byte(h.Domain)
	d[offVersion] = h.Version
	d[offSource] = byte(h.Source)
	d[offFlags] = h.Flags
	le.PutUint64(d[offSequence:], h.Sequence)
	le.PutUint64(d[offTimestamp:], h.TimestampNs)
	le.PutUint32(d[offPayloadSize:], h.PayloadSize)
	le.PutUint32(d[offChecksum:], h.Checksum)
}

func readHeader(d *[HeaderSize]byte) Header {
	return Header{
		Domain:      Domain(d[offDomain]),
		Version:     d[offVersion],
		Source:      Source(d[offSource]),
		Flags:       d[offFlags],
		Sequence:    le.Uint64(d[offSequence:]),
		TimestampNs: le.Uint64(d[offTimestamp:]),
		PayloadSize: le.Uint32(d[offPayloadSize:]),
		Checksum:    le.Uint32(d[offChecksum:]),
	}
}
