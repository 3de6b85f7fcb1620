package shm

import (
	"math"
	"unsafe"

	"golang.org/x/sys/unix"
)

const futexWake = 1 // FUTEX_WAKE of linux/futex.h

// FutexWake wakes everybody who sleeps on the word (futex(2), FUTEX_WAKE, not private: the sleepers are other processes).
func FutexWake(w *Word32) {
	// Syscall, not RawSyscall: the kernel may take long to wake many.
	unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(&w.v)), futexWake, math.MaxInt32, 0, 0, 0)
}
