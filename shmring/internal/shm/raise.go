package shm

// RaiseTo makes the word at least x, and reports whether it had to. Values are compared as signed differences, so that they may
// wrap. Its loop ends because each failed attempt means that another one raised the word.
func (w *Word32) RaiseTo(x uint32) bool {
	for {
		old := w.Load()
		if int32(x-old) <= 0 {
			return false
		}
		if w.CompareAndSwap(old, x) {
			return true
		}
	}
}

// RaiseTo makes the word at least x by compare-and-swap and returns what it then is, at least x. Values are compared as
// signed differences, as positions are. Sequentially consistent where it writes; a mere load where it does not. Its loop
// ends because each failed attempt means that another one raised the word.
func (w *Word) RaiseTo(x uint64) uint64 {
	for {
		old := w.Load()
		if int64(x-old) <= 0 {
			return old
		}
		if w.CompareAndSwap(old, x) {
			return x
		}
	}
}
