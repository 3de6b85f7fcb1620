package shm

import (
	"os"
	"runtime"
	"runtime/debug"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Guard runs f and turns a look at a page that is gone from one of the given memories (somebody cut the file short: SIGBUS)
// into faulted = true, and the memory's place among those given into which; every other panic goes on, that of a write to read-only memory too.
// After f it looks at the memories' ends itself, unless they are retired by then. It blocks as long as f does.
// Nested calls are fine.
func Guard(f func(), which *int, retired *atomic.Bool, memories ...Memory) (faulted bool) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	over := false
	defer func() {
		r := recover()
		if r == nil || over && retired.Load() { // they went while this looked at their ends
			return
		}
		if e, ok := r.(runtime.Error); ok {
			if a, ok := e.(interface{ Addr() uintptr }); ok { // runtime/debug.SetPanicOnFault documents Addr
				for i, m := range memories {
					// Only a page that is gone faults in writable memory. In another one a write does too; it is told by the page, which is
					// there. One that came back since, because the file was made longer again, is taken for that.
					if m.Contains(a.Addr()) && (m.write || !readable(a.Addr())) {
						*which, faulted = i, true
						return
					}
				}
			}
		}
		panic(r)
	}()
	f()
	over = true
	for i := range memories {
		if !retired.Load() { // f may have closed what it used
			memories[i].TouchEnd()
		}
	}
	return false
}

// readable asks the kernel to read the byte at addr (process_vm_readv(2)): it answers EFAULT instead of sending a signal.
func readable(addr uintptr) bool {
	var b [1]byte
	local := []unix.Iovec{{Base: &b[0], Len: 1}}
	_, err := unix.ProcessVMReadv(os.Getpid(), local, []unix.RemoteIovec{{Base: addr, Len: 1}}, 0)
	return err == nil
}
