package shmring

import (
	"testing"
	"time"
)

// counted counts the looks at locks.
type counted struct {
	locker
	locks int
}

func (l *counted) lock(f lockFile, handle int, off int64) (bool, error) {
	l.locks++
	return l.locker.lock(f, handle, off)
}

// held leaves an orphan behind and locks it, as an adopter that is stopped before it has swapped the slot's state does.
func held(t *testing.T, r *Ring) (letGo func()) {
	t.Helper()
	m := newMember(t, r, "g", GroupPolicy{}, MemberOptions{})
	publish(t, newProducer(t, r), "left behind")
	wantTakes(t, m, 1, "left behind")
	slot := m.slot
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	h, err := r.locks.open(consumerLocks)
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := r.locks.lock(consumerLocks, h, int64(slot)); !ok || err != nil {
		t.Fatal(ok, err)
	}
	return func() { r.locks.close(h) }
}

// A member does not look for ever at an orphan that another one has in his hands: once, and again after a while.
func TestAnOrphanInOtherHandsIsNoWork(t *testing.T) {
	clock := time.Unix(1, 0)
	defer func(real func() time.Time) { now = real }(now)
	now = func() time.Time { return clock }
	r := newHeapRing(t, Options{Kind: MPMC, Capacity: 64 << 10, Consumers: 4, Groups: 1})
	a := newMember(t, r, "g", GroupPolicy{}, MemberOptions{}) // else the orphan would be the first one's
	letGo := held(t, r)
	locks := &counted{locker: r.locks}
	r.locks = locks
	for looks := 1; looks <= 3; looks++ {
		for i := range 1000 {
			if a.Ready() != (i == 0) {
				t.Fatalf("round %d, look %d: there is work: %v", looks, i, i != 0)
			}
			wantTakes(t, a, 1)
		}
		if locks.locks != looks {
			t.Fatalf("%d looks at the lock, want %d", locks.locks, looks)
		}
		clock = clock.Add(unseenOrphan)
	}
	letGo()
	wantTakes(t, a, 1, "left behind")
}

// Nobody tells when such an orphan is let go: who sleeps looks by itself.
func TestASleeperLooksForAnOrphanThatIsLetGo(t *testing.T) {
	for name, sleep := range map[string]func(a *Member) error{
		"alone": func(a *Member) error { return Sleep(forEver, nil, a) },
		"armed": func(a *Member) error { return sleepOnceArmed(a) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newFileRing(t, Options{Kind: MPMC, Capacity: 64 << 10, Consumers: 4, Groups: 1})
			a := newMember(t, r, "g", GroupPolicy{}, MemberOptions{})
			letGo := held(t, r)
			done := make(chan error, 1)
			looked := make(chan struct{}, 1)
			go func() {
				for {
					if _, ok := a.Next(); ok {
						done <- nil
						return
					}
					select {
					case looked <- struct{}{}:
					default:
					}
					if err := sleep(a); err != nil {
						done <- err
						return
					}
				}
			}()
			<-looked
			letGo()
			select {
			case err := <-done:
				if err != nil {
					t.Error(err)
				}
			case <-time.After(time.Minute):
				t.Fatal("watchdog: it sleeps on")
			}
		})
	}
}

// sleepOnceArmed sleeps as a waker does, for as long as the handle allows.
func sleepOnceArmed(a *Member) error {
	armed, there, err := Arm(a)
	if err != nil || there {
		return err
	}
	return AwaitWakes(armed.Within(), new(Alarm), []Armed{armed})
}
