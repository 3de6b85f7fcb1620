package uds

import (
	"fmt"
	"io"
	"testing"
)

func eachBench(b *testing.B, run func(b *testing.B, x, y Conn, msg []byte)) {
	for _, f := range framings {
		for _, size := range []int{64, 1024, 16 << 10} {
			b.Run(fmt.Sprintf("framing=%s/size=%d", f, size), func(b *testing.B) {
				x, y := pair(b, Options{Framing: f})
				b.SetBytes(int64(size))
				b.ReportAllocs()
				run(b, x, y, make([]byte, size))
			})
		}
	}
}

// BenchmarkRoundTrip is a message there and an answer of the same size back.
func BenchmarkRoundTrip(b *testing.B) {
	eachBench(b, func(b *testing.B, x, y Conn, msg []byte) {
		ended := make(chan error, 1)
		go func() {
			buf := make([]byte, DefaultMaxMessage)
			for {
				got, _, err := y.Recv(buf)
				if err == nil {
					err = y.Send(got)
				}
				if err != nil {
					ended <- err
					return
				}
			}
		}()
		buf := make([]byte, DefaultMaxMessage)
		for b.Loop() {
			if err := x.Send(msg); err != nil {
				b.Fatal(err)
			}
			if _, _, err := x.Recv(buf); err != nil {
				b.Fatal(err)
			}
		}
		_ = x.Close()
		if err := <-ended; err != io.EOF {
			b.Fatal(err)
		}
	})
}

// BenchmarkOneWay counts messages that were received.
func BenchmarkOneWay(b *testing.B) {
	eachBench(b, func(b *testing.B, x, y Conn, msg []byte) {
		ended := make(chan error, 1)
		go func() {
			for {
				if err := x.Send(msg); err != nil {
					ended <- err
					return
				}
			}
		}()
		buf := make([]byte, DefaultMaxMessage)
		for b.Loop() {
			if _, _, err := y.Recv(buf); err != nil {
				b.Fatal(err)
			}
		}
		_ = x.Close()
		<-ended
	})
}
