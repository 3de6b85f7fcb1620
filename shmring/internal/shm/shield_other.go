//go:build !linux || (!amd64 && !arm64)

package shm

// catchBusErrors has no handler to install on this architecture.
func catchBusErrors() bool { return false }
