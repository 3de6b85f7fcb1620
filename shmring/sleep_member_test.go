package shmring

import (
	"testing"
	"time"
)

// TestOrphansWakeMembers has a member sleep, for ever if it is not woken, while another one leaves a message behind.
func TestOrphansWakeMembers(t *testing.T) {
	leave := map[string]func(t *testing.T, r *Ring, b *Member){
		"closed": func(t *testing.T, _ *Ring, b *Member) {
			if err := b.Close(); err != nil {
				t.Error(err)
			}
		},
		"died": func(t *testing.T, r *Ring, b *Member) {
			b.dies()
			mustRepair(t, r)
		},
	}
	sleep := map[string]func(a *Member, alarm *Alarm) error{
		"alone":             func(a *Member, _ *Alarm) error { return Sleep(forEver, nil, a) },
		"beside an alarm":   func(a *Member, alarm *Alarm) error { return Sleep(forEver, alarm, a) },
		"armed for a waker": sleepArmed,
	}
	for how, sleep := range sleep {
		for what, leave := range leave {
			t.Run(how+", another one has "+what, func(t *testing.T) {
				r := newFileRing(t, Options{Kind: MPMC, Capacity: 64 << 10, Consumers: 2, Groups: 1})
				a, b := newMember(t, r, "g", GroupPolicy{}, MemberOptions{}), newMember(t, r, "g", GroupPolicy{}, MemberOptions{})
				publish(t, newProducer(t, r), "left behind")
				if _, ok := b.Next(); !ok {
					t.Fatal(b.Err())
				}
				woken := make(chan error, 1)
				go func() { woken <- sleep(a, new(Alarm)) }()
				eventually(t, "it sleeps", func() bool { return asleep(r) })
				leave(t, r, b)
				select {
				case err := <-woken:
					if err != nil {
						t.Error(err)
					}
				case <-time.After(time.Minute):
					t.Fatal("watchdog: the member sleeps on")
				}
				wantTakes(t, a, 1, "left behind")
			})
		}
	}
}

func sleepArmed(a *Member, alarm *Alarm) error {
	armed, there, err := Arm(a)
	for err == nil && !there && !armed.Woken() {
		err = AwaitWakes(forEver, alarm, []Armed{armed})
	}
	return err
}

// TestMembersTooManyForTheKernel has so many members sleep together that they cannot wait for orphans as well: they look again by themselves.
func TestMembersTooManyForTheKernel(t *testing.T) {
	r := newFileRing(t, Options{Kind: MPMC, Capacity: 64 << 10, Consumers: MaxSleepers, Groups: 1})
	var all []Sleeper
	var armed []Armed
	for range MaxSleepers {
		m := newMember(t, r, "g", GroupPolicy{}, MemberOptions{})
		a, there, err := Arm(m)
		if there || err != nil || a.Within() != time.Hour {
			t.Fatal(there, err, a.Within())
		}
		all, armed = append(all, m), append(armed, a)
	}
	ended := make(chan error, 2)
	go func() { ended <- Sleep(forEver, new(Alarm), all...); ended <- AwaitWakes(forEver, new(Alarm), armed) }()
	for range cap(ended) {
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(time.Minute):
			t.Fatal("watchdog: they sleep on")
		}
	}
}
