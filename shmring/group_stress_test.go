package shmring

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// account counts what became of each message, across goroutines.
type account struct {
	done  []atomic.Int32 // processed to the end, and acknowledged by a later call
	taken []atomic.Int32 // of a member that died or gave back with it in its hands
}

// TestGroupStress has 8 members of one group work, two producers publish, and every member but one die now and then with what it has
// in its hands, or close amid its work: every message is processed at least once, and those that nobody died or closed with exactly
// once. The one that stays keeps the group from being without members, which gates up to keep only.
func TestGroupStress(t *testing.T) {
	for _, k := range []Kind{SPSC, MPMC} {
		for _, batch := range []int{1, 5} {
			t.Run(fmt.Sprintf("%v/batch %d", k, batch), func(t *testing.T) { groupStress(t, k, batch) })
		}
	}
}

func groupStress(t *testing.T, k Kind, batch int) {
	const members = 8
	producers, total := 2, 400_000
	if k.singleProducer() {
		producers = 1
	}
	if testing.Short() || raceEnabled {
		total = 20_000
	}
	if os.Getenv("MYC_SOAK") != "" {
		total = 10_000_000
	}
	o := Options{Kind: k, Capacity: 256 << 10, Producers: producers, Consumers: 40, Groups: 1}
	var r *Ring
	if raceEnabled {
		r = newHeapRing(t, o)
	} else {
		r = newFileRing(t, o)
	}
	stop := make(chan struct{})
	watchdog := time.AfterFunc(2*time.Minute, func() { close(stop) })
	defer watchdog.Stop()
	a := account{make([]atomic.Int32, total), make([]atomic.Int32, total)}
	var left atomic.Int64 // messages not yet processed once
	left.Store(int64(total))

	errs := make(chan error, members+producers+1)
	var wg, others sync.WaitGroup
	finished := make(chan struct{})
	others.Go(func() { // repairs what the dead leave
		for {
			select {
			case <-finished:
				return
			default:
			}
			if _, err := r.Repair(false); err != nil && err != ErrRepairing {
				errs <- err
				return
			}
			runtime.Gosched()
		}
	})
	join := func(mapping *Ring) (*Member, error) {
		for {
			g, err := r.GrantMember("g", GroupPolicy{Durable: true})
			if err == nil {
				var m *Member
				if m, err = mapping.Member(g, MemberOptions{Batch: batch}); err == nil {
					return m, nil
				}
			}
			if !errors.Is(err, ErrInUse) { // the group's lock is waited for 100 ms only
				return nil, err
			}
		}
	}
	for n := range members {
		mapping := again(t, r, Consume)
		m, err := join(mapping)
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			if err := a.work(m, n > 0, func() (*Member, error) { return join(mapping) }, rand.New(rand.NewPCG(uint64(n), 1)), &left, stop); err != nil {
				errs <- fmt.Errorf("member %d: %w", n, err)
				left.Store(-1)
			}
		})
	}
	each := total / producers
	for n := range producers {
		p := newProducer(t, r)
		wg.Go(func() {
			b := make([]byte, 256)
			for i := range each {
				binary.LittleEndian.PutUint64(b, uint64(n*each+i))
				for {
					err := p.Publish(b[:8+i%200])
					if err == nil {
						break
					}
					if !errors.Is(err, ErrBackPressure) || left.Load() < 0 {
						errs <- fmt.Errorf("producer %d: %w", n, err)
						return
					}
					select {
					case <-stop:
						errs <- fmt.Errorf("producer %d: no room for message %d of %d", n, i, each)
						return
					default:
						runtime.Gosched()
					}
				}
			}
		})
	}
	wg.Wait()
	close(finished)
	others.Wait()
	close(errs)
	for err := range errs {
		t.Error(err)
	}
	if t.Failed() {
		return
	}
	// What was left behind at the very end goes to one more member.
	mustRepair(t, r)
	last, err := join(r)
	if err != nil {
		t.Fatal(err)
	}
	for {
		f, ok := last.Next()
		if !ok {
			break
		}
		a.done[binary.LittleEndian.Uint64(f.Payload)].Add(1)
	}
	if err := errors.Join(last.Err(), last.Close()); err != nil {
		t.Fatal(err)
	}
	twice := 0
	for i := range total {
		done, taken := a.done[i].Load(), a.taken[i].Load()
		if done == 0 {
			t.Fatalf("message %d was never processed", i)
		}
		if done > 1+taken {
			t.Fatalf("message %d was processed %d times; %d members died or closed with it", i, done, taken)
		}
		if done > 1 {
			twice++
		}
	}
	g := groupNamed(t, r, "g")
	if g.LagBytes != 0 || g.Unacknowledged != 0 || g.Members != 0 || g.Orphans != 0 {
		t.Errorf("at the end: %+v", g)
	}
	if losses, _, _ := r.Losses(); len(losses) != 0 {
		t.Errorf("lost: %+v", losses)
	}
	t.Logf("%d of %d messages more than once", twice, total)
}

// work takes until every message was processed; now and then a mortal one dies with what it holds, or closes.
func (a *account) work(m *Member, mortal bool, join func() (*Member, error), random *rand.Rand, left *atomic.Int64, stop <-chan struct{}) error {
	var held []uint64 // processed, and perhaps not yet acknowledged
	leave := func(how func()) (err error) {
		for _, id := range held {
			a.taken[id].Add(1)
		}
		held = held[:0]
		how()
		m, err = join()
		return err
	}
	for left.Load() > 0 {
		f, ok := m.Next()
		if !ok {
			if err := m.Err(); err != nil {
				return err
			}
			held = held[:0] // an empty look follows an acknowledgement of everything
			select {
			case <-stop:
				return fmt.Errorf("watchdog: %d messages were not processed, this one is at %d", left.Load(), m.Position())
			default:
				runtime.Gosched()
			}
			continue
		}
		id := binary.LittleEndian.Uint64(f.Payload)
		if id >= uint64(len(a.done)) || len(f.Payload) < 8 {
			return fmt.Errorf("a torn message at %d: %x", f.Position, f.Payload)
		}
		held = append(held, id)
		if len(held) > 20 { // more than a batch: the older ones are acknowledged
			held = append(held[:0], held[len(held)-10:]...)
		}
		fate := 2
		if mortal {
			fate = random.IntN(400)
		}
		switch fate {
		case 0: // dies before it has processed it
			if err := leave(m.dies); err != nil {
				return err
			}
			continue
		case 1:
			if err := leave(func() { m.Close() }); err != nil {
				return err
			}
			continue
		}
		if a.done[id].Add(1) == 1 {
			left.Add(-1)
		}
		if fate == 3 { // dies after it has processed it
			if err := leave(m.dies); err != nil {
				return err
			}
		}
	}
	m.Release()
	return m.Close()
}
