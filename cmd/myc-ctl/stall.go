package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/cmd/internal/cli"
)

// stallView is what a live handle holds up, as it is printed; its JSON keys are stable.
type stallView struct {
	Holds   string `json:"holds"`    // its open claim or its cursor, and who waits for it
	SinceNs int64  `json:"since_ns"` // wall clock, of the first look that showed it: it may have begun before
	Process string `json:"process"`  // stopped, frozen, or "" where that is not so or cannot be told
}

func viewStall(s bus.Stall) stallView {
	return stallView{s.Hold.String(), s.Since.UnixNano(), s.Paused}
}

// String says it to people; the looks were too few to tell when it began.
func (s stallView) String() string {
	held := time.Since(time.Unix(0, s.SinceNs))
	return fmt.Sprintf("%s, for %s or longer", s.Holds, cli.Age(held))
}

// process names a process and what is known of it: "pid 12, stopped".
func (s stallView) process(pid int) string {
	if s.Process == "" {
		return fmt.Sprintf("pid %d", pid)
	}
	return fmt.Sprintf("pid %d, %s", pid, s.Process)
}

// mark puts down which of a topic's handles are stalled, of those that have not moved since.
func (v *topicView) mark(stalls []bus.Stall) {
	for _, s := range stalls {
		view := viewStall(s)
		for i := range v.Producers {
			if p := &v.Producers[i]; p.ID == s.ID && p.OpenClaim != nil && *p.OpenClaim == s.At && p.State == "active" {
				p.State, p.Stall = "stalled", &view
			}
		}
		for i := range v.Consumers {
			if c := &v.Consumers[i]; c.ID == s.ID && c.Position == s.At && (c.State == "active" || c.State == "catching up") {
				c.State, c.Stall = "stalled", &view
			}
		}
	}
}

// clientStall is one of a client's handles that is stalled.
type clientStall struct {
	Topic string `json:"topic"`
	ID    string `json:"id"`
	stallView
}

// slotStalls are the stalled handles by what clients are listed with.
type slotStalls map[bus.Slot]clientStall

// of returns the client's.
func (found slotStalls) of(cl bus.Client) []clientStall {
	stalls := []clientStall{}
	for _, s := range cl.Slots {
		if stall, ok := found[s]; ok {
			stalls = append(stalls, stall)
		}
	}
	return stalls
}

// findStalls looks at all topics that the clients use at the same time, so that it takes no longer than with one. Of a topic that is
// no more there is nothing to tell; about others that cannot be looked at, it tells.
func findStalls(ctx context.Context, conn *bus.Conn, clients []bus.Client, tell func(topic string, err error)) slotStalls {
	var mu sync.Mutex
	found, asked := slotStalls{}, map[string]bool{}
	var looks sync.WaitGroup
	for _, cl := range clients {
		for _, s := range cl.Slots {
			if asked[s.Topic] {
				continue
			}
			asked[s.Topic] = true
			looks.Go(func() {
				stalls, err := conn.Stalls(ctx, s.Topic)
				mu.Lock()
				defer mu.Unlock()
				if err != nil && !errors.Is(err, bus.ErrNoTopic) && !errors.Is(err, bus.ErrClosed) {
					tell(s.Topic, err)
				}
				for _, stall := range stalls {
					role := "consumer"
					if stall.Producer {
						role = "producer"
					}
					found[bus.Slot{Topic: s.Topic, Role: role, Slot: stall.Slot}] = clientStall{s.Topic, stall.ID, viewStall(stall)}
				}
			})
		}
	}
	looks.Wait()
	return found
}
