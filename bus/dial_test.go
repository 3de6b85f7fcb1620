package bus_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/bus/bustest"
	"github.com/mycelium-bus/mycelium/bus/topic"
	"github.com/mycelium-bus/mycelium/internal/leak"
)

// Errors mean the same whoever hands topics out.
func TestErrorsWithAndWithoutABroker(t *testing.T) {
	small := func(c topic.Config) topic.Config { c.Size = topic.MiB; return c }
	b := bustest.New(t,
		small(topic.Config{Name: "single", Kind: topic.SPSC}),
		small(topic.Config{Name: "few", Producers: 1, Consumers: 1}),
		small(topic.Config{Name: "queue", Routing: topic.Queue}),
		small(topic.Config{Name: "many"}))
	for name, c := range map[string]*bus.Conn{"broker": b.Dial("test"), "directory": b.OpenDir("test")} {
		t.Run(name, func(t *testing.T) {
			publisher(t, c, "single")
			subscribe(t, c, "single")
			publisher(t, c, "few")
			subscribe(t, c, "few")
			attempt := func(topic string, options ...bus.SubscribeOption) func() error {
				return func() error { _, err := c.Subscribe(topic, options...); return err }
			}
			for what, test := range map[string]struct {
				do   func() error
				want error
			}{
				"a second single producer":      {func() error { _, err := c.Publisher("single"); return err }, bus.ErrInUse},
				"a second gate":                 {attempt("single"), bus.ErrInUse},
				"no producer slot left":         {func() error { _, err := c.Publisher("few"); return err }, bus.ErrLimit},
				"no consumer slot left":         {attempt("few"), bus.ErrLimit},
				"no such topic to publish to":   {func() error { _, err := c.Publisher("none"); return err }, bus.ErrNoTopic},
				"no such topic to subscribe":    {attempt("none"), bus.ErrNoTopic},
				"no such topic to look at":      {func() error { _, err := c.Inspect(t.Context(), "none"); return err }, bus.ErrNoTopic},
				"no such topic to verify":       {func() error { _, err := c.Verify(t.Context(), "none"); return err }, bus.ErrNoTopic},
				"a credit too large":            {attempt("many", bus.Credit(2<<20)), bus.ErrInvalid},
				"a position without a message":  {attempt("many", bus.From(bus.Position(1<<40))), bus.ErrPosition},
				"a credit in a group":           {attempt("queue", bus.Credit(1<<19)), bus.ErrInvalid},
				"a patience in a group":         {attempt("queue", bus.Patience(1)), bus.ErrInvalid},
				"a group that drops":            {attempt("many", bus.Group("g"), bus.Slow(bus.Drop)), bus.ErrInvalid},
				"a group that misses":           {attempt("many", bus.Group("g"), bus.Lossy()), bus.ErrInvalid},
				"a group and none":              {attempt("many", bus.Group("g"), bus.Fanout()), bus.ErrInvalid},
				"a group with a bad name":       {attempt("many", bus.Group("G")), bus.ErrInvalid},
				"a group beside the gate":       {attempt("single", bus.Group("g")), bus.ErrInUse},
				"a configuration with mistakes": {func() error { return c.CreateTopic(t.Context(), topic.Config{Name: "bad", Size: 5}) }, bus.ErrInvalid},
			} {
				t.Run(what, func(t *testing.T) { wantIs(t, test.do(), test.want) })
			}
			t.Run("a refusal gives its slot back", func(t *testing.T) {
				info, err := c.Inspect(t.Context(), "many")
				if err != nil || len(info.Consumers) != 0 {
					t.Errorf("%+v, %v", info.Consumers, err)
				}
			})
		})
	}
}

func TestTopicsThroughTheBroker(t *testing.T) {
	b := bustest.New(t)
	c := b.Dial("admin")
	ctx := t.Context()
	config := topic.Config{Name: "new", Kind: topic.SPMC, Size: topic.MiB, Publish: []string{"*"}, Subscribe: []string{"*"}}
	if err := c.CreateTopic(ctx, config); err != nil {
		t.Fatal(err)
	}
	wantIs(t, c.CreateTopic(ctx, config), bus.ErrExists)
	list, err := c.Topics(ctx)
	if err != nil || len(list) != 1 || list[0].Config.Kind != topic.SPMC || list[0].State != "active" || list[0].CreatedNs == 0 {
		t.Fatalf("%+v, %v", list, err)
	}

	other := b.Dial("worker")
	pub, sub := publisher(t, other, "new"), subscribe(t, other, "new")
	publish(t, pub, "a")
	info, err := c.Inspect(ctx, "new")
	if err != nil || info.Messages != 1 || len(info.Producers) != 1 || info.Producers[0].Name != "worker" {
		t.Errorf("%+v, %v", info, err)
	}
	clients, err := c.Clients(ctx)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(clients, func(c bus.Client) bool { return c.Name == "worker" })
	if len(clients) != 2 || i < 0 || clients[i].PID != os.Getpid() || clients[i].UID != os.Geteuid() || len(clients[i].Slots) != 2 {
		t.Fatalf("%+v", clients)
	}
	t.Run("a handle that is closed is no longer listed", func(t *testing.T) {
		second := subscribe(t, other, "new")
		second.Close()
		clients, err := c.Clients(ctx)
		if err != nil || len(clients[i].Slots) != 2 {
			t.Errorf("%+v, %v", clients, err)
		}
	})
	t.Run("a deleted topic ends its handles", func(t *testing.T) {
		poll(t, sub)
		if err := c.DeleteTopic(ctx, "new"); err != nil {
			t.Fatal(err)
		}
		wantIs(t, c.DeleteTopic(ctx, "new"), bus.ErrNoTopic)
		_, err := sub.Poll(1, func(bus.Message) error { return nil })
		wantIs(t, err, bus.ErrClosed)
	})
	t.Run("and can be made again", func(t *testing.T) {
		if err := c.CreateTopic(ctx, config); err != nil {
			t.Fatal(err)
		}
		pub.Close() // of the old one
		pub, sub := publisher(t, other, "new"), subscribe(t, other, "new")
		publish(t, pub, "b")
		if got := fmt.Sprint(poll(t, sub)); got != "[b]" {
			t.Errorf("got %s", got)
		}
	})
}

func TestManyTopicsAreListedPageByPage(t *testing.T) {
	b := bustest.New(t)
	c := b.Dial("admin")
	var want []string
	users := make([]string, 300) // 3 KiB a topic, so that some twenty fill a page
	for i := range users {
		users[i] = fmt.Sprintf("user:%d", 1000+i)
	}
	for i := range 50 {
		name := fmt.Sprintf("topic-%03d", i)
		config := topic.Config{Name: name, Size: topic.MinSize, Producers: 1, Consumers: 1, Groups: 1, Publish: users}
		if err := c.CreateTopic(t.Context(), config); err != nil {
			t.Fatal(err)
		}
		want = append(want, name)
	}
	list, err := c.Topics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range list {
		got = append(got, s.Config.Name)
	}
	if !slices.Equal(got, want) {
		t.Errorf("listed %d topics: %q", len(got), got)
	}
}

func TestDialRefuses(t *testing.T) {
	dir := leak.ShmDir(t)
	ctx := t.Context()
	t.Run("a socket that is not there", func(t *testing.T) {
		_, err := bus.Dial(ctx, bus.Options{Socket: filepath.Join(dir, "none")})
		wantIs(t, err, bus.ErrNoBroker)
		wantIs(t, err, os.ErrNotExist)
		if bus.Hint(err) == "" {
			t.Errorf("%v has no hint", err)
		}
	})
	t.Run("a socket that nobody answers on, when the context ends", func(t *testing.T) {
		path := filepath.Join(dir, "silent")
		l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: path, Net: "unixpacket"})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ctx, cancel := context.WithCancel(ctx)
		go func() {
			if c, err := l.Accept(); err == nil {
				defer c.Close()
				cancel()
				c.Read(make([]byte, 1)) // Hello
				c.Read(make([]byte, 1)) // its end
			}
		}()
		_, err = bus.Dial(ctx, bus.Options{Socket: path})
		wantIs(t, err, context.Canceled)
	})
	t.Run("who speaks something else", func(t *testing.T) {
		path := filepath.Join(dir, "other")
		l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: path, Net: "unixpacket"})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		go func() {
			if c, err := l.Accept(); err == nil {
				c.Write([]byte("hello"))
				c.Close()
			}
		}()
		if _, err := bus.Dial(ctx, bus.Options{Socket: path}); err == nil {
			t.Error("connected")
		}
	})
}

// What is attached does not need the broker; what is not cannot be without it.
func TestTheBrokerGoesAway(t *testing.T) {
	b := bustest.New(t, topic.Config{Name: "t", Size: topic.MiB})
	c := b.Dial("test")
	pub, sub := publisher(t, c, "t"), subscribe(t, c, "t")
	publish(t, pub, "with")
	b.StopBroker()
	publish(t, pub, "without")
	if got := fmt.Sprint(poll(t, sub)); got != "[with without]" {
		t.Errorf("got %s", got)
	}
	for what, err := range map[string]error{
		"attach": func() error { _, err := c.Publisher("t"); return err }(),
		"create": c.CreateTopic(t.Context(), topic.Config{Name: "u"}),
		"list":   func() error { _, err := c.Topics(t.Context()); return err }(),
	} {
		t.Run(what, func(t *testing.T) { wantIs(t, err, bus.ErrNoBroker) })
	}
	b.StartBroker()
	again := b.Dial("again")
	late := subscribe(t, again, "t", bus.From(bus.Oldest))
	publish(t, pub, "with another")
	if got := fmt.Sprint(poll(t, late)); got != "[with without with another]" {
		t.Errorf("the next broker's subscriber got %s", got)
	}
	if err := errors.Join(pub.Close(), sub.Close()); err != nil {
		t.Errorf("close without a broker: %v", err)
	}
}

func TestAConnectionIsForManyGoroutines(t *testing.T) {
	b := bustest.New(t, topic.Config{Name: "t", Size: topic.MiB})
	c := b.Dial("test")
	const n = 20
	errs := make(chan error, n)
	for range n {
		go func() {
			errs <- func() error {
				pub, err := c.Publisher("t")
				if err != nil {
					return err
				}
				sub, err := c.Subscribe("t", bus.Lossy())
				if err != nil {
					return err
				}
				if _, err := c.Inspect(t.Context(), "t"); err != nil {
					return err
				}
				return errors.Join(pub.Publish([]byte("a")), sub.Close(), pub.Close())
			}()
		}()
	}
	for range n {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if info, err := c.Inspect(t.Context(), "t"); err != nil || info.Messages != n || len(info.Producers)+len(info.Consumers) != 0 {
		t.Errorf("%+v, %v", info, err)
	}
}
