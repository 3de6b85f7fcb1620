//go:build stepped

package shm

import (
	"time"
	"unsafe"
)

// This build hands every access to shared memory to a scheduler: one process of a test at a time, an access a step, stores
// going through a store buffer as on x86. It is for proofs, not for use.

// Stepper is the scheduler. Each method is called by the goroutine that makes the access, before it has any effect.
type Stepper interface {
	Load(w *uint64) uint64
	// Store is a store that may stay in the store buffer.
	Store(w *uint64, x uint64)
	// StoreFull drains the store buffer.
	StoreFull(w *uint64, x uint64)
	CompareAndSwap(w *uint64, old, x uint64) bool
	Fence()
}

// Steps is the scheduler of the test that runs, nil outside.
var Steps Stepper

// Word is a 64-bit word that other processes read or write.
type Word struct{ v uint64 }

// Load is a step.
func (w *Word) Load() uint64 {
	if Steps != nil {
		return Steps.Load(&w.v)
	}
	return w.v
}

// Peek is Load.
func (w *Word) Peek() uint64 { return w.Load() }

// Store is a step that drains the store buffer.
func (w *Word) Store(x uint64) {
	if Steps != nil {
		Steps.StoreFull(&w.v, x)
		return
	}
	w.v = x
}

// StoreRelease is a step; x86 keeps stores in order.
func (w *Word) StoreRelease(x uint64) {
	if Steps != nil {
		Steps.Store(&w.v, x)
		return
	}
	w.v = x
}

// StoreRelaxed is a step as StoreRelease is.
func (w *Word) StoreRelaxed(x uint64) { w.StoreRelease(x) }

// CompareAndSwap is a step that drains the store buffer.
func (w *Word) CompareAndSwap(old, x uint64) bool {
	if Steps != nil {
		return Steps.CompareAndSwap(&w.v, old, x)
	}
	if w.v != old {
		return false
	}
	w.v = x
	return true
}

// Add is a loop of steps.
func (w *Word) Add(d uint64) uint64 {
	for {
		old := w.Load()
		if w.CompareAndSwap(old, old+d) {
			return old + d
		}
	}
}

// Word32 is a 32-bit word for the futex. Here it is the whole 8 bytes that a 32-bit word has to itself; the upper ones are zero.
// Its accesses are steps under a [Sleeper]; where nobody sleeps they would only multiply the schedules.
type Word32 struct{ v uint64 }

func (w *Word32) stepped() bool {
	_, ok := Steps.(Sleeper)
	return ok
}

// Load is a step.
func (w *Word32) Load() uint32 {
	if w.stepped() {
		return uint32(Steps.Load(&w.v))
	}
	return uint32(w.v)
}

// Store is a step that drains the store buffer.
func (w *Word32) Store(x uint32) {
	if w.stepped() {
		Steps.StoreFull(&w.v, uint64(x))
		return
	}
	w.v = uint64(x)
}

// CompareAndSwap is a step that drains the store buffer.
func (w *Word32) CompareAndSwap(old, x uint32) bool {
	if w.stepped() {
		return Steps.CompareAndSwap(&w.v, uint64(old), uint64(x))
	}
	if uint32(w.v) != old {
		return false
	}
	w.v = uint64(x)
	return true
}

// Sleeper is a [Stepper] that also steps through sleeping and waking; with another one nobody sleeps.
type Sleeper interface {
	Stepper
	// FutexWait returns when a word does not hold its value at the moment that the kernel looks, or after a wake, or after d if it
	// lets time pass.
	FutexWait(words []*uint64, values []uint32, d time.Duration)
	FutexWake(w *uint64)
	// Barrier drains the store buffers of all processes that are registered for it, and BarrierReady tells whether the one that asks is.
	Barrier()
	BarrierReady() bool
}

// FutexWait is a step: the process sleeps from there on, if the word holds x.
func FutexWait(w *Word32, x uint32, d time.Duration) error {
	return FutexWaitAny([]*Word32{w}, []uint32{x}, d)
}

// MaxWaitAny is how many words FutexWaitAny takes.
const MaxWaitAny = 128

// FutexWaitAny is a step for each word: the process sleeps after the last, if each holds its value and none was woken since.
func FutexWaitAny(words []*Word32, values []uint32, d time.Duration) error {
	if s, ok := Steps.(Sleeper); ok {
		all := make([]*uint64, len(words))
		for i, w := range words {
			all[i] = &w.v
		}
		s.FutexWait(all, values, d)
	}
	return nil
}

// FutexWake is a step.
func FutexWake(w *Word32) {
	if s, ok := Steps.(Sleeper); ok {
		s.FutexWake(&w.v)
	}
}

// RegisterBarrier is nothing here: the scheduler decides whom Barrier reaches.
func RegisterBarrier() {}

// BarrierReady is true where nobody sleeps.
func BarrierReady() bool {
	if s, ok := Steps.(Sleeper); ok {
		return s.BarrierReady()
	}
	return true
}

// Barrier is a step.
func Barrier() error {
	if s, ok := Steps.(Sleeper); ok {
		s.Barrier()
	}
	return nil
}

// FenceFull is a step that drains the store buffer.
func FenceFull() {
	if Steps != nil {
		Steps.Fence()
	}
}

// FenceStores is nothing on x86.
func FenceStores() {}

// FenceLoads is nothing on x86.
func FenceLoads() {}

// Copy loads src word by word, each a step. Both begin at multiples of 8 or hold fewer than 8 bytes.
func Copy(dst, src []byte) int {
	n := min(len(dst), len(src))
	eachWord(src[:n], func(i int, w *Word) {
		x := w.Load()
		for j := 0; j < 8 && i+j < n; j++ {
			dst[i+j] = byte(x >> (8 * j))
		}
	})
	return n
}

// Copy stores src word by word, each a step. A last part of a word overwrites the rest with zero, which is padding.
func (a *Area) Copy(p uint64, src []byte) {
	eachWord(a.Bytes(p, uint64(len(src)+7)&^7), func(i int, w *Word) {
		var x uint64
		for j := 0; j < 8 && i+j < len(src); j++ {
			x |= uint64(src[i+j]) << (8 * j)
		}
		w.StoreRelaxed(x)
	})
}

func eachWord(b []byte, f func(i int, w *Word)) {
	for i := 0; i < len(b); i += 8 {
		f(i, (*Word)(unsafe.Pointer(&b[i])))
	}
}

// Address tells words apart in a hash.
func Address(w *uint64) uint64 { return uint64(uintptr(unsafe.Pointer(w))) }

// OffsetOf returns where in the memory the word is.
func (m Memory) OffsetOf(w *uint64) (off uint64, ok bool) {
	at, base := uintptr(unsafe.Pointer(w)), uintptr(unsafe.Pointer(unsafe.SliceData(m.b)))
	return uint64(at - base), at >= base && at-base < uintptr(len(m.b))
}

// Holds reports whether b lies in the memory.
func (m Memory) Holds(b []byte) bool { return m.Contains(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) }
