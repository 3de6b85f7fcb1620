package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"

	"github.com/mycelium-bus/mycelium/bus/topic"
	"github.com/mycelium-bus/mycelium/shmring"
)

// Conn is a process's connection to a bus: to its broker ([Dial]), or to its directory ([OpenDir]). Any number of goroutines
// may use one at once; the handles that it makes are for one goroutine each. Handles of the same topic share one mapping of
// its files for each way of using them.
type Conn struct {
	options Options
	backend backend
}

// backend is whoever hands topics out. Its methods may be called by several goroutines at once.
type backend interface {
	producer(ctx context.Context, name string) (attachment, error)
	consumer(ctx context.Context, name string, o subscribeOptions) (attachment, error)
	inspector(ctx context.Context, name string) (attachment, error)
	create(ctx context.Context, c topic.Config) error
	remove(ctx context.Context, name string) error
	topics(ctx context.Context) ([]TopicState, error)
	clients(ctx context.Context) ([]Client, error)
	close() error
}

// attachment is a topic to use.
type attachment struct {
	ring   *shmring.Ring
	grant  shmring.Grant // of a slot; Lock is -1 without
	config topic.Config
	slot   slot
}

// abandon gives back an attachment that is not used after all.
func (a *attachment) abandon() {
	a.grant.Close()
	a.slot.released()
}

// slot is what to do when a handle has given its slot back.
type slot struct{ give func() }

func (s *slot) released() {
	if s.give != nil {
		s.give()
		s.give = nil
	}
}

// Close ends the connection. Handles that are open go on as they do when the broker dies, until they are closed themselves; new
// ones cannot be made ([ErrClosed]). It may be called more than once.
func (c *Conn) Close() error { return c.backend.close() }

func (c *Conn) attachProducer(ctx context.Context, name string) (attachment, error) {
	if err := checkName(name); err != nil {
		return attachment{}, err
	}
	return c.backend.producer(ctx, name)
}

func (c *Conn) attachConsumer(ctx context.Context, name string, o subscribeOptions) (attachment, error) {
	if o.fault != nil {
		return attachment{}, o.fault
	}
	if err := checkName(name); err != nil {
		return attachment{}, err
	}
	a, err := c.backend.consumer(ctx, name, o)
	if err == nil && a.config.Routing == topic.Queue && !o.fanout {
		a.abandon()
		return attachment{}, fmt.Errorf("%w: the topic is a queue, whose groups this version does not have; bus.Fanout() observes it",
			errors.ErrUnsupported)
	}
	return a, err
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

// rings are a connection's mappings: one for each topic and access. A mapping stays until the connection is closed or the
// topic's files are others: a topic that is opened again costs nothing.
type rings struct {
	mu     sync.Mutex
	open   map[ringKey]*mapping
	closed bool
}

type ringKey struct {
	topic  string
	access shmring.Access
}

type mapping struct {
	ring *shmring.Ring
	file fileID
}

// get returns the mapping of a topic whose ring file is the given one, and makes it by attach where there is none.
func (r *rings) get(key ringKey, file fileID, attach func() (*shmring.Ring, error)) (*shmring.Ring, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, ErrClosed
	}
	old := r.open[key]
	if old != nil && old.file == file {
		return old.ring, nil
	}
	ring, err := attach()
	if err != nil {
		return nil, err
	}
	if old != nil {
		old.ring.Close() // the topic was deleted and made again; handles keep the old mapping
	}
	if r.open == nil {
		r.open = map[ringKey]*mapping{}
	}
	r.open[key] = &mapping{ring, file}
	return ring, nil
}

// sweep gives up the mappings of topics that were deleted: their memory goes back when the last handle is closed.
func (r *rings) sweep() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, m := range r.open {
		if m.ring.Closing() {
			m.ring.Close()
			delete(r.open, key)
		}
	}
}

func (r *rings) close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	var errs []error
	for _, m := range r.open {
		errs = append(errs, m.ring.Close())
	}
	r.open = nil
	return errors.Join(errs...)
}
