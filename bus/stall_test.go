package bus_test

import (
	"context"
	"fmt"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/bus/bustest"
	"github.com/mycelium-bus/mycelium/bus/topic"
)

// A publisher that is stopped with a claim open holds up who waits for what comes behind it. That is told with a broker and without, and
// nobody repairs it away.
func TestAStoppedPublisherIsStalled(t *testing.T) {
	b := bustest.New(t, topic.Config{Name: "t", Size: topic.MiB})
	conns := map[string]*bus.Conn{"through the broker": b.Dial("test"), "by directory": b.OpenDir("test")}
	for how, c := range conns {
		if stalls, err := c.Stalls(t.Context(), "t"); err != nil || len(stalls) != 0 {
			t.Errorf("%s, at first: %+v, %v", how, stalls, err)
		}
	}
	pub, sub := publisher(t, conns["by directory"], "t"), subscribe(t, conns["by directory"], "t")
	p := start(t, "claimer-commits "+filepath.Dir(b.Dir))
	p.line("claimed")
	if err := p.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	publish(t, pub, "behind")
	if got := poll(t, sub); len(got) != 0 {
		t.Fatalf("got %q, though a claim before it is open", got)
	}
	for how, c := range conns {
		// The kernel may take a moment to stop all of a process's threads.
		var stalls []bus.Stall
		eventually(t, how+": it is stopped", func() bool {
			var err error
			if stalls, err = c.Stalls(t.Context(), "t"); err != nil {
				t.Fatal(err)
			}
			return len(stalls) == 1 && stalls[0].Paused == "stopped"
		})
		want := fmt.Sprintf("its open claim at %d holds up %s", stalls[0].At, sub.ID())
		if s := stalls[0]; s.Name != "child" || s.PID != p.cmd.Process.Pid || !s.Producer || s.Hold.String() != want {
			t.Errorf("%s: %+v, want %q", how, s, want)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := c.Stalls(ctx, "t")
		wantIs(t, err, context.Canceled)
	}
	if err := p.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	p.tell("commit")
	p.line("committed")
	if err := sub.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintf("%.9s", poll(t, sub)); got != "[committed behind]" {
		t.Errorf("got %s", got)
	}
	for how, c := range conns {
		if stalls, err := c.Stalls(t.Context(), "t"); err != nil || len(stalls) != 0 {
			t.Errorf("%s, in the end: %+v, %v", how, stalls, err)
		}
	}
	_, err := conns["by directory"].Stalls(t.Context(), "nothing")
	wantIs(t, err, bus.ErrNoTopic)
	p.end()
}
