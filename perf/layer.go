package perf

import (
	"errors"
	"path/filepath"
	"slices"

	"github.com/mycelium-bus/mycelium/shmring"
)

// layer is a way to the same ring: what users call, or the ring below it. Measuring both shows what the upper one costs.
type layer interface {
	// create makes a topic in the bus directory; the parent does, before there are workers.
	create(dir, topic string, o *Options) error
	// remove removes what create made beside the directory, where it is still there.
	remove(topic string, o *Options) error
	// open attaches a worker to the directory.
	open(dir string, o *Options) (client, error)
}

type client interface {
	sender(topic string, f *filler) (sender, error)
	receiver(topic string, c *checker) (receiver, error)
	close() error
}

// receiver hands up to limit messages that are there to its checker.
type receiver interface {
	poll(limit int) (n int, err error)
	// release gives what was received back to the producers.
	release()
}

var layers = map[string]layer{"bus": busLayer{}, "shmring": ringLayer{}}

// ringLayer is the ring without anything above it.
type ringLayer struct{}

func (ringLayer) create(dir, topic string, o *Options) error {
	kind, err := parseKind(o.Kind)
	if err != nil {
		return err
	}
	r, err := shmring.Create(dir, topic, shmring.Options{Kind: kind, Capacity: uint64(o.Ring)})
	if err != nil {
		return err
	}
	return r.Close()
}

func (ringLayer) remove(string, *Options) error { return nil }

func (ringLayer) open(dir string, o *Options) (client, error) {
	return &ringClient{dir: dir, o: o}, nil
}

type ringClient struct {
	dir     string
	o       *Options
	closers closers
}

func (c *ringClient) ring(topic string) (*shmring.Ring, error) {
	r, err := shmring.Open(filepath.Join(c.dir, topic), shmring.Own)
	if err == nil {
		c.closers = append(c.closers, r.Close)
	}
	return r, err
}

func (c *ringClient) sender(topic string, f *filler) (sender, error) {
	r, err := c.ring(topic)
	if err != nil {
		return nil, err
	}
	g, err := r.GrantProducer(0)
	if err != nil {
		return nil, err
	}
	p, err := r.Producer(g, "myc-perf")
	if err != nil {
		return nil, err
	}
	c.closers = append(c.closers, p.Close)
	switch {
	case c.o.Batch > 1:
		return newBatching(p.Batch, f, c.o), nil
	case c.o.Send == "publish":
		return &copying{p, f, make([]byte, c.o.Size)}, nil
	}
	return &ringClaim{p, f, c.o.Size}, nil
}

func (c *ringClient) receiver(topic string, check *checker) (receiver, error) {
	r, err := c.ring(topic)
	if err != nil {
		return nil, err
	}
	g, err := r.GrantConsumer(shmring.Policy{Slow: shmring.Block})
	if err != nil {
		return nil, err
	}
	rd, err := r.Reader(g, shmring.ReaderOptions{Name: "myc-perf"})
	if err != nil {
		return nil, err
	}
	c.closers = append(c.closers, rd.Close)
	return &ringReceiver{rd, check}, nil
}

func (c *ringClient) close() error { return c.closers.close() }

// closers are what to close, in reverse.
type closers []func() error

func (c closers) close() error {
	var errs []error
	for _, f := range slices.Backward(c) {
		errs = append(errs, f())
	}
	return errors.Join(errs...)
}

// ringClaim writes in place.
type ringClaim struct {
	p    *shmring.Producer
	f    *filler
	size int
}

func (s *ringClaim) send(seq uint64) error {
	c, err := s.p.Claim(s.size)
	if err != nil {
		return err
	}
	s.f.fill(c.Bytes(), seq)
	return c.Commit(s.size)
}

type ringReceiver struct {
	rd    *shmring.Reader
	check *checker
}

func (r *ringReceiver) poll(limit int) (int, error) {
	for n := range limit {
		f, ok := r.rd.Next()
		if !ok {
			return n, r.rd.Err()
		}
		if !r.check.take(f.Payload) {
			return n, r.check.err
		}
	}
	return limit, nil
}

func (r *ringReceiver) release() { r.rd.Release() }
