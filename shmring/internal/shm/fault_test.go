package shm

import (
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
)

// Memory that somebody else retires while a guard ends was not cut short.
func TestRetiredIsNotTruncated(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "memory"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const size = 1 << 16
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	for range 300 {
		m, err := Map(int(f.Fd()), size, true)
		if err != nil {
			t.Fatal(err)
		}
		var looks, retired atomic.Bool
		var other sync.WaitGroup
		other.Go(func() {
			for !looks.Load() {
			}
			retired.Store(true)
			if err := m.Retire(); err != nil {
				t.Error(err)
			}
		})
		for {
			which := 0
			if Guard(func() {}, &which, &retired, m) {
				t.Error("taken for cut short")
			}
			if retired.Load() {
				break
			}
			looks.Store(true)
		}
		other.Wait()
		if t.Failed() {
			break
		}
	}
}
