package shmring

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// newHeapRing makes a ring in Go memory that the race detector can see.
func newHeapRing(t testing.TB, o Options) *Ring {
	t.Helper()
	r, err := NewHeap("test", o)
	if err != nil {
		t.Fatal(err)
	}
	verifyAtEnd(t, r)
	return r
}

// newFileRing makes a ring of files in a directory of its own in /dev/shm (elsewhere if there is none).
func newFileRing(t testing.TB, o Options) *Ring {
	t.Helper()
	r, err := Create(busDir(t), "test", o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	verifyAtEnd(t, r)
	return r
}

// busDir makes a directory of the test's own that is gone afterwards.
func busDir(t testing.TB) string {
	t.Helper()
	base := "/dev/shm"
	if _, err := os.Stat(base); err != nil {
		base = ""
	}
	dir, err := os.MkdirTemp(base, "myc-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// again maps the ring's files once more, as another process would.
func again(t testing.TB, r *Ring, access Access) *Ring {
	t.Helper()
	if r.path == "" {
		return r
	}
	o, err := Open(r.path, access)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.Close() })
	return o
}

func newProducer(t testing.TB, r *Ring) *Producer {
	t.Helper()
	return newProducerOn(t, r, r)
}

// newProducerOn grants a slot of r to a producer that looks through another mapping of it.
func newProducerOn(t testing.TB, r, mapping *Ring) *Producer {
	t.Helper()
	g, err := r.GrantProducer(0)
	if err != nil {
		t.Fatal(err)
	}
	p, err := mapping.Producer(g, t.Name())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func newReader(t testing.TB, r *Ring, p Policy, from From) *Reader {
	t.Helper()
	return newReaderOn(t, r, r, p, from)
}

// newReaderOn grants a slot of r to a reader that looks through another mapping of it.
func newReaderOn(t testing.TB, r, mapping *Ring, p Policy, from From) *Reader {
	t.Helper()
	g, err := r.GrantConsumer(p)
	if err != nil {
		t.Fatal(err)
	}
	rd, err := mapping.Reader(g, ReaderOptions{Name: t.Name(), From: from})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rd.Close() })
	return rd
}

func publish(t testing.TB, p *Producer, format string, args ...any) {
	t.Helper()
	if err := p.Publish(fmt.Appendf(nil, format, args...)); err != nil {
		t.Fatal(err)
	}
}

// readAll returns the payloads that are there.
func readAll(t testing.TB, rd *Reader) (got []string) {
	t.Helper()
	for {
		f, ok := rd.Next()
		if !ok {
			if err := rd.Err(); err != nil && !errors.Is(err, ErrLapped) {
				t.Fatal(err)
			}
			rd.Release()
			return got
		}
		got = append(got, string(f.Payload))
	}
}

// eventually waits for a condition, under a watchdog.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("watchdog: %s did not come about in a minute", what)
		}
		time.Sleep(50 * time.Microsecond)
	}
}

func ringFile(r *Ring, name string) string { return filepath.Join(r.path, name) }

// verifyAtEnd checks the ring when the test ends.
func verifyAtEnd(t testing.TB, r *Ring) {
	t.Cleanup(func() {
		if _, err := r.Verify(); err != nil && !errors.Is(err, ErrClosed) {
			t.Errorf("verify: %v", err)
		}
	})
}
