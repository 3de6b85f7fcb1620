package shmring

import (
	"runtime"
	"time"
)

const (
	populateFirst = 1 << 20   // before the first use: about 0.1 ms
	touchFirst    = 128 << 10 // before the first use, and at a time: 0.2 ms where the host makes it slow
	populateChunk = 2 << 20   // then, by a helper, once in a millisecond
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
		r.touch(first, touchFirst)
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
				at, n := r.offData+(pos+done)&(r.capacity-1)&^(pageSize-1), min(populateChunk, r.capacity)
				r.ring.Populate(at, n, write)
				for end := at + n; at < end; at += touchFirst {
					r.touch(at, touchFirst)
					runtime.Gosched()
				}
				<-tick.C
				if r.isClosed() {
					return
				}
			}
		}()
	})
}

// touch makes a virtual machine's host take the populated pages into its own page tables as well, before a message meets them.
func (r *Ring) touch(off, n uint64) {
	_ = r.Guard(func() { r.ring.Touch(off, n) }) // a file cut short is the next call's to report
}

func (r *Ring) isClosed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.closed
}
