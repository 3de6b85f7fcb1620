package broker

import (
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/mycelium-bus/mycelium/bus/internal/control"
	"github.com/mycelium-bus/mycelium/bus/topic"
	"github.com/mycelium-bus/mycelium/uds"
)

// A right that is given holds at once; one that is taken away holds for new attachments, and the attached go on.
func TestAReloadChangesRights(t *testing.T) {
	c := testConfig(t)
	c.Topics = []topic.Config{small("a")}
	next := c
	c.LogLevel = new(slog.LevelVar)
	var read atomic.Pointer[Config]
	c.Reload = func() (Config, error) { return *read.Load(), nil }
	var who atomic.Uint32
	b := startWith(t, c, fakeAccounts{&who}, func(*Broker) {})
	root := b.client("root")
	who.Store(1001)
	alice := b.client("alice")
	holds := alice.producer("a")
	e := alice.refused(&control.Reload{}, control.CodePermission)
	contains(t, "the refusal", e.Text+e.Hint, "user 1001 may not reload the configuration")

	next.Topics = []topic.Config{small("a"), small("b")}
	next.Topics[0].Publish = []string{"user:bob"}
	next.Topics[1].Publish = []string{"user:alice"}
	next.MaxSlotsPerUser, next.Log = 2, "debug"
	read.Store(new(next))
	r := root.ask(&control.Reload{}).(*control.Reloaded)
	if len(r.Refused) > 0 || len(r.Changed) != 4 {
		t.Fatalf("%+v", r)
	}
	if c.LogLevel.Level() != slog.LevelDebug {
		t.Error("the log level is as it was")
	}
	if err := holds.Publish([]byte("x")); err != nil {
		t.Errorf("who is attached: %v", err)
	}
	alice.refused(&control.AttachProducer{Topic: "a"}, control.CodePermission)
	alice.attach(&control.AttachProducer{Topic: "b"})
	alice.refused(&control.AttachProducer{Topic: "b"}, control.CodeLimit)

	// Whom nobody bears is refused, and with it everything else.
	next.Topics = slices.Clone(next.Topics)
	next.Topics[0].Publish = []string{"user:nobody"}
	next.MaxSlotsPerUser = 100
	read.Store(new(next))
	r = root.ask(&control.Reload{}).(*control.Reloaded)
	if len(r.Changed) > 0 || len(r.Refused) != 1 || !strings.Contains(r.Refused[0], `topic.publish: "user:nobody"`) {
		t.Errorf("%+v", r)
	}
	alice.refused(&control.AttachProducer{Topic: "b"}, control.CodeLimit)
}

// A reload may come before the broker has said that it serves.
func TestAReloadAsTheBrokerStarts(t *testing.T) {
	for range 20 {
		c := testConfig(t)
		next := c
		next.Topics = append(slices.Clone(c.Topics), small("x"))
		c.Reload = func() (Config, error) { return next, nil }
		b := start(t, c)
		if r := b.Reload(); len(r.Refused) > 0 {
			t.Fatalf("%+v", r)
		}
		if names := b.client("any").topics(); len(names) != 3 {
			t.Errorf("topics %+v, want a, b and x", names)
		}
	}
}

func TestReloadsThatAreRefused(t *testing.T) {
	c := testConfig(t)
	next, fault := c, error(nil)
	c.Reload = func() (Config, error) { return next, fault }
	b := start(t, c)
	one := func(topics []topic.Config, change func(*topic.Config)) []topic.Config {
		topics = slices.Clone(topics)
		change(&topics[0])
		return topics
	}
	for name, test := range map[string]struct {
		change func(*Config)
		want   []string
	}{
		"the socket": {func(c *Config) { c.Socket += "x" }, []string{"broker.socket: it cannot change"}},
		"two things": {func(c *Config) { c.Dir, c.Group = "/elsewhere", "0" }, []string{"broker.dir: it cannot change", "broker.group: it cannot change"}},
		"bad values": {func(c *Config) { c.Log, c.MaxClients = "loud", 0 }, []string{`broker.log: "loud"`, "broker.max_clients: 0"}},
		"the kind":   {func(c *Config) { c.Topics = one(c.Topics, func(t *topic.Config) { t.Kind = topic.MPSC }) }, []string{`topic "a": kind = "mpsc"`}},
		"too much": {func(c *Config) {
			c.Topics = append(slices.Clone(c.Topics), small("x"), topic.Config{Name: "y", Size: 8 * topic.GiB})
		}, []string{"max_memory is reached"}},
		"many groups": {func(c *Config) {
			c.Topics = one(c.Topics, func(t *topic.Config) { t.Group = []topic.Group{{Name: "g"}, {Name: "h"}} })
		}, []string{"the topic configures 2 groups"}},
		"one gate more": {func(c *Config) {
			c.Topics = one(c.Topics, func(t *topic.Config) { t.Group = []topic.Group{{Name: "other"}} })
		}, []string{"2 groups would be in use"}},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "one gate more" { // the topic has room for one
				d := b.client("member").attach(&control.AttachConsumer{Topic: "a", Group: "own"})
				defer d.close()
			}
			next = c
			test.change(&next)
			r := b.Reload()
			if len(r.Changed) > 0 || len(r.Kept) > 0 || len(r.Refused) != len(test.want) {
				t.Fatalf("%+v, want %q refused", r, test.want)
			}
			for i, want := range test.want {
				contains(t, "the refusal", r.Refused[i], want)
			}
			if names := b.client("any").topics(); len(names) != 2 {
				t.Errorf("topics %+v, want a and b", names)
			}
			if b.config.Socket != c.Socket || b.config.MaxClients != c.MaxClients {
				t.Error("something of it holds")
			}
		})
	}
	next, fault = c, errors.Join(errors.New("one"), errors.New("two"))
	if r := b.Reload(); !slices.Equal(r.Refused, []string{"one", "two"}) {
		t.Errorf("%+v", r)
	}
	fault = nil
	if r := b.Reload(); len(r.Refused)+len(r.Changed)+len(r.Kept) > 0 {
		t.Errorf("the same again: %+v", r)
	}
	if r := start(t, testConfig(t)).Reload(); len(r.Refused) != 1 {
		t.Errorf("a broker without a configuration: %+v", r)
	}
}

// Clients attach and ask while the configuration changes under them.
func TestReloadsBesideAttaches(t *testing.T) {
	c := testConfig(t)
	c.Topics[0].Consumers, c.MaxSlotsPerUser = 100, 1000
	next := c
	c.Reload = func() (Config, error) { return next, nil }
	b := start(t, c)
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for range 4 {
		cl := b.client("busy")
		clients.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				for _, m := range []control.Message{&control.AttachConsumer{Topic: "a"}, &control.AttachInspect{Topic: "a"}, &control.ListTopics{}} {
					_, fds, err := cl.Request(watchdog(t), m)
					if err != nil {
						t.Errorf("%s: %v", m.Type(), err)
						return
					}
					uds.CloseFDs(fds)
				}
			}
		})
	}
	for i := range 50 {
		next.Topics = slices.Clone(next.Topics)
		next.Topics[0].Slow = []topic.Slow{topic.Drop, topic.Evict}[i%2]
		next.Topics[0].Subscribe = [][]string{{"*"}, {"*", "user:0"}}[i%2]
		next.MaxClients = 500 + i
		if r := b.Reload(); len(r.Refused) > 0 || len(r.Changed) < 2 {
			t.Errorf("%+v", r)
		}
	}
	close(stop)
	clients.Wait()
}
