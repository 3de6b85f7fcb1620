package storm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/bus/broker"
	"github.com/mycelium-bus/mycelium/shmring"
)

// serve is a broker: the first one finds the topics that the conductor made, each further one what its predecessor left.
func (p part) serve(ctx context.Context) error {
	log, err := os.OpenFile(p.log(p.Name), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	c := broker.Defaults()
	c.Dir, c.Socket, c.Topics = p.Bus, p.Socket, topics()
	c.Logger = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	b, err := broker.New(c)
	if err != nil {
		return err
	}
	return b.Run(ctx)
}

// repair mends all topics again and again, and looks at them as tools do: whatever dies meanwhile, a live ring shows no fault.
func (p part) repair(ctx context.Context, rng *rand.Rand) error {
	var rings []*shmring.Ring
	for _, t := range topics() {
		r, err := shmring.Open(filepath.Join(p.Bus, t.Name), shmring.Produce)
		if err != nil {
			return err
		}
		defer r.Close()
		rings = append(rings, r)
	}
	idle := bus.Backoff{Spins: -1, Yields: -1, Max: 4 * time.Millisecond}
	for ctx.Err() == nil {
		for _, r := range rings {
			if _, err := r.Repair(rng.IntN(4) == 0); err != nil && !errors.Is(err, shmring.ErrRepairing) {
				return fmt.Errorf("repair topic %s: %w", r.Name(), err)
			}
			if rng.IntN(32) != 0 {
				continue
			}
			if _, err := r.Verify(); err != nil {
				return fmt.Errorf("verify topic %s: %w", r.Name(), err)
			}
			if _, err := r.Inspect(); err != nil {
				return fmt.Errorf("inspect topic %s: %w", r.Name(), err)
			}
		}
		idle.Idle()
	}
	return nil
}
