//go:build !stepped

package shm

import (
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Of linux/membarrier.h.
const (
	membarrierGlobalExpedited         = 1 << 1
	membarrierRegisterGlobalExpedited = 1 << 2
)

var (
	registerOnce sync.Once
	registered   atomic.Bool
)

// RegisterBarrier makes this process one that [Barrier] of any process reaches: once, on a goroutine of its own, since the kernel
// takes some 7 ms for it (membarrier(2), MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED). It does not wait; [BarrierReady] tells when it
// is done.
func RegisterBarrier() {
	registerOnce.Do(func() {
		go func() {
			if membarrier(membarrierRegisterGlobalExpedited) == nil {
				registered.Store(true)
			}
		}()
	})
}

// BarrierReady reports whether [Barrier] reaches this process. Once true it stays true.
func BarrierReady() bool { return registered.Load() }

// Barrier executes a full memory fence on every processor that runs a thread of a registered process (membarrier(2),
// MEMBARRIER_CMD_GLOBAL_EXPEDITED; registered or not, any process may). The error tells that the kernel does not do it.
func Barrier() error { return membarrier(membarrierGlobalExpedited) }

func membarrier(command uintptr) error {
	if _, _, errno := unix.Syscall(unix.SYS_MEMBARRIER, command, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

// FenceFull keeps every access after it behind every access before it. A sequentially consistent read-modify-write is a full
// fence on every architecture that Go supports (on arm64 without LSE followed by an acquiring load, which is what comes next here).
func FenceFull() {
	var own uint64
	atomic.AddUint64(&own, 0)
}
