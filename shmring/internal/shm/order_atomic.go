//go:build (!amd64 || race) && !stepped

package shm

import "sync/atomic"

// StoreRelease writes the word after everything this thread wrote before. Go's atomic store is STLR on arm64.
func (w *Word) StoreRelease(x uint64) { atomic.StoreUint64(&w.v, x) }

// StoreRelaxed writes the word with no order of its own. It is atomic here so that the race detector sees no race between
// words that the protocol orders.
func (w *Word) StoreRelaxed(x uint64) { atomic.StoreUint64(&w.v, x) }
