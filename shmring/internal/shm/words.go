//go:build !stepped

package shm

import "sync/atomic"

// Word is a 64-bit word that other processes read or write. Its address is 8-byte aligned.
type Word struct{ v uint64 }

// Load reads the word with acquire order.
func (w *Word) Load() uint64 { return atomic.LoadUint64(&w.v) }

// Store writes the word; everything this thread does later, loads too, comes after it (sequentially consistent).
func (w *Word) Store(x uint64) { atomic.StoreUint64(&w.v, x) }

// CompareAndSwap replaces old by x and reports whether it did; sequentially consistent.
func (w *Word) CompareAndSwap(old, x uint64) bool { return atomic.CompareAndSwapUint64(&w.v, old, x) }

// Add adds d and returns the new value; sequentially consistent.
func (w *Word) Add(d uint64) uint64 { return atomic.AddUint64(&w.v, d) }

// Word32 is a 32-bit word, for the kernel's futex. Its address is 8-byte aligned.
type Word32 struct{ v uint32 }

// Load reads the word with acquire order.
func (w *Word32) Load() uint32 { return atomic.LoadUint32(&w.v) }

// Store writes the word; sequentially consistent.
func (w *Word32) Store(x uint32) { atomic.StoreUint32(&w.v, x) }

// CompareAndSwap replaces old by x and reports whether it did; sequentially consistent.
func (w *Word32) CompareAndSwap(old, x uint32) bool { return atomic.CompareAndSwapUint32(&w.v, old, x) }
