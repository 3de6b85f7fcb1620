package shmring

// freeDeadProducer frees the slot of a producer that is known to be dead: the caller holds its lock, and s is the state
// word as loaded before the lock was taken. It reports whether the slot is free now. A slot with an open claim stays: its
// range has to be judged first.
func (r *Ring) freeDeadProducer(slot uint64, s state) bool {
	if !r.kind.singleProducer() {
		// order: acquire, pair [intent] with Producer.reserveShared.
		if r.producerWord(slot, pPosition).Load() != 0 {
			return false
		}
	}
	// A single producer leaves nothing but bytes after its last stamp: the next one finds the tail by walking the stamps.
	// order: none, under the slot's lock.
	r.producerWord(slot, pPosition).StoreRelaxed(0)
	// order: sequentially consistent, pair [state] with every scan.
	return r.producerWord(slot, pState).CompareAndSwap(uint64(s), uint64(makeState(s.gen(), slotFree, 0, 0)))
}

// freeDeadConsumer frees the slot of a reader that is known to be dead, and with it its gate.
func (r *Ring) freeDeadConsumer(slot uint64, s state) bool {
	if s.kind() != slotReader && s.kind() != slotLossy {
		return false // a group member's range belongs to its group
	}
	// order: sequentially consistent, pair [state] with every scan.
	return r.consumerWord(slot, cState).CompareAndSwap(uint64(s), uint64(makeState(s.gen(), slotFree, 0, 0)))
}
