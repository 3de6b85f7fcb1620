package storm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/shmring"
)

// Config is a storm. All fields are required.
type Config struct {
	// Seed decides who is killed, stopped, continued and started at which decision.
	Seed uint64
	// Duration is how long the storm lasts. Its beginning and its end, with everybody alive, come on top: some seconds.
	Duration time.Duration
	// Memory is an empty folder in /dev/shm, short enough for a socket in it. The storm leaves it empty.
	Memory string
	// Evidence is an empty folder on a disk, for ledgers and what readers saw: about 1 percent of what passes the rings, for
	// each reader. They stay there, with the topics' files if there was a fault.
	Evidence string

	meddle func(*conductor) error // called after each decision, by tests that show what is found
}

// Run lets a storm pass over a bus of its own. It blocks for Duration and what comes on top; each wait in it has a watchdog of a
// minute. The program must call [Child] first. The error names every fault; the report tells what happened in any case.
func Run(ctx context.Context, config Config) (*Report, error) {
	runtime.LockOSThread() // see conductor
	defer runtime.UnlockOSThread()
	c := &conductor{
		config: config, cast: cast(), rings: map[string]*shmring.Ring{},
		paths:  paths{filepath.Join(config.Memory, "bus"), filepath.Join(config.Memory, "socket"), config.Evidence},
		losses: map[shmring.Loss]bool{},
		report: &Report{Seed: config.Seed, Duration: config.Duration, Topics: map[string]*TopicReport{}},
	}
	c.current = make([]*process, len(c.cast))
	err := c.makeTopics(ctx)
	if err == nil {
		err = c.run(ctx)
	}
	c.killAll()
	if err == nil {
		err = c.account()
	}
	if err != nil {
		err = errors.Join(err, c.keep())
	}
	for _, r := range c.rings {
		err = errors.Join(err, r.Close())
	}
	err = errors.Join(err, os.RemoveAll(c.Bus), removeSocket(c.Socket))
	c.report.Fault = err
	return c.report, err
}

// removeSocket removes what a broker that was killed had no time to.
func removeSocket(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// makeTopics makes the topics and maps them for the conductor's own looks.
func (c *conductor) makeTopics(ctx context.Context) error {
	if err := os.Mkdir(c.Bus, 0o700); err != nil {
		return err
	}
	conn, err := bus.OpenDir(c.Bus, bus.Options{Name: "conductor"})
	if err != nil {
		return err
	}
	defer conn.Close()
	for _, t := range topics() {
		if err := conn.CreateTopic(ctx, t); err != nil {
			return err
		}
		if c.rings[t.Name], err = shmring.Open(filepath.Join(c.Bus, t.Name), shmring.Produce); err != nil {
			return err
		}
		c.report.Topics[t.Name] = &TopicReport{}
	}
	return nil
}

func (c *conductor) run(ctx context.Context) error {
	if err := c.begin(); err != nil {
		return err
	}
	p := newPlan(c.config.Seed, c.cast)
	if err := c.storm(ctx, p); err != nil {
		return fmt.Errorf("at decision %d: %w", c.report.Decisions, err)
	}
	for _, e := range p.settle() {
		if err := c.apply(e); err != nil {
			return err
		}
	}
	if err := c.until("all readers are attached", c.attached); err != nil {
		return err
	}
	if err := c.hold(ctx); err != nil {
		return err
	}
	if err := c.end(func(r role) bool { return r == producer }); err != nil {
		return err
	}
	if err := c.check(); err != nil {
		return err
	}
	if err := c.coda(); err != nil {
		return err
	}
	if err := c.until("the groups have handled all", c.drained); err != nil {
		return err
	}
	for _, group := range []func(role) bool{role.consumes, func(r role) bool { return r == repairer }, func(r role) bool { return r == brokerRole }} {
		if err := c.end(group); err != nil {
			return err
		}
	}
	return c.check()
}

// begin starts everybody. The producers are the last of the cast, so that the witnesses see the first message.
func (c *conductor) begin() error {
	for i, at := range c.cast {
		if at.role == producer {
			if err := c.until("all readers are attached", c.attached); err != nil {
				return err
			}
		}
		if err := c.apply(event{i, start}); err != nil {
			return err
		}
	}
	return nil
}

// drained looks whether the groups have handled everything, and notes what they have lost.
func (c *conductor) drained() (bool, error) {
	if err := c.noteLosses(); err != nil {
		return false, err
	}
	groups, err := c.rings[work].Groups()
	for _, g := range groups {
		if g.LagBytes != 0 || g.Orphans != 0 {
			return false, err
		}
	}
	return err == nil, err
}

// noteLosses keeps the entries of the topic's ledger, which holds the newest alone.
func (c *conductor) noteLosses() error {
	losses, _, err := c.rings[work].Losses()
	for _, l := range losses {
		c.losses[l] = true
	}
	return err
}

// attached looks whether every reader and member that was started has its slot.
func (c *conductor) attached() (bool, error) {
	for _, p := range c.current {
		if p == nil || !p.place.role.consumes() {
			continue
		}
		holds, _, err := c.holdings(p)
		if err != nil || len(holds) == 0 {
			return false, err
		}
	}
	return true, nil
}

// storm applies decisions until the time is over, and watches that nobody ends by himself and that every topic moves.
func (c *conductor) storm(ctx context.Context, p *plan) error {
	over, cancel := context.WithTimeout(ctx, c.config.Duration)
	defer cancel()
	moves := map[string]move{}
	for over.Err() == nil {
		served := p.serves()
		wait, events := p.next()
		if !pause(ctx, wait) {
			return ctx.Err()
		}
		if err := errors.Join(c.watch(moves, served), c.noteLosses()); err != nil {
			return err
		}
		c.report.Decisions++
		for _, e := range events {
			if err := c.apply(e); err != nil {
				return err
			}
		}
		if c.config.meddle != nil {
			if err := c.config.meddle(c); err != nil {
				return err
			}
		}
		for _, p := range c.current {
			if err := p.ended(); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

// watch looks how far the topics have come since the last decision, which no topic may stay at for long, and how far they came
// without a broker.
func (c *conductor) watch(moves map[string]move, served bool) error {
	for name, r := range c.rings {
		tail, err := r.Tail()
		if err != nil {
			return err
		}
		last, known := moves[name]
		switch {
		case !known || tail != last.tail:
			moves[name] = move{tail, time.Now()}
		case time.Since(last.at) > patience:
			return fmt.Errorf("topic %s has not moved for %v\n%s", name, patience, c.state())
		}
		if known && !served {
			c.report.Topics[name].Unserved += tail - last.tail
		}
	}
	return nil
}

// held is ten times as long as producers wait before they look whether who holds them up is dead.
const held = 500 * time.Millisecond

// hold stops one of several producers in an open claim for long, so that every storm has it: the others are blocked by a
// process that looks like a dead one in everything but its lock.
func (c *conductor) hold(ctx context.Context) error {
	i := slices.IndexFunc(c.cast, func(p place) bool { return p.role == producer && p.topic == many })
	p := c.current[i]
	for range 10_000 {
		if err := c.stop(p); err != nil {
			return err
		}
		met := !p.stopped.IsZero()
		if met && !pause(ctx, held) {
			return ctx.Err()
		}
		if err := c.cont(p); err != nil || met {
			return err
		}
		if !pause(ctx, time.Millisecond) {
			return ctx.Err()
		}
	}
	return fmt.Errorf("%s is never in an open claim\n%s", p.name, c.state())
}

// move is when a topic's tail was seen to have moved.
type move struct {
	tail uint64
	at   time.Time
}

// end tells the processes of some roles to end, and waits until they have. None may have met a fault.
func (c *conductor) end(those func(role) bool) error {
	var all []*process
	for _, p := range c.current {
		if those(p.place.role) {
			p.stdin.Close()
			all = append(all, p)
		}
	}
	for _, p := range all {
		if err := c.outcome(p); err != nil {
			return err
		}
		p.finished = true
	}
	return nil
}

// check repairs, and then wants a topic that nothing is wrong with: no fault in its files, no slot of the dead, no open claim,
// no producer, and no reader but those that were not told to end.
func (c *conductor) check() error {
	for name, r := range c.rings {
		if err := c.until("nobody else repairs", func() (bool, error) {
			_, err := r.Repair(false)
			if errors.Is(err, shmring.ErrRepairing) {
				return false, nil
			}
			return err == nil, err
		}); err != nil {
			return err
		}
		report, err := r.Verify()
		if err != nil {
			return fmt.Errorf("verify topic %s: %w", name, err)
		}
		// The word that tells of a single producer's claim is for tools, and stays until the next one comes: nobody waits for it.
		if report.OpenClaims != 0 && r.Kind() != shmring.SPSC && r.Kind() != shmring.SPMC {
			return fmt.Errorf("topic %s has %d open claims, and no producer\n%s", name, report.OpenClaims, c.state())
		}
		readers := 0
		for _, p := range c.current {
			if p.place.topic == name && p.place.role.consumes() && !p.finished {
				readers++
			}
		}
		// Members adopt what the dead left, and who was evicted joins again: not at once.
		if err := c.until("topic "+name+" has nobody but the living", func() (bool, error) {
			info, err := r.Inspect()
			return len(info.Producers) == 0 && len(info.Consumers) == readers, err
		}); err != nil {
			return err
		}
	}
	return nil
}

// coda has new producers send more than a lap through every topic, and tells the readers where it ends.
func (c *conductor) coda() error {
	ends := map[string]uint64{}
	var all []*process
	for _, at := range c.cast {
		if at.role != producer {
			continue
		}
		r := c.rings[at.topic]
		if _, known := ends[at.topic]; !known {
			tail, err := r.Tail()
			if err != nil {
				return err
			}
			ends[at.topic] = tail
		}
		p, err := c.start(at, r.Capacity()+r.Capacity()/2)
		if err != nil {
			return err
		}
		all = append(all, p)
	}
	for _, p := range all {
		if err := c.outcome(p); err != nil {
			return err
		}
	}
	for name, r := range c.rings {
		tail, err := r.Tail()
		if err != nil {
			return err
		}
		if least := ends[name] + r.Capacity(); tail <= least {
			return fmt.Errorf("topic %s came from %d to %d, want beyond %d: more than once round", name, ends[name], tail, least)
		}
		ends[name] = tail
		c.report.Topics[name].Bytes = tail - r.Capacity()
		c.report.Topics[name].Rounds = (tail - r.Capacity()) / r.Capacity()
	}
	return writeEnd(c.paths.end(), ends)
}
