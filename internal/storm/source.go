package storm

import (
	"context"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"time"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/shmring"
)

// source is where a reader's messages come from.
type source interface {
	poll(limit int, take func(position uint64, b []byte) error) (n int, err error)
	position() uint64
	rest(ctx context.Context) error // until there may be something
	stats() (bus.SubscriptionStats, error)
	close() error
}

// open attaches a reader, in any case: one that was told to end before reads to the end all the same.
func (p part) open(ctx context.Context, rng *rand.Rand, from bus.Start) (source, error) {
	if p.Role == sleeper {
		return p.openSleeper()
	}
	sub, conn, err := attach(context.Background(), p, func(c *bus.Conn) (*bus.Subscription, error) {
		return c.Subscribe(p.Topic, p.options(rng, from)...)
	})
	return &subscription{sub: sub, conn: conn}, err
}

// subscription is a source by way of the bus.
type subscription struct {
	sub  *bus.Subscription
	conn *bus.Conn
	idle bus.Backoff
}

func (s *subscription) poll(limit int, take func(uint64, []byte) error) (int, error) {
	n, err := s.sub.Poll(limit, func(m bus.Message) error { return take(m.Position(), m.Bytes()) })
	if n > 0 {
		s.idle.Reset()
	}
	return n, err
}

func (s *subscription) position() uint64 { return s.sub.Position() }

func (s *subscription) rest(context.Context) error {
	s.idle.Idle()
	return nil
}

func (s *subscription) stats() (bus.SubscriptionStats, error) { return s.sub.Stats() }

func (s *subscription) close() error { return errors.Join(s.sub.Close(), s.conn.Close()) }

// sleeping is a reader that has the ring itself, because what it sleeps has no end but a wake: who is not woken is found as one who holds
// everybody up.
type sleeping struct {
	ring   *shmring.Ring
	reader *shmring.Reader
	alarm  *shmring.Alarm // nil before the first rest
	idle   bus.Backoff
}

// forEver is longer than a storm's watchdog.
const forEver = time.Hour

func (p part) openSleeper() (source, error) {
	ring, err := shmring.Open(filepath.Join(p.Bus, p.Topic), shmring.Own)
	if err != nil {
		return nil, err
	}
	grant, err := ring.GrantConsumer(shmring.Policy{Slow: shmring.Block})
	if err != nil {
		return nil, errors.Join(err, ring.Close())
	}
	reader, err := ring.Reader(grant, shmring.ReaderOptions{Name: p.Name, From: shmring.Oldest()})
	if err != nil {
		return nil, errors.Join(err, ring.Close())
	}
	return &sleeping{ring: ring, reader: reader}, nil
}

func (s *sleeping) poll(limit int, take func(uint64, []byte) error) (n int, err error) {
	defer s.reader.Release()
	for n < limit {
		f, ok := s.reader.Next()
		if !ok {
			return n, s.reader.Err()
		}
		if err := take(f.Position, f.Payload); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

func (s *sleeping) position() uint64 { return s.reader.Position() }

func (s *sleeping) rest(ctx context.Context) error {
	if ctx.Err() != nil { // the alarm rings for good
		s.idle.Idle()
		return nil
	}
	if s.alarm == nil {
		s.alarm = new(shmring.Alarm)
		context.AfterFunc(ctx, s.alarm.Ring)
	}
	return shmring.Sleep(forEver, s.alarm, s.reader)
}

func (s *sleeping) stats() (bus.SubscriptionStats, error) {
	info, err := s.ring.Inspect()
	for _, c := range info.Consumers {
		if c.ID == s.reader.ID() {
			return bus.SubscriptionStats{Messages: c.Messages, Bytes: c.Bytes, MissedBytes: c.MissedBytes, Laps: c.Laps, LagBytes: c.LagBytes}, err
		}
	}
	return bus.SubscriptionStats{}, err
}

func (s *sleeping) close() error { return errors.Join(s.reader.Close(), s.ring.Close()) }
