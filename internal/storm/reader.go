package storm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/shmring"
)

// read checks every message until it is told to end, and then up to the position that the conductor wrote down.
func (p part) read(ctx context.Context, rng *rand.Rand) error {
	cells, err := createTally(p.cells(p.Name))
	if err != nil {
		return err
	}
	from, err := p.open(ctx, rng, bus.Oldest)
	if err != nil {
		return err
	}
	s := newSequence(from.position(), p.Witness, cells)
	done := func() error { return nil }
	if p.Witness && p.Topic == work {
		if s.log, done, err = createHandled(p.handled(p.Name), true); err != nil {
			return err
		}
	}
	for {
		err = s.follow(ctx, p, from, rng)
		if !errors.Is(err, bus.ErrEvicted) || p.Role != evictee {
			break
		}
		if from, err = p.again(s, from, rng); err != nil {
			return err
		}
	}
	stats, statsErr := from.stats()
	if err = errors.Join(err, statsErr); err == nil {
		err = s.agree(stats)
	}
	return errors.Join(err, done(), cells.flush(), s.save(p.summary(p.Name)), from.close())
}

// again joins once more in the place of a reader that was evicted.
func (p part) again(s *sequence, from source, rng *rand.Rand) (source, error) {
	stats, err := from.stats()
	if err = errors.Join(err, from.close()); err != nil {
		return nil, err
	}
	if from, err = p.open(context.Background(), rng, bus.Newest); err != nil {
		return nil, err
	}
	return from, s.evicted(stats, from.position())
}

func (p part) options(rng *rand.Rand, from bus.Start) []bus.SubscribeOption {
	if !p.Witness && rng.IntN(2) == 0 {
		from = bus.Newest
	}
	o := []bus.SubscribeOption{bus.From(from)}
	switch p.Role {
	case copier:
		o = append(o, bus.Slow(bus.Drop), bus.Patience(endless))
	case dropper:
		o = append(o, bus.Slow(bus.Drop), bus.Patience(little))
	case evictee:
		o = append(o, bus.Slow(bus.Evict), bus.Patience(little))
	case lossy:
		o = append(o, bus.Lossy())
	}
	return o
}

// follow polls until the end.
func (s *sequence) follow(ctx context.Context, p part, from source, rng *rand.Rand) error {
	end, ended := uint64(0), false
	for count := 0; ; count++ {
		n, err := from.poll(1+rng.IntN(512), s.take)
		if lap, ok := errors.AsType[*bus.LappedError](err); ok {
			if err = s.missed(lap); err == nil && p.Role == dropper {
				err = p.recorded(lap)
			}
		}
		if err == nil {
			err = s.reach(from.position())
		}
		if err != nil {
			return err
		}
		if n > 0 {
			switch {
			case p.Role.misses() && count%256 == 0:
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
		case ended && from.position() == end:
			return nil
		case ended && from.position() > end:
			return fmt.Errorf("the reader is at %d, and the ring ends at %d", from.position(), end)
		case !ended && ctx.Err() != nil:
			if end, err = readEnd(p.end(), p.Topic); err != nil {
				return err // the conductor died
			}
			ended = true
		}
		if err := from.rest(ctx); err != nil {
			return err
		}
	}
}

// recorded wants what a reader was told that it missed in the topic's ledger of losses, under its name.
func (p part) recorded(lap *bus.LappedError) error {
	ring, err := shmring.Open(filepath.Join(p.Bus, p.Topic), shmring.Inspect)
	if err != nil {
		return err
	}
	defer ring.Close()
	losses, total, err := ring.Losses()
	if err == nil && !slices.ContainsFunc(losses, func(l shmring.Loss) bool {
		return l.Name == p.Name && l.From == lap.From && l.To == lap.To
	}) {
		err = fmt.Errorf("missed %d to %d, which is not among the losses, %d of %d", lap.From, lap.To, len(losses), total)
	}
	return err
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
