package shmring

import (
	"errors"
	"os"
	"strings"
	"testing"
)

// What a peer may have written into a shared word must not crash, hang or mislead this process. Each case is one that did.

func TestUnalignedTailIsCorruptForEverybody(t *testing.T) {
	for _, tail := range []uint64{2*64<<10 - 1, 2*64<<10 - 8, 64<<10 + 4} {
		r := newHeapRing(t, small.of(MPMC))
		p := newProducer(t, r)
		g, err := r.GrantConsumer(Policy{Slow: Block})
		must(t, err)
		r.tail.Store(tail)
		if err := p.Publish([]byte("x")); !errors.Is(err, ErrCorrupt) {
			t.Errorf("tail %d: Publish: %v", tail, err)
		}
		if _, err := p.Claim(1000); !errors.Is(err, ErrCorrupt) {
			t.Errorf("tail %d: Claim: %v", tail, err)
		}
		if _, err := r.Reader(g, ReaderOptions{}); !errors.Is(err, ErrCorrupt) {
			t.Errorf("tail %d: join: %v", tail, err)
		}
		if _, err := r.Observer(Newest()); !errors.Is(err, ErrCorrupt) {
			t.Errorf("tail %d: observe: %v", tail, err)
		}
		if _, err := r.Inspect(); !errors.Is(err, ErrCorrupt) {
			t.Errorf("tail %d: inspect: %v", tail, err)
		}
		r.tail.Store(r.capacity)
	}
}

func TestUnalignedIntentOfTheDeadIsCleared(t *testing.T) {
	r := newHeapRing(t, small.of(MPMC))
	p := newProducer(t, r)
	p.slotPosition.Store(2*r.capacity - 1)
	p.lease.abandon() // as the kernel does at its death
	done, err := r.Repair(false)
	if err != nil || len(done) != 1 {
		t.Fatalf("%v, %v", done, err)
	}
	if got := r.producerWord(0, pPosition).Load(); got != 0 {
		t.Errorf("the intent is still %d", got)
	}
}

// A message that was committed before the topic was closed is read before the reader is told.
func TestClosingDoesNotOvertakeACommit(t *testing.T) {
	r := newHeapRing(t, small.of(SPSC))
	p := newProducer(t, r)
	rd := newReader(t, r, Policy{Slow: Block}, Newest())
	done := make(chan uint64)
	go func() {
		n := uint64(0)
		for range 1000 {
			if p.Publish([]byte("x")) == nil {
				n++
			}
		}
		must(t, r.MarkClosing())
		done <- n
	}()
	got := uint64(0)
	eventually(t, "the end of the topic", func() bool {
		for {
			if _, ok := rd.Next(); !ok {
				return rd.Err() != nil
			}
			got++
		}
	})
	if want := <-done; got != want || !errors.Is(rd.Err(), ErrClosed) {
		t.Errorf("%d messages read of %d committed before the end (%v)", got, want, rd.Err())
	}
}

// Once a reader knows that its cursor was scribbled over, it must not be lent another frame: its bytes may be overwritten.
func TestCorruptionIsFinalForAReader(t *testing.T) {
	for _, policy := range []Slow{Block, Drop} {
		r := newHeapRing(t, small.of(SPMC))
		p := newProducer(t, r)
		rd := newReader(t, r, Policy{Slow: policy}, Newest())
		for range 200 {
			publish(t, p, "%0100d", 0)
		}
		rd.Next()
		rd.cursor.Store(12345)
		rd.Release()
		if f, ok := rd.Next(); ok || !errors.Is(rd.Err(), ErrCorrupt) {
			t.Errorf("%v: cursor: lent %d (%v)", policy, f.Position, rd.Err())
		}
		rd.cursor.Store(rd.cursorAt)
		rd.Close()
	}
	for _, policy := range []Slow{Block, Drop} {
		r := newHeapRing(t, small.of(SPMC))
		p := newProducer(t, r)
		rd := newReader(t, r, Policy{Slow: policy}, Newest())
		for range 10 {
			publish(t, p, "%0100d", 0)
		}
		good := r.limit.Load()
		r.limit.Store(good + 16*r.capacity)
		rd.Next()
		rd.Release()
		if f, ok := rd.Next(); ok || !errors.Is(rd.Err(), ErrCorrupt) {
			t.Errorf("%v: limit: lent %d (%v)", policy, f.Position, rd.Err())
		}
		r.limit.Store(good)
	}
}

func TestPositionsThatAreNoFramesAreRefused(t *testing.T) {
	for _, k := range []Kind{SPSC, MPMC} {
		r := newHeapRing(t, small.of(k))
		p := newProducer(t, r)
		publish(t, p, "%020d", 0)
		publish(t, p, "%020d", 0)
		for _, pos := range []uint64{r.capacity + r.segment, r.capacity + 16, r.capacity + 7, r.capacity + 128, r.capacity - 16, 1 << 63, 1<<64 - 16} {
			if _, err := r.Observer(At(pos)); !errors.Is(err, ErrPosition) {
				t.Errorf("%v: position %d: %v", k, pos, err)
			}
		}
		for _, pos := range []uint64{r.capacity, r.capacity + 48, r.capacity + 96} {
			rd, err := r.Observer(At(pos))
			if err != nil {
				t.Errorf("%v: position %d: %v", k, pos, err)
				continue
			}
			rd.Close()
		}
	}
}

func TestSuccessorDoesNotTrustATailBeyondTheLimit(t *testing.T) {
	r := newHeapRing(t, small.of(SPSC))
	p := newProducer(t, r)
	publish(t, p, "x")
	p.Close()
	good := r.tail.Load()
	r.tail.Store(r.limit.Load() + 5*r.segment)
	g, err := r.GrantProducer(0)
	must(t, err)
	if _, err := r.Producer(g, ""); !errors.Is(err, ErrCorrupt) {
		t.Errorf("the successor: %v", err)
	}
	r.tail.Store(good)
}

// A slot that is not free keeps its words, whoever comes with a grant for it.
func TestRefusedTenantLeavesTheSlotAlone(t *testing.T) {
	r := newHeapRing(t, small.of(MPMC))
	p := newProducer(t, r)
	c, err := p.Claim(10)
	must(t, err)
	if _, err := r.Producer(Grant{Slot: 0, Lock: -1}, "intruder"); !errors.Is(err, ErrInUse) {
		t.Errorf("a second tenant: %v", err)
	}
	if got := p.slotPosition.Load(); got != c.Position() {
		t.Errorf("the intent is %d, want %d", got, c.Position())
	}
	must(t, c.Commit(10))
}

func TestMethodsAfterCloseAreRefused(t *testing.T) {
	r := newFileRing(t, small.of(MPMC))
	must(t, r.Close())
	if r.Closing() {
		t.Error("Closing of a closed ring")
	}
	for what, f := range map[string]func() error{
		"Tail":          func() error { _, err := r.Tail(); return err },
		"Config":        func() error { _, err := r.Config(); return err },
		"SetConfig":     func() error { return r.SetConfig(nil) },
		"MarkClosing":   r.MarkClosing,
		"Inspect":       func() error { _, err := r.Inspect(); return err },
		"Verify":        func() error { _, err := r.Verify(); return err },
		"Repair":        func() error { _, err := r.Repair(false); return err },
		"Observer":      func() error { _, err := r.Observer(Oldest()); return err },
		"GrantProducer": func() error { _, err := r.GrantProducer(0); return err },
		"GrantConsumer": func() error { _, err := r.GrantConsumer(Policy{Slow: Block}); return err },
	} {
		if err := f(); !errors.Is(err, ErrClosed) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// Producers that abort for ever must not hold a reader's caller, and what is padding is given back.
func TestPadsAlone(t *testing.T) {
	for _, policy := range []Slow{Block, Drop, Lossy} {
		r := newHeapRing(t, small.of(MPMC))
		p := newProducer(t, r)
		rd := newReader(t, r, Policy{Slow: policy}, Newest())
		for range 500 {
			c, err := p.Claim(20)
			must(t, err)
			c.Abort()
		}
		calls := 0
		for at := uint64(0); at != rd.Position(); calls++ {
			at = rd.Position()
			if _, ok := rd.Next(); ok {
				t.Fatal("a message of nothing")
			}
		}
		if want := 500/maxPads + 1; calls < want {
			t.Errorf("%v: one call passed all PADs: %d calls, want %d", policy, calls, want)
		}
		if got := rd.cursor.Load(); got != r.tail.Load() {
			t.Errorf("%v: the cursor is at %d, the tail at %d", policy, got, r.tail.Load())
		}
	}
}

func TestTruncatedFileIsAnErrorOfThoseWhoLook(t *testing.T) {
	r := newFileRing(t, small.of(MPMC))
	p := newProducer(t, r)
	publish(t, p, "x")
	p.Close()
	o := again(t, r, Inspect)
	must(t, os.Truncate(ringFile(r, nameRing), 4096))
	t.Cleanup(func() { os.Truncate(ringFile(r, nameRing), int64(r.ringSize)) })
	if _, err := o.Inspect(); !errors.Is(err, ErrCorrupt) {
		t.Errorf("Inspect: %v", err)
	}
	if _, err := o.Verify(); !errors.Is(err, ErrCorrupt) {
		t.Errorf("Verify: %v", err)
	}
	if _, err := o.Observer(Newest()); !errors.Is(err, ErrCorrupt) {
		t.Errorf("Observer: %v", err)
	}
	if err := o.Guard(func() { o.tail.Load() }); !errors.Is(err, ErrCorrupt) {
		t.Errorf("Guard: %v", err)
	}
	r.Close()
}

// A consumer may write, and so cut short, the cursors file: that must not end the producers, nor anybody's Close.
func TestTruncatedFilesAreErrorsOfHandles(t *testing.T) {
	for _, file := range []string{nameCursors, nameControl} {
		t.Run(file, func(t *testing.T) {
			r, err := Create(busDir(t), "cut", small.of(MPMC))
			must(t, err)
			defer r.Close()
			p := newProducer(t, r)
			rd := newReader(t, r, Policy{Slow: Block}, Newest())
			must(t, os.Truncate(ringFile(r, file), 0))
			for range 1000 { // until a refresh looks
				if err = p.Publish(make([]byte, 100)); err != nil {
					break
				}
			}
			if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), file) {
				t.Errorf("Publish: %v, want ErrCorrupt of %s", err, file)
			}
			if err := errors.Join(p.Close(), rd.Close()); err != nil && !errors.Is(err, ErrCorrupt) {
				t.Errorf("Close: %v", err)
			}
			if r.Closing() {
				t.Error("a control file that was cut short says that the topic is closing")
			}
		})
	}
}
