package shmring

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"
)

// stressMessages is how many messages each combination carries: 1 million, 10 million under MYC_SOAK, few with -short.
func stressMessages() int {
	switch {
	case os.Getenv("MYC_SOAK") != "":
		return 10_000_000
	case testing.Short() || raceEnabled:
		return 20_000
	}
	return 1_000_000
}

// TestStress sends messages of many lengths through each kind, with 1, 2 and 4 producers and consumers as far as the kind
// admits them, each over a mapping of its own: every message is received exactly once by each consumer, in one order, and
// its bytes are checked.
func TestStress(t *testing.T) {
	for _, k := range []Kind{SPSC, SPMC, MPSC, MPMC} {
		for _, producers := range []int{1, 2, 4} {
			for _, consumers := range []int{1, 2, 4} {
				if k.singleProducer() && producers > 1 || k.singleGate() && consumers > 1 {
					continue
				}
				t.Run(fmt.Sprintf("%v %d to %d", k, producers, consumers), func(t *testing.T) {
					stress(t, k, producers, consumers, stressMessages())
				})
			}
		}
	}
}

func stress(t *testing.T, k Kind, producers, consumers, total int) {
	var r *Ring
	if o := (Options{Kind: k, Capacity: 256 << 10, Producers: 8, Consumers: 8}); raceEnabled {
		r = newHeapRing(t, o)
	} else {
		r = newFileRing(t, o)
	}
	each := total / producers
	stop, over := make(chan struct{}), make(chan struct{})
	defer close(over)
	go watchTail(r, stop, over)

	orders := make([]uint32, consumers) // of what each consumer saw
	errs := make(chan error, producers+consumers)
	var wg sync.WaitGroup
	for c := range consumers {
		policy := Policy{Slow: Block}
		if c%2 == 1 {
			policy.Slow, policy.Patience = Drop, time.Hour // a gating reader that copies, and is not dropped
		}
		rd := newReaderOn(t, r, again(t, r, Consume), policy, Newest())
		wg.Add(1)
		go func() {
			defer wg.Done()
			var err error
			if orders[c], err = consume(rd, producers, each, stop); err != nil {
				errs <- fmt.Errorf("consumer %d: %w", c, err)
			}
		}()
	}
	for n := range producers {
		g, err := r.GrantProducer(0)
		if err != nil {
			t.Fatal(err)
		}
		p, err := again(t, r, Produce).Producer(g, "stress")
		if err != nil {
			t.Fatal(err)
		}
		wg.Add(1)
		go func() {
			defer wg.Done()
			defer p.Close()
			if err := produce(p, n, each, stop); err != nil {
				errs <- fmt.Errorf("producer %d: %w", n, err)
			}
		}()
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		t.Error(err)
	}
	for _, o := range orders[1:] {
		if o != orders[0] {
			t.Errorf("consumers saw different orders: %x", orders)
		}
	}
	info, err := r.Inspect()
	if err != nil || info.Messages != uint64(each*producers) {
		t.Errorf("the slots count %d messages (%v), want %d", info.Messages, err, each*producers)
	}
}

// watchTail closes stop when the ring's tail has not moved for two minutes: how long so many messages take is up to the machine.
func watchTail(r *Ring, stop, over chan struct{}) {
	look := time.NewTicker(2 * time.Minute)
	defer look.Stop()
	for last := uint64(0); ; {
		select {
		case <-over:
			return
		case <-look.C:
		}
		tail, err := r.Tail()
		if err != nil || tail == last {
			close(stop)
			return
		}
		last = tail
	}
}

// fill writes message seq of producer n: both numbers, then bytes that follow from them. Lengths run through 16 to 271.
func fill(b []byte, n, seq int) {
	binary.LittleEndian.PutUint64(b, uint64(n))
	binary.LittleEndian.PutUint64(b[8:], uint64(seq))
	for i := 16; i < len(b); i++ {
		b[i] = byte(seq + i)
	}
}

func lengthOf(n, seq int) int { return 16 + (seq*7+n)%256 }

// produce sends each messages by every way there is: publish, claim, a shorter commit, aborts, batches.
func produce(p *Producer, n, each int, stop <-chan struct{}) error {
	buf := make([]byte, 512)
	retry := func(f func() error) error {
		for {
			err := f()
			if !errors.Is(err, ErrBackPressure) {
				return err
			}
			select {
			case <-stop:
				return errors.New("watchdog: no room, and the tail stands still")
			default:
				runtime.Gosched()
			}
		}
	}
	for seq := 0; seq < each; {
		length := lengthOf(n, seq)
		var err error
		switch seq % 8 {
		default:
			fill(buf[:length], n, seq)
			err = retry(func() error { return p.Publish(buf[:length]) })
			seq++
		case 1: // a claim longer than what is committed
			err = retry(func() error {
				c, err := p.Claim(length + 100)
				if err != nil {
					return err
				}
				fill(c.Bytes()[:length], n, seq)
				return c.Commit(length)
			})
			seq++
		case 2: // an aborted one first
			err = retry(func() error {
				c, err := p.Claim(length)
				if err != nil {
					return err
				}
				clear(c.Bytes())
				c.Abort()
				return nil
			})
			if err == nil {
				fill(buf[:length], n, seq)
				err = retry(func() error { return p.Publish(buf[:length]) })
			}
			seq++
		case 3: // a batch that is not filled
			count := min(4, each-seq)
			err = retry(func() error {
				b, err := p.Batch(5 * FrameSize(16+255))
				if err != nil {
					return err
				}
				for i := range count {
					m, err := b.Next(lengthOf(n, seq+i))
					if err != nil {
						return err
					}
					fill(m, n, seq+i)
				}
				return b.Commit()
			})
			seq += count
		}
		if err != nil {
			return fmt.Errorf("message %d: %w", seq, err)
		}
	}
	return nil
}

// consume reads until each producer's messages are all there, checks each one, and returns a sum over the order.
func consume(rd *Reader, producers, each int, stop <-chan struct{}) (uint32, error) {
	next := make([]int, producers)
	want := make([]byte, 512)
	order := crc32.NewIEEE()
	for left := producers * each; left > 0; {
		f, ok := rd.Next()
		if !ok {
			if err := rd.Err(); err != nil {
				return 0, err
			}
			select {
			case <-stop:
				return 0, fmt.Errorf("watchdog: %d messages did not come, and the tail stands still", left)
			default:
				runtime.Gosched()
			}
			continue
		}
		n := int(binary.LittleEndian.Uint64(f.Payload))
		seq := int(binary.LittleEndian.Uint64(f.Payload[8:]))
		if n < 0 || n >= producers || seq != next[n] {
			return 0, fmt.Errorf("at %d: message %d of producer %d, want %v", f.Position, seq, n, next)
		}
		next[n]++
		w := want[:lengthOf(n, seq)]
		fill(w, n, seq)
		if string(w) != string(f.Payload) {
			return 0, fmt.Errorf("at %d: message %d of producer %d has other bytes", f.Position, seq, n)
		}
		order.Write(f.Payload[:16])
		left--
	}
	if f, ok := rd.Next(); ok {
		return 0, fmt.Errorf("at %d: a message too many", f.Position)
	}
	rd.Release()
	return order.Sum32(), nil
}
