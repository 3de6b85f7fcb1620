package bus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/mycelium-bus/mycelium/bus/internal/control"
	"github.com/mycelium-bus/mycelium/shmring"
)

// RecreatedError says that the topic of a handle had ended and was made again, and that the handle goes on with the new one: what is
// published and read from here on is there. The sizes, and the right to more, may be others.
//
// A subscription has read the old topic to its end, and reads the new one from its oldest message on; Missed tells what was
// overwritten there before, in bytes of the ring as in [LappedError]. A member of a group joins the new topic's group of the same name. Who published to the old topic cannot know whether it was read:
// what new subscribers have to know, say it again. The error is an [ErrLapped], so that who goes on after a gap does so here too.
type RecreatedError struct {
	Topic  string
	Missed uint64 // 0 for a publisher, and for a member of a group
}

func (e *RecreatedError) Error() string {
	return fmt.Sprintf("topic %q was made again: what follows is the new one's, after a gap of at least %d bytes of its ring", e.Topic, e.Missed)
}

func (e *RecreatedError) Unwrap() error { return ErrLapped }

// heir is what a handle works with: a handle of the ring, and what belongs to it. The next one takes its place when the topic has ended and
// is made again.
type heir struct {
	topic    *mapping
	slot     slot
	producer *shmring.Producer // of a publisher
	rules    *rules            // of a publisher
	reader   source            // of a subscription
	missed   uint64            // of a subscription that goes on
}

func (h *heir) close() error {
	h.slot.leaving()
	var err error
	if h.producer != nil {
		err = h.producer.Close()
	} else {
		err = h.reader.Close()
	}
	h.slot.released()
	return err
}

// seat is how other goroutines than its own find a handle among the topic's slots.
type seat struct {
	ring *shmring.Ring
	id   string
}

// follower attaches a handle's topic again, once it has ended and is there again. The connection's keeper does that, so that the handle's
// own calls never wait for a broker:
//
//	handle: take <── heir <── keeper: attach          handle: leave ──> left ──> keeper: close
type follower struct {
	name   string
	attach func(context.Context) (*heir, error)
	handle func() any   // nil once it was collected
	over   func() error // not nil once the connection was closed
	after  time.Time    // the keeper's: no attempt before

	mu     sync.Mutex
	topic  *mapping // which the handle is on
	heir   *heir    // ready for it
	left   []*heir  // what it has left
	closed bool
}

// follow has the keeper follow a handle. Without a broker it returns nil, whose methods do nothing: there, what has ended stays so.
func (c *Conn) follow(name string, topic *mapping, handle func() any, attach func(context.Context) (*heir, error)) *follower {
	b, ok := c.backend.(*broker)
	if !ok {
		return nil
	}
	f := &follower{name: name, attach: attach, handle: handle, over: b.life.Err, topic: topic}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.followers[f] = struct{}{}
	return f
}

// take returns what the handle goes on with; nil while there is nothing. What it leaves for that it gives to leave when it has done with it.
func (f *follower) take() *heir {
	if f == nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	h := f.heir
	if h == nil {
		return nil
	}
	f.heir, f.topic = nil, h.topic
	return h
}

// leave has the keeper close what the handle has left: nobody touches that any more.
func (f *follower) leave(h *heir) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.left = append(f.left, h)
}

// comes tells whether there may still be something to take.
func (f *follower) comes() bool { return f != nil && f.over() == nil }

// wants returns the nonce of the topic that has ended, if the handle waits for the next one.
func (f *follower) wants() (nonce uint64, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	end := f.topic.ended()
	return f.topic.ring.Nonce(), !f.closed && f.heir == nil && end != nil && !end.evicted
}

// give leaves h for the handle, unless it was closed.
func (f *follower) give(h *heir) (taken bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return false
	}
	f.heir = h
	return true
}

// tidy closes what the handle has left.
func (f *follower) tidy() {
	f.mu.Lock()
	left := f.left
	f.left = nil
	f.mu.Unlock()
	for _, h := range left {
		_ = h.close() // of a topic that has ended: nobody is held up
	}
}

// close ends the following. Nobody takes anything afterwards.
func (f *follower) close() {
	if f == nil {
		return
	}
	f.mu.Lock()
	f.closed = true
	if f.heir != nil {
		f.left = append(f.left, f.heir)
		f.heir = nil
	}
	f.mu.Unlock()
	f.tidy()
}

// retryFollowing lies between two attempts to attach to a topic that is there and lets the handle not in.
const retryFollowing = time.Second

// followAll attaches the handles whose topics have ended to those of the same names, as far as they are there.
func (b *broker) followAll(ctx context.Context) {
	b.mu.Lock()
	all := make([]*follower, 0, len(b.followers))
	for f := range b.followers {
		all = append(all, f)
	}
	b.mu.Unlock()
	var there map[string]uint64
	for _, f := range all {
		f.tidy()
		if f.handle() == nil {
			b.unfollow(f)
			continue
		}
		ended, wants := f.wants()
		if !wants || time.Now().Before(f.after) {
			continue
		}
		if there == nil {
			there = b.nonces(ctx) // asked for once, and only if somebody wants it
		}
		if nonce := there[f.name]; nonce != 0 && nonce != ended {
			b.followOne(ctx, f)
		}
	}
}

func (b *broker) followOne(ctx context.Context, f *follower) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	h, err := f.attach(ctx)
	if err != nil {
		f.after = time.Now().Add(retryFollowing)
		return
	}
	if !f.give(h) {
		_ = h.close()
	}
}

// unfollow is for a handle that was closed or collected.
func (b *broker) unfollow(f *follower) {
	b.mu.Lock()
	delete(b.followers, f)
	b.mu.Unlock()
	f.close()
}

// nonces lists the topics that can be attached to; none where the broker does not say.
func (b *broker) nonces(ctx context.Context) map[string]uint64 {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	there := map[string]uint64{}
	for after := ""; ; {
		page, err := ask[*control.Topics](ctx, b, &control.ListTopics{After: after})
		if err != nil {
			return there
		}
		for _, t := range page.Topics {
			if t.State == control.TopicActive {
				there[t.Name] = t.Nonce
			}
			after = t.Name
		}
		if !page.More || len(page.Topics) == 0 {
			return there
		}
	}
}

// endFollowing is a handle's Close: it gives up what waits for the handle.
func (c *Conn) endFollowing(f *follower) {
	if b, ok := c.backend.(*broker); ok && f != nil {
		b.unfollow(f)
	}
}

// again is how a subscription attaches to the topic that was made again: as it did before, from the oldest message on. A credit that
// does not go with the new one's sizes becomes the topic's.
func (c *Conn) again(ctx context.Context, name string, o subscribeOptions) (*heir, error) {
	o.wait, o.start, o.started = false, Oldest, true
	h, err := c.openReader(ctx, name, o)
	if o.credit != 0 && errors.Is(err, ErrInvalid) {
		o.credit = 0
		h, err = c.openReader(ctx, name, o)
	}
	if err != nil {
		return nil, err
	}
	if _, alone := h.reader.(*shmring.Reader); alone {
		h.missed = h.reader.Position() - h.topic.ring.Capacity() // positions begin there
	}
	return h, nil
}
