package bus_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/bus/bustest"
	"github.com/mycelium-bus/mycelium/bus/topic"
)

// Whoever may can remove files under those who use them, or cut them short: that is an error of their handles, and what is in the topic
// comes before it.
func TestRemovedFilesAreAnErrorOfTheirHandles(t *testing.T) {
	connections := map[string]func(*bustest.Bus) *bus.Conn{
		"through a broker":              func(b *bustest.Bus) *bus.Conn { return b.Dial("test") },
		"through a broker that is gone": func(b *bustest.Bus) *bus.Conn { return b.Dial("test") },
		"without a broker":              func(b *bustest.Bus) *bus.Conn { return b.OpenDir("test") },
	}
	for name, c := range map[string]struct {
		harm func(dir string) error
		want error
		text string
	}{
		"all of them":    {os.RemoveAll, bus.ErrClosed, "ring"},
		"the ring":       {func(dir string) error { return os.Remove(filepath.Join(dir, "ring")) }, bus.ErrClosed, "ring"},
		"a lock file":    {func(dir string) error { return os.Remove(filepath.Join(dir, "locks.c")) }, bus.ErrClosed, "locks.c"},
		"one, cut short": {func(dir string) error { return os.Truncate(filepath.Join(dir, "control"), 0) }, bus.ErrCorrupt, "corrupt: control: file size"},
	} {
		for how, connect := range connections {
			t.Run(name+" "+how, func(t *testing.T) {
				b := bustest.New(t, topic.Config{Name: "t", Size: topic.MinSize})
				conn := connect(b)
				pub, sub := publisher(t, conn, "t"), subscribe(t, conn, "t")
				publish(t, pub, "before")
				if strings.HasSuffix(how, "gone") {
					b.StopBroker()
				}
				if err := c.harm(filepath.Join(b.Dir, "t")); err != nil {
					t.Fatal(err)
				}
				var got []string
				var err error
				for m, e := range sub.Messages(t.Context()) {
					if err = e; err != nil {
						break
					}
					got = append(got, string(m.Bytes()))
				}
				if fmt.Sprint(got) != "[before]" {
					t.Errorf("got %q", got)
				}
				told := func(call string, err error) {
					t.Helper()
					wantIs(t, err, c.want)
					if c.want == bus.ErrClosed {
						wantIs(t, err, bus.ErrRemoved)
					}
					if err == nil || !strings.Contains(err.Error(), c.text) {
						t.Errorf("%s: %v lacks %q", call, err, c.text)
					}
				}
				told("Messages", err)
				_, err = sub.Poll(1, func(bus.Message) error { return nil })
				told("Poll", err)
				told("Wait", sub.Wait(t.Context()))
				eventually(t, "the publisher's end", func() bool { err = pub.Publish([]byte("x")); return err != nil })
				told("Publish", err)
				told("PublishWait", pub.PublishWait(t.Context(), []byte("x")))
				_, err = pub.Claim(1)
				told("Claim", err)
				_, err = pub.Batch(100)
				told("Batch", err)
				if err := os.RemoveAll(filepath.Join(b.Dir, "t")); err != nil { // nothing is left to be verified
					t.Fatal(err)
				}
				sub.Close()
				pub.Close()
			})
		}
	}
}

// A subscription that sleeps is woken when somebody notices that the files are gone.
func TestASleeperLearnsOfRemovedFiles(t *testing.T) {
	bus.SleepUntilWoken(t)
	for _, file := range []string{"", "ring", "locks.p"} {
		t.Run("topic/"+file, func(t *testing.T) {
			b := bustest.New(t, topic.Config{Name: "t", Size: topic.MinSize})
			sub := subscribe(t, b.Dial("test"), "t", bus.Idle(atOnce()))
			done := make(chan error, 1)
			go func() { done <- sub.Wait(t.Context()) }()
			if err := os.RemoveAll(filepath.Join(b.Dir, "t", file)); err != nil {
				t.Fatal(err)
			}
			wantIs(t, within(t, "the sleep", done), bus.ErrRemoved)
			if err := os.RemoveAll(filepath.Join(b.Dir, "t")); err != nil { // nothing is left to be verified
				t.Fatal(err)
			}
		})
	}
}

// A publisher that publishes little learns of a deletion long before it comes to the end of a segment.
func TestAPublisherLearnsOfADeletion(t *testing.T) {
	b := bustest.New(t, topic.Config{Name: "t", Size: topic.MiB})
	pub := publisher(t, b.Dial("test"), "t")
	if err := b.Dial("admin").DeleteTopic(t.Context(), "t"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the publisher's end", func() bool { return pub.Publish([]byte("x")) != nil })
	wantIs(t, pub.Publish([]byte("x")), bus.ErrClosed)
}
