//go:build linux && (amd64 || arm64)

package shm

import (
	"os"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// busErrorPC returns the address of busError, which is no Go function: the kernel calls it.
func busErrorPC() uintptr

// What busError needs besides the shields, written before it is installed.
var (
	//lint:ignore U1000 busError reads it
	busErrorNext uintptr // the handler that was there before, the Go runtime's or one of a C library that calls that
	//lint:ignore U1000 busError reads it
	busErrorPage uintptr // a page's size
)

// signalAction is the kernel's struct sigaction of these architectures (runtime/defs_linux_amd64.go, defs_linux_arm64.go).
type signalAction struct {
	handler  uintptr
	flags    uint64
	restorer uintptr
	mask     uint64
}

// The flags without which busError could not run: of linux/signal.h.
const (
	saSiginfo = 0x4
	saOnStack = 0x8000000
)

// catchBusErrors installs busError as the handler of SIGBUS, once, and reports whether it is.
//
// Only the address is replaced: flags, mask and restorer stay the runtime's. So it runs as the runtime's own handler does, on the
// signal stack that each thread of a Go program has, with all signals blocked. The runtime installs handlers when a program starts
// and never again for SIGBUS: os/signal's Notify, Ignore and Reset do it only for signals that runtime/sigtab_linux_generic.go marks as
// _SigNotify, which SIGBUS is not (kill -BUS reaches Notify through the handler, which it still does); a child between fork and exec,
// and a process that is about to die by a signal, set the default action, which is right. Somebody else's later handler that hands on
// what is not its own has this one behind it; one that does not takes the shields away, and leaves what [Guard] catches.
var catchBusErrors = sync.OnceValue(func() bool {
	var action signalAction
	if signalActionOf(nil, &action) != nil || action.handler <= 1 || action.flags&saSiginfo == 0 || action.flags&saOnStack == 0 {
		return false // SIG_DFL or SIG_IGN: no Go runtime that handles it (a C program's choice), and nothing to hand on to
	}
	busErrorNext, busErrorPage = action.handler, uintptr(os.Getpagesize())
	action.handler = busErrorPC()
	return signalActionOf(&action, nil) == nil
})

// signalActionOf is rt_sigaction(2) for SIGBUS, by the kernel's own interface: a C library's would insist on its own restorer.
func signalActionOf(set, old *signalAction) error {
	_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(unix.SIGBUS), uintptr(unsafe.Pointer(set)), uintptr(unsafe.Pointer(old)),
		unsafe.Sizeof(signalAction{}.mask), 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}
