//go:build !amd64 && !arm64

package shm

// Pause tells the core that this thread spins; this architecture has no instruction for it.
func Pause(n uint32) {}
