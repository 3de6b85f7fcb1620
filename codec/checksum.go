package codec

import "hash/crc32"

// Checksum is what belongs into the checksum field of message, the whole of it: the CRC-32 (IEEE, as in zlib) of the
// header's first 28 bytes followed by the payload. The field itself is skipped, not read as zeros. It panics if message
// is shorter than HeaderSize.
func Checksum(message []byte) uint32 {
	crc := crc32.ChecksumIEEE(message[:offChecksum])
	return crc32.Update(crc, crc32.IEEETable, message[HeaderSize:])
}

// HasChecksum reports whether the message carries a checksum. 0 means absent: the old builders' fast path, and so
// nearly
// every message that was ever sent, writes 0.
func (m Message) HasChecksum() bool { return le.Uint32(m.b[offChecksum:]) != 0 }

// VerifyChecksum returns an [ErrChecksum] if the message carries a wrong checksum, and nil if it is right or absent.
// One message in 2^32 has the checksum 0 by chance, and passes as one without.
func (m Message) VerifyChecksum() error {
	got := le.Uint32(m.b[offChecksum:])
	if got == 0 {
		return nil
	}
	if want := Checksum(m.b); got != want {
		return fault(ErrChecksum, "checksum", offChecksum, uint64(got), uint64(want))
	}
	return nil
}
