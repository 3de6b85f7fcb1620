package perf

import "fmt"

// sender sends message seq, or with a batch the messages from seq on, in the way that the options name. It does not wait:
// shmring.ErrBackPressure tells that nothing was sent.
type sender interface {
	send(seq uint64) error
}

// copying publishes a copy of bytes of its own; the ring's producer and the bus's publisher look the same here.
type copying struct {
	p   interface{ Publish(message []byte) error }
	f   *filler
	buf []byte
}

func (s *copying) send(seq uint64) error {
	s.f.fill(s.buf, seq)
	return s.p.Publish(s.buf)
}

// batching writes several messages in place that become visible together; B is the layer's batch. Claims have no such type in
// common: calls through a type parameter would cost a single message 2 ns of its 17.
type batching[B any, P batch[B]] struct {
	begin   func(size int) (B, error)
	f       *filler
	size, n int
	open    B // here, for a local one would be allocated anew for each batch
}

type batch[B any] interface {
	*B
	Next(n int) ([]byte, error)
	Commit() error
	Abort()
}

func newBatching[B any, P batch[B]](begin func(size int) (B, error), f *filler, o *Options) sender {
	return &batching[B, P]{begin: begin, f: f, size: o.Size, n: o.Batch}
}

func (s *batching[B, P]) send(seq uint64) (err error) {
	if s.open, err = s.begin(s.n * frameSize(s.size)); err != nil {
		return err
	}
	b := P(&s.open)
	for i := range s.n {
		room, err := b.Next(s.size)
		if err != nil {
			b.Abort()
			return fmt.Errorf("message %d of a batch of %d: %w", i, s.n, err)
		}
		s.f.fill(room, seq+uint64(i))
	}
	return b.Commit()
}
