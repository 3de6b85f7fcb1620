package bustest_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/bus/bustest"
	"github.com/mycelium-bus/mycelium/bus/topic"
	"github.com/mycelium-bus/mycelium/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

func TestABusForATest(t *testing.T) {
	var root string
	t.Run("works", func(t *testing.T) {
		b := bustest.New(t, topic.Config{Name: "t", Size: topic.MiB})
		root = filepath.Dir(b.Dir)
		exchange(t, b.Dial("one"), b.Dial("two"))
		exchange(t, b.Dial("one"), b.OpenDir("two"))
	})
	t.Run("is gone afterwards", func(t *testing.T) {
		if _, err := os.Stat(root); !os.IsNotExist(err) {
			t.Errorf("%s: %v", root, err)
		}
	})
}

func TestTheBrokerStopsAndStarts(t *testing.T) {
	b := bustest.New(t, topic.Config{Name: "t", Size: topic.MiB})
	before := b.Dial("before")
	b.StopBroker()
	if _, err := before.Publisher("t"); !errors.Is(err, bus.ErrNoBroker) {
		t.Errorf("without a broker: %v", err)
	}
	b.StartBroker()
	exchange(t, b.Dial("one"), b.Dial("two"))
}

// exchange passes a message from one connection to another.
func exchange(t *testing.T, from, to *bus.Conn) {
	t.Helper()
	sub, err := to.Subscribe("t")
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	pub, err := from.Publisher("t")
	if err != nil {
		t.Fatal(err)
	}
	defer pub.Close()
	if err := pub.Publish([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	n, err := sub.Poll(10, func(m bus.Message) error {
		if string(m.Bytes()) != "hello" {
			t.Errorf("got %q", m.Bytes())
		}
		return nil
	})
	if n != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}

// failing is a testing.TB that notes failures instead of having them.
type failing struct {
	testing.TB
	errors   int
	cleanups []func()
}

func (f *failing) Errorf(string, ...any)    { f.errors++ }
func (f *failing) Cleanup(c func())         { f.cleanups = append(f.cleanups, c) }
func (f *failing) Context() context.Context { return f.TB.Context() }

func TestADamagedTopicFailsTheTest(t *testing.T) {
	f := &failing{TB: t}
	b := bustest.New(f, topic.Config{Name: "t", Size: topic.MiB})
	c, err := bus.Dial(t.Context(), bus.Options{Socket: b.Socket})
	if err != nil {
		t.Fatal(err)
	}
	pub, err := c.Publisher("t")
	if err != nil {
		t.Fatal(err)
	}
	if err := pub.Publish([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	pub.Close()
	c.Close()
	ring := filepath.Join(b.Dir, "t", "ring")
	content, err := os.ReadFile(ring)
	if err != nil {
		t.Fatal(err)
	}
	// The data area is the file's last MiB: the first frame's length, behind its stamp.
	content[len(content)-1<<20+8] ^= 0xff
	content[len(content)-1<<20+11] ^= 0xff
	file, err := os.OpenFile(ring, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteAt(content, 0); err != nil {
		t.Fatal(err)
	}
	file.Close()
	for i := len(f.cleanups) - 1; i >= 0; i-- {
		f.cleanups[i]()
	}
	if f.errors != 1 {
		t.Errorf("%d errors, want 1", f.errors)
	}
}
