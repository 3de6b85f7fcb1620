package bus

import (
	"context"
	"fmt"
	"time"

	"github.com/mycelium-bus/mycelium/shmring"
)

// Stall is a live handle that has held others up for [StallAfter] in one place, as one does whose process is stopped (SIGSTOP, a frozen
// cgroup) or is busy with one message.
type Stall struct {
	shmring.Stall
	Paused string // "stopped" or "frozen", where this host can tell by the PID; else ""
}

// StallAfter is how long a handle holds others up before it counts as stalled.
const StallAfter = shmring.StallAfter

// Stalls tells which handles of a topic are stalled, and what they hold up: a publisher before whose open claim subscriptions wait, or a
// handle that leaves publishers no room. None of them is dead; those are repaired without being asked for.
//
// It compares looks at the topic's files, and needs no broker where [Conn.Inspect] needs none. It returns at once where nobody holds
// anybody up; else it takes until all have moved on, at most StallAfter, or until ctx ends, whose error it returns then.
func (c *Conn) Stalls(ctx context.Context, name string) ([]Stall, error) {
	stalls, err := c.stalls(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("look for stalls of topic %q: %w", name, err)
	}
	return stalls, nil
}

func (c *Conn) stalls(ctx context.Context, name string) ([]Stall, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	a, err := c.backend.inspector(ctx, name)
	if err != nil {
		return nil, err
	}
	var seen shmring.Stalls
	var found []Stall
	tick := time.NewTicker(StallAfter / 20)
	defer tick.Stop()
	var first time.Time // of the looks
	for {
		info, err := a.ring.Inspect()
		if err != nil {
			return nil, err
		}
		now := time.Now()
		if first.IsZero() {
			first = now
		}
		begun, _ := seen.Look(now, info)
		for _, s := range begun {
			found = append(found, Stall{s, shmring.Paused(s.PID)})
		}
		// What is first held up later than this call began is not waited for.
		if !seen.Held() || now.Sub(first) >= StallAfter {
			return found, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
