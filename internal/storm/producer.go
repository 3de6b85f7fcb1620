package storm

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/mycelium-bus/mycelium/bus"
)

// sender publishes numbered messages by every way there is.
type sender struct {
	part
	pub    *bus.Publisher
	rng    *rand.Rand
	next   uint64 // number of the next message
	bytes  uint64 // of the ring
	buf    []byte
	claims int
}

// produce sends groups of messages until it is told to end, and writes its ledger around each.
func (p part) produce(ctx context.Context, rng *rand.Rand) error {
	l, err := createLedger(p.ledger(p.Name))
	if err != nil {
		return err
	}
	pub, conn, err := attach(ctx, p, func(c *bus.Conn) (*bus.Publisher, error) { return c.PublisherContext(ctx, p.Topic) })
	if err != nil {
		return notEnd(ctx, err)
	}
	defer conn.Close()
	if p.Number%4 < 2 {
		pub.SetIdle(&bus.Sleep{}) // waits for space in the kernel
	}
	s := sender{part: p, pub: pub, rng: rng, buf: make([]byte, 1024)}
	for ctx.Err() == nil && (p.Quota == 0 || s.bytes < p.Quota) {
		group := 1 + rng.Uint64N(64)
		if err := l.record(ledger{s.next + group, s.next}); err != nil {
			return err
		}
		for end := s.next + group; s.next < end && err == nil; {
			err = s.send(ctx, end-s.next)
		}
		// Also one that was told to end while it waited for room: it will send no more than it has.
		if recordErr := l.record(ledger{s.next, s.next}); recordErr != nil {
			return recordErr
		}
		if err != nil {
			break
		}
	}
	return errors.Join(notEnd(ctx, err), pub.Close())
}

// notEnd takes an error that came of being told to end for none.
func notEnd(ctx context.Context, err error) error {
	if ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, bus.ErrNoBroker) || errors.Is(err, bus.ErrInUse) || errors.Is(err, bus.ErrLimit)) {
		return nil
	}
	return err
}

// send sends one message, or several in a batch, at most limit.
func (s *sender) send(ctx context.Context, limit uint64) error {
	n := s.length()
	switch way := s.rng.IntN(16); {
	case way < 11:
		write(s.buf[:n], s.Number, s.next)
		if err := s.pub.PublishWait(ctx, s.buf[:n]); err != nil {
			return err
		}
	case way < 13:
		return s.claim(ctx, n)
	case way < 14:
		return s.abort(ctx, n)
	default:
		return s.batch(ctx, min(limit, 1+s.rng.Uint64N(6)))
	}
	s.sent(n)
	return nil
}

func (s *sender) sent(n int) {
	s.next++
	s.bytes += uint64(bus.FrameSize(n))
}

// length is mostly small.
func (s *sender) length() int {
	n := messageHeader + s.rng.IntN(200)
	if s.rng.IntN(32) == 0 {
		n += s.rng.IntN(700)
	}
	return n
}

// claim writes in place, into a claim that is longer than the message. Until the very commit the bytes say that they are not
// to be read; now and then that takes a while, so that the conductor meets open claims.
func (s *sender) claim(ctx context.Context, n int) error {
	c, err := s.pub.ClaimWait(ctx, n+s.rng.IntN(100))
	if err != nil {
		return err
	}
	b := c.Bytes()
	write(b, s.Number, s.next|unfinished)
	s.work()
	write(b[:n], s.Number, s.next)
	if err := c.Commit(n); err != nil {
		return err
	}
	s.sent(n)
	return nil
}

// abort gives a claim up. It sends nothing.
func (s *sender) abort(ctx context.Context, n int) error {
	c, err := s.pub.ClaimWait(ctx, n)
	if err != nil {
		return err
	}
	write(c.Bytes(), s.Number, s.next|unfinished)
	s.work()
	c.Abort()
	return nil
}

// batch sends several messages at once, in a claim that they do not fill.
func (s *sender) batch(ctx context.Context, count uint64) error {
	var idle bus.Backoff
	b, err := s.pub.Batch(2000) // the largest claim of the smaller topic is 2 KiB
	for errors.Is(err, bus.ErrBackPressure) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		idle.Idle()
		b, err = s.pub.Batch(2000)
	}
	if err != nil {
		return err
	}
	lengths := [8]int{}
	parts := [8][]byte{}
	for i := range count {
		n := messageHeader + s.rng.IntN(200)
		if parts[i], err = b.Next(n); err != nil {
			b.Abort()
			return err
		}
		lengths[i] = n
		write(parts[i], s.Number, s.next+i|unfinished)
	}
	s.work()
	for i := range count {
		write(parts[i], s.Number, s.next+i)
	}
	if err := b.Commit(); err != nil {
		return err
	}
	for i := range count {
		s.sent(lengths[i])
	}
	return nil
}

// work takes up to 300 us, at every 8th claim: so a good part of a producer's time passes in an open claim.
func (s *sender) work() {
	if s.claims++; s.claims%8 == 0 {
		dawdle(time.Duration(s.rng.IntN(300)) * time.Microsecond)
	}
}
