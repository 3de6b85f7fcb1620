package bus

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/mycelium-bus/mycelium/bus/topic"
	"github.com/mycelium-bus/mycelium/shmring"
)

// topics looks at the files of every topic.
func (d *directory) topics(ctx context.Context) ([]TopicState, error) {
	names, err := d.names()
	if err != nil {
		return nil, err
	}
	var list []TopicState
	for _, name := range names {
		s := TopicState{Config: topic.Config{Name: name}, State: "active"}
		a, err := d.inspector(ctx, name)
		switch {
		case errors.Is(err, ErrNoTopic):
			continue // deleted meanwhile, or a directory of something else
		case err != nil:
			s.State, s.Fault = "damaged", err.Error()
		case a.ring.Closing():
			s.State, s.Config = "closing", a.config
		default:
			s.Config, s.CreatedNs = a.config, a.ring.CreatedNs()
		}
		list = append(list, s)
	}
	return list, nil
}

// clients gathers the tenants of all topics' slots by process and name.
func (d *directory) clients(ctx context.Context) ([]Client, error) {
	names, err := d.names()
	if err != nil {
		return nil, err
	}
	type process struct {
		pid  int
		name string
	}
	found := map[process]*Client{}
	add := func(p process, startedNs uint64, s Slot) {
		c, since := found[p], time.Unix(0, int64(startedNs))
		if c == nil {
			c = &Client{Name: p.name, PID: p.pid, UID: -1, GID: -1, Since: since}
			found[p] = c
		}
		if since.Before(c.Since) {
			c.Since = since
		}
		c.Slots = append(c.Slots, s)
	}
	for _, name := range names {
		a, err := d.inspector(ctx, name)
		var info shmring.Info
		if err == nil {
			info, err = a.ring.Inspect()
		}
		if err != nil {
			continue // a topic that cannot be read is Topics's to tell about
		}
		for _, p := range info.Producers {
			if p.Alive {
				add(process{p.PID, p.Name}, p.StartedNs, Slot{name, "producer", p.Slot})
			}
		}
		for _, c := range info.Consumers {
			if c.Alive {
				add(process{c.PID, c.Name}, c.StartedNs, Slot{name, "consumer", c.Slot})
			}
		}
	}
	list := make([]Client, 0, len(found))
	for _, c := range found {
		list = append(list, *c)
	}
	slices.SortFunc(list, func(a, b Client) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.PID, b.PID), cmp.Compare(a.Name, b.Name))
	})
	return list, nil
}
