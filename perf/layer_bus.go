package perf

import (
	"context"
	"errors"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/bus/topic"
)

// busLayer is what users call: publishers and subscriptions of a bus that is opened by its directory, or through a broker, which
// is on neither side of a message.
type busLayer struct{}

func dial(dir string, o *Options) (*bus.Conn, error) {
	if o.Socket != "" {
		return bus.Dial(context.Background(), bus.Options{Name: "myc-perf", Socket: o.Socket})
	}
	return bus.OpenDir(dir, bus.Options{Name: "myc-perf"})
}

func (busLayer) create(dir, name string, o *Options) (err error) {
	kind, err := parseKind(o.Kind)
	if err != nil {
		return err
	}
	c, err := dial(dir, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	return c.CreateTopic(context.Background(), topic.Config{Name: name, Kind: topic.Kind(kind), Size: topic.Size(o.Ring)})
}

func (busLayer) remove(name string, o *Options) (err error) {
	if o.Socket == "" {
		return nil
	}
	c, err := dial("", o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	if err := c.DeleteTopic(context.Background(), name); !errors.Is(err, bus.ErrNoTopic) {
		return err
	}
	return nil
}

func (busLayer) open(dir string, o *Options) (client, error) {
	c, err := dial(dir, o)
	if err != nil {
		return nil, err
	}
	return &busClient{conn: c, o: o, closers: []func() error{c.Close}}, nil
}

type busClient struct {
	conn    *bus.Conn
	o       *Options
	closers closers
}

func (c *busClient) sender(name string, f *filler) (sender, error) {
	p, err := c.conn.Publisher(name)
	if err != nil {
		return nil, err
	}
	c.closers = append(c.closers, p.Close)
	switch {
	case c.o.Batch > 1:
		return newBatching(p.Batch, f, c.o), nil
	case c.o.Send == "publish":
		return &copying{p, f, make([]byte, c.o.Size)}, nil
	case c.o.Send == "claim":
		return &busClaim{p, f, c.o.Size}, nil
	}
	return newBusWrite(p, f, c.o.Size), nil
}

func (c *busClient) receiver(name string, check *checker) (receiver, error) {
	s, err := c.conn.Subscribe(name, bus.Slow(bus.Block), bus.Fanout())
	if err != nil {
		return nil, err
	}
	c.closers = append(c.closers, s.Close)
	return newBusReceiver(s, check), nil
}

func (c *busClient) close() error { return c.closers.close() }

// busClaim writes in place, between Claim and Commit.
type busClaim struct {
	p    *bus.Publisher
	f    *filler
	size int
}

func (s *busClaim) send(seq uint64) error {
	c, err := s.p.Claim(s.size)
	if err != nil {
		return err
	}
	s.f.fill(c.Bytes(), seq)
	return c.Commit(s.size)
}

// busWrite writes in place, in a callback.
type busWrite struct {
	p    *bus.Publisher
	size int
	seq  uint64
	fill func([]byte) (int, error)
}

func newBusWrite(p *bus.Publisher, f *filler, size int) *busWrite {
	s := &busWrite{p: p, size: size}
	s.fill = func(b []byte) (int, error) {
		f.fill(b, s.seq)
		return len(b), nil
	}
	return s
}

func (s *busWrite) send(seq uint64) error {
	s.seq = seq
	return s.p.Write(s.size, s.fill)
}

type busReceiver struct {
	s    *bus.Subscription
	take func(bus.Message) error
}

func newBusReceiver(s *bus.Subscription, check *checker) *busReceiver {
	return &busReceiver{s, func(m bus.Message) error {
		if !check.take(m.Bytes()) {
			return check.err
		}
		return nil
	}}
}

func (r *busReceiver) poll(limit int) (int, error) { return r.s.Poll(limit, r.take) }

// release has nothing to do: Poll gives back what it handed out.
func (r *busReceiver) release() {}
