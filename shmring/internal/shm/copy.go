//go:build !stepped

package shm

// Copy copies min(len(dst), len(src)) bytes out of shared memory that a producer may be overwriting, and returns how many.
// What it copied counts only if a look at the limit afterwards says that nobody could have written there (copy and check),
// so the race detector is kept away from it.
//
//go:norace
func Copy(dst, src []byte) int { return copy(dst, src) }

// Copy fills the bytes from position p on, which are this producer's, with src.
func (a *Area) Copy(p uint64, src []byte) { copy(a.Bytes(p, uint64(len(src))), src) }
