//go:build amd64 || arm64

package shm

// pause executes n PAUSE (amd64) or YIELD (arm64) instructions; n is at least 1.
//
//go:noescape
func pause(n uint32)

// Pause tells the core that this thread spins: n PAUSE instructions on amd64 (about 25 ns each on the machine of
// docs/performance.md, ten times that on some cores), YIELD on arm64. A spin in assembly cannot be preempted, so n is cut to
// 64.
func Pause(n uint32) {
	if n != 0 {
		pause(min(n, 64))
	}
}
