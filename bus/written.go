package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mycelium-bus/mycelium/codec"
	"github.com/mycelium-bus/mycelium/shmring"
)

// Written tells when the first message at each of the given positions or behind it was made, by its header, through a read-only mapping;
// nobody who uses the topic notices. A time is zero where there is no such message yet, where it was overwritten, or is no TLV message.
func (c *Conn) Written(ctx context.Context, name string, positions ...uint64) ([]time.Time, error) {
	ring, err := c.inspected(ctx, name)
	times := make([]time.Time, len(positions))
	for i := 0; err == nil && i < len(positions); i++ {
		times[i], err = written(ring, positions[i])
	}
	if err != nil {
		return nil, fmt.Errorf("look at the messages of topic %q: %w", name, err)
	}
	return times, nil
}

func written(ring *shmring.Ring, pos uint64) (time.Time, error) {
	r, err := ring.Observer(shmring.At(pos))
	if errors.Is(err, ErrPosition) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, err
	}
	defer r.Close()
	var made time.Time
	fault := ring.Guard(func() {
		if f, ok := r.Next(); ok {
			if h, err := codec.ParseHeader(f.Payload); err == nil && h.TimestampNs != 0 {
				made = time.Unix(0, int64(h.TimestampNs))
			}
		}
	})
	return made, fault
}
