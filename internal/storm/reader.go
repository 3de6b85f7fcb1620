package storm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"github.com/mycelium-bus/mycelium/bus"
)

// read checks every message until it is told to end, and then up to the position that the conductor wrote down.
func (p part) read(ctx context.Context, rng *rand.Rand) error {
	cells, err := createTally(p.cells(p.Name))
	if err != nil {
		return err
	}
	// Attached in any case: one that was told to end before reads to the end all the same.
	sub, conn, err := attach(context.Background(), p, func(c *bus.Conn) (*bus.Subscription, error) {
		return c.Subscribe(p.Topic, p.options(rng)...)
	})
	if err != nil {
		return err
	}
	defer conn.Close()
	s := newSequence(sub.Position(), p.Witness, cells)
	if err := s.follow(ctx, p, sub, rng); err != nil {
		return err
	}
	stats, err := sub.Stats()
	if err == nil {
		err = s.agree(stats)
	}
	return errors.Join(err, cells.flush(), s.save(p.summary(p.Name)), sub.Close())
}

func (p part) options(rng *rand.Rand) []bus.SubscribeOption {
	from := bus.Oldest
	if !p.Witness && rng.IntN(2) == 0 {
		from = bus.Newest
	}
	o := []bus.SubscribeOption{bus.From(from)}
	switch p.Role {
	case copier:
		o = append(o, bus.Slow(bus.Drop), bus.Patience(endless))
	case lossy:
		o = append(o, bus.Lossy())
	}
	return o
}

// follow polls until the end.
func (s *sequence) follow(ctx context.Context, p part, sub *bus.Subscription, rng *rand.Rand) error {
	var idle bus.Backoff
	end, ended := uint64(0), false
	for count := 0; ; count++ {
		n, err := sub.Poll(1+rng.IntN(512), func(m bus.Message) error { return s.take(m.Position(), m.Bytes()) })
		if lap, ok := errors.AsType[*bus.LappedError](err); ok {
			err = s.missed(lap)
		}
		if err == nil {
			err = s.reach(sub.Position())
		}
		if err != nil {
			return err
		}
		if n > 0 {
			idle.Reset()
			switch {
			case p.Role == lossy && count%256 == 0:
				pause(ctx, time.Duration(rng.IntN(30))*time.Millisecond) // producers come round meanwhile
			case count%64 == 0:
				dawdle(time.Duration(rng.IntN(100)) * time.Microsecond)
			}
			continue
		}
		if err := s.cells.flush(); err != nil {
			return err
		}
		switch {
		case ended && sub.Position() == end:
			return nil
		case ended && sub.Position() > end:
			return fmt.Errorf("the reader is at %d, and the ring ends at %d", sub.Position(), end)
		case !ended && ctx.Err() != nil:
			if end, err = readEnd(p.end(), p.Topic); err != nil {
				return err // the conductor died
			}
			ended = true
		}
		idle.Idle()
	}
}

// writeEnd tells the readers where each topic ends.
func writeEnd(path string, ends map[string]uint64) error {
	b, err := json.Marshal(ends)
	if err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o600)
}

func readEnd(path, topic string) (uint64, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("where the topic ends: %w", err)
	}
	var ends map[string]uint64
	err = json.Unmarshal(b, &ends)
	return ends[topic], err
}
