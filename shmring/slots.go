package shmring

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/mycelium-bus/mycelium/shmring/internal/shm"
)

// Slow says what becomes of a reader that holds producers up.
type Slow uint8

const (
	// Block readers gate producers as long as they live, and are lent frames in place.
	Block Slow = iota + 1
	// Drop readers stop gating after their patience and go on as lossy ones; they read by copy-and-check.
	Drop
	// Evict readers stop gating after their patience and get [ErrEvicted]; they read by copy-and-check.
	Evict
	// Lossy readers never gate.
	Lossy
)

func (s Slow) String() string {
	switch s {
	case Block:
		return "block"
	case Drop:
		return "drop"
	case Evict:
		return "evict"
	case Lossy:
		return "lossy"
	}
	return fmt.Sprintf("slow policy %d", uint8(s))
}

// Policy is what the granter of a consumer slot writes into control, fixed for the slot's next generation.
type Policy struct {
	Slow     Slow
	Credit   uint64        // bytes that the reader may lag; a multiple of 16 from 2*MaxClaim to Capacity; 0 means Capacity/2
	Patience time.Duration // of Drop and Evict, from the first claim that failed because of the reader on
	UID      uint32        // who asked; information only
}

// ownPid is what tenants write into their slots, for information.
var ownPid = uint64(os.Getpid())

// Grant is a slot for whoever holds Lock: the descriptor whose open file description holds the OFD lock on the slot's byte
// (and on the gate's, for a gate). The slot is alive as long as a copy of the descriptor is open anywhere.
type Grant struct {
	Slot int
	Lock int // a raw descriptor (an os.File's finalizer would free a live slot); on a heap ring a number in its table

	locks locker // nil: Lock is a descriptor
}

// Close closes this copy of the grant's descriptor. The last copy gives the lock up: a broker that has sent it closes its own
// at once, and from then on the kernel frees the slot at the client's death.
func (g *Grant) Close() {
	if g.locks == nil {
		closeFD(&g.Lock)
	} else if g.Lock >= 0 {
		g.locks.close(g.Lock)
		g.Lock = -1
	}
}

func (r *Ring) producerWord(slot, off uint64) *shm.Word {
	return r.ring.Word(r.offProducers + producerSlotSize*slot + off)
}

func (r *Ring) consumerWord(slot, off uint64) *shm.Word {
	return r.cursors.Word(r.offConsumers + consumerSlotSize*slot + off)
}

func (r *Ring) groupWord(group, off uint64) *shm.Word {
	return r.cursors.Word(r.offGroups + groupSize*group + off)
}

func (r *Ring) droppedWord(slot uint64) *shm.Word { return r.ring.Word(r.offDropped + 8*slot) }

func (r *Ring) consumerEntry(slot, off uint64) *shm.Word {
	return r.control.Word(r.offConsumerEntries + controlEntrySize*slot + off)
}

func (r *Ring) producerEntry(slot, off uint64) *shm.Word {
	return r.control.Word(r.offProducerEntries + controlEntrySize*slot + off)
}

// GrantProducer locks a free producer slot for a client. In the single-producer kinds there is slot 0 alone, and
// [ErrInUse] while its holder lives; else [ErrLimit] when all are taken. It needs access [Own].
func (r *Ring) GrantProducer(uid uint32) (Grant, error) {
	n := r.producers
	if r.kind.singleProducer() {
		n = 1
	}
	if err := r.hold(); err != nil {
		return Grant{Slot: -1, Lock: -1}, err
	}
	defer r.release()
	g, err := r.grant(producerLocks, n, r.producerWord)
	if err == errNoSlot {
		if r.kind.singleProducer() {
			return g, fmt.Errorf("%w: topic %s is %s and has a producer", ErrInUse, r.name, r.kind)
		}
		return g, fmt.Errorf("%w: all %d producer slots of topic %s are taken", ErrLimit, n, r.name)
	}
	if err != nil {
		return g, err
	}
	err = r.guarded(func() error {
		// order: none, read by tools for information.
		r.producerEntry(uint64(g.Slot), eUID).StoreRelaxed(uint64(uid))
		return nil
	})
	if err != nil {
		g.Close()
	}
	return g, err
}

// GrantConsumer locks a free consumer slot for a client and writes its policy. In the single-gate kinds a second gate gets
// [ErrInUse] while the first lives; [ErrLimit] when all slots are taken. It needs access [Own].
func (r *Ring) GrantConsumer(p Policy) (Grant, error) {
	credit, err := r.checkCredit(p)
	if err != nil {
		return Grant{Lock: -1}, err
	}
	if err := r.hold(); err != nil {
		return Grant{Slot: -1, Lock: -1}, err
	}
	defer r.release()
	g, err := r.grant(consumerLocks, r.consumers, r.consumerWord)
	if err == errNoSlot {
		return g, fmt.Errorf("%w: all %d consumer slots of topic %s are taken", ErrLimit, r.consumers, r.name)
	}
	if err != nil {
		return g, err
	}
	if err := r.guarded(func() error { return r.writeReaderEntry(g, p, credit) }); err != nil {
		g.Close()
		return g, err
	}
	return g, nil
}

// writeReaderEntry fills the control entry of a granted slot, if the kind admits the reader.
func (r *Ring) writeReaderEntry(g Grant, p Policy, credit uint64) error {
	slot := uint64(g.Slot)
	// Before the look at the groups: what a member's grant left here, who never came, would count as one that is about to come.
	r.consumerEntry(slot, eGroup).StoreRelaxed(0) // order: none, as those below.
	if p.Slow != Lossy && r.kind.singleGate() {
		// On the grant's own description: the gate falls with its holder.
		if ok, err := r.locks.lock(consumerLocks, g.Lock, gateByte); !ok || err != nil {
			return errors.Join(r.gateTaken(), err)
		}
		if r.onlyGate(r.groups, -1) != nil { // perhaps a group that nobody works for
			if err := r.makeGroups(func(h int) error { return r.onlyGate(r.groups, h) }); err != nil {
				return err
			}
		}
	}
	// order: none (these five): written under the slot's lock before its state word becomes active, which releases them,
	// pair [policy] with Ring.refresh.
	r.consumerEntry(slot, eCredit).StoreRelaxed(credit)
	r.consumerEntry(slot, ePolicy).StoreRelaxed(uint64(p.Slow))         // order: none, see above
	r.consumerEntry(slot, ePatienceNs).StoreRelaxed(uint64(p.Patience)) // order: none, see above
	r.consumerEntry(slot, eUID).StoreRelaxed(uint64(p.UID))             // order: none, see above
	// order: acquire, pair [state] with whoever freed the slot.
	gen := nextGeneration(state(r.consumerWord(slot, cState).Load()).gen())
	r.consumerEntry(slot, eGeneration).StoreRelaxed(uint64(gen)) // order: none, see above
	return nil
}

func (r *Ring) gateTaken() error {
	return fmt.Errorf("%w: topic %s is %s and has a reliable reader", ErrInUse, r.name, r.kind)
}

// checkCredit returns the credit to write, or an error that names the limit it breaks.
func (r *Ring) checkCredit(p Policy) (uint64, error) {
	if p.Slow < Block || p.Slow > Lossy {
		return 0, fmt.Errorf("slow policy %d is not one of block, drop, evict, lossy", p.Slow)
	}
	credit := p.Credit
	setDefault(&credit, r.capacity/2)
	if credit%frameAlign != 0 || credit < 2*r.maxClaim || credit > r.capacity {
		return 0, fmt.Errorf("credit %d of topic %s is not a multiple of 16 from %d (two largest claims) to %d (the capacity)",
			credit, r.name, 2*r.maxClaim, r.capacity)
	}
	return credit, nil
}

// errNoSlot never leaves this file.
var errNoSlot = errors.New("no slot")

// grant draws the lowest free slot and locks its byte on a new open file description. Where none is free it repairs first:
// the dead may have left some.
func (r *Ring) grant(file lockFile, n uint64, word func(slot, off uint64) *shm.Word) (Grant, error) {
	none := Grant{Slot: -1, Lock: -1}
	if r.access < Own {
		return none, fmt.Errorf("%w: granting slots needs access own, this mapping has %s", ErrPermission, r.access)
	}
	h, err := r.locks.open(file)
	if err != nil {
		return none, err
	}
	var slot uint64
	err = r.guarded(func() (err error) {
		slot, err = r.lockFree(file, h, n, word)
		if err == errNoSlot {
			if _, err = r.Repair(false); err == nil || err == ErrRepairing {
				slot, err = r.lockFree(file, h, n, word)
			}
		}
		return err
	})
	if err != nil {
		r.locks.close(h)
		return none, err
	}
	return Grant{Slot: int(slot), Lock: h, locks: r.locks}, nil
}

// lockFree locks the lowest free slot on the description h.
func (r *Ring) lockFree(file lockFile, h int, n uint64, word func(slot, off uint64) *shm.Word) (uint64, error) {
	for slot := range n {
		// order: acquire, pair [state] with whoever freed the slot.
		if state(word(slot, 0).Load()).kind() != slotFree {
			continue
		}
		locked, err := r.locks.lock(file, h, int64(slot))
		if err != nil {
			return 0, err
		}
		if !locked {
			continue // granted, and not yet active
		}
		// order: acquire, pair [state]: under the lock now, so nobody else takes the slot.
		if state(word(slot, 0).Load()).kind() == slotFree {
			return slot, nil
		}
		if err := r.locks.unlock(file, h, int64(slot)); err != nil {
			return 0, err
		}
	}
	return 0, errNoSlot
}

// lease is a slot in use by a handle of this process. It is apart from the handle so that a handle that was forgotten can
// still be cleaned up after.
type lease struct {
	ring  *Ring
	slot  uint64
	grant Grant
	word  *shm.Word // the slot's state
	state state     // as this tenant wrote it
	done  bool
}

// mustBeFree looks at a granted slot before its tenant writes the first word into it.
func (r *Ring) mustBeFree(g Grant, word *shm.Word) error {
	// order: acquire, pair [state] with whoever freed the slot.
	if s := state(word.Load()); s.kind() != slotFree {
		return fmt.Errorf("%w: slot %d of topic %s is a %s's, not free", ErrInUse, g.Slot, r.name, s.kind())
	}
	return nil
}

// activate makes the granted slot a tenant's: the slot's other words are written before.
func (r *Ring) activate(g Grant, word, used *shm.Word, kind slotKind, flags uint8, group uint16) (*lease, error) {
	// order: acquire, pair [state] with whoever freed the slot.
	old := state(word.Load())
	if old.kind() != slotFree {
		return nil, fmt.Errorf("%w: slot %d of topic %s is %s, not free", ErrInUse, g.Slot, r.name, old.kind())
	}
	s := makeState(nextGeneration(old.gen()), kind, flags, group)
	// order: sequentially consistent, pair [used] with every scan: raised before the state word, so that a scan that
	// comes to see the state looks that far.
	used.RaiseTo(uint64(g.Slot) + 1)
	// order: sequentially consistent, pair [state] with every scan: who sees it sees the slot's words and its control entry;
	// it is also the full fence of a joiner between its stand-in and its look at the limit.
	if !word.CompareAndSwap(uint64(old), uint64(s)) {
		return nil, fmt.Errorf("%w: slot %d of topic %s was taken meanwhile", ErrInUse, g.Slot, r.name)
	}
	return &lease{ring: r, slot: uint64(g.Slot), grant: g, word: word, state: s}, nil
}

// end frees the slot: state first, then the lock.
func (l *lease) end() (err error) {
	if l.done {
		return nil
	}
	l.done = true
	err = l.ring.Guard(func() {
		// order: sequentially consistent, pair [state] with scans and granters. A CAS, so that a slot that was taken away from
		// this tenant stays with whoever has it.
		l.word.CompareAndSwap(uint64(l.state), uint64(makeState(l.state.gen(), slotFree, 0, 0)))
		if k := l.state.kind(); k == slotReader || k == slotMember {
			l.ring.freed() // after the gate went
		}
	})
	l.free()
	return err
}

// abandon is for a handle that was collected unclosed: the lock falls, and the slot is repaired like a dead process's.
func (l *lease) abandon() {
	if !l.done {
		l.done = true
		l.free()
	}
}

func (l *lease) free() {
	l.grant.Close()
	l.ring.release()
}

// writeName puts a client's name into a slot, cut to 32 bytes. The tenant writes it before its state word.
func writeName(b []byte, name string) {
	clear(b)
	copy(b, name)
}

// readName copies a name out of shared memory; it may be a mixture of two tenants' for an instant.
func readName(b []byte) string {
	var name [nameSize]byte
	shm.Copy(name[:], b)
	s, _, _ := bytes.Cut(name[:], []byte{0})
	return string(bytes.ToValidUTF8(s, []byte("?")))
}
