//go:build linux && (amd64 || stepped)

package shmring

import (
	"errors"
	"fmt"
)

// crashGroups are everything that a member does to a group.
var crashGroups = []crashOperation{
	{name: "take", kinds: oneOrMany, reads: true, crew: &crashPolicy{},
		ready: members(1), do: (*crashChild).next},
	{name: "take a batch", kinds: manyOnly, reads: true, crew: &crashPolicy{},
		ready: members(3), do: (*crashChild).next},
	{name: "take after another", kinds: manyOnly, reads: true, crew: &crashPolicy{}, atMark: (*crashWorld).share,
		ready: members(1), do: (*crashChild).next},
	{name: "take where nothing is", kinds: manyOnly, reads: true, crew: &crashPolicy{}, atMark: (*crashWorld).work,
		ready: members(1), do: func(c *crashChild) error {
			if _, ok := c.m.Next(); c.round < 2 {
				c.m.Unseen()
			} else if ok || c.m.Err() != nil {
				return fmt.Errorf("a message, or %v, where the others have taken all", c.m.Err())
			}
			return nil
		}},
	{name: "acknowledge", kinds: oneOrMany, reads: true, crew: &crashPolicy{},
		ready: holds(1, 1), do: (*crashChild).acknowledge},
	{name: "acknowledge and take", kinds: manyOnly, reads: true, crew: &crashPolicy{},
		ready: holds(1, 1), do: (*crashChild).next},
	{name: "acknowledge a batch", kinds: manyOnly, reads: true, crew: &crashPolicy{},
		ready: holds(3, 3), do: (*crashChild).acknowledge},
	{name: "acknowledge half a batch", kinds: manyOnly, reads: true, crew: &crashPolicy{},
		ready: holds(4, 2), do: (*crashChild).acknowledge},
	{name: "adopt", kinds: oneOrMany, reads: true, crew: &crashPolicy{},
		ready: (*crashChild).orphan, do: (*crashChild).next},
	{name: "work through what was adopted", kinds: manyOnly, reads: true, crew: &crashPolicy{},
		ready: (*crashChild).adopts, do: func(c *crashChild) error { return errors.Join(c.next(), c.acknowledge()) }},
	{name: "give back what was adopted", kinds: manyOnly, reads: true, crew: &crashPolicy{},
		ready: (*crashChild).adopts, do: (*crashChild).quit},
	{name: "park", kinds: oneOrMany, reads: true, crew: &crashPolicy{GroupPolicy: GroupPolicy{MaxDeliver: 2}},
		ready: (*crashChild).rejects, do: (*crashChild).next},
	{name: "join a group", kinds: oneOrMany, reads: true, crew: &crashPolicy{},
		ready: (*crashChild).retire, do: func(c *crashChild) error { return c.enlist(crewName, 1) }},
	{name: "join as the first", kinds: manyOnly, reads: true, crew: &crashPolicy{},
		ready: (*crashChild).retire, do: func(c *crashChild) error { return c.enlist(c.another(), 1) }},
	{name: "join a group that was dropped", kinds: manyOnly, reads: true,
		crew: &crashPolicy{GroupPolicy: GroupPolicy{Durable: true, Keep: 8 << 10}, alone: true}, atMark: (*crashWorld).leaveBehind,
		ready: (*crashChild).retire, do: func(c *crashChild) error { return c.enlist(crewName, 1) }},
	{name: "leave a group", kinds: oneOrMany, reads: true, crew: &crashPolicy{},
		ready: members(1), do: (*crashChild).quit},
	{name: "leave a group with messages", kinds: manyOnly, reads: true, crew: &crashPolicy{},
		ready: holds(3, 2), do: (*crashChild).quit},
	{name: "leave as the last", kinds: oneOrMany, reads: true, crew: &crashPolicy{alone: true},
		ready: members(1), do: (*crashChild).quit},
	{name: "leave as the last with messages", kinds: manyOnly, reads: true, crew: &crashPolicy{alone: true},
		ready: holds(3, 2), do: (*crashChild).quit},
	{name: "leave a durable group as the last", kinds: manyOnly, reads: true,
		crew:  &crashPolicy{GroupPolicy: GroupPolicy{Durable: true}, alone: true},
		ready: holds(3, 2), do: (*crashChild).quit},
	{name: "make a durable group", kinds: manyOnly, reads: true, crew: &crashPolicy{},
		ready: members(1), do: func(c *crashChild) error { return c.ring.MakeGroup(c.another(), GroupPolicy{Durable: true}) }},
	{name: "drop a group", kinds: manyOnly, crew: &crashPolicy{GroupPolicy: GroupPolicy{Durable: true, Keep: 8 << 10}, empty: true}, commits: 1,
		ready: (*crashChild).fillGroup, do: sending},
	{name: "repair a member", kinds: oneOrMany, reads: true, crew: &crashPolicy{},
		ready: func(c *crashChild) error { return errors.Join(members(1)(c), c.loseMember()) }, do: repairing(1)},
}

// crashMember is the child's part in a group.
type crashMember struct {
	m     *Member
	sheet []byte
	hands []message // lent and not acknowledged
}

// enlist makes the child a member of a group.
func (c *crashChild) enlist(group string, batch int) (err error) {
	c.m, err = c.recruit(group, batch)
	return err
}

// recruit makes a member in the child.
func (c *crashChild) recruit(group string, batch int) (*Member, error) {
	g, err := c.ring.GrantMember(group, GroupPolicy{})
	if err != nil {
		return nil, err
	}
	return c.ring.Member(g, MemberOptions{Name: "crash", Batch: batch, From: Oldest()})
}

// another is the name of a group that is not yet there.
func (c *crashChild) another() string { return fmt.Sprintf("other%d", c.round) }

// mark writes onto the sheet what became of the messages in the child's hands.
func (c *crashChild) mark(as byte) {
	for _, m := range c.hands {
		c.sheet[sheetIndex(m)] = as
	}
	if as == sheetDone {
		c.hands = c.hands[:0]
	}
}

// next handles what is in the child's hands and takes the next message.
func (c *crashChild) next() error {
	c.mark(sheetHandled)
	had := c.m.held
	f, ok := c.m.Next()
	if !ok {
		return fmt.Errorf("nothing to take: %w", c.m.Err())
	}
	if c.m.held.slot != had.slot || c.m.held.until != had.until {
		c.mark(sheetDone)
	}
	got, err := lookAt(f.Payload)
	if err == nil {
		c.hands = append(c.hands, got)
		c.sheet[sheetIndex(got)] = sheetLent
	}
	return err
}

// acknowledge handles what is in the child's hands and acknowledges it.
func (c *crashChild) acknowledge() error {
	c.mark(sheetHandled)
	c.m.Release()
	c.mark(sheetDone)
	return c.m.Err()
}

// quit closes the member: what is lent goes back.
func (c *crashChild) quit() error {
	err := c.m.Close()
	c.m = nil
	for _, m := range c.hands {
		if c.sheet[sheetIndex(m)] == sheetHandled {
			c.sheet[sheetIndex(m)] = sheetDone
		}
	}
	c.hands = c.hands[:0]
	return err
}

// idle works through what the member holds.
func (c *crashChild) idle() error {
	for {
		if err := c.acknowledge(); err != nil || c.m.pos == c.m.held.until {
			return err
		}
		if err := c.next(); err != nil {
			return err
		}
	}
}

// members makes the child a member that holds nothing.
func members(batch int) func(*crashChild) error {
	return func(c *crashChild) error {
		if c.m == nil {
			if err := c.enlist(crewName, batch); err != nil {
				return err
			}
		}
		for {
			if err := c.idle(); err != nil || len(c.ring.orphansOf(c.m.group, c.m.held.until)) == 0 {
				return err
			}
			if err := c.next(); err != nil {
				return err
			}
		}
	}
}

// holds makes the child a member with the n-th message of a batch in its hands.
func holds(batch, n int) func(*crashChild) error {
	return func(c *crashChild) error {
		err := members(batch)(c)
		for range n {
			err = errors.Join(err, c.next())
		}
		return err
	}
}

// retire leaves the group, if the child is in one, with nothing in its hands.
func (c *crashChild) retire() error {
	if c.m == nil {
		return nil
	}
	return errors.Join(c.idle(), c.quit())
}

// loseMember leaves a dead member with two messages in its hands, one of which it had begun with.
func (c *crashChild) loseMember() error {
	victim, err := c.recruit(crewName, 2)
	if err != nil {
		return err
	}
	f, ok := victim.Next()
	if !ok {
		return fmt.Errorf("nothing to take: %w", victim.Err())
	}
	got, err := lookAt(f.Payload)
	c.sheet[sheetIndex(got)] = sheetLent
	bury(victim.lease)
	return err
}

// orphan leaves a dead member's messages for the child to adopt.
func (c *crashChild) orphan() error {
	err := errors.Join(members(1)(c), c.loseMember())
	if err == nil {
		_, err = c.ring.Repair(false)
	}
	return err
}

// adopts makes the child a member with the first of an orphan's messages in its hands.
func (c *crashChild) adopts() error {
	err := errors.Join(c.orphan(), c.next())
	if err == nil && !c.m.held.adopted {
		err = errors.New("took a message where there was one to adopt")
	}
	return err
}

// rejects gives a message back as often as that may be.
func (c *crashChild) rejects() error {
	if err := members(1)(c); err != nil {
		return err
	}
	for range 2 {
		f, ok := c.m.Next()
		if !ok {
			return fmt.Errorf("nothing to take: %w", c.m.Err())
		}
		got, err := lookAt(f.Payload)
		if err != nil {
			return err
		}
		c.sheet[sheetIndex(got)] = sheetRejected
		c.m.Unread()
	}
	return nil
}

// fillGroup publishes until the next message would go beyond what producers keep for the group, which has no member.
func (c *crashChild) fillGroup() error {
	if c.round > 0 { // the last round has dropped it: who joins starts it anew
		if err := c.enlist(crewName, 1); err != nil {
			return err
		}
		for c.next() == nil {
		}
		if err := errors.Join(c.acknowledge(), c.quit()); err != nil {
			return err
		}
	}
	if err := c.attach(); err != nil {
		return err
	}
	for {
		views := c.ring.viewGroups(nil, false)
		if len(views) != 1 {
			return fmt.Errorf("%d groups gate, want one", len(views))
		}
		c.stage(100)
		if before(views[0].gate+views[0].mayLag(c.ring.capacity), c.ring.tail.Load()+uint64(FrameSize(100))) {
			return nil
		}
		if err := c.publish(100); err != nil {
			return err
		}
	}
}

// leaveBehind comes round past a group that nobody is a member of, so that it is dropped.
func (w *crashWorld) leaveBehind() error { return w.laps(w.other, fromOther, 1) }
