//go:build amd64 && !race && !stepped

package shm

// StoreRelease writes the word after everything this thread wrote before. On amd64 every store has release order
// (Intel SDM volume 3, 9.2.2: stores are not reordered with older loads or stores).
func (w *Word) StoreRelease(x uint64) { w.v = x }

// StoreRelaxed writes the word with no order of its own.
func (w *Word) StoreRelaxed(x uint64) { w.v = x }

// FenceStores keeps the stores after it behind the stores before it: nothing to do on amd64, where stores stay in order.
func FenceStores() {}

// FenceLoads keeps the loads after it behind the loads before it: nothing to do on amd64, where loads stay in order.
func FenceLoads() {}
