package shm

import (
	"sync"
	"sync/atomic"
	"unsafe"
)

// A Shield keeps accesses to a page that is gone, because somebody cut the file short, from ending the process. While it is up, such
// an access to one of its memories, by whatever code, Go's memmove and the program's own included, finds a page of zeros of this
// process instead, which takes every store and keeps it to itself, and [Shield.Cut] says so from then on.
//
// So who works behind a shield looks at Cut after loads that it acts on and before it acts, and after stores that others are to see. It
// is for those who mostly write. Who lends bytes to a program stays without one and has [Guard]: a program that is handed zeros acts on
// them before anybody can tell it, one whose look panics does not.
//
// The zero Shield keeps nothing off; Cut of it is false.
type Shield struct {
	cut   atomic.Uint32        // a byte for each memory, stored by the handler; it is in the assembly that this comes first
	taken bool                 // under shieldsMu
	spans [shieldMemories]span // the handler reads them
}

// span is where a memory is. The base is stored last, and cleared first. No two mappings ever have the same base (see [Memory.Retire]), so
// who finds the same base before and after its look at the size has the size that belongs to it.
type span struct{ base, size atomic.Uintptr }

const (
	shieldMemories = 3
	maxShields     = 1024
)

// shields are all there are: the handler can neither take a lock nor follow a pointer that the collector may free. Who comes when all
// are taken gets one that keeps nothing off.
var (
	shields   [maxShields]Shield
	shieldsMu sync.Mutex
)

// The layout as the assembly knows it.
const (
	_ uintptr = shieldSize - unsafe.Sizeof(Shield{})
	_ uintptr = unsafe.Sizeof(Shield{}) - shieldSize
	_ uintptr = shieldSpans - unsafe.Offsetof(Shield{}.spans)
	_ uintptr = unsafe.Offsetof(Shield{}.spans) - shieldSpans

	shieldSize  = 56
	shieldSpans = 8
)

// Raise puts a shield before the mapped ones of up to three memories, for as long as they are mapped: Lower follows their Retire. The
// first one in a process installs a handler for SIGBUS, which hands on whatever is not its own. Where that cannot be, or 1,024 shields
// are up, the shield keeps nothing off.
func Raise(memories ...Memory) *Shield {
	if !catchBusErrors() {
		return new(Shield)
	}
	shieldsMu.Lock()
	defer shieldsMu.Unlock()
	for i := range shields {
		s := &shields[i]
		if s.taken {
			continue
		}
		s.taken = true
		s.cut.Store(0)
		for j, m := range memories {
			if m.mapped {
				s.spans[j].size.Store(uintptr(len(m.b)))
				s.spans[j].base.Store(uintptr(unsafe.Pointer(unsafe.SliceData(m.b))))
			}
		}
		return s
	}
	return new(Shield)
}

// Cut reports whether somebody looked at a page that is gone. It costs a load of a word that stays in the cache, and any goroutine may
// call it. A goroutine whose own access it was, or that loaded from the page with acquire order, sees it; one that only stored there
// may see it an instant later.
func (s *Shield) Cut() bool { return s.cut.Load() != 0 }

// Which returns the place, among those that were given to Raise, of the first memory that was cut short.
func (s *Shield) Which() int {
	cut := s.cut.Load()
	for i := range shieldMemories {
		if cut>>(8*i)&0xff != 0 { // every architecture with a handler is little-endian
			return i
		}
	}
	return 0
}

// Lower takes the shield down. It must not be looked at afterwards: the next one who raises one gets it.
func (s *Shield) Lower() {
	shieldsMu.Lock()
	defer shieldsMu.Unlock()
	for j := range s.spans {
		s.spans[j].base.Store(0)
	}
	s.taken = false
}
