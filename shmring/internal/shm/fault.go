package shm

import (
	"runtime"
	"runtime/debug"
)

// Guard runs f and turns a fault inside one of the given memories (somebody truncated the file: SIGBUS) into faulted = true;
// every other panic goes on. It blocks as long as f does. Nested calls are fine.
func Guard(f func(), memories ...Memory) (faulted bool) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		r := recover()
		if r == nil {
			return
		}
		if e, ok := r.(runtime.Error); ok {
			if a, ok := e.(interface{ Addr() uintptr }); ok { // runtime/debug.SetPanicOnFault documents Addr
				for _, m := range memories {
					if m.Contains(a.Addr()) {
						faulted = true
						return
					}
				}
			}
		}
		panic(r)
	}()
	f()
	return false
}
