package shmring

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/mycelium-bus/mycelium/shmring/internal/shm"
)

// Lists that many processes write and nobody locks: losses, parked messages. A writer draws a number by fetch-add; its entry is
// the number modulo the list's length, so the newest are kept. Number and checksum are stored into the entry's first word last: who
// reads finds an entry that is not finished, or that was overwritten while it looked, by the number, and the mixture that a writer
// leaves which was stopped while the others went round the list by the checksum.
//
//	 0        4          8                              64
//	+--------+----------+------------------------------+
//	| number | checksum | what the list is about       |
//	+--------+----------+------------------------------+
type list struct {
	mem     shm.Memory
	next    uint64 // offset of the word that numbers are drawn from
	entries uint64 // offset of entry 0
	n       uint64 // how many there are
}

const listEntrySize = 64 // of losses and parked messages

const (
	_ uint = lossEntrySize - listEntrySize
	_ uint = parkedEntrySize - listEntrySize
)

// listEntry is an entry's seven words behind its number.
type listEntry [7]uint64

// sealed returns the entry's first word: the number's low half, and the CRC-32 (IEEE) of the words.
func (e *listEntry) sealed(number uint64) uint64 {
	var b [8 * len(e)]byte
	for i, x := range e {
		binary.LittleEndian.PutUint64(b[8*i:], x)
	}
	return uint64(uint32(number)) | uint64(crc32.ChecksumIEEE(b[:]))<<32
}

type numbered struct {
	number uint64
	listEntry
}

// append writes one entry over the oldest.
func (l list) append(e listEntry) {
	// order: sequentially consistent, pair [list] with list.all: a number is drawn once.
	number := l.mem.Word(l.next).Add(1)
	at := l.entries + listEntrySize*((number-1)%l.n)
	// order: sequentially consistent, pair [list] with list.all: the entry counts as unfinished before any word of it changes.
	l.mem.Word(at).Store(0)
	for i, x := range e {
		l.mem.Word(at + 8*uint64(i+1)).StoreRelease(x) // order: release, pair [list] with list.all.
	}
	// order: release, pair [list] with list.all: last; who sees the number sees the words.
	l.mem.Word(at).StoreRelease(e.sealed(number))
}

// all returns the entries that are whole, oldest first, and how many were ever drawn.
func (l list) all() (entries []numbered, drawn uint64) {
	// order: acquire, pair [list] with list.append.
	drawn = l.mem.Word(l.next).Load()
	n := min(drawn, l.n)
	for i := range n { // not up to drawn: anybody may have written that
		number := drawn - n + 1 + i
		if e, ok := l.entry(number); ok {
			entries = append(entries, numbered{number, e})
		}
	}
	return entries, drawn
}

// entry returns the entry of a number, if it is whole and was not overwritten.
func (l list) entry(number uint64) (e listEntry, ok bool) {
	at := l.entries + listEntrySize*((number-1)%l.n)
	// order: acquire, pair [list] with list.append: before the words.
	first := l.mem.Word(at).Load()
	for i := range e {
		e[i] = l.mem.Word(at + 8*uint64(i+1)).Load() // order: acquire, pair [list] with list.append.
	}
	// order: acquire, pair [list] with list.append: again, after the words.
	return e, first == e.sealed(number) && l.mem.Word(at).Load() == first
}

// Loss is a part of the ring that a consumer, or a group, was owed and never got.
type Loss struct {
	Slot  int       // of the reader, or of the member that left what was lost behind; -1 for none
	Gen   uint32    // of that slot, or of the group
	Group int       // -1 for a reader
	Name  string    // of the reader or group, as it was called; 24 bytes are kept
	From  uint64    // position
	To    uint64    // position: [From, To) was lost, headers and padding included
	At    time.Time // when it was noticed
}

// Bytes returns how many bytes of the ring were lost.
func (l Loss) Bytes() uint64 { return l.To - l.From }

// ID names who lost: the reader as in listings, or "g" and the group's number.
func (l Loss) ID() string {
	if l.Slot < 0 {
		return fmt.Sprintf("g%d.%d", l.Group, l.Gen)
	}
	return fmt.Sprintf("c%d.%d", l.Slot, l.Gen)
}

func (r *Ring) losses() list { return list{r.cursors, offLossesNext, r.offLosses, lossEntries} }

// recordLoss writes a loss into the ledger; its time is now. The caller holds the mapping, with access Consume at least. Neither
// blocks nor allocates.
func (r *Ring) recordLoss(l Loss) {
	r.losses().append(lossEntry(l, now()))
}

const lossNameSize = 24

// lossEntry packs a loss: slot+1 and group+1 in 16 bits each and the generation; from; to; time; name.
func lossEntry(l Loss, at time.Time) listEntry {
	e := listEntry{uint64(uint16(l.Slot+1)) | uint64(uint16(l.Group+1))<<16 | uint64(l.Gen)<<32, l.From, l.To, uint64(at.UnixNano())}
	packName(e[4:], l.Name)
	return e
}

func (e listEntry) loss() Loss {
	return Loss{Slot: int(uint16(e[0])) - 1, Group: int(uint16(e[0]>>16)) - 1, Gen: uint32(e[0] >> 32), From: e[1], To: e[2],
		At: time.Unix(0, int64(e[3])), Name: unpackName(e[4:])}
}

// packName puts a name's first bytes into words, little-endian.
func packName(words []uint64, name string) {
	for i := range min(len(name), 8*len(words)) {
		words[i/8] |= uint64(name[i]) << (8 * (i % 8))
	}
}

func unpackName(words []uint64) string {
	b := make([]byte, 8*len(words))
	for i := range b {
		b[i] = byte(words[i/8] >> (8 * (i % 8)))
	}
	return readName(b)
}

// Losses returns what the ledger still holds (the newest 256), oldest first, and how many losses there were since the topic was made.
func (r *Ring) Losses() (all []Loss, total uint64, err error) {
	if err := r.holdCursors(); err != nil {
		return nil, 0, err
	}
	defer r.release()
	err = r.Guard(func() {
		entries, drawn := r.losses().all()
		for _, e := range entries {
			all = append(all, e.loss())
		}
		total = drawn
	})
	return all, total, err
}

// holdCursors is hold for who looks at the file cursors, which a single ring file comes without.
func (r *Ring) holdCursors() error {
	if r.cursors.Len() == 0 {
		return fmt.Errorf("%w: a single ring file has no cursors beside it", ErrPermission)
	}
	return r.hold()
}
