package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/mycelium-bus/mycelium/shmring"
)

// CountMessages counts the messages from each of the given positions up to end, by a walk over the ring through a read-only
// mapping; nobody who uses the topic notices. A count is -1 where it cannot be told: no message begins there, or it was
// overwritten. The walk takes about a millisecond per MiB; it ends with ctx's error when ctx does.
func (c *Conn) CountMessages(ctx context.Context, name string, end uint64, positions ...uint64) ([]int64, error) {
	err := checkName(name)
	var a attachment
	if err == nil {
		a, err = c.backend.inspector(ctx, name)
	}
	counts := make([]int64, len(positions))
	if err == nil {
		err = countMessages(ctx, a.ring, end, positions, counts)
	}
	if err != nil {
		return nil, fmt.Errorf("count messages of topic %q: %w", name, err)
	}
	return counts, nil
}

func countMessages(ctx context.Context, ring *shmring.Ring, end uint64, positions []uint64, counts []int64) error {
	order := make([]int, len(positions)) // by position, so that one walk passes them all
	for i := range order {
		order[i], counts[i] = i, -1
	}
	slices.SortFunc(order, func(i, j int) int { return int(int64(positions[i] - positions[j])) })
	for len(order) > 0 {
		r, err := ring.Observer(shmring.At(positions[order[0]]))
		if errors.Is(err, ErrPosition) {
			order = order[1:]
			continue
		}
		if err != nil {
			return err
		}
		fault := ring.Guard(func() { order, err = countFrom(ctx, r, end, positions, order, counts) })
		if err := errors.Join(fault, err, r.Close()); err != nil {
			return err
		}
	}
	return nil
}

// countFrom walks from the first position to the end. Where an overtaking producer cuts the walk, it returns the positions
// that are still ahead.
func countFrom(ctx context.Context, r *shmring.Reader, end uint64, positions []uint64, order []int, counts []int64) ([]int, error) {
	type mark struct {
		index  int
		before int64 // messages of the walk before its position
	}
	var passed []mark
	for total := int64(0); ; total++ {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		f, ok := r.Next()
		at := f.Position
		if !ok {
			err := r.Err()
			if errors.Is(err, ErrLapped) {
				return order, nil // who was passed would be counted short
			}
			if err != nil {
				return nil, err
			}
			at = end // nothing more is there, or a claim is open
		}
		for len(order) > 0 && int64(at-positions[order[0]]) >= 0 {
			if at == positions[order[0]] || !ok {
				passed = append(passed, mark{order[0], total})
			}
			order = order[1:]
		}
		if !ok || int64(at-end) >= 0 {
			for _, m := range passed {
				counts[m.index] = total - m.before
			}
			return nil, nil
		}
	}
}
