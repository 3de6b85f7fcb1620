//go:build linux && (amd64 || stepped)

package shmring

import (
	"errors"
	"fmt"
	"slices"
)

// crashOperation is what a child does between two marks. Ready brings the topic to where do is to begin, and do leaves it where
// ready can begin again.
type crashOperation struct {
	name    string
	kinds   []Kind
	ready   func(c *crashChild) error
	do      func(c *crashChild) error
	commits int  // messages that do commits when nobody kills it
	lags    bool // the reader that survives does not read before the death
	held    bool // the parent's producer holds a claim open from before the child's attach until after its death
	reads   bool // the child is a reader, of what the parent published
	slow    Slow // policy of the reader that survives; 0: block
	waits   crashWait
	crew    *crashPolicy              // of the group "crew"; nil: there is none
	atMark  func(w *crashWorld) error // what others do while the child stands still before the operation; may be nil
}

// crashWait is who sleeps in the kernel when the child dies, for ever unless he is woken.
type crashWait uint8

const (
	nobodyWaits   crashWait = iota
	readerWaits             // a lossy reader, for a message
	producerWaits           // the parent's producer, for space
)

var (
	everyKind = []Kind{SPSC, SPMC, MPSC, MPMC}
	oneOrMany = []Kind{SPSC, MPMC}
	manyOnly  = []Kind{MPMC}
)

// crashOperations are everything a process does to a topic. Where a claim meets the end of its segment, a PAD comes first, so
// each is tried in the middle (4,096 bytes left) and at the end (96 left).
var crashOperations = slices.Concat(crashProtocol, crashDelivery, crashGroups)

var crashProtocol = []crashOperation{
	{name: "publish", kinds: everyKind, commits: 1,
		ready: staging(4096, 100), do: sending},
	{name: "publish across a segment's end", kinds: oneOrMany, commits: 1,
		ready: staging(96, 100), do: sending},
	{name: "publish and raise the limit", kinds: oneOrMany, commits: 1,
		ready: staging(8192, 100), do: sending},
	{name: "publish behind an open claim", kinds: manyOnly, commits: 1, held: true,
		ready: staging(8192, 100), do: sending},
	{name: "claim and commit", kinds: oneOrMany, commits: 1,
		ready: staging(4096, 200), do: claiming(200)},
	{name: "claim and commit less", kinds: oneOrMany, commits: 1,
		ready: staging(4096, 100), do: claiming(300)},
	{name: "claim and commit less across a segment's end", kinds: oneOrMany, commits: 1,
		ready: staging(96, 100), do: claiming(300)},
	{name: "batch", kinds: oneOrMany, commits: 3,
		ready: staging(4096, 100, 30, 60), do: batching},
	{name: "batch across a segment's end", kinds: oneOrMany, commits: 3,
		ready: staging(96, 100, 30, 60), do: batching},
	{name: "abort", kinds: oneOrMany,
		ready: staging(4096), do: aborting},
	{name: "abort across a segment's end", kinds: oneOrMany,
		ready: staging(96), do: aborting},
	{name: "publish under back pressure", kinds: oneOrMany, lags: true,
		ready: (*crashChild).crowded, do: refused},
	{name: "publish under back pressure and repair", kinds: manyOnly, lags: true,
		ready: func(c *crashChild) error { return errors.Join(c.crowded(), c.loseReader(), c.expire()) },
		do: func(c *crashChild) error {
			err := refused(c)
			if s := state(c.rd.lease.word.Load()); err == nil && s.kind() != slotFree {
				err = errors.New("the dead reader's slot was not freed")
			}
			return err
		}},
	{name: "attach a producer", kinds: oneOrMany,
		ready: func(c *crashChild) error { return errors.Join(c.to(4096), c.p.Close()) },
		do:    (*crashChild).attach},
	{name: "close a producer", kinds: oneOrMany,
		ready: staging(4096), do: func(c *crashChild) error { return c.p.Close() }},
	{name: "close a producer with an open claim", kinds: oneOrMany,
		ready: func(c *crashChild) error {
			if err := c.to(96); err != nil {
				return err
			}
			m, err := c.p.Claim(len(c.ghost))
			copy(m.Bytes(), c.ghost)
			return err
		},
		do: func(c *crashChild) error { return c.p.Close() }},

	{name: "join at the newest", kinds: oneOrMany, reads: true,
		ready: (*crashChild).leave, do: joining(Newest())},
	{name: "join at the oldest", kinds: oneOrMany, reads: true,
		ready: (*crashChild).leave, do: joining(Oldest())},
	{name: "poll", kinds: everyKind, reads: true,
		ready: rejoined(Block), do: polling(3)},
	{name: "poll by copy", kinds: manyOnly, reads: true,
		ready: rejoined(Drop), do: polling(3)},
	{name: "poll until caught up", kinds: manyOnly, reads: true,
		ready: func(c *crashChild) error {
			err := errors.Join(c.leave(), c.join(Policy{Slow: Block, Credit: 24 << 10}, Oldest()))
			if err == nil && !c.rd.catchingUp {
				err = errors.New("the reader joined with nothing to catch up with")
			}
			return err
		},
		do: func(c *crashChild) error {
			for c.rd.catchingUp {
				if err := c.poll(1); err != nil {
					return err
				}
			}
			return nil
		}},
	{name: "poll where nothing is", kinds: oneOrMany, reads: true,
		ready: func(c *crashChild) error {
			return errors.Join(c.leave(), c.join(Policy{Slow: Block}, Newest()))
		},
		do: func(c *crashChild) error {
			if _, ok := c.rd.Next(); ok || c.rd.Err() != nil {
				return fmt.Errorf("a message, or %v, at the newest position", c.rd.Err())
			}
			return nil
		}},
	{name: "close a reader", kinds: oneOrMany, reads: true,
		ready: func(c *crashChild) error {
			err := errors.Join(c.leave(), c.join(Policy{Slow: Block}, Oldest()))
			if err != nil {
				return err
			}
			return c.poll(1) // which stays lent
		},
		do: (*crashChild).leave},

	{name: "repair a claim across a segment's end", kinds: manyOnly,
		ready: func(c *crashChild) error { return errors.Join(c.to(96), c.loseClaim(), c.to(4096)) },
		do:    repairing(1)},
	{name: "repair half a batch", kinds: manyOnly,
		ready: func(c *crashChild) error { return errors.Join(c.to(4096), c.loseBatch()) },
		do:    repairing(1)},
	{name: "repair a claim that was not won", kinds: manyOnly,
		ready: func(c *crashChild) error { return errors.Join(c.to(4096), c.loseIntent()) },
		do:    repairing(1)},
	{name: "repair a single producer", kinds: []Kind{SPSC},
		ready: func(c *crashChild) error {
			if err := c.to(96); err != nil {
				return err
			}
			m, err := c.p.Claim(len(c.ghost))
			if err != nil {
				return err
			}
			copy(m.Bytes(), c.ghost)
			bury(c.p.lease)
			c.p.done = true
			return nil
		},
		do: repairing(1)},
	{name: "repair a reader", kinds: manyOnly,
		ready: func(c *crashChild) error { return errors.Join(c.to(4096), c.loseReader()) },
		do:    repairing(1)},
}

// staging makes a producer whose next claim finds rest bytes of its segment left, and messages of these lengths for it.
func staging(rest uint64, lengths ...int) func(*crashChild) error {
	return func(c *crashChild) error {
		err := c.to(rest)
		c.stage(lengths...)
		return err
	}
}

func sending(c *crashChild) error {
	if err := c.p.Publish(c.staged[0]); err != nil {
		return err
	}
	c.sent(1)
	return nil
}

func claiming(length int) func(*crashChild) error {
	return func(c *crashChild) error {
		m, err := c.p.Claim(length)
		if err != nil {
			return err
		}
		c.sent(1)
		return m.Commit(copy(m.Bytes(), c.staged[0]))
	}
}

// batching leaves the last 200 bytes of its claim unused.
func batching(c *crashChild) error {
	size := 200
	for _, m := range c.staged {
		size += FrameSize(len(m))
	}
	b, err := c.p.Batch(size)
	if err != nil {
		return err
	}
	for _, m := range c.staged {
		room, err := b.Next(len(m))
		if err != nil {
			return err
		}
		copy(room, m)
	}
	c.sent(b.Len())
	return b.Commit()
}

func aborting(c *crashChild) error {
	m, err := c.p.Claim(len(c.ghost))
	if err != nil {
		return err
	}
	copy(m.Bytes(), c.ghost)
	m.Abort()
	return nil
}

func refused(c *crashChild) error {
	if err := c.p.Publish(c.ghost); !errors.Is(err, ErrBackPressure) {
		return fmt.Errorf("%v, want back pressure", err)
	}
	return nil
}

func joining(from From) func(*crashChild) error {
	return func(c *crashChild) error { return c.join(Policy{Slow: Block}, from) }
}

func rejoined(slow Slow) func(*crashChild) error {
	return func(c *crashChild) error {
		return errors.Join(c.leave(), c.join(Policy{Slow: slow}, Oldest()))
	}
}

func polling(n int) func(*crashChild) error {
	return func(c *crashChild) error {
		err := c.poll(n)
		c.rd.Release()
		return err
	}
}

// repairing repairs and wants to have found so many dead.
func repairing(dead int) func(*crashChild) error {
	return func(c *crashChild) error {
		mended, err := c.ring.Repair(false)
		if err == nil && len(mended) != dead {
			err = fmt.Errorf("repaired %v, want %d", mended, dead)
		}
		return err
	}
}

// crowded makes a producer that has no room, since a moment.
func (c *crashChild) crowded() error { return errors.Join(c.attach(), c.crowd()) }

// expire lets the clock run on to where a producer that waits looks for the dead.
func (c *crashChild) expire() error {
	c.clock = c.clock.Add(2 * repairAfter)
	return nil
}

// loseClaim leaves a dead producer's claim, with a whole message in it, and publishes one behind it.
func (c *crashChild) loseClaim() error {
	p, err := c.victim()
	if err != nil {
		return err
	}
	m, err := p.Claim(len(c.ghost))
	if err != nil {
		return err
	}
	copy(m.Bytes(), c.ghost)
	bury(p.lease)
	return c.publish(40)
}

// loseBatch leaves a batch of three of which one message was committed.
func (c *crashChild) loseBatch() error {
	p, err := c.victim()
	if err != nil {
		return err
	}
	c.stage(100)
	b, err := p.Batch(3 * FrameSize(len(c.ghost)))
	if err != nil {
		return err
	}
	for _, m := range [][]byte{c.staged[0], c.ghost, c.ghost} {
		room, err := b.Next(len(m))
		if err != nil {
			return err
		}
		copy(room, m)
	}
	first := p.claim.frame
	p.data.Word(first).StoreRelease(first ^ p.nonce)
	c.sent(1)
	bury(p.lease)
	return c.publish(40)
}

// loseIntent leaves the intent of a producer that died before its CAS, where another one won.
func (c *crashChild) loseIntent() error {
	p, err := c.victim()
	if err != nil {
		return err
	}
	p.slotSize.StoreRelease(128)
	p.slotPosition.StoreRelease(c.ring.tail.Load())
	bury(p.lease)
	return c.publish(100)
}

// loseReader leaves a dead reader's gate.
func (c *crashChild) loseReader() error {
	err := c.join(Policy{Slow: Block}, Newest())
	if err == nil {
		bury(c.rd.lease)
	}
	return err
}
