//go:build !stepped

package shm

import (
	"math"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Of linux/futex.h; none is private, since the others are other processes.
const (
	futexWait   = 0 // FUTEX_WAIT
	futexWake   = 1 // FUTEX_WAKE
	futexSize32 = 2 // FUTEX2_SIZE_U32
)

// MaxWaitAny is how many words FutexWaitAny takes (FUTEX_WAITV_MAX).
const MaxWaitAny = 128

// The calls go through Syscall, not RawSyscall: they may take long, and the runtime needs the processor meanwhile.

// FutexWait sleeps while the word holds x, at most d (futex(2), FUTEX_WAIT; a read-only mapping will do). It returns nil when it
// was woken, when the word holds something else, after d, and at a signal: the caller looks again in any case.
func FutexWait(w *Word32, x uint32, d time.Duration) error {
	ts := unix.NsecToTimespec(int64(d))
	_, _, errno := unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(&w.v)), futexWait, uintptr(x), uintptr(unsafe.Pointer(&ts)), 0, 0)
	return mustWait(errno)
}

// FutexWaitAny sleeps while each of the words holds its value, at most d (futex_waitv(2), since Linux 5.16; at most [MaxWaitAny]
// words). Otherwise as FutexWait; the error is ENOSYS where the kernel has no such call.
func FutexWaitAny(words []*Word32, values []uint32, d time.Duration) error {
	var waiters [MaxWaitAny]struct { // struct futex_waitv of linux/futex.h
		value, address  uint64
		flags, reserved uint32
	}
	for i, w := range words {
		waiters[i].value, waiters[i].address, waiters[i].flags = uint64(values[i]), uint64(uintptr(unsafe.Pointer(&w.v))), futexSize32
	}
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return err
	}
	end := unix.NsecToTimespec(now.Nano() + int64(d)) // this call takes a point in time
	_, _, errno := unix.Syscall6(unix.SYS_FUTEX_WAITV, uintptr(unsafe.Pointer(&waiters)), uintptr(len(words)), 0,
		uintptr(unsafe.Pointer(&end)), unix.CLOCK_MONOTONIC, 0)
	return mustWait(errno)
}

func mustWait(errno unix.Errno) error {
	switch errno {
	case 0, unix.EAGAIN, unix.ETIMEDOUT, unix.EINTR:
		return nil
	case unix.EFAULT: // the word's page is gone, since somebody cut the file short: the look that follows finds that out
		return nil
	}
	return errno
}

// FutexWake wakes everybody who sleeps on the word (futex(2), FUTEX_WAKE).
func FutexWake(w *Word32) {
	unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(&w.v)), futexWake, math.MaxInt32, 0, 0, 0)
}
