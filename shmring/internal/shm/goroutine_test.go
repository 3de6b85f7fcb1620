package shm

import (
	"sync"
	"testing"
)

// Goroutines that live at the same time have different numbers, and each keeps its own over a growing stack.
func TestGoroutineTellsThemApart(t *testing.T) {
	if Goroutine() == 0 {
		t.Skip("this architecture does not tell goroutines apart")
	}
	const n = 100
	var all sync.WaitGroup
	var mu sync.Mutex
	seen := map[uint64]bool{Goroutine(): true}
	together := make(chan struct{})
	var there sync.WaitGroup
	there.Add(n)
	for range n {
		all.Go(func() {
			me := Goroutine()
			mu.Lock()
			seen[me] = true
			mu.Unlock()
			there.Done()
			<-together
			if deep(1000) != me {
				t.Error("the number changed")
			}
		})
	}
	there.Wait()
	close(together)
	all.Wait()
	if len(seen) != n+1 {
		t.Errorf("%d numbers of %d goroutines", len(seen), n+1)
	}
}

//go:noinline
func deep(n int) uint64 {
	var room [256]byte
	room[n%len(room)] = 1
	if n == 0 {
		return Goroutine()
	}
	g := deep(n - 1)
	if room[n%len(room)] != 1 {
		return 0
	}
	return g
}
