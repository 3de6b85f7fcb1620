//go:build !amd64 && !arm64

package shm

// Goroutine returns 0: nobody has looked how this architecture tells its goroutines apart.
func Goroutine() uint64 { return 0 }
