package shmring

import "github.com/mycelium-bus/mycelium/shmring/internal/shm"

// Stir ends the sleeps of the topic's readers that are under way, for nothing: they look again, at whatever their owner has changed. One
// that is just about to sleep may miss it; every sleep is bounded. Any access will do, and any goroutine may call it.
func (r *Ring) Stir() {
	if r.hold() != nil {
		return
	}
	defer r.release()
	_ = r.Guard(func() { shm.FutexWake(r.ring.Word32(offWake)) }) // a truncated file is the next look's to tell
}
