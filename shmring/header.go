package shmring

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/bits"
)

// The header is the first page of ring, cursors and control; all three are alike but for fileID. Offsets are part of the
// format, fields little-endian.
const (
	hMagic     = 0
	hVersion   = 8
	hFileID    = 12
	hCompat    = 16 // features that a reader or writer may ignore
	hROCompat  = 24 // features that a reader may ignore, a writer may not
	hIncompat  = 32 // features that nobody may ignore
	hNonce     = 40
	hKind      = 48
	hRouting   = 52
	hSleep     = 56
	hCapacity  = 64
	hMaxFrame  = 72
	hMaxClaim  = 80
	hProducers = 88
	hConsumers = 96
	hGroups    = 104
	hCreatedNs = 112
	hOffsets   = 120 // 15 of 8 bytes, in the order of geometry.offsets
	hInode     = 240 // of the ring file: in a copy it is another
	hName      = 256
	hNameSize  = 64
	hCRC       = headerSize - 8 // CRC-32C of the bytes before it

	magic = 0x31474e525f43594d // "MYC_RNG1"

	knownCompat, knownROCompat, knownIncompat = 0, 0, 0
)

type fileID uint32

const (
	fileRing fileID = iota + 1
	fileCursors
	fileControl
)

func (f fileID) String() string {
	switch f {
	case fileRing:
		return "ring"
	case fileCursors:
		return "cursors"
	case fileControl:
		return "control"
	}
	return fmt.Sprintf("file %d", uint32(f))
}

// header is the decoded first page.
type header struct {
	geometry
	nonce     uint64
	createdNs uint64
	inode     uint64
	name      string
	writable  bool // false: a feature word asks that we only read
}

// offsets lists what place computed, under the names that errors use.
func (g *geometry) offsets() []struct {
	name  string
	value uint64
} {
	return []struct {
		name  string
		value uint64
	}{
		{"dropped offset", g.offDropped}, {"producers offset", g.offProducers}, {"data offset", g.offData},
		{"ring size", g.ringSize}, {"groups offset", g.offGroups}, {"consumers offset", g.offConsumers},
		{"losses offset", g.offLosses}, {"parked offset", g.offParked}, {"errors offset", g.offErrors},
		{"cursors size", g.cursorsSize}, {"config offset", g.offConfig},
		{"consumer entries offset", g.offConsumerEntries}, {"group entries offset", g.offGroupEntries},
		{"producer entries offset", g.offProducerEntries}, {"control size", g.controlSize},
	}
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// encode returns the page for one of the three files.
func (h *header) encode(id fileID) []byte {
	b := make([]byte, headerSize)
	le := binary.LittleEndian
	le.PutUint64(b[hMagic:], magic)
	le.PutUint32(b[hVersion:], layoutVersion)
	le.PutUint32(b[hFileID:], uint32(id))
	le.PutUint64(b[hCompat:], knownCompat)
	le.PutUint64(b[hROCompat:], knownROCompat)
	le.PutUint64(b[hIncompat:], knownIncompat)
	le.PutUint64(b[hNonce:], h.nonce)
	le.PutUint32(b[hKind:], uint32(h.kind))
	le.PutUint32(b[hRouting:], uint32(h.routing))
	le.PutUint32(b[hSleep:], uint32(h.sleep))
	le.PutUint64(b[hCapacity:], h.capacity)
	le.PutUint64(b[hMaxFrame:], h.maxFrame)
	le.PutUint64(b[hMaxClaim:], h.maxClaim)
	le.PutUint64(b[hProducers:], h.producers)
	le.PutUint64(b[hConsumers:], h.consumers)
	le.PutUint64(b[hGroups:], h.groups)
	le.PutUint64(b[hCreatedNs:], h.createdNs)
	le.PutUint64(b[hInode:], h.inode)
	for i, o := range h.offsets() {
		le.PutUint64(b[hOffsets+8*i:], o.value)
	}
	copy(b[hName:hName+hNameSize], h.name)
	le.PutUint32(b[hCRC:], crc32.Checksum(b[:hCRC], castagnoli))
	return b
}

// decodeHeader checks a header page field by field and says which one is wrong. It never trusts a size before it has
// checked it.
func decodeHeader(page []byte, id fileID) (*header, error) {
	bad := func(field string, off uint64, got, want any) error {
		return &CorruptError{File: id.String(), Field: field, Position: off, Got: fmt.Sprint(got), Want: fmt.Sprint(want)}
	}
	if len(page) < headerSize {
		return nil, bad("file size", 0, len(page), fmt.Sprintf("at least %d", headerSize))
	}
	le := binary.LittleEndian
	// order: acquire, pair [magic] with Ring.initialize: read by a system call, and a rename came between.
	if got := le.Uint64(page[hMagic:]); got != magic {
		return nil, bad("magic", hMagic, fmt.Sprintf("%#x", got), fmt.Sprintf("%#x (not a Mycelium file)", uint64(magic)))
	}
	if got := le.Uint32(page[hVersion:]); got != layoutVersion {
		return nil, fmt.Errorf("%w: %s has layout %d, this build reads layout %d", ErrVersion, id, got, layoutVersion)
	}
	if got := fileID(le.Uint32(page[hFileID:])); got != id {
		return nil, bad("file id", hFileID, got, id)
	}
	if got := le.Uint64(page[hIncompat:]) &^ knownIncompat; got != 0 {
		return nil, fmt.Errorf("%w: %s needs features %#x that this build does not know", ErrVersion, id, got)
	}
	if got, want := le.Uint32(page[hCRC:]), crc32.Checksum(page[:hCRC], castagnoli); got != want {
		return nil, bad("header checksum", hCRC, fmt.Sprintf("%#x", got), fmt.Sprintf("%#x", want))
	}
	h := &header{
		geometry: geometry{
			kind: Kind(byteOf(page[hKind:])), routing: byteOf(page[hRouting:]), sleep: byteOf(page[hSleep:]),
			capacity: le.Uint64(page[hCapacity:]), maxFrame: le.Uint64(page[hMaxFrame:]), maxClaim: le.Uint64(page[hMaxClaim:]),
			producers: le.Uint64(page[hProducers:]), consumers: le.Uint64(page[hConsumers:]), groups: le.Uint64(page[hGroups:]),
		},
		nonce:     le.Uint64(page[hNonce:]),
		createdNs: le.Uint64(page[hCreatedNs:]),
		inode:     le.Uint64(page[hInode:]),
		writable:  le.Uint64(page[hROCompat:])&^knownROCompat == 0,
	}
	if h.nonce>>63 == 0 {
		return nil, bad("nonce", hNonce, fmt.Sprintf("%#x", h.nonce), "a number with its top bit set")
	}
	name := page[hName : hName+hNameSize]
	if i := bytes.IndexByte(name, 0); i >= 0 {
		name = name[:i]
	}
	h.name = string(name)
	if field, err := h.geometry.check(); err != nil {
		return nil, bad(field, hCapacity, err, "a valid size")
	}
	h.place()
	for i, o := range h.offsets() {
		if got := le.Uint64(page[hOffsets+8*i:]); got != o.value {
			return nil, bad(o.name, uint64(hOffsets+8*i), got, o.value)
		}
	}
	return h, nil
}

// byteOf reads a 32-bit number that is kept in 8 bits here; one that does not fit becomes 255, which no field allows.
func byteOf(b []byte) uint8 { return uint8(min(binary.LittleEndian.Uint32(b), 255)) }

// check applies the limits of the sizes (doc.go, Sizes) and names the field that breaks one.
func (g *geometry) check() (field string, err error) {
	c, s := g.capacity, g.capacity/segments
	f := align16(frameHeaderSize + g.maxFrame)
	switch {
	case g.kind < SPSC || g.kind > MPMC:
		return "kind", fmt.Errorf("kind %d", g.kind)
	case g.routing > 1:
		return "routing", fmt.Errorf("%d, not 0 or 1", g.routing)
	case g.sleep > 1:
		return "sleep", fmt.Errorf("%d, not 0 or 1", g.sleep)
	case c < minCapacity || c > maxCapacity || bits.OnesCount64(c) != 1:
		return "capacity", fmt.Errorf("%d, not a power of two from %d to %d", c, minCapacity, maxCapacity)
	case g.maxFrame < 1 || g.maxFrame > s || f > s/4:
		return "max_frame", fmt.Errorf("%d, not from 1 to %d (a quarter of a segment with its header)", g.maxFrame, s/4-frameHeaderSize)
	case g.maxClaim < f || g.maxClaim > s/2 || g.maxClaim%frameAlign != 0:
		return "max_claim", fmt.Errorf("%d, not a multiple of 16 from %d to %d", g.maxClaim, f, s/2)
	case g.producers < 1 || g.producers > maxProducers:
		return "producers", fmt.Errorf("%d, not from 1 to %d", g.producers, maxProducers)
	case g.consumers < 1 || g.consumers > maxConsumers:
		return "consumers", fmt.Errorf("%d, not from 1 to %d", g.consumers, maxConsumers)
	case g.groups < 1 || g.groups > maxGroups:
		return "groups", fmt.Errorf("%d, not from 1 to %d", g.groups, maxGroups)
	}
	return "", nil
}
