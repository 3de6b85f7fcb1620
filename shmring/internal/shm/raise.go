package shm

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
