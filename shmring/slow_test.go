package shmring

import (
	"encoding/binary"
	"errors"
	"testing"
	"time"
)

// atOnce is a patience that is over at the second claim that fails, never at the first.
const atOnce = time.Nanosecond

// slowRing is a ring with a producer, and a reader that is never polled.
func slowRing(t *testing.T, k Kind, policy Policy) (*Ring, *Producer, *Reader) {
	r := newFileRing(t, Options{Kind: k, Capacity: 64 << 10, Consumers: 4})
	rd := newReader(t, r, policy, Newest())
	return r, newProducer(t, r), rd
}

// fillUp publishes until a claim fails, and returns how many did not.
func fillUp(t *testing.T, p *Producer, message []byte) (n int) {
	t.Helper()
	for {
		switch err := p.Publish(message); err {
		case nil:
			n++
		case ErrBackPressure:
			return n
		default:
			t.Fatal(err)
		}
	}
}

func consumer(t *testing.T, r *Ring, id string) ConsumerInfo {
	t.Helper()
	info, err := r.Inspect()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range info.Consumers {
		if c.ID == id {
			return c
		}
	}
	t.Fatalf("no %s among %+v", id, info.Consumers)
	return ConsumerInfo{}
}

var allKinds = []Kind{SPSC, SPMC, MPSC, MPMC}

// TestSlowReaderIsDropped has a drop reader hold a producer up for longer than its patience: it stops gating, is told to the byte
// what it missed, and gates again, under the same name, once it has caught up.
func TestSlowReaderIsDropped(t *testing.T) {
	for _, k := range allKinds {
		t.Run(k.String(), func(t *testing.T) {
			r, p, rd := slowRing(t, k, Policy{Slow: Drop, Patience: atOnce})
			id, tenancy := rd.ID(), rd.Tenancy()
			message := make([]byte, 112)
			fillUp(t, p, message)
			if by := p.Holder(); by.What != "reader" || consumer(t, r, id).Dropped {
				t.Fatalf("held by %+v, dropped at the first claim that failed", by)
			}
			const more = 2000 // several times round
			for range more {
				if err := p.Publish(message); err != nil {
					t.Fatal(err)
				}
			}
			if c := consumer(t, r, id); !c.Dropped || c.Gates() {
				t.Errorf("not shown as dropped: %+v", c)
			}
			begin, end := rd.Position(), tailWord(t, r)
			var read, missed uint64
			for at := begin; at != end; {
				f, ok := rd.Next()
				var lap *LappedError
				switch err := rd.Err(); {
				case ok && f.Position == at:
					read++
					at += 128
				case errors.As(err, &lap) && lap.From == at:
					missed += lap.Missed()
					at = lap.To
				default:
					t.Fatalf("at %d: frame %v at %d, %v", at, ok, f.Position, err)
				}
			}
			if missed == 0 || read*128+missed != end-begin {
				t.Errorf("read %d frames, missed %d bytes of %d", read, missed, end-begin)
			}
			if _, ok := rd.Next(); ok || rd.Err() != nil {
				t.Fatalf("a message, or %v, beyond the end", rd.Err())
			}
			c := consumer(t, r, id)
			if c.Dropped || !c.Gates() || c.MissedBytes != missed {
				t.Errorf("it does not gate again: %+v", c)
			}
			if state(r.consumerWord(rd.slot, cState).Load()).gen() == tenancy.Generation {
				t.Error("it gates again in the generation that was dropped")
			}
			if err := r.ProveConsumer(tenancy); err != nil {
				t.Errorf("its tenancy is not proved any more: %v", err)
			}
			if n := fillUp(t, p, message); n == 0 || n > 64<<10/128 {
				t.Errorf("%d messages went past a reader that gates", n)
			}
		})
	}
}

// TestReaderThatStopsOnItsWayToTheGatesIsDropped has one stop behind its stand-in: no frame begins there, and no open claim is to blame.
func TestReaderThatStopsOnItsWayToTheGatesIsDropped(t *testing.T) {
	for _, k := range allKinds {
		t.Run(k.String(), func(t *testing.T) {
			r, p, rd := slowRing(t, k, Policy{Slow: Drop, Patience: atOnce})
			message := make([]byte, 112)
			for range 8 {
				publish(t, p, "before it")
			}
			r.consumerWord(rd.slot, cCursor).Store(r.limit.Load() - r.capacity + 16) // order: none, nobody else runs.
			fillUp(t, p, message)
			if err := p.Publish(message); err != nil {
				t.Errorf("%v: it is waited for", err)
			}
			if c := consumer(t, r, rd.ID()); !c.Dropped {
				t.Errorf("not shown as dropped: %+v", c)
			}
		})
	}
}

// TestSlowReaderIsEvicted has an evict reader read on until it is told, and no further.
func TestSlowReaderIsEvicted(t *testing.T) {
	r, p, rd := slowRing(t, MPMC, Policy{Slow: Evict, Patience: atOnce})
	message := make([]byte, 112)
	fillUp(t, p, message)
	publish(t, p, "goes past it")
	var err error
	for read := 0; err == nil; err = rd.Err() {
		if _, ok := rd.Next(); ok {
			if read++; read > 64<<10/128 {
				t.Fatal("it is never told")
			}
		}
	}
	if !errors.Is(err, ErrEvicted) {
		t.Fatalf("%v, want ErrEvicted", err)
	}
	if _, ok := rd.Next(); ok || !errors.Is(rd.Err(), ErrEvicted) {
		t.Errorf("after it: a message, or %v", rd.Err())
	}
	if c := consumer(t, r, rd.ID()); !c.Dropped {
		t.Errorf("not shown as dropped: %+v", c)
	}
	for range 2000 {
		publish(t, p, "nobody holds it up")
	}
	if err := rd.Close(); err != nil {
		t.Fatal(err)
	}
	// The slot's next tenant gates: what was dropped was a generation.
	next := newReader(t, r, Policy{Slow: Evict, Patience: time.Hour}, Newest())
	if next.slot != rd.slot {
		t.Fatalf("slot %d, want %d again", next.slot, rd.slot)
	}
	if n := fillUp(t, p, message); n > 64<<10/128 {
		t.Errorf("%d messages went past the slot's next tenant", n)
	}
}

// TestPatience tells whom the clock runs for: not for a reader that consumes half its credit between two claims that fail, nor
// for one that another holds up, nor at all for those who may block.
func TestPatience(t *testing.T) {
	message := make([]byte, 112)
	t.Run("a healthy reader at the edge of its credit", func(t *testing.T) {
		r, p, rd := slowRing(t, MPMC, Policy{Slow: Drop, Patience: atOnce, Credit: 32 << 10})
		for range 100 {
			fillUp(t, p, message)
			for range 16 << 10 / 128 {
				if _, ok := rd.Next(); !ok {
					t.Fatal(rd.Err())
				}
			}
			rd.Release()
		}
		if c := consumer(t, r, rd.ID()); c.Dropped || c.Laps != 0 {
			t.Errorf("dropped: %+v", c)
		}
	})
	t.Run("one that consumes a little", func(t *testing.T) {
		r, p, rd := slowRing(t, MPMC, Policy{Slow: Drop, Patience: atOnce, Credit: 32 << 10})
		fillUp(t, p, message)
		for range 128 {
			rd.Next()
		}
		rd.Release()
		for fillUp(t, p, message) == 0 { // to the end of catching up, which gives the credit back
			rd.Next()
			rd.Release()
		}
		rd.Next()
		rd.Next()
		rd.Release()
		for range 2000 {
			if err := p.Publish(message); err != nil && err != ErrBackPressure {
				t.Fatal(err)
			}
		}
		if c := consumer(t, r, rd.ID()); !c.Dropped {
			t.Errorf("not dropped: %+v", c)
		}
	})
	t.Run("a block reader", func(t *testing.T) {
		r, p, rd := slowRing(t, MPMC, Policy{Slow: Block, Patience: atOnce})
		fillUp(t, p, message)
		for range 100 {
			if err := p.Publish(message); err != ErrBackPressure {
				t.Fatal(err)
			}
		}
		if c := consumer(t, r, rd.ID()); c.Dropped {
			t.Errorf("dropped: %+v", c)
		}
	})
	t.Run("longer than the test", func(t *testing.T) {
		r, p, rd := slowRing(t, SPSC, Policy{Slow: Evict, Patience: time.Hour})
		fillUp(t, p, message)
		for range 100 {
			if err := p.Publish(message); err != ErrBackPressure {
				t.Fatal(err)
			}
		}
		if c := consumer(t, r, rd.ID()); c.Dropped {
			t.Errorf("dropped: %+v", c)
		}
	})
	t.Run("one that waits before an open claim", func(t *testing.T) {
		r, p, rd := slowRing(t, MPMC, Policy{Slow: Evict, Patience: atOnce, Credit: 32 << 10})
		stopped := newProducer(t, r)
		claim, err := stopped.Claim(8)
		if err != nil {
			t.Fatal(err)
		}
		readAll(t, rd) // it has seen everything there is
		fillUp(t, p, message)
		for range 100 {
			if err := p.Publish(message); err != ErrBackPressure {
				t.Fatal(err)
			}
		}
		if c := consumer(t, r, rd.ID()); c.Dropped {
			t.Errorf("evicted for what another one holds up: %+v", c)
		}
		claim.Abort()
		if got := readAll(t, rd); len(got) == 0 {
			t.Error("nothing behind the claim")
		}
	})
	t.Run("two that take turns", func(t *testing.T) {
		r, p, first := slowRing(t, MPMC, Policy{Slow: Drop, Patience: time.Minute})
		second := newReader(t, r, Policy{Slow: Drop, Patience: time.Minute}, Newest())
		clock := time.Now()
		now = func() time.Time { return clock }
		defer func() { now = time.Now }()
		fillUp(t, p, message)
		for i := 0; time.Until(clock) < time.Hour; i++ { // each consumes a little while the other one is furthest behind
			rd := []*Reader{first, second}[i%2]
			for range 3 {
				rd.Next()
			}
			rd.Release()
			clock = clock.Add(time.Second)
			for range 10 { // room comes for three, until nobody gates
				p.Publish(message)
			}
			if consumer(t, r, first.ID()).Dropped && consumer(t, r, second.ID()).Dropped {
				return
			}
		}
		t.Error("neither was dropped in an hour")
	})
	t.Run("one whose cursor goes back", func(t *testing.T) {
		r, p, rd := slowRing(t, MPMC, Policy{Slow: Evict, Patience: atOnce})
		fillUp(t, p, message)
		cursor := r.consumerWord(rd.slot, cCursor)
		cursor.Store(cursor.Load() - 16)
		for range 10 {
			if err := p.Publish(message); err == nil {
				return
			}
		}
		t.Error("it is never evicted")
	})
	t.Run("a decision that comes when it has caught up", func(t *testing.T) {
		r, _, rd := slowRing(t, MPMC, Policy{Slow: Drop, Patience: atOnce})
		r.droppedWord(rd.slot).Store(uint64(rd.tenant))
		if _, ok := rd.Next(); ok || rd.Err() != nil {
			t.Fatal(rd.Err())
		}
		if c := consumer(t, r, rd.ID()); c.Dropped {
			t.Errorf("it does not gate again though its poll ended empty: %+v", c)
		}
	})
	t.Run("every producer has a clock of its own", func(t *testing.T) {
		r, p, rd := slowRing(t, MPMC, Policy{Slow: Drop, Patience: atOnce})
		fillUp(t, p, message)
		q := newProducer(t, r)
		if err := q.Publish(message); err != ErrBackPressure || consumer(t, r, rd.ID()).Dropped {
			t.Errorf("dropped by a producer at its first claim that failed (%v)", err)
		}
		if err := q.Publish(message); err != nil || !consumer(t, r, rd.ID()).Dropped {
			t.Errorf("not dropped at its second: %v", err)
		}
	})
}

// TestDroppedAgainAndAgain has producers go at full speed past a reader that stalls whenever it likes: what it reads is whole, and
// together with what it was told that it missed it is every byte of the ring, whichever way it was dropped and came back.
func TestDroppedAgainAndAgain(t *testing.T) {
	for _, k := range []Kind{SPSC, MPMC} {
		t.Run(k.String(), func(t *testing.T) {
			r := newFileRing(t, Options{Kind: k, Capacity: 64 << 10, Consumers: 4})
			rd := newReaderOn(t, r, again(t, r, Consume), Policy{Slow: Drop, Patience: atOnce}, Newest())
			p := newProducerOn(t, r, again(t, r, Produce))
			begin := rd.Position()
			const frame, total = 128, 200_000
			done := make(chan error, 1)
			go func() {
				msg := make([]byte, frame-frameHeaderSize)
				for seq := uint64(0); seq < total; {
					for i := 0; i < len(msg); i += 8 {
						binary.LittleEndian.PutUint64(msg[i:], seq+uint64(i))
					}
					switch err := p.Publish(msg); err {
					case nil:
						seq++
					case ErrBackPressure:
						Pause(8)
					default:
						done <- err
						return
					}
				}
				done <- nil
			}()
			at, finished := begin, false
			var read, missed, stall uint64
			for !finished || at != begin+total*frame {
				select {
				case err := <-done:
					if err != nil {
						t.Fatal(err)
					}
					finished = true
				default:
				}
				if f, ok := rd.Next(); ok {
					if f.Position != at {
						t.Fatalf("message at %d, expected %d", f.Position, at)
					}
					if stall++; stall%1000 == 0 && !finished {
						Pause(64) // long enough for the producer to fill what is left, and be held up
						for range 50 {
							Pause(64)
						}
					}
					for i := 0; i < len(f.Payload); i += 8 {
						if got, want := binary.LittleEndian.Uint64(f.Payload[i:]), (at-begin)/frame+uint64(i); got != want {
							t.Fatalf("torn message at %d: word %d is %d, want %d", at, i/8, got, want)
						}
					}
					read++
					at += frame
					continue
				}
				var lap *LappedError
				if err := rd.Err(); errors.As(err, &lap) {
					if lap.From != at {
						t.Fatalf("%v, expected from %d", lap, at)
					}
					missed += lap.Missed()
					at = lap.To
				} else if err != nil {
					t.Fatal(err)
				}
			}
			if read*frame+missed != total*frame {
				t.Errorf("%d bytes read and %d missed, want %d in all", read*frame, missed, total*frame)
			}
			gen := state(r.consumerWord(rd.slot, cState).Load()).gen()
			t.Logf("%d read, %d bytes missed, %d returns to the gates", read, missed, gen-rd.tenant)
		})
	}
}

func tailWord(t *testing.T, r *Ring) uint64 {
	t.Helper()
	tail, err := r.Tail()
	if err != nil {
		t.Fatal(err)
	}
	return tail
}

// TestRefusedClaimsDoNotAllocate holds where producers try again and again.
func TestRefusedClaimsDoNotAllocate(t *testing.T) {
	for _, slow := range []Slow{Block, Drop} {
		_, p, _ := slowRing(t, MPMC, Policy{Slow: slow, Patience: time.Hour})
		message := make([]byte, 112)
		fillUp(t, p, message)
		if n := testing.AllocsPerRun(20, func() { p.Publish(message) }); n != 0 {
			t.Errorf("%s: %v allocations", slow, n)
		}
	}
}

// TestAnEvictedReadersCounters wants the last messages before the eviction among those that the slot tells of.
func TestAnEvictedReadersCounters(t *testing.T) {
	r := newHeapRing(t, Options{Kind: MPMC, Capacity: 64 << 10})
	p := newProducer(t, r)
	rd := newReader(t, r, Policy{Slow: Evict, Patience: 1}, Newest())
	for range 3 {
		publish(t, p, "a message")
	}
	for range 2 {
		if _, ok := rd.Next(); !ok {
			t.Fatal(rd.Err())
		}
	}
	fillToGate(t, p, 1000)
	eventually(t, "the reader is dropped", func() bool {
		return p.Publish(make([]byte, 1000)) == nil
	})
	for range 100 { // and lapped, for there is no other gate
		publish(t, p, "%1000d", 0)
	}
	for range 3 {
		rd.Next()
	}
	if err := rd.Err(); !errors.Is(err, ErrEvicted) {
		t.Fatalf("%v, want ErrEvicted", err)
	}
	info, err := r.Inspect()
	if err != nil {
		t.Fatal(err)
	}
	if c := info.Consumers[0]; c.Messages < 2 || c.Bytes != c.Messages*uint64(len("a message")) {
		t.Errorf("%d messages, %d bytes, and 2 or 3 were handed out", c.Messages, c.Bytes)
	}
}
