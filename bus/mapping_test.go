package bus_test

import (
	"os"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/bus/bustest"
	"github.com/mycelium-bus/mycelium/bus/topic"
)

// mapped counts this process's mappings of a topic's ring.
func mapped(t *testing.T, dir, name string) int {
	t.Helper()
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(maps), dir+"/"+name+"/ring")
}

func TestHandlesShareAMapping(t *testing.T) {
	b := bustest.New(t, topic.Config{Name: "t", Size: topic.MiB})
	broker := mapped(t, b.Dir, "t") // it runs in this process
	c := b.Dial("test")
	want := func(n int, when string) {
		t.Helper()
		if got := mapped(t, b.Dir, "t") - broker; got != n {
			t.Errorf("%d mappings %s, want %d", got, when, n)
		}
	}
	first := subscribe(t, c, "t")
	want(1, "with a subscription")
	second := subscribe(t, c, "t", bus.Lossy())
	want(1, "with two")
	pub := publisher(t, c, "t")
	want(2, "with a publisher")
	first.Close()
	second.Close()
	third := subscribe(t, c, "t")
	want(2, "with a subscription that came after others")
	pub.Close()
	third.Close()
	if err := c.DeleteTopic(t.Context(), "t"); err != nil {
		t.Fatal(err)
	}
	broker = 0
	want(0, "of a deleted topic whose handles are closed")
}

func TestLentBytesCannotBeWrittenTo(t *testing.T) {
	c := newBus(t, topic.Config{Name: "t", Size: topic.MiB})
	pub, sub := publisher(t, c, "t"), subscribe(t, c, "t")
	publish(t, pub, "a")
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	mustPanic(t, func() {
		sub.Poll(1, func(m bus.Message) error {
			m.Bytes()[0] = 'x'
			return nil
		})
	})
	if got := poll(t, sub); len(got) != 1 || got[0] != "a" {
		t.Errorf("got %q", got)
	}
}
