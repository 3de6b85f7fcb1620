package broker

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/mycelium-bus/mycelium/bus/internal/control"
	"github.com/mycelium-bus/mycelium/bus/topic"
	"github.com/mycelium-bus/mycelium/internal/leak"
	"github.com/mycelium-bus/mycelium/uds"
)

// BenchmarkAttach is a request for a consumer slot and its answer with six descriptors, closed at once, while other clients
// are connected.
func BenchmarkAttach(b *testing.B) {
	for _, connections := range []int{1, 999} {
		b.Run(fmt.Sprintf("connections=%d", connections), func(b *testing.B) {
			c := withoutTopics()
			dir := leak.ShmDir(b)
			c.Dir, c.Socket = filepath.Join(dir, "bus"), filepath.Join(dir, "s")
			c.Topics = []topic.Config{small("a")}
			c.Logger = slog.New(slog.DiscardHandler)
			br, err := New(c)
			if err != nil {
				b.Fatal(err)
			}
			ctx, stop := context.WithCancel(watchdog(b))
			ended := make(chan error, 1)
			go func() { ended <- br.Run(ctx) }()
			var first *control.Conn
			for range connections {
				conn, err := control.Dial(ctx, c.Socket, control.Options{})
				if err != nil {
					b.Fatal(err)
				}
				defer conn.Close()
				first = conn
			}
			var took []time.Duration
			for b.Loop() {
				began := time.Now()
				_, fds, err := first.Request(ctx, &control.AttachConsumer{Topic: "a", Slow: control.SlowDrop})
				if err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(began))
				uds.CloseFDs(fds)
			}
			b.StopTimer()
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Nanoseconds()), "p50-ns/op")
			stop()
			if err := <-ended; err != nil {
				b.Error(err)
			}
		})
	}
}
