package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mycelium-bus/mycelium/shmring"
)

// ErrNoMember says that a group has no member that could work on what is to be retried.
var ErrNoMember = errors.New("the group has no member")

// Retried is what became of a parked message that was to be delivered again.
type Retried struct {
	Parked  Parked
	Handled bool  // the group has handled it, or parked it anew; false with a nil Err: it waits for a member
	Err     error // why it was not handed over
}

// RetryParked delivers parked messages of a topic again, as [Conn.Parked] lists them, one after the other: each is left to the group that
// gave it up, which has it as a message of its own until a member handles it, or gives it up again. Its deliveries count from the beginning.
// Nobody outside of the group gets it. A message leaves the list once the group has it; who dies in between may have it delivered twice,
// and never lost. Of several that retry the same message at once, one does.
//
// It takes part in the group meanwhile, without taking messages, and waits until each message is handled before it hands over the next
// one, so that publishers, who wait for what the group has not handled, are held up by one message at a time. It ends with ctx, when the
// last member leaves or dies, and when the topic does: then the last message may still wait for a member. It returns what became of each
// message that it came to.
//
// Errors: [ErrNoMember] while nobody who takes messages lives in the group, for then nobody would handle the message, and a group that falls
// back further than it keeps is not waited for; [ErrClosed] when the topic was deleted or its files removed; those of [Conn.Subscribe]. A message's Err is [ErrPosition] where it was overwritten: it stays parked. It is [ErrNotParked] where it is listed no more.
func (c *Conn) RetryParked(ctx context.Context, topic string, parked ...Parked) ([]Retried, error) {
	list, err := c.retryParked(ctx, topic, parked)
	if err != nil {
		return list, fmt.Errorf("retry parked messages of topic %q: %w", topic, err)
	}
	return list, nil
}

func (c *Conn) retryParked(ctx context.Context, topic string, parked []Parked) (list []Retried, err error) {
	anchors := map[string]*heir{} // one member a group, so that it has one as long as this call lasts
	defer func() {
		for _, h := range anchors {
			err = errors.Join(err, h.close())
		}
	}()
	for _, p := range parked {
		if anchors[p.GroupName] == nil {
			if anchors[p.GroupName], err = c.joinToRetry(ctx, topic, p.GroupName); err != nil {
				delete(anchors, p.GroupName)
				return list, err
			}
		}
		r, err := c.retryOne(ctx, topic, p)
		list = append(list, r)
		if err != nil {
			return list, err
		}
	}
	return list, nil
}

// joinToRetry joins a group that has workers.
func (c *Conn) joinToRetry(ctx context.Context, topic, name string) (*heir, error) {
	ring, err := c.inspected(ctx, topic)
	if err != nil {
		return nil, err
	}
	if err := hasWorker(ring, name); err != nil {
		return nil, err
	}
	return c.openReader(ctx, topic, subscribeOptions{group: name, retrier: true})
}

// hasWorker returns ErrNoMember unless somebody lives in the group who takes messages: no retrier, and nobody dead who was not found yet.
func hasWorker(ring *shmring.Ring, group string) error {
	info, err := ring.Inspect()
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(info.Consumers, func(c shmring.ConsumerInfo) bool {
		return c.Group == group && c.Mode == "member" && c.Alive && !c.Retrier
	}) {
		return fmt.Errorf("group %q: %w", group, ErrNoMember)
	}
	return nil
}

// retryOne hands one message over and waits until the group is done with it. An error ends the others, too.
func (c *Conn) retryOne(ctx context.Context, topic string, p Parked) (Retried, error) {
	h, err := c.openReader(ctx, topic, subscribeOptions{group: p.GroupName, retrier: true})
	if err != nil {
		return Retried{Parked: p, Err: err}, err
	}
	m := h.reader.(*shmring.Member)
	id := m.ID()
	h.slot.leaving() // it is closed now, and its slot is another member's
	defer h.slot.released()
	if err = hasWorker(m.Ring(), p.GroupName); err == nil {
		err = m.Retry(p)
	} else {
		err = errors.Join(err, m.Close())
	}
	if errors.Is(err, ErrPosition) || errors.Is(err, ErrNotParked) {
		return Retried{Parked: p, Err: err}, nil
	}
	if err != nil {
		return Retried{Parked: p, Err: err}, err
	}
	err = awaitHandled(ctx, h.topic, id, p.GroupName)
	return Retried{Parked: p, Handled: err == nil}, err
}

// awaitHandled waits until a slot that was left behind is free, as long as there is somebody who may free it.
func awaitHandled(ctx context.Context, topic *mapping, id, group string) error {
	for pause := 100 * time.Microsecond; ; pause = min(2*pause, 20*time.Millisecond) {
		nobody := hasWorker(topic.ring, group) // before the slot: who leaves may have handled it
		topic.look()
		end := topic.ended()
		info, err := topic.ring.Inspect()
		switch {
		case err != nil:
			return err
		case !slices.ContainsFunc(info.Consumers, func(c shmring.ConsumerInfo) bool { return c.ID == id }):
			return nil
		case end != nil:
			return end.err
		case nobody != nil:
			return nobody
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}
