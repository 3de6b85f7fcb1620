//go:build linux && (amd64 || arm64)

package shm

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// mapped returns the memory of a new file, and what cuts the file to n bytes.
func mapped(t *testing.T, size int) (m Memory, cut func(n int64)) {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err == nil {
		err = f.Truncate(int64(size))
	}
	if err == nil {
		m, err = Map(int(f.Fd()), int64(size), true)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return m, func(n int64) {
		if err := f.Truncate(n); err != nil {
			t.Fatal(err)
		}
	}
}

func raise(t *testing.T, memories ...Memory) *Shield {
	t.Helper()
	s := Raise(memories...)
	t.Cleanup(func() {
		for _, m := range memories {
			m.Retire()
		}
		s.Lower()
	})
	return s
}

func TestShieldNamesTheMemory(t *testing.T) {
	for which := range 3 {
		var memories [3]Memory
		var cuts [3]func(int64)
		for i := range memories {
			memories[i], cuts[i] = mapped(t, 3*4096)
		}
		s := raise(t, memories[:]...)
		other := raise(t)
		for i, m := range memories {
			cuts[i](4096)
			m.Word(0).Store(1)
			if s.Cut() {
				t.Fatal("cut, though all that was looked at is there")
			}
			if i == which {
				if got := m.Word(2*4096 + 8).Load(); got != 0 {
					t.Errorf("what is gone is %d, want 0", got)
				}
				break
			}
		}
		if !s.Cut() || s.Which() != which || other.Cut() {
			t.Errorf("cut %v, memory %d, the other shield %v; want true, %d, false", s.Cut(), s.Which(), other.Cut(), which)
		}
	}
}

// A copy goes over many pages that are gone, and on to the end, by instructions of every width.
func TestShieldUnderACopy(t *testing.T) {
	const size = 1 << 20
	m, cut := mapped(t, size)
	s := raise(t, m)
	cut(4096)
	src := bytes.Repeat([]byte("0123456789abcdef"), size/16)
	for _, n := range []int{1, 7, 8, 31, 32, 255, 4096, 65537, size - 9000} {
		copy(m.Bytes(8999, uint64(n)), src)
		if !bytes.Equal(m.Bytes(8999, uint64(n)), src[:n]) {
			t.Errorf("%d bytes were not kept", n)
		}
	}
	if !s.Cut() {
		t.Error("not cut")
	}
}

// Many threads come upon what is gone at once, at random, while others raise and lower shields and the collector runs.
func TestShieldUnderManyThreads(t *testing.T) {
	const pages = 1024
	m, cut := mapped(t, pages*4096)
	s := raise(t, m)
	cut(0)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			for range 2000 {
				w := m.Word(rand.Uint64N(pages) * 4096)
				w.CompareAndSwap(w.Load(), rand.Uint64())
			}
		})
	}
	all.Go(func() {
		for range 200 {
			var some [20]*Shield
			for i := range some {
				some[i] = Raise(m)
			}
			for _, s := range some {
				s.Lower()
			}
			runtime.GC()
		}
	})
	all.Wait()
	if !s.Cut() { // it came first, so the handler finds it first
		t.Error("not cut")
	}
}

// A file that was cut short and is as long as before when the guard looks.
func TestTruncatedAndLongerAgain(t *testing.T) {
	const pages = 64
	m, cut := mapped(t, pages*4096)
	quit := make(chan struct{})
	var toggler sync.WaitGroup
	toggler.Go(func() {
		for {
			select {
			case <-quit:
				return
			default:
				cut(0)
				cut(pages * 4096)
			}
		}
	})
	faults, which := 0, 0
	for i := 0; faults < 20 && i < 5_000_000; i++ {
		// Not an atomic access: the race detector makes those in C code, where no fault becomes a panic.
		if Guard(func() { m.Word(uint64(i) % pages * 4096).Peek() }, &which, new(atomic.Bool), m) {
			faults++
		}
	}
	close(quit)
	toggler.Wait()
	t.Log(faults, "faults")
	m.Retire()
}

// The kernel reports a page that is gone to who passes it; no signal comes.
func TestShieldAndSystemCalls(t *testing.T) {
	m, cut := mapped(t, 2*4096)
	s := raise(t, m)
	cut(0)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	w.WriteString("x")
	if _, err := unix.Read(int(r.Fd()), m.Bytes(0, 1)); err != unix.EFAULT || s.Cut() {
		t.Errorf("%v, cut %v; want EFAULT, false", err, s.Cut())
	}
	if err := FutexWait(m.Word32(0), 0, 1); err != nil {
		t.Errorf("a sleep on it: %v, want nil: the look that follows finds out", err)
	}
}

func TestShieldsRunOut(t *testing.T) {
	var all []*Shield
	inTable := func(s *Shield) bool {
		for i := range shields {
			if s == &shields[i] {
				return true
			}
		}
		return false
	}
	for range maxShields {
		s := Raise()
		all = append(all, s)
		if !inTable(s) {
			break
		}
	}
	if n := len(all); n < maxShields-16 {
		t.Errorf("%d shields were up, want about %d", n, maxShields)
	}
	if s := Raise(); inTable(s) || s.Cut() {
		t.Error("one more than there are")
	}
	for _, s := range all {
		if inTable(s) {
			s.Lower()
		}
	}
	s := Raise()
	if !inTable(s) {
		t.Error("none is free again")
	}
	s.Lower()
}
