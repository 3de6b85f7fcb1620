// Package bustest answers: how does a program's test get a bus? It makes one in a temporary folder, with a broker inside the
// test's process, and takes it away when the test ends:
//
//	b := bustest.New(t, topic.Config{Name: "market_data", Size: topic.MiB})
//	c := b.Dial("adapter")
//	pub, err := c.Publisher("market_data")
//
// Other processes that the test starts reach it by b.Socket. At the end every topic's files are verified.
package bustest

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/bus/broker"
	"github.com/mycelium-bus/mycelium/bus/topic"
)

// Bus is a bus of a test. Its methods are for the test's own goroutine, as t.FailNow is.
type Bus struct {
	Dir    string // the bus directory
	Socket string // the broker's

	t      testing.TB
	config broker.Config
	stop   context.CancelFunc // nil while there is no broker
	ended  chan error
}

// New starts a broker with the given topics in a folder in /dev/shm (where there is none, the system's folder for temporary
// files). Everybody may publish, subscribe and block unless a topic says otherwise. When the test ends the broker is
// stopped, each topic's files are verified, and the folder is removed; a fault fails the test. Close the handles that the
// test made before it ends, by defer or t.Cleanup.
func New(t testing.TB, topics ...topic.Config) *Bus {
	t.Helper()
	parent := "/dev/shm"
	if _, err := os.Stat(parent); errors.Is(err, fs.ErrNotExist) {
		parent = ""
	}
	root, err := os.MkdirTemp(parent, "bustest-")
	if err != nil {
		t.Fatalf("bustest: %v", err)
	}
	b := &Bus{Dir: filepath.Join(root, "bus"), Socket: filepath.Join(root, "socket"), t: t}
	t.Cleanup(func() {
		b.StopBroker()
		b.verify()
		if err := os.RemoveAll(root); err != nil {
			t.Errorf("bustest: %v", err)
		}
	})
	b.config = broker.Defaults()
	b.config.Dir, b.config.Socket = b.Dir, b.Socket
	b.config.Logger = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	b.config.Topics = nil
	for _, c := range topics {
		for _, list := range []*[]string{&c.Publish, &c.Subscribe, &c.Blockers} {
			if *list == nil {
				*list = []string{"*"}
			}
		}
		b.config.Topics = append(b.config.Topics, c)
	}
	b.StartBroker()
	return b
}

// StartBroker starts a broker again after [Bus.StopBroker]: it takes over the topics that are there. New calls it.
func (b *Bus) StartBroker() {
	b.t.Helper()
	if b.stop != nil {
		b.t.Fatal("bustest: a broker is running already")
	}
	server, err := broker.New(b.config)
	if err != nil {
		b.t.Fatalf("bustest: start a broker: %v", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	b.stop, b.ended = stop, ended
}

// StopBroker ends the broker and waits until it has: connections break, what is attached goes on. It does nothing where there
// is none.
func (b *Bus) StopBroker() {
	b.t.Helper()
	if b.stop == nil {
		return
	}
	b.stop()
	b.stop = nil
	if err := <-b.ended; err != nil {
		b.t.Errorf("bustest: the broker ended with: %v", err)
	}
}

// Dial connects to the broker under a name. The connection is closed when the test ends.
func (b *Bus) Dial(name string) *bus.Conn {
	b.t.Helper()
	c, err := bus.Dial(b.t.Context(), bus.Options{Name: name, Socket: b.Socket})
	if err != nil {
		b.t.Fatalf("bustest: %v", err)
	}
	b.closeAtEnd(c)
	return c
}

// OpenDir opens the bus by its directory, which needs no broker. The connection is closed when the test ends.
func (b *Bus) OpenDir(name string) *bus.Conn {
	b.t.Helper()
	c, err := bus.OpenDir(b.Dir, bus.Options{Name: name})
	if err != nil {
		b.t.Fatalf("bustest: %v", err)
	}
	b.closeAtEnd(c)
	return c
}

func (b *Bus) closeAtEnd(c *bus.Conn) {
	b.t.Cleanup(func() {
		if err := c.Close(); err != nil {
			b.t.Errorf("bustest: close the connection: %v", err)
		}
	})
}

// verify checks the files of every topic.
func (b *Bus) verify() {
	c, err := bus.OpenDir(b.Dir, bus.Options{Name: "bustest"})
	if errors.Is(err, fs.ErrNotExist) {
		return // New has failed before it was made
	}
	if err != nil {
		b.t.Errorf("bustest: %v", err)
		return
	}
	defer c.Close()
	ctx := context.Background() // the test's own has ended
	topics, err := c.Topics(ctx)
	if err != nil {
		b.t.Errorf("bustest: %v", err)
	}
	for _, topic := range topics {
		if topic.State == "closing" {
			continue
		}
		if _, err := c.Verify(ctx, topic.Config.Name); err != nil {
			b.t.Errorf("bustest: %v", err)
		}
	}
}
