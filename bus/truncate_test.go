package bus_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/bus/bustest"
	"github.com/mycelium-bus/mycelium/bus/topic"
)

// Whoever may write a file may cut it short; a subscriber then gets an error, not a SIGBUS.
func TestTruncatedRingIsAnErrorOfItsReaders(t *testing.T) {
	b := bustest.New(t, topic.Config{Name: "cut", Size: 64 << 10})
	c := b.Dial("reader")
	polling, err := c.Subscribe("cut")
	if err != nil {
		t.Fatal(err)
	}
	looping, err := c.Subscribe("cut", bus.Lossy())
	if err != nil {
		t.Fatal(err)
	}
	ring := filepath.Join(b.Dir, "cut", "ring")
	whole, err := os.ReadFile(ring)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(ring, 4096); err != nil {
		t.Fatal(err)
	}
	if _, err := polling.Poll(1, func(bus.Message) error { return nil }); !errors.Is(err, bus.ErrCorrupt) {
		t.Errorf("Poll: %v", err)
	}
	if err := polling.Wait(t.Context()); !errors.Is(err, bus.ErrCorrupt) {
		t.Errorf("Wait: %v", err)
	}
	got := error(nil)
	for _, err := range looping.Messages(context.Background()) {
		got = err
	}
	if !errors.Is(got, bus.ErrCorrupt) {
		t.Errorf("Messages: %v", got)
	}
	if err := os.WriteFile(ring, whole, 0); err != nil { // closing the handles looks at the file again
		t.Fatal(err)
	}
	polling.Close()
	looping.Close()
}

// A publisher is told by the call that comes upon what is gone, however it writes; what it had published before was read.
func TestTruncatedFilesAreErrorsOfPublishers(t *testing.T) {
	message := make([]byte, 300)
	ways := map[string]func(p *bus.Publisher) error{
		"Publish": func(p *bus.Publisher) error { return p.Publish(message) },
		"Write": func(p *bus.Publisher) error {
			return p.Write(300, func(b []byte) (int, error) { return copy(b, message), nil })
		},
		"Claim": func(p *bus.Publisher) error {
			c, err := p.Claim(300)
			if err != nil {
				return err
			}
			return c.Commit(copy(c.Bytes(), message))
		},
		"Batch": func(p *bus.Publisher) error {
			b, err := p.Batch(2 * bus.FrameSize(300))
			if err != nil {
				return err
			}
			for range 2 {
				part, err := b.Next(300)
				if err != nil {
					return err
				}
				copy(part, message)
			}
			return b.Commit()
		},
		"PublishWait": func(p *bus.Publisher) error { return p.PublishWait(t.Context(), message) },
	}
	for _, file := range []string{"ring", "cursors"} {
		for way, publish := range ways {
			t.Run(way+" "+file, func(t *testing.T) {
				b := bustest.New(t, topic.Config{Name: "cut", Size: 64 << 10})
				p, err := b.Dial("publisher").Publisher("cut")
				if err != nil {
					t.Fatal(err)
				}
				p.SetIdle(&bus.Sleep{Spins: -1, Yields: -1, Naps: -1})
				if err := publish(p); err != nil {
					t.Fatal(err)
				}
				path := filepath.Join(b.Dir, "cut", file)
				whole, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if err := os.Truncate(path, 0); err != nil {
					t.Fatal(err)
				}
				for range 3 { // and it stays so
					if err := publish(p); !errors.Is(err, bus.ErrCorrupt) || !strings.Contains(err.Error(), file) {
						t.Errorf("%v, want ErrCorrupt of %s", err, file)
					}
				}
				p.Close()
				if err := os.WriteFile(path, whole, 0); err != nil { // the topic is verified when the test ends
					t.Fatal(err)
				}
			})
		}
	}
}
