//go:build !arm64 && (!amd64 || race) && !stepped

package shm

import "sync/atomic"

var fence uint64

// FenceStores keeps the stores after it behind everything before it. A sequentially consistent read-modify-write is a full
// fence on every architecture that Go supports.
func FenceStores() { atomic.AddUint64(&fence, 0) }

// FenceLoads keeps the loads after it behind the loads before it.
func FenceLoads() { atomic.AddUint64(&fence, 0) }
