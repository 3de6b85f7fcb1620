package bus_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/bus/bustest"
	"github.com/mycelium-bus/mycelium/bus/topic"
	"golang.org/x/sys/unix"
)

// sleepAndSay tells of each message that it got last before it slept, until stdin ends.
func sleepAndSay(t *testing.T, sub *bus.Subscription) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	fmt.Println("ready")
	for {
		if err := sub.Wait(ctx); err != nil {
			if ctx.Err() == nil {
				t.Error(err)
			}
			return
		}
		last := uint64(0)
		_, err := sub.Poll(1000, func(m bus.Message) error {
			last = binary.LittleEndian.Uint64(m.Bytes())
			return nil
		})
		if err != nil && !errors.Is(err, bus.ErrLapped) {
			t.Error(err)
			return
		}
		fmt.Println("got", last)
	}
}

// TestAKilledAndAStoppedSleeperChangeNothing kills one process that sleeps on a topic and stops another one: who publishes, and who
// sleeps besides, notice nothing, and the stopped one goes on where it can.
func TestAKilledAndAStoppedSleeperChangeNothing(t *testing.T) {
	b := bustest.New(t, topic.Config{Name: "t", Kind: topic.SPMC, Size: topic.MinSize})
	pub := publisher(t, b.Dial("writer"), "t")
	killed, stopped := start(t, "sleeper "+b.Socket), start(t, "sleeper "+b.Socket)
	number := func(i uint64) []byte { return binary.LittleEndian.AppendUint64(nil, i) }
	killed.line("ready")
	stopped.line("ready")
	const n = 500
	done := make(chan error, 1)
	sub := subscribe(t, b.Dial("reader"), "t", bus.Idle(atOnce()))
	go func() {
		next := uint64(1)
		for m, err := range sub.Messages(t.Context()) {
			if got := binary.LittleEndian.Uint64(append(m.Bytes(), make([]byte, 8)...)); err != nil || got != next {
				done <- fmt.Errorf("message %d, %v; want %d", got, err, next)
				return
			}
			if next++; next > n {
				break
			}
		}
		done <- nil
	}()
	if err := pub.Publish(number(1)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []*child{killed, stopped} { // it goes to sleep again after what it says
		if got := c.line("got"); got != "1" {
			t.Fatalf("a sleeper got %s, want 1", got)
		}
	}
	killed.kill()
	if err := stopped.cmd.Process.Signal(unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for i := uint64(2); i <= n; i++ {
		if err := pub.PublishWait(t.Context(), number(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := within(t, "the one that sleeps besides", done); err != nil {
		t.Fatal(err)
	}
	if err := stopped.cmd.Process.Signal(unix.SIGCONT); err != nil {
		t.Fatal(err)
	}
	for stopped.line("got") != fmt.Sprint(n) { // the watchdog is the test's time limit
	}
	stopped.end()
}
