package perf

import "errors"

// What can go wrong with a measurement; test with errors.Is.
var (
	// ErrOptions says that options do not fit together; every fault is named.
	ErrOptions = errors.New("wrong options")
	// ErrCPUs says that the process may not use two CPUs, or not the ones that were named.
	ErrCPUs = errors.New("not enough CPUs")
	// ErrRealtime says that a worker may not use a real-time priority.
	ErrRealtime = errors.New("no real-time priority")
	// ErrWorker says that a worker process ended, or answered what it should not, before the run was over.
	ErrWorker = errors.New("worker failed")
	// ErrStalled says that a worker waited for a message for [StallLimit] and none came.
	ErrStalled = errors.New("stalled")
	// ErrPayload says that a message arrived that is not the one sent: a wrong length, sequence number or sum.
	ErrPayload = errors.New("wrong payload")
)
