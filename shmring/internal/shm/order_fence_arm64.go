//go:build !stepped

package shm

// FenceStores keeps the stores after it behind everything before it: DMB ISH. STLR and Go's CAS without LSE do not order
// later plain stores.
//
//go:noescape
func FenceStores()

// FenceLoads keeps the loads after it behind the loads before it: DMB ISHLD.
//
//go:noescape
func FenceLoads()
