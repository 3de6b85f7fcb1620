// Package groups makes a topic's queue groups of its configuration, for whoever owns the topic's files: the broker, or a process that
// opens the bus directory.
package groups

import (
	"errors"
	"fmt"

	"github.com/mycelium-bus/mycelium/bus/topic"
	"github.com/mycelium-bus/mycelium/shmring"
)

// Policy returns how the group of that name behaves: as its table says or, without one, as a group that lives as long as it has members.
func Policy(c topic.Config, name string, uid uint32) shmring.GroupPolicy {
	g := c.GroupOf(name)
	return shmring.GroupPolicy{Durable: *g.Durable, Credit: uint64(c.Credit), Keep: uint64(g.Keep), MaxDeliver: g.MaxDeliver, UID: uid}
}

// Make makes the durable groups of a topic's configuration that are not there yet, and gives those that are the policy that is
// configured. Errors are those of shmring.Ring.MakeGroup, each with the group's name.
func Make(r *shmring.Ring, c topic.Config, uid uint32) error {
	there := map[string]bool{}
	have, err := r.Groups()
	if err != nil {
		return err
	}
	for _, g := range have {
		there[g.Name] = true
	}
	var errs []error
	for _, g := range c.Group {
		if !*g.Durable && !there[g.Name] {
			continue // who joins it first makes it
		}
		if err := r.MakeGroup(g.Name, Policy(c, g.Name, uid)); err != nil {
			errs = append(errs, fmt.Errorf("group %q: %w", g.Name, err))
		}
	}
	return errors.Join(errs...)
}
