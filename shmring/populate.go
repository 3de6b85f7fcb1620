package shmring

import "time"

const (
	populateFirst = 1 << 20 // before the first use: about 0.1 ms
	populateChunk = 2 << 20 // then, by a helper, once in a millisecond
)

// populate faults the mapping's pages in: those ahead of pos at once, the rest from a helper, so that neither an attach nor
// the first lap pays for all. The creator's pages do not help another process: its page tables are its own.
func (r *Ring) populate(pos uint64) {
	if !r.ring.Mapped() {
		return
	}
	r.populateOnce.Do(func() {
		write := r.access >= Produce
		first := r.offData + pos&(r.capacity-1)
		r.ring.Populate(first, populateFirst, write)
		r.ring.Populate(0, r.offData, write)
		r.cursors.Populate(0, tablesOff, r.access >= Consume)
		if r.hold() != nil {
			return
		}
		go func() {
			defer r.release()
			tick := time.NewTicker(time.Millisecond)
			defer tick.Stop()
			for done := uint64(0); done < r.capacity; done += populateChunk {
				r.ring.Populate(r.offData+(pos+done)&(r.capacity-1)&^(pageSize-1), min(populateChunk, r.capacity), write)
				<-tick.C
				if r.isClosed() {
					return
				}
			}
		}()
	})
}

func (r *Ring) isClosed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.closed
}
