package shmring

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

func open(t testing.TB, path string) *Ring {
	t.Helper()
	r, err := Open(path, Inspect)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// copyDir copies a topic's files one after the other in a random order, in pieces, as cp does; between the pieces, step runs.
func copyDir(t testing.TB, from, to string, rnd *rand.Rand, step func()) {
	t.Helper()
	if err := os.Mkdir(to, 0o700); err != nil {
		t.Fatal(err)
	}
	names := []string{nameRing, nameCursors, nameControl, nameLocksP, nameLocksC}
	rnd.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	for _, name := range names {
		copyFile(t, filepath.Join(from, name), filepath.Join(to, name), rnd, step)
	}
}

func copyFile(t testing.TB, from, to string, rnd *rand.Rand, step func()) {
	t.Helper()
	src, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer dst.Close()
	buf := make([]byte, 1<<20)
	pieces := []int{256, 4096, 32 << 10, 128 << 10}
	size := pieces[rnd.IntN(len(pieces))]
	for off := int64(0); ; {
		n := size
		if off < tablesOff {
			n = tablesOff // header and words in one go: nobody is slow enough between two lines of a page
		}
		n, err := src.ReadAt(buf[:n], off)
		if _, err := dst.WriteAt(buf[:n], off); err != nil {
			t.Fatal(err)
		}
		off += int64(n)
		if err != nil {
			return // the end
		}
		if step != nil {
			step()
		}
	}
}

// traffic drives a ring's handles in small random steps, from one goroutine.
type traffic struct {
	t         testing.TB
	r         *Ring
	rnd       *rand.Rand
	producers []*Producer
	claims    []Claim // one a producer; p is nil for none
	batches   []*Batch
	rd        *Reader
	rate      int // steps at a time
}

func newTraffic(t testing.TB, r *Ring, rnd *rand.Rand) *traffic {
	tr := &traffic{t: t, r: r, rnd: rnd, rate: 1}
	n := 3
	if r.kind.singleProducer() {
		n = 1
	}
	for range n {
		tr.producers = append(tr.producers, newProducer(t, r))
	}
	tr.claims, tr.batches = make([]Claim, n), make([]*Batch, n)
	tr.rd = newReader(t, r, Policy{Slow: Block, Credit: r.capacity}, Newest())
	return tr
}

// body fills a message with bytes that follow from its position.
func body(b []byte, pos uint64) {
	for i := range b {
		b[i] = byte(pos>>4) ^ byte(pos>>12)*31 ^ byte(pos>>20)*17 ^ byte(i)*7
	}
}

// step begins, goes on with, or ends one thing.
func (tr *traffic) step() {
	i := tr.rnd.IntN(len(tr.producers))
	p, max := tr.producers[i], int(tr.r.maxFrame)
	n := 1 + tr.rnd.IntN(1+tr.rnd.IntN(max))
	switch c, b := tr.claims[i], tr.batches[i]; {
	case c.p != nil:
		switch tr.rnd.IntN(4) {
		case 0:
			c.Abort()
		case 1:
			c.Commit(1 + tr.rnd.IntN(len(c.Bytes())))
		default:
			c.Commit(len(c.Bytes()))
		}
		tr.claims[i] = Claim{}
	case b != nil:
		if at := b.next; tr.rnd.IntN(3) > 0 {
			if buf, err := b.Next(n); err == nil {
				body(buf, at)
				return
			}
		}
		b.Commit()
		tr.batches[i] = nil
	case tr.rnd.IntN(8) == 0:
		if b, err := p.Batch(int(tr.r.maxClaim)); err == nil {
			tr.batches[i] = &b
		}
	default:
		c, err := p.Claim(n)
		if errors.Is(err, ErrBackPressure) {
			readAll(tr.t, tr.rd)
			return
		}
		if err != nil {
			tr.t.Fatal(err)
		}
		body(c.Bytes(), c.Position())
		if tr.rnd.IntN(3) > 0 {
			c.Commit(n)
		} else {
			tr.claims[i] = c
		}
	}
}

// some runs as many steps as a copier might be away for.
func (tr *traffic) some() {
	for range tr.rnd.IntN(tr.rate + 1) {
		tr.step()
	}
	if tr.rnd.IntN(200) == 0 { // preempted: producers go round
		for range tr.rnd.IntN(3000) {
			tr.step()
		}
	}
}

// copyTries is how often a ring of each kind is copied.
func copyTries() int {
	switch {
	case os.Getenv("MYC_SOAK") != "":
		return 500
	case testing.Short():
		return 10
	}
	return 50
}

// TestACopyOfARingInMotionVerifies copies a ring in pieces while it is in use, in one goroutine so that each try can be
// repeated: a claim may be half filled when its bytes are copied, and producers may overtake the copy or be overtaken.
func TestACopyOfARingInMotionVerifies(t *testing.T) {
	tries := copyTries()
	for _, k := range kinds {
		t.Run(k.String(), func(t *testing.T) {
			bus := busDir(t)
			for try := range tries {
				rnd := rand.New(rand.NewPCG(uint64(try), uint64(k)))
				r, err := Create(bus, fmt.Sprintf("t%d", try), small.of(k))
				if err != nil {
					t.Fatal(err)
				}
				tr := newTraffic(t, r, rnd)
				for range rnd.IntN(3000) {
					tr.step()
				}
				tr.rate = []int{0, 1, 5, 50}[rnd.IntN(4)]
				dir := filepath.Join(bus, fmt.Sprintf("copy%d", try))
				copyDir(t, r.path, dir, rnd, tr.some)
				if err := checkCopy(t, dir); err != nil {
					t.Errorf("try %d, rate %d: %v", try, tr.rate, err)
				}
				if _, err := r.Verify(); err != nil {
					t.Errorf("try %d: the ring itself: %v", try, err)
				}
				for _, p := range tr.producers {
					p.Close()
				}
				tr.rd.Close()
				r.Close()
				os.RemoveAll(r.path)
				os.RemoveAll(dir)
			}
		})
	}
}

// checkCopy verifies a copied topic and its ring file alone, and reads both to the end.
func checkCopy(t testing.TB, dir string) error {
	r, err := Open(dir, Inspect)
	if err != nil {
		return err
	}
	defer r.Close()
	lone, err := OpenFile(filepath.Join(dir, nameRing))
	if err != nil {
		return err
	}
	defer lone.Close()
	for _, r := range []*Ring{r, lone} {
		if _, err := r.Verify(); err != nil {
			return err
		}
		if _, err := r.Inspect(); err != nil {
			return err
		}
	}
	return nil
}

// TestACopyOfALiveRingVerifies is the same with a producer at full speed on another thread.
func TestACopyOfALiveRingVerifies(t *testing.T) {
	tries := copyTries()
	for _, k := range kinds {
		t.Run(k.String(), func(t *testing.T) {
			r := newFileRing(t, Options{Kind: k, Capacity: 256 << 10, Producers: 4, Consumers: 8, Groups: 2})
			stop, wait := publishing(t, r)
			defer wait()
			defer stop()
			bus := busDir(t)
			for try := range tries {
				dir := filepath.Join(bus, fmt.Sprint(try))
				copyDir(t, r.path, dir, rand.New(rand.NewPCG(uint64(try), 7)), nil)
				if err := checkCopy(t, dir); err != nil {
					t.Errorf("try %d: %v", try, err)
				}
				if err := os.RemoveAll(dir); err != nil {
					t.Fatal(err)
				}
				if _, err := r.Verify(); err != nil {
					t.Fatalf("try %d: the live ring: %v", try, err)
				}
			}
		})
	}
}

// publishing starts a producer at full speed, on a mapping of its own, and one more in the kinds that admit it.
func publishing(t testing.TB, r *Ring) (stop, wait func()) {
	n := 2
	if r.kind.singleProducer() {
		n = 1
	}
	done := make(chan struct{})
	var running sync.WaitGroup
	for range n {
		g, err := r.GrantProducer(0)
		if err != nil {
			t.Fatal(err)
		}
		p, err := again(t, r, Produce).Producer(g, "full speed")
		if err != nil {
			t.Fatal(err)
		}
		running.Go(func() {
			defer p.Close()
			rnd := rand.New(rand.NewPCG(3, 4))
			msg := make([]byte, p.maxFrame)
			for i := 0; ; i++ {
				if i&63 == 0 {
					select {
					case <-done:
						return
					default:
					}
				}
				// Back pressure comes from the other's open claim alone, and passes.
				if err := p.Publish(msg[:1+rnd.IntN(600)]); err != nil && !errors.Is(err, ErrBackPressure) {
					t.Error(err)
					return
				}
			}
		})
	}
	return sync.OnceFunc(func() { close(done) }), running.Wait
}
