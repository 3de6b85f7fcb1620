//go:build race && !stepped

package shm

// Peek is Load without the race detector, which sees a plain store of payload bytes beside it.
//
//go:norace
func (w *Word) Peek() uint64 { return w.v }
