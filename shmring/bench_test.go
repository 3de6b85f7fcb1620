package shmring

import (
	"runtime"
	"testing"
)

// BenchmarkPublishPoll is one goroutine that publishes and reads in turn: the instructions of both sides, without the cache
// line's way between two cores (myc-perf measures that).
func BenchmarkPublishPoll(b *testing.B) {
	for _, k := range []Kind{SPSC, MPMC} {
		b.Run("kind="+k.String(), func(b *testing.B) {
			r, _ := NewHeap("bench", Options{Kind: k, Capacity: 1 << 20})
			p, rd := newProducer(b, r), newReader(b, r, Policy{Slow: Block}, Newest())
			msg := make([]byte, 64)
			b.SetBytes(64)
			for b.Loop() {
				if err := p.Publish(msg); err != nil {
					b.Fatal(err)
				}
				if _, ok := rd.Next(); !ok {
					b.Fatal(rd.Err())
				}
			}
		})
	}
}

// BenchmarkPublish is a producer alone, whom nobody gates: the instructions of a message, and of a refresh each segment.
func BenchmarkPublish(b *testing.B) {
	for _, k := range []Kind{SPSC, MPMC} {
		for _, how := range []string{"publish", "claim"} {
			b.Run("kind="+k.String()+"/by="+how, func(b *testing.B) {
				r, _ := NewHeap("bench", Options{Kind: k, Capacity: 1 << 20})
				p := newProducer(b, r)
				msg := make([]byte, 64)
				b.SetBytes(64)
				if how == "publish" {
					for b.Loop() {
						if err := p.Publish(msg); err != nil {
							b.Fatal(err)
						}
					}
					return
				}
				for b.Loop() {
					c, err := p.Claim(len(msg))
					if err != nil {
						b.Fatal(err)
					}
					c.Bytes()[0]++
					if err := c.Commit(len(msg)); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkStream has a producer and a reader on two threads.
func BenchmarkStream(b *testing.B) {
	for _, k := range []Kind{SPSC, MPMC} {
		b.Run("kind="+k.String(), func(b *testing.B) {
			r, _ := NewHeap("bench", Options{Kind: k, Capacity: 16 << 20})
			p, rd := newProducer(b, r), newReader(b, r, Policy{Slow: Block}, Newest())
			msg := make([]byte, 48)
			b.SetBytes(48)
			n := b.N
			done := make(chan int)
			go func() {
				runtime.LockOSThread()
				got := 0
				for got < n {
					if f, ok := rd.Next(); ok {
						got++
						_ = f
					}
				}
				rd.Release()
				done <- got
			}()
			b.ResetTimer()
			for i := 0; i < n; i++ {
				msg[0] = byte(i)
				for p.Publish(msg) != nil {
				}
			}
			<-done
		})
	}
}
