package codec

import "bytes"

var magicBytes = []byte{0xEF, 0xBE, 0xAD, 0xDE}

// Split finds the first message in data, the bytes that have come so far out of a stream that has nothing but messages
// in it. The message is data[skip : skip+size], whole but for a check of its TLVs; skip bytes before it belong to none.
// A
// size of 0 says that more must come first: drop data[:skip], keep the rest, and try again with what follows it.
//
// A header is believed if it has the magic and its message is at most limit bytes long ([MaxMessage] if limit is 0 or
// less); another one is passed over, and the next magic looked for. So a stream finds itself again after rubbish, and
// no
// length that a sender names makes a reader keep more than limit bytes. Split keeps no state and does not allocate.
func Split(data []byte, limit int) (skip, size int) {
	if limit <= 0 {
		limit = MaxMessage
	}
	for {
		skip += nextMagic(data[skip:])
		rest := data[skip:]
		if len(rest) < HeaderSize {
			return skip, 0
		}
		n := HeaderSize + uint64(le.Uint32(rest[offPayloadSize:]))
		switch {
		case n > uint64(limit):
			skip++
		case n > uint64(len(rest)):
			return skip, 0
		default:
			return skip, int(n)
		}
	}
}

// nextMagic returns where in b the first magic begins, or the beginning of one that b cuts off: len(b) if there is
// none.
func nextMagic(b []byte) int {
	if i := bytes.Index(b, magicBytes); i >= 0 {
		return i
	}
	for n := min(len(magicBytes)-1, len(b)); n > 0; n-- {
		if bytes.HasSuffix(b, magicBytes[:n]) {
			return len(b) - n
		}
	}
	return len(b)
}
