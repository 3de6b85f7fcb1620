package shmring

import (
	"encoding/binary"
	"errors"
	"testing"
	"time"
)

// forEver is longer than any test: who sleeps so long and wakes up was woken.
const forEver = time.Hour

func asleep(r *Ring) bool {
	return r.cursors.Word32(offAsleep).Load() == r.ring.Word32(offWake).Load()
}

// TestNoWakeIsLost has readers sleep, for ever if they are not woken, whenever they find nothing, while a producer publishes now at
// full speed, now only when all of them sleep.
func TestNoWakeIsLost(t *testing.T) {
	for _, mode := range []uint8{SleepAuto, SleepFence} {
		for _, k := range []Kind{SPMC, MPMC} {
			t.Run(map[uint8]string{SleepAuto: "auto", SleepFence: "fence"}[mode]+" "+k.String(), func(t *testing.T) {
				r := newFileRing(t, Options{Kind: k, Capacity: 64 << 10, Consumers: 4, Sleep: mode})
				const total = 20_000
				errs := make(chan error, 3)
				read := func(rd *Reader, n uint64) error {
					for seq := uint64(0); seq < n; {
						f, ok := rd.Next()
						switch {
						case !ok && rd.Err() != nil:
							return rd.Err()
						case !ok:
							if err := Sleep(forEver, nil, rd); err != nil {
								return err
							}
						case binary.LittleEndian.Uint64(f.Payload) != seq:
							return errors.New("out of order")
						default:
							seq++
						}
					}
					rd.Release()
					return nil
				}
				for _, policy := range []Policy{{Slow: Block}, {Slow: Block}, {Slow: Drop, Patience: forEver}} {
					rd := newReaderOn(t, r, again(t, r, Consume), policy, Newest())
					go func() { errs <- read(rd, total) }()
				}
				p := newProducerOn(t, r, again(t, r, Produce))
				message := make([]byte, 64)
				for seq := range uint64(total) {
					binary.LittleEndian.PutUint64(message, seq)
					if seq%1000 < 20 {
						eventually(t, "somebody sleeps", func() bool { return asleep(r) })
					}
					for {
						err := p.Publish(message)
						if err == nil {
							break
						}
						if err != ErrBackPressure {
							t.Fatal(err)
						}
						if err := p.AwaitSpace(len(message), forEver, nil); err != nil && err != ErrBackPressure {
							t.Fatal(err)
						}
					}
				}
				for range cap(errs) {
					select {
					case err := <-errs:
						if err != nil {
							t.Error(err)
						}
					case <-time.After(time.Minute):
						t.Fatal("watchdog: a reader sleeps on")
					}
				}
			})
		}
	}
}

// sleepersOf is the readers as what sleeps.
func sleepersOf(readers []*Reader) (all []Sleeper) {
	for _, r := range readers {
		all = append(all, r)
	}
	return all
}

// TestSleepingOnSeveral waits for two topics at once, and for an alarm.
func TestSleepingOnSeveral(t *testing.T) {
	var readers []*Reader
	var producers []*Producer
	for range 2 {
		r := newFileRing(t, Options{Kind: MPMC, Capacity: 64 << 10, Consumers: 2})
		readers = append(readers, newReaderOn(t, r, again(t, r, Consume), Policy{Slow: Block}, Newest()))
		producers = append(producers, newProducer(t, r))
	}
	var alarm Alarm
	woken := make(chan error)
	sleep := func() { woken <- Sleep(forEver, &alarm, sleepersOf(readers)...) }
	awaken := func(what string) {
		t.Helper()
		select {
		case err := <-woken:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(time.Minute):
			t.Fatalf("watchdog: %s did not end the sleep", what)
		}
	}
	for i, p := range producers {
		go sleep()
		eventually(t, "it sleeps", func() bool { return asleep(p.ring) })
		publish(t, p, "good morning")
		awaken("a message")
		if got := readAll(t, readers[i]); len(got) != 1 {
			t.Errorf("topic %d: %q", i, got)
		}
	}
	go sleep()
	eventually(t, "it sleeps", func() bool { return asleep(producers[1].ring) })
	alarm.Ring()
	awaken("an alarm")
	go sleep()
	awaken("an alarm that rang before")
	if err := Sleep(forEver, nil, make([]Sleeper, MaxSleepers+1)...); !errors.Is(err, ErrLimit) {
		t.Errorf("%v, want ErrLimit", err)
	}
	if err := readers[0].Close(); err != nil {
		t.Fatal(err)
	}
	if err := Sleep(forEver, nil, sleepersOf(readers)...); err != nil {
		t.Error(err) // a closed reader has something to say
	}
}

// TestDeadSleeperCostsOneWake has a sleeper announce itself and never be seen again.
func TestDeadSleeperCostsOneWake(t *testing.T) {
	for _, k := range allKinds {
		t.Run(k.String(), func(t *testing.T) {
			r := newFileRing(t, Options{Kind: k, Capacity: 64 << 10, Consumers: 2})
			p := newProducer(t, r)
			r.fallAsleep()
			before := r.ring.Word32(offWake).Load()
			for range 100 {
				publish(t, p, "anybody there?")
			}
			if after := r.ring.Word32(offWake).Load(); after != before+1 {
				t.Errorf("%d wakes, want 1", after-before)
			}
		})
	}
}

// TestDeletedTopicStopsItsHandles deletes a topic under a reader that sleeps and producers that do not look: the reader is woken,
// and each producer gets one message more into the ring that nobody reads, at most.
func TestDeletedTopicStopsItsHandles(t *testing.T) {
	for _, k := range allKinds {
		t.Run(k.String(), func(t *testing.T) {
			r := newFileRing(t, Options{Kind: k, Capacity: 64 << 10, Consumers: 2})
			rd := newReaderOn(t, r, again(t, r, Consume), Policy{Slow: Block}, Newest())
			producers := []*Producer{newProducerOn(t, r, again(t, r, Produce))}
			if !k.singleProducer() {
				producers = append(producers, newProducerOn(t, r, again(t, r, Produce)), newProducerOn(t, r, again(t, r, Produce)))
			}
			publish(t, producers[0], "before")
			if got := readAll(t, rd); len(got) != 1 {
				t.Fatal(got)
			}
			woken := make(chan error)
			go func() { woken <- Sleep(forEver, nil, rd) }()
			eventually(t, "it sleeps", func() bool { return asleep(r) })
			if err := r.MarkClosing(); err != nil {
				t.Fatal(err)
			}
			select {
			case err := <-woken:
				if _, ok := rd.Next(); err != nil || ok || !errors.Is(rd.Err(), ErrClosed) {
					t.Errorf("%v, then a message or %v", err, rd.Err())
				}
			case <-time.After(time.Minute):
				t.Fatal("watchdog: the reader sleeps on")
			}
			for _, p := range producers {
				p.Publish([]byte("at the same moment"))
				if err := p.Publish([]byte("after")); !errors.Is(err, ErrClosed) {
					t.Errorf("%v, want ErrClosed", err)
				}
				if _, err := p.Claim(8); !errors.Is(err, ErrClosed) {
					t.Errorf("%v, want ErrClosed", err)
				}
				if err := p.AwaitSpace(8, forEver, nil); !errors.Is(err, ErrClosed) {
					t.Errorf("%v, want ErrClosed", err)
				}
			}
		})
	}
}

// TestAwaitSpace has producers wait for a reader that consumes, closes, or dies.
func TestAwaitSpace(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, rd *Reader){
		"consumes": func(t *testing.T, rd *Reader) { readAll(t, rd) },
		"closes": func(t *testing.T, rd *Reader) {
			if err := rd.Close(); err != nil {
				t.Error(err)
			}
		},
		"dies": func(t *testing.T, rd *Reader) { rd.lease.abandon() },
	} {
		t.Run(name, func(t *testing.T) {
			if name != "dies" { // then it is woken, or sleeps on
				longestWait = forEver
				defer func() { longestWait = repairAfter }()
			}
			r, p, rd := slowRing(t, MPMC, Policy{Slow: Block})
			message := make([]byte, 112)
			fillUp(t, p, message)
			waited := make(chan error)
			go func() {
				err := ErrBackPressure
				for err == ErrBackPressure {
					err = p.AwaitSpace(len(message), forEver, nil)
				}
				waited <- err
			}()
			eventually(t, "the producer waits", func() bool {
				return r.ring.Word32(offBlocked).Load() == r.cursors.Word32(offSpace).Load()
			})
			end(t, rd)
			select {
			case err := <-waited:
				if err != nil {
					t.Error(err)
				}
			case <-time.After(time.Minute):
				t.Fatal("watchdog: it waits on")
			}
			if err := p.Publish(message); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestScribbledFutexWords has somebody write any value into the words that decide about wakes: the next commit, or the next
// cursor that moves, puts them right, and who sleeps afterwards is woken.
func TestScribbledFutexWords(t *testing.T) {
	r := newFileRing(t, Options{Kind: MPMC, Capacity: 64 << 10, Consumers: 2})
	rd := newReaderOn(t, r, again(t, r, Consume), Policy{Slow: Block}, Newest())
	p := newProducerOn(t, r, again(t, r, Produce))
	for _, by := range []uint32{1, 1000, 1 << 30} {
		r.cursors.Word32(offAsleep).Store(r.ring.Word32(offWake).Load() + by)
		r.ring.Word32(offBlocked).Store(r.cursors.Word32(offSpace).Load() + by)
		publish(t, p, "puts wake right")
		readAll(t, rd) // and space
		woken := make(chan error)
		go func() { woken <- Sleep(forEver, nil, rd) }()
		eventually(t, "it sleeps", func() bool { return asleep(r) })
		publish(t, p, "good morning")
		select {
		case err := <-woken:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(time.Minute):
			t.Fatalf("watchdog: asleep was %d beyond wake, and the reader sleeps on", by)
		}
		readAll(t, rd)
		if b, s := r.ring.Word32(offBlocked).Load(), r.cursors.Word32(offSpace).Load(); int32(b-s) >= 0 {
			t.Errorf("blocked is %d, space %d: nobody who waits for space announces it any more", b, s)
		}
	}
}

// TestSleepRefuses tells who cannot sleep: a reader without a slot, whose mapping is not to be written, and nobody.
func TestSleepRefuses(t *testing.T) {
	r := newFileRing(t, Options{Kind: MPMC, Capacity: 64 << 10, Consumers: 2})
	o, err := again(t, r, Inspect).Observer(Newest())
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	if err := Sleep(forEver, nil, o); !errors.Is(err, ErrPermission) {
		t.Errorf("%v, want ErrPermission", err)
	}
	if err := Sleep(forEver, nil); err == nil {
		t.Error("a sleep on nothing")
	}
	var alarm Alarm
	alarm.Ring()
	if err := Sleep(1<<63-1, &alarm, newReader(t, r, Policy{Slow: Block}, Newest())); err != nil {
		t.Errorf("for as long as there is: %v", err)
	}
}

// TestSleepDoesNotAllocate holds for a look at one topic and at eight.
func TestSleepDoesNotAllocate(t *testing.T) {
	r := newFileRing(t, Options{Kind: MPMC, Capacity: 64 << 10, Consumers: 8})
	p := newProducer(t, r)
	var readers []*Reader
	for range 8 {
		readers = append(readers, newReader(t, r, Policy{Slow: Block}, Newest()))
	}
	all := sleepersOf(readers)
	var alarm Alarm
	alarm.Ring()
	message := []byte("x")
	for _, test := range []struct {
		name string
		do   func() error
	}{
		{"a sleep", func() error { return Sleep(time.Microsecond, nil, readers[0]) }},
		{"a sleep on eight and an alarm", func() error { return Sleep(forEver, &alarm, all...) }},
		{"a wait for space", func() error { return p.AwaitSpace(8, forEver, nil) }},
		{"a commit that wakes", func() error { r.fallAsleep(); return p.Publish(message) }},
	} {
		if n := testing.AllocsPerRun(20, func() {
			if err := test.do(); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", test.name, n)
		}
	}
}
