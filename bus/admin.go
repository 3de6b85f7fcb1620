package bus

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/mycelium-bus/mycelium/bus/topic"
	"github.com/mycelium-bus/mycelium/shmring"
)

// TopicInfo is what a look at a topic's files shows: sizes, positions, counters, and who is attached.
type TopicInfo = shmring.Info

// TopicState is an entry of a list of topics.
type TopicState struct {
	Config    topic.Config // with its defaults filled in
	State     string       // "active"; "creating"; "closing" when it was deleted and is still in use; "damaged"
	CreatedNs uint64       // wall clock, in nanoseconds since 1970; 0 unless active
	Fault     string       // what is wrong with a damaged topic's files
}

// Client is a process that is connected to the broker, or, where there is no broker, one that is attached to a topic.
type Client struct {
	Session  uint64    // of its connection, in this broker's life; 0 without a broker
	Name     string    // Options.Name
	Software string    // its program and version, as it said itself; "" without a broker
	PID      int       // information only: it means nothing in another pid namespace
	UID, GID int       // -1 without a broker
	Since    time.Time // it connected, or attached first
	Slots    []Slot    // by topic
}

// Slot is what a client has of a topic.
type Slot struct {
	Topic string
	Role  string // "producer" or "consumer"
	Slot  int    // its number among the topic's producers or consumers
}

// CreateTopic makes a topic. It returns when it can be attached to, which takes about a millisecond per 4 MiB. Errors: those
// of [topic.Config.Validate], [ErrExists], [ErrNoSpace], [ErrLimit], [ErrPermission].
func (c *Conn) CreateTopic(ctx context.Context, config topic.Config) error {
	if err := config.Validate(); err != nil {
		return fmt.Errorf("create topic %q: %w", config.Name, err)
	}
	err := c.backend.create(ctx, config.WithDefaults())
	if prefix := fmt.Sprintf("create topic %q: ", config.Name); err != nil && !strings.HasPrefix(err.Error(), prefix) {
		return fmt.Errorf("%s%w", prefix, err)
	}
	return err // which says itself what failed, where the files were made
}

// DeleteTopic ends a topic, whoever is attached: their handles return [ErrClosed], its files go. Messages that nobody has read yet
// can still be read by who is attached. A damaged topic can be deleted too. Errors: [ErrNoTopic], [ErrPermission] but for root and the broker's user,
// [ErrInUse] of a connection of [OpenDir] while a broker has the directory, [ErrNoBroker], [ErrClosed].
func (c *Conn) DeleteTopic(ctx context.Context, name string) error {
	err := checkName(name)
	if err == nil {
		err = c.backend.remove(ctx, name)
	}
	if err != nil {
		return fmt.Errorf("delete topic %q: %w", name, err)
	}
	return nil
}

// Topics lists the topics in the order of their names.
func (c *Conn) Topics(ctx context.Context) ([]TopicState, error) {
	list, err := c.backend.topics(ctx)
	if err != nil {
		return nil, fmt.Errorf("list topics: %w", err)
	}
	return list, nil
}

// Inspect looks at a topic through files that are mapped read-only; nobody who uses the topic notices.
func (c *Conn) Inspect(ctx context.Context, name string) (TopicInfo, error) {
	err := checkName(name)
	var a attachment
	if err == nil {
		a, err = c.backend.inspector(ctx, name)
	}
	var info TopicInfo
	if err == nil {
		info, err = a.ring.Inspect()
	}
	if err != nil {
		return info, fmt.Errorf("inspect topic %q: %w", name, err)
	}
	return info, nil
}

// Clients lists who is connected, in the order in which they came.
func (c *Conn) Clients(ctx context.Context) ([]Client, error) {
	list, err := c.backend.clients(ctx)
	if err != nil {
		return nil, fmt.Errorf("list clients: %w", err)
	}
	return list, nil
}

// checkName returns ErrNoTopic for what cannot be a topic's name.
func checkName(name string) error {
	if err := topic.CheckName(name); err != nil {
		return fmt.Errorf("%w: %w", ErrNoTopic, err)
	}
	return nil
}

// What [Conn.Groups], [Conn.Parked] and [Conn.Losses] list.
type (
	GroupInfo = shmring.GroupInfo // a queue group of a topic
	Parked    = shmring.Parked    // a message that a group gave up on
	Loss      = shmring.Loss      // a part of the ring that a subscription or a group was owed and never got
)

// Groups looks at a topic's queue groups, in no particular order; nobody who uses the topic notices.
func (c *Conn) Groups(ctx context.Context, name string) ([]GroupInfo, error) {
	ring, err := c.inspected(ctx, name)
	var list []GroupInfo
	if err == nil {
		list, err = ring.Groups()
	}
	if err != nil {
		return nil, fmt.Errorf("look at the groups of topic %q: %w", name, err)
	}
	return list, nil
}

// Parked lists the messages that a topic's groups gave up on, oldest first: the newest 1,024, of total since the topic was made.
func (c *Conn) Parked(ctx context.Context, name string) (list []Parked, total uint64, err error) {
	ring, err := c.inspected(ctx, name)
	if err == nil {
		list, total, err = ring.Parked()
	}
	if err != nil {
		return nil, 0, fmt.Errorf("list the parked messages of topic %q: %w", name, err)
	}
	return list, total, nil
}

// Losses lists what a topic's subscriptions and groups lost, oldest first: the newest 256, of total since the topic was made. Of a
// [Lossy] subscription, which may lose all the time, it lists at most one loss a second; the subscription's MissedBytes has all.
func (c *Conn) Losses(ctx context.Context, name string) (list []Loss, total uint64, err error) {
	ring, err := c.inspected(ctx, name)
	if err == nil {
		list, total, err = ring.Losses()
	}
	if err != nil {
		return nil, 0, fmt.Errorf("list the losses of topic %q: %w", name, err)
	}
	return list, total, nil
}

// inspected returns a topic's ring to look at.
func (c *Conn) inspected(ctx context.Context, name string) (*shmring.Ring, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	a, err := c.backend.inspector(ctx, name)
	return a.ring, err
}

// Report is what [Conn.Verify] went through.
type Report = shmring.Report

// Verify checks every frame of a topic and everything else that its files can show, and returns the first fault as an
// [ErrCorrupt] that names the field. The topic may be in use. It takes about a millisecond per MiB.
func (c *Conn) Verify(ctx context.Context, name string) (Report, error) {
	err := checkName(name)
	var a attachment
	if err == nil {
		a, err = c.backend.inspector(ctx, name)
	}
	var report Report
	if err == nil {
		report, err = a.ring.Verify()
	}
	if err != nil {
		return report, fmt.Errorf("verify topic %q: %w", name, err)
	}
	return report, nil
}
