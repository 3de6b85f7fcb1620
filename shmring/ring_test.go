package shmring

import (
	"errors"
	"reflect"
	"testing"
)

var small = Options{Capacity: 64 << 10, Producers: 4, Consumers: 8, Groups: 2}

func (o Options) of(k Kind) Options { o.Kind = k; return o }

func TestMessagesArriveInOrder(t *testing.T) {
	for _, k := range []Kind{SPSC, SPMC, MPSC, MPMC} {
		t.Run(k.String(), func(t *testing.T) {
			r := newFileRing(t, small.of(k))
			p := newProducer(t, r)
			rd := newReaderOn(t, r, again(t, r, Consume), Policy{Slow: Block}, Newest())
			publish(t, p, "a")
			publish(t, p, "bb")
			publish(t, p, "ccc")
			if got, want := readAll(t, rd), []string{"a", "bb", "ccc"}; !reflect.DeepEqual(got, want) {
				t.Fatalf("got %q, want %q", got, want)
			}
		})
	}
}

func TestBackPressureEndsWhenTheReaderMoves(t *testing.T) {
	for _, k := range []Kind{SPSC, MPMC} {
		t.Run(k.String(), func(t *testing.T) {
			r := newFileRing(t, small.of(k))
			p := newProducer(t, r)
			rd := newReader(t, r, Policy{Slow: Block, Credit: 8 << 10}, Newest())
			n := 0
			var err error
			for err == nil {
				if err = p.Publish(make([]byte, 100)); err == nil {
					n++
				}
			}
			if !errors.Is(err, ErrBackPressure) {
				t.Fatal(err)
			}
			if h := p.Holder(); h.What != "reader" || h.Slot != int(rd.slot) {
				t.Errorf("held by %+v, want reader %d", h, rd.slot)
			}
			if want := 8 << 10 / 128; n != want {
				t.Errorf("%d messages of 128 bytes fitted into a credit of 8 KiB, want %d", n, want)
			}
			if got := len(readAll(t, rd)); got != n {
				t.Fatalf("read %d, want %d", got, n)
			}
			publish(t, p, "again")
		})
	}
}
