package shmring

// The layout is part of the format: every offset here needs a new layoutVersion when it changes.
//
// ring, written by producers (consumers map it read-only):
//
//	0       header                     4 KiB, written once
//	4096    words, a 128-byte line each: tail limit wake blocked repairer usedProducers
//	8192    dropped                    8 bytes a consumer slot, then 8 bytes a group
//	...     producer slots             256 bytes each
//	...     spare                      at least 10 % of the above, zero
//	data    the frames                 capacity bytes, page-aligned
//
// cursors, written by consumers, by producers (drop, repair) and by the broker:
//
//	0       header
//	4096    words: asleep fenced space usedConsumers groupStarts lossesNext parkedNext errorsNext
//	8192    groups                     384 bytes each
//	...     consumer slots             384 bytes each
//	...     losses 64 B x 256, parked 64 B x 1024, errors 256 B x 64, spare
//
// control, written by the broker (or by a direct opener for its own slot):
//
//	0       header
//	4096    words: topicState, configLength
//	8192    config                     the topic's configuration as the broker wrote it, for the next broker and for tools
//	...     consumer entries, group entries, producer entries: 64 bytes each, spare
//
// locks.p and locks.c hold nothing: byte i is locked by whoever holds producer or consumer slot i.
const (
	layoutVersion = 1

	pageSize   = 4096
	lineSize   = 128 // two cache lines: the adjacent-line prefetcher of x86 pulls pairs
	segments   = 8   // of the data area
	frameAlign = 16

	headerSize = pageSize
	wordsOff   = headerSize
	tablesOff  = wordsOff + pageSize

	// Words of ring.
	offTail          = wordsOff + 0*lineSize
	offLimit         = wordsOff + 1*lineSize
	offWake          = wordsOff + 2*lineSize
	offBlocked       = wordsOff + 3*lineSize
	offRepairer      = wordsOff + 4*lineSize // slot+1, generation, time in ns: three words
	offUsedProducers = wordsOff + 5*lineSize

	// Words of cursors.
	offAsleep        = wordsOff + 0*lineSize
	offFenced        = wordsOff + 1*lineSize
	offSpace         = wordsOff + 2*lineSize
	offUsedConsumers = wordsOff + 3*lineSize
	offGroupStarts   = wordsOff + 4*lineSize
	offLossesNext    = wordsOff + 5*lineSize
	offParkedNext    = wordsOff + 6*lineSize
	offErrorsNext    = wordsOff + 7*lineSize

	// Words of control.
	offTopicState   = wordsOff + 0*lineSize
	offConfigLength = wordsOff + 1*lineSize
	configSize      = 4 * pageSize

	// Producer slot: line 0 is the intent, line 1 the tenant's counters and name.
	producerSlotSize   = 256
	pState             = 0
	pPosition          = 8  // position of the open claim; 0 = NONE
	pSize              = 16 // what the tail moves by, padding included
	pWon               = 24 // position of the claim that was won last
	pMessages          = lineSize + 0
	pBytes             = lineSize + 8
	pBackPressuredNs   = lineSize + 16
	pAborted           = lineSize + 24
	pName              = lineSize + 32 // 32 bytes
	pStartedNs         = lineSize + 64 // wall clock
	pPid               = lineSize + 72 // information only
	pStartMessages     = lineSize + 80 // counters when the tenant began: what is its own is the difference
	pStartBytes        = lineSize + 88
	pStartBackPressure = lineSize + 96

	// Consumer slot: line 0 is what others read often, line 1 the counters, line 2 name and start.
	consumerSlotSize = 384
	cState           = 0
	cCursor          = 8
	cFrom            = 16 // group member: position/16 and delivery count of an unacknowledged range's begin
	cEnd             = 24
	cWon             = 32
	cMessages        = lineSize + 0
	cBytes           = lineSize + 8
	cMissedBytes     = lineSize + 16
	cLaps            = lineSize + 24
	cName            = 2*lineSize + 0 // 32 bytes
	cStartedNs       = 2*lineSize + 32
	cPid             = 2*lineSize + 40
	nameSize         = 32

	// Group (queue): line 0 its head, line 1 its state, line 2 its name and counters.
	groupSize   = 384
	gHead       = 0
	gState      = lineSize + 0
	gOrphans    = lineSize + 8
	gStart      = lineSize + 16 // number of its present start; 0: nobody has started it
	gJoined     = lineSize + 24 // generation that the last join left it with
	gJoiner     = lineSize + 32 // slot + 1 of who joins now; information only
	gName       = 2*lineSize + 0
	gMessages   = 2*lineSize + 32
	groupNobody = 1023 // in a head: no taker; in a state word: no group

	lossEntrySize, lossEntries     = 64, 256
	parkedEntrySize, parkedEntries = 64, 1024
	errorEntrySize, errorEntries   = 256, 64

	// Control entries.
	controlEntrySize = 64
	eCredit          = 0
	ePolicy          = 8
	ePatienceNs      = 16
	eGeneration      = 24 // that the entry was written for
	eUID             = 32
	eGroup           = 40 // of a consumer's entry: the group to be a member of + 1; 0 for readers
	eDurable         = 8  // of a group's entry: 1 if it gates without members
	eKeep            = 16 // of a group's entry: bytes that it may lag without a live member
	eMaxDeliver      = 40 // of a group's entry: deliveries after which a message is parked; 0 for never

	// gateByte of locks.c is held by the one reader that gates an spsc or mpsc topic, groupByte + i by who joins or starts group
	// i, makerByte by who makes groups. repairByte of locks.p by the repairer.
	gateByte   = 1023
	groupByte  = 1024
	makerByte  = 1 << 20
	repairByte = 1 << 20

	maxProducers = 1024
	maxConsumers = 1023 // number 1,023 means nobody
	maxGroups    = 256
	maxCapacity  = 32 << 30 // a PAD of half a segment must fit the 32-bit length
)

// Topic states, in control.
const (
	topicActive  = 1
	topicClosing = 2
)

// Frame header, at every position where a frame begins:
//
//	0        8        12   14   15  16
//	+--------+--------+----+----+---+----------------+
//	| stamp  | length |slot|kind|flg| payload        |
//	+--------+--------+----+----+---+----------------+
//
// stamp = position XOR nonce, stored last; the other eight bytes are one little-endian word, stored in one go.
const (
	frameHeaderSize = 16
	kindData        = 1
	kindPad         = 2
)

const (
	_ uint = frameHeaderSize - 16
	_ uint = 16 - frameHeaderSize
	_ uint = producerSlotSize - (pStartBackPressure + 8)
	_ uint = 2*lineSize - (pPid + 8)
	_ uint = consumerSlotSize - (cPid + 8)
	_ uint = groupSize - (gMessages + 8)
	_ uint = tablesOff - (offErrorsNext + lineSize)
)

// frameWord packs the second word of a frame's header.
func frameWord(length uint64, slot uint64, kind uint64) uint64 { return length | slot<<32 | kind<<48 }

func frameLength(w uint64) uint64 { return w & 0xffffffff }
func frameSlot(w uint64) uint16   { return uint16(w >> 32) }
func frameKind(w uint64) uint64   { return w >> 48 & 0xff } // the flags above are reserved: ignored on read

func align16(n uint64) uint64 { return (n + 15) &^ 15 }

func alignUp(n, to uint64) uint64   { return (n + to - 1) &^ (to - 1) }
func alignDown(n, to uint64) uint64 { return n &^ (to - 1) }

// before reports whether position a lies before b. Positions are compared as signed differences.
func before(a, b uint64) bool { return int64(a-b) < 0 }

// earlier returns the smaller of two positions.
func earlier(a, b uint64) uint64 {
	if before(a, b) {
		return a
	}
	return b
}

// later returns the larger of two positions.
func later(a, b uint64) uint64 {
	if before(a, b) {
		return b
	}
	return a
}

// FrameSize returns how many bytes of the ring a frame with n bytes of payload (0 or more) takes: a multiple of 16, its header included.
func FrameSize(n int) int { return int(align16(frameHeaderSize + uint64(n))) }

// geometry is what the header says, and where the tables that follow from it begin.
type geometry struct {
	kind      Kind
	routing   uint8
	sleep     uint8
	capacity  uint64
	segment   uint64
	maxFrame  uint64
	maxClaim  uint64
	producers uint64
	consumers uint64
	groups    uint64

	// ring
	offDropped, offProducers, offData, ringSize uint64
	// cursors
	offGroups, offConsumers, offLosses, offParked, offErrors, cursorsSize uint64
	// control
	offConfig, offConsumerEntries, offGroupEntries, offProducerEntries, controlSize uint64
}

// place computes the tables' offsets from the sizes.
func (g *geometry) place() {
	g.segment = g.capacity / segments
	g.offDropped = tablesOff
	g.offProducers = alignUp(g.offDropped+8*(g.consumers+g.groups), lineSize)
	g.offData = withSpare(g.offProducers + producerSlotSize*g.producers)
	g.ringSize = g.offData + g.capacity

	g.offGroups = tablesOff
	g.offConsumers = alignUp(g.offGroups+groupSize*g.groups, lineSize)
	g.offLosses = alignUp(g.offConsumers+consumerSlotSize*g.consumers, lineSize)
	g.offParked = g.offLosses + lossEntrySize*lossEntries
	g.offErrors = g.offParked + parkedEntrySize*parkedEntries
	g.cursorsSize = withSpare(g.offErrors + errorEntrySize*errorEntries)

	g.offConfig = tablesOff
	g.offConsumerEntries = g.offConfig + configSize
	g.offGroupEntries = g.offConsumerEntries + controlEntrySize*g.consumers
	g.offProducerEntries = g.offGroupEntries + controlEntrySize*g.groups
	g.controlSize = withSpare(g.offProducerEntries + controlEntrySize*g.producers)
}

// withSpare adds 10 % and rounds up to a page.
func withSpare(n uint64) uint64 { return alignUp(n+n/10, pageSize) }

// State words, of a slot or a group: generation, what the slot is, flags, group.
//
//	 0            32       40       48          58    64
//	+--------------+--------+--------+-----------+-----+
//	| generation   | kind   | flags  | group     |  0  |
//	+--------------+--------+--------+-----------+-----+
type state uint64

type slotKind uint8

const (
	slotFree slotKind = iota
	slotProducer
	slotReader
	slotLossy
	slotMember
	slotOrphan
)

const (
	flagCatchingUp = 1 << 0 // gates with the capacity instead of its credit
	flagInPlace    = 1 << 1 // asked for lent frames though it may be dropped
	flagRetrier    = 1 << 2 // of a member: it takes nothing, and is there to retry what the group has parked
)

func makeState(gen uint32, k slotKind, flags uint8, group uint16) state {
	return state(gen) | state(k)<<32 | state(flags)<<40 | state(group&1023)<<48
}

func (s state) gen() uint32    { return uint32(s) }
func (s state) kind() slotKind { return slotKind(s >> 32) }
func (s state) flags() uint8   { return uint8(s >> 40) }
func (s state) group() uint64  { return uint64(s >> 48 & 1023) }

func (k slotKind) String() string {
	names := [...]string{"free", "producer", "reader", "lossy", "member", "orphan"}
	if int(k) < len(names) {
		return names[k]
	}
	return "unknown"
}
