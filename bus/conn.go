package bus

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"weak"

	"github.com/mycelium-bus/mycelium/bus/topic"
	"github.com/mycelium-bus/mycelium/shmring"
)

// Conn is a process's connection to a bus: to its broker ([Dial]), or to its directory ([OpenDir]). Any number of goroutines
// may use one at once; the handles that it makes are for one goroutine each. Handles of the same topic share one mapping of
// its files for each way of using them.
//
// What only looks (Topics, Clients, and by a topic's name Inspect, Groups, Losses, Parked, CountMessages, Written, Stalls, Verify) blocks
// while the broker answers or the files are opened, until its context ends, and allocates. Its errors: [ErrNoTopic]; [ErrPermission] for who
// may not subscribe; [ErrCorrupt] and [ErrVersion] of the topic's files; [ErrClosed] after Close; [ErrNoBroker], of a connection of [Dial]
// whose broker is away; the context's.
type Conn struct {
	options Options
	backend backend
	waker   waker
}

// backend is whoever hands topics out. Its methods may be called by several goroutines at once.
type backend interface {
	producer(ctx context.Context, name string, o attachOptions) (attachment, error)
	consumer(ctx context.Context, name string, o subscribeOptions) (attachment, error)
	inspector(ctx context.Context, name string) (attachment, error)
	create(ctx context.Context, c topic.Config) error
	remove(ctx context.Context, name string) error
	topics(ctx context.Context) ([]TopicState, error)
	clients(ctx context.Context) ([]Client, error)
	dir() string
	serves() string
	close() error
}

// attachOptions say how a slot is asked for.
type attachOptions struct {
	wait bool // for a broker, while there is none
}

// attachment is a topic to use.
type attachment struct {
	topic  *mapping
	ring   *shmring.Ring // of topic
	grant  shmring.Grant // of a slot; Lock is -1 without
	config topic.Config
	slot   slot
}

// abandon gives back an attachment that is not used after all.
func (a *attachment) abandon() {
	a.grant.Close()
	a.slot.released()
}

// slot is what is to be done about a handle's slot beside what the ring does. Each function may be nil.
type slot struct {
	take  func(t shmring.Tenancy, handle func() any) // a handle has it; handle returns it, or nil once it was collected
	leave func()                                     // the handle is about to be closed
	give  func()                                     // it is
}

func (s *slot) taken(t shmring.Tenancy, handle func() any) {
	if s.take != nil {
		s.take(t, handle)
	}
}

func (s *slot) leaving() {
	if s.leave != nil {
		s.leave()
		s.leave = nil
	}
}

func (s *slot) released() {
	if s.give != nil {
		s.give()
		s.give = nil
	}
}

// weakly returns a function that returns the handle until it is collected, and does not keep it from that.
func weakly[T any](handle *T) func() any {
	w := weak.Make(handle)
	return func() any {
		if h := w.Value(); h != nil {
			return h
		}
		return nil
	}
}

// Dir returns the bus directory, also while there is no broker.
func (c *Conn) Dir() string { return c.backend.dir() }

// Broker names the broker's program and version, as it said itself: of the last one, while there is none. "" without a broker.
func (c *Conn) Broker() string { return c.backend.serves() }

// Close ends the connection, and with it the search for another broker and the repairs. Handles that are open go on as they do when the
// broker dies, until they are closed themselves; new ones cannot be made ([ErrClosed]). It may be called more than once.
func (c *Conn) Close() error { return c.backend.close() }

func (c *Conn) attachProducer(ctx context.Context, name string, o attachOptions) (attachment, error) {
	if err := checkName(name); err != nil {
		return attachment{}, err
	}
	return c.backend.producer(ctx, name, o)
}

func (c *Conn) attachConsumer(ctx context.Context, name string, o subscribeOptions) (attachment, error) {
	if err := o.check(); err != nil {
		return attachment{}, err
	}
	if err := checkName(name); err != nil {
		return attachment{}, err
	}
	return c.backend.consumer(ctx, name, o)
}

// encodeConfig is how a topic's configuration stands in its files and in control messages.
func encodeConfig(c topic.Config) ([]byte, error) { return json.Marshal(c) }

// decodeConfig reads a topic's configuration as it stands in the topic's files and in the broker's answers.
func decodeConfig(name string, b []byte) (topic.Config, error) {
	c := topic.Config{Name: name}
	if len(b) > 0 { // a ring that was made without one has the defaults
		if err := json.Unmarshal(b, &c); err != nil {
			return c, fmt.Errorf("%w: configuration of topic %q: %w", ErrCorrupt, name, err)
		}
	}
	return c.WithDefaults(), nil
}

// software names this program to the broker.
func software() string {
	s := filepath.Base(os.Args[0])
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		s += " " + info.Main.Version
	}
	return s
}

// newRules returns what the topic's publishers keep, nil where it takes anything.
func newRules(c topic.Config) *rules {
	r := rules{topic: c.Name, types: c.Types, checksum: c.Checksum == topic.ChecksumRequire}
	if c.Types.All() && !r.checksum {
		return nil
	}
	return &r
}
