package shmring

import (
	"errors"
	"fmt"
	"time"

	"github.com/mycelium-bus/mycelium/shmring/internal/shm"
)

// ErrRepairing says that somebody else is repairing the topic; [Ring.Repairer] tells who.
var ErrRepairing = errors.New("repair under way")

// Mended is one thing that a repair did, or would do.
type Mended struct {
	ID   string // of the dead client
	Name string // as it called itself
	What string // a sentence
}

// Repair puts right what dead processes left behind: the rows of the death table, a function each. It may be called at any
// time, by several processes at once ([ErrRepairing] for all but one), and again after a repairer died amid its work. Live
// processes are never touched, however long they have been stopped. It needs access [Produce], and never waits.
//
//	died                                  what is left                            mended by
//	producer, before its CAS              an intent at or beyond the tail         judge: clear
//	producer, after CAS, before a stamp   a claimed range without stamps          judge: pad the range
//	producer, amid a batch                the range after its last stamp          judge: pad the rest
//	producer, after commit                sleepers                                wakeAll
//	single producer                       bytes after the last stamp              nothing: walkTail finds the tail
//	reader                                a gating cursor                         repairConsumer: free
//	group member, take not won            from, end                               repairMember: free
//	group member, take won                an unacknowledged range                 repairMember: leave an orphan, tell the group
//	repairer                              some PADs, the slot not cleared         the next repair does it again
//
// With dry set it changes nothing and tells what it would do.
func (r *Ring) Repair(dry bool) (done []Mended, err error) {
	if r.access < Produce {
		return nil, fmt.Errorf("%w: repairing needs access produce, this mapping has %s", ErrPermission, r.access)
	}
	if err := r.hold(); err != nil {
		return nil, err
	}
	defer r.release()
	h, err := r.locks.open(producerLocks)
	if err != nil {
		return nil, err
	}
	defer r.locks.close(h)
	err = r.guarded(func() error {
		done, err = r.repairUnder(h, repairer{}, dry)
		return err
	})
	return done, err
}

// repairer is who repairs, for those who find a repair that does not end.
type repairer struct {
	slot uint64 // + 1; 0 without a slot
	gen  uint32
}

// repairUnder repairs while holding the topic's repair lock on the description h of the producers' lock file.
func (r *Ring) repairUnder(h int, who repairer, dry bool) ([]Mended, error) {
	if err := r.cut(); err != nil {
		return nil, err // what others left cannot be told from what is gone
	}
	locked, err := r.locks.lock(producerLocks, h, repairByte)
	if err != nil {
		return nil, err
	}
	if !locked {
		return nil, ErrRepairing
	}
	defer r.locks.unlock(producerLocks, h, repairByte)
	w := func(i uint64) *shm.Word { return r.ring.Word(offRepairer + 8*i) }
	// order: acquire, pair [repairer] with the last store below: a time that is still there is that of a repairer that died, perhaps before
	// it had woken those whom the slots that it freed had owed a wake.
	owes := w(2).Load() != 0
	if !dry {
		// order: release (these three), pair [repairer] with Ring.Repairer: the time last.
		w(0).StoreRelease(who.slot)
		w(1).StoreRelease(uint64(who.gen))
		w(2).StoreRelease(uint64(now().UnixNano()))
	}
	var done []Mended
	// order: acquire, pair [used] with Ring.activate.
	for slot := range min(r.usedConsumers.Load(), r.consumers) {
		done = append(done, r.repairConsumer(slot, dry)...)
	}
	// order: acquire, pair [used] with Ring.activate.
	for slot := range min(r.usedProducers.Load(), r.producers) {
		done = append(done, r.repairProducer(slot, dry)...)
	}
	if dry {
		return done, nil
	}
	r.announceOrphans()
	if owes || len(done) > 0 {
		r.wakeAll()
	}
	// order: release, pair [repairer] with Ring.Repairer and the load above: cleared last, after the wake.
	w(2).StoreRelease(0)
	return done, nil
}

// Repairer tells who has been repairing since when; ok is false when nobody is.
func (r *Ring) Repairer() (id string, since time.Time, ok bool) {
	if r.Guard(func() { id, since, ok = r.repairer() }) != nil {
		return "", time.Time{}, false
	}
	return id, since, ok
}

func (r *Ring) repairer() (id string, since time.Time, ok bool) {
	w := func(i uint64) uint64 {
		// order: acquire, pair [repairer] with Ring.repairUnder.
		return r.ring.Word(offRepairer + 8*i).Load()
	}
	if held, known := r.locks.held(producerLocks, repairByte); known && !held || w(2) == 0 {
		return "", time.Time{}, false
	}
	if w(0) == 0 {
		return "a broker or operator", time.Unix(0, int64(w(2))), true
	}
	return fmt.Sprintf("p%d.%d", w(0)-1, uint32(w(1))), time.Unix(0, int64(w(2))), true
}

// repairConsumer frees the slot of a dead reader, and with it its gate.
func (r *Ring) repairConsumer(slot uint64, dry bool) []Mended {
	// order: acquire, pair [state] with Ring.activate: before the lock is probed, or a new tenant would be declared dead.
	s := state(r.consumerWord(slot, cState).Load())
	if s.kind() == slotMember {
		return r.repairMember(slot, s, dry)
	}
	if s.kind() != slotReader && s.kind() != slotLossy || !r.died(consumerLocks, slot, r.consumerWord(slot, cState), s) {
		return nil
	}
	m := Mended{fmt.Sprintf("c%d.%d", slot, r.tenantOf(slot, s)), readName(r.cursors.Bytes(r.offConsumers+consumerSlotSize*slot+cName, nameSize)),
		fmt.Sprintf("%s died: its slot is freed", s.kind())}
	// order: sequentially consistent, pair [state] with every scan. A CAS on the word as it was before the probe.
	if !dry && !r.consumerWord(slot, cState).CompareAndSwap(uint64(s), uint64(makeState(s.gen(), slotFree, 0, 0))) {
		return nil
	}
	return []Mended{m}
}

// died reports whether the tenant whose state word s was loaded before is dead. A tenant that closes sets its word free before its
// lock falls: so who finds the lock free and the word as it was knows that it died, and that its other words are still its own.
// Without the second look they could be those of the slot's next tenant, who lives.
func (r *Ring) died(f lockFile, slot uint64, word *shm.Word, s state) bool {
	// order: acquire, pair [state] with lease.end and Ring.activate: after the lock.
	return !r.alive(f, slot) && state(word.Load()) == s
}

// repairProducer judges the open claim of a dead producer, and then frees its slot.
func (r *Ring) repairProducer(slot uint64, dry bool) []Mended {
	// order: acquire, pair [state] with Ring.activate: before the lock is probed, or a new tenant would be declared dead.
	s := state(r.producerWord(slot, pState).Load())
	if s.kind() != slotProducer || !r.died(producerLocks, slot, r.producerWord(slot, pState), s) {
		return nil
	}
	m := Mended{fmt.Sprintf("p%d.%d", slot, s.gen()), readName(r.ring.Bytes(r.offProducers+producerSlotSize*slot+pName, nameSize)),
		"producer died: its slot is freed"}
	// order: acquire, pair [intent] with Producer.reserveShared.
	if t := r.producerWord(slot, pPosition).Load(); t != 0 && !r.kind.singleProducer() {
		v := r.judge(slot, t)
		switch {
		case v.unclear:
			return nil // a live producer's word is missing; the next look will have it
		case v.to != v.from:
			m.What = fmt.Sprintf("producer died in its claim at %d: %d to %d is padded, its slot is freed", t, v.from, v.to)
		default:
			m.What = fmt.Sprintf("producer died around its claim at %d, which needs nothing: its slot is freed", t)
		}
		if !dry {
			r.padRange(slot, v.from, v.to)
			// order: sequentially consistent, pair [intent] with Producer.gateOfClaims: after the stamps.
			r.producerWord(slot, pPosition).CompareAndSwap(t, 0)
		}
	}
	if r.kind.singleProducer() && !dry {
		// order: none, it was for tools; under the repair lock, and the slot's tenant is dead.
		r.producerWord(slot, pPosition).StoreRelaxed(0)
	}
	// order: sequentially consistent, pair [state] with every scan.
	if !dry && !r.producerWord(slot, pState).CompareAndSwap(uint64(s), uint64(makeState(s.gen(), slotFree, 0, 0))) {
		return nil
	}
	return []Mended{m}
}

// verdict is what is to be done about a dead producer's claim: pad [from, to), which may be nothing, or look again.
type verdict struct {
	from, to uint64
	unclear  bool
}

// intent is a producer slot's words as a judge read them.
type intent struct {
	slot, pos, size, won uint64
	alive                bool
	changing             bool // its words did not hold still
}

// judge decides what a dead producer's intent at t left behind. The caller holds the repair lock, has loaded the slot's state
// word and then found its lock free. The order of the loads is the proof: tail; of every slot position, size, position again,
// won; the stamps at the candidate ends; the stamp at t; limit last. The stamp at t comes after those at the ends, because a
// live winner of a batch or of a shorter commit stamps inside its own range.
func (r *Ring) judge(dead, t uint64) verdict {
	clear := verdict{}
	if t%frameAlign != 0 {
		return clear // no producer writes such a word
	}
	// order: acquire, pair [tail] with Producer.reserveShared.
	tail := r.tail.Load()
	intents := r.intents()
	var stamped []uint64 // candidate ends that carry their stamp
	for _, i := range intents {
		if end := t + i.size; i.pos == t && !i.changing && r.stampedAt(end) {
			stamped = append(stamped, end)
		}
	}
	// order: acquire, pair [commit] with Producer.finish: after the ends.
	here := r.data.Word(t).Load() == t^r.nonce
	// order: none, the stamp's acquire covers it.
	winner := uint64(frameSlot(r.data.Word(t + 8).Load()))
	// order: acquire, pair [limit] with Producer.refresh: last.
	limit := r.limit.Load()

	var own intent
	for _, i := range intents {
		if i.slot == dead {
			own = i
		}
	}
	whole := verdict{from: t, to: t + own.size}
	switch {
	case own.changing:
		return verdict{unclear: true}
	case own.pos != t || own.size%frameAlign != 0 || own.size == 0 || own.size > r.segment:
		return clear // no intent, or words that no producer writes
	case before(t+r.capacity, limit):
		return clear // lost laps ago: a winner's intent would have held the limit
	case !before(t, tail):
		return clear // never claimed
	case here && winner != dead:
		return clear // the slot in the header won
	case here:
		return verdict{from: r.firstUnstamped(t, t+own.size), to: t + own.size}
	}
	for _, i := range intents {
		if i.won == t {
			if i.slot == dead {
				return whole
			}
			return clear
		}
	}
	return r.judgeByEnds(t, tail, whole, own, intents, stamped)
}

// judgeByEnds finds the winner among equals by where its claim ends: the smallest candidate end with evidence is the true one.
func (r *Ring) judgeByEnds(t, tail uint64, whole verdict, own intent, intents []intent, stamped []uint64) verdict {
	evidence := func(end uint64) bool {
		if end == tail {
			return true
		}
		for _, e := range stamped {
			if e == end {
				return true
			}
		}
		for _, i := range intents {
			if i.pos == end {
				return true
			}
		}
		return false
	}
	var end uint64
	live := false
	for _, i := range intents {
		if e := t + i.size; i.pos == t && evidence(e) {
			switch {
			case end == 0 || before(e, end):
				end, live = e, i.alive
			case e == end:
				live = live || i.alive
			}
		}
	}
	switch {
	case end == 0 || live:
		return verdict{unclear: true}
	case end == whole.to:
		return whole
	}
	return verdict{} // another size won
}

// intents reads every producer slot: position, size, position again, won.
func (r *Ring) intents() []intent {
	var all []intent
	// order: acquire, pair [used] with Ring.activate.
	for slot := range min(r.usedProducers.Load(), r.producers) {
		i := intent{slot: slot}
		word := func(off uint64) *shm.Word { return r.producerWord(slot, off) }
		for range 1000 { // a live producer may be quick, but each change means that it went on
			// order: acquire (these three, in this order), pair [intent] with Producer.reserveShared, which writes NONE, size,
			// position.
			i.pos = word(pPosition).Load()
			i.size = word(pSize).Load()
			if i.changing = word(pPosition).Load() != i.pos; !i.changing {
				break
			}
		}
		// order: acquire, pair [won] with Producer.reserveShared.
		i.won = word(pWon).Load()
		// order: acquire, pair [state] with Ring.activate: before the lock is probed.
		i.alive = state(word(pState).Load()).kind() == slotProducer && r.alive(producerLocks, slot)
		all = append(all, i)
	}
	return all
}

func (r *Ring) stampedAt(pos uint64) bool {
	// order: acquire, pair [commit] with Producer.finish.
	return pos%frameAlign == 0 && r.data.Word(pos).Load() == pos^r.nonce
}

// firstUnstamped walks the frames from t on to the first one that is not there, at most to end.
func (r *Ring) firstUnstamped(t, end uint64) uint64 {
	for pos := t; before(pos, end); {
		next, _, err := r.frameAt(pos)
		if err != nil || next == pos || before(end, next) {
			return pos
		}
		pos = next
	}
	return end
}

// padRange makes [from, to) PADs: the part behind a segment's end first, the part at from last, so that a repairer that dies
// between the two leaves what the next one will judge in the same way.
func (r *Ring) padRange(slot, from, to uint64) {
	if end := alignDown(from, r.segment) + r.segment; before(end, to) {
		r.padAs(slot, end, to)
		to = end
	}
	if from != to {
		r.padAs(slot, from, to)
	}
}

// padAs writes one PAD in the name of a dead slot.
func (r *Ring) padAs(slot, from, to uint64) {
	// order: none, the stamp releases it.
	r.data.Word(from + 8).StoreRelaxed(frameWord(to-from-frameHeaderSize, slot, kindPad))
	// order: release, pair [commit] with Reader.Next.
	r.data.Word(from).StoreRelease(from ^ r.nonce)
}
