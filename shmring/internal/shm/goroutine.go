//go:build amd64 || arm64

package shm

// Goroutine returns a number that the calling goroutine has to itself as long as it lives: where the runtime keeps it (the
// register or thread-local word g; go1.26 cmd/compile/abi-internal.md). It is never followed.
//
//go:noescape
func Goroutine() uint64
