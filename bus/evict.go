package bus

import (
	"context"
	"errors"
	"fmt"

	"github.com/mycelium-bus/mycelium/bus/internal/control"
	"github.com/mycelium-bus/mycelium/shmring"
)

// EvictOptions say how a client is made to leave.
type EvictOptions struct {
	Topic  string // "": of all its topics
	Kill   bool   // end its process, instead of asking
	Reason string // for people: its handles end with it; "" for one that says who asked
}

// Evict asks a client, by its Session as [Conn.Clients] lists it, to give its slots back: at their next call, or in a Poll after a
// callback has returned, its handles are closed and return [ErrEvicted], and what a member of a group has in its hands goes to another one. It
// returns once the client was told. One that does not look any more, as one that is stopped, is not moved by that, and nothing is
// taken away behind its back.
//
// With Kill the broker ends the client's process by SIGKILL, and repairs what it left behind, before Evict returns; a topic cannot be
// named then. It works on a stopped process too.
//
// Only root and the broker's user may. Errors: [ErrNoClient], [ErrPermission], [ErrNoBroker] (without a broker nobody is asked),
// [ErrInvalid], [ErrVersion] from a broker of an older release.
func (c *Conn) Evict(ctx context.Context, session uint64, o EvictOptions) error {
	err := c.evict(ctx, session, o)
	if err != nil {
		return fmt.Errorf("evict client %d: %w", session, err)
	}
	return nil
}

func (c *Conn) evict(ctx context.Context, session uint64, o EvictOptions) error {
	b, err := c.manages(control.FeatureEvict)
	if err == nil {
		_, err = ask[*control.OK](ctx, b, &control.Evict{Session: session, Topic: o.Topic, Kill: o.Kill, Reason: control.CutText(o.Reason, control.MaxText)})
	}
	return err
}

// manages returns the backend of a broker that has a feature.
func (c *Conn) manages(feature uint64) (*broker, error) {
	b, ok := c.backend.(*broker)
	if !ok {
		return nil, fmt.Errorf("%w: this connection has the directory alone", ErrNoBroker)
	}
	if b.current().Welcome().Features&feature == 0 {
		return nil, fmt.Errorf("%w: the broker is of a release that cannot do this", ErrVersion)
	}
	return b, nil
}

// lookEvery is after how many messages a Poll looks whether its subscription was evicted.
const lookEvery = 64

// errAsked is why a handle of a client that was asked to leave has ended.
var errAsked = errors.New("an operator asked this client to leave")

// evict ends the handles of a topic that have a role. They find out at their next call; those that sleep are woken.
func (r *rings) evict(topic string, role control.Role, reason string) {
	key := ringKey{topic, shmring.Consume}
	if role == control.RoleProducer {
		key.access = shmring.Produce
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.open[key]
	if m == nil {
		return
	}
	err := fmt.Errorf("%w: topic %q: %w", ErrEvicted, topic, errAsked)
	if reason != "" {
		err = fmt.Errorf("%w: %s", err, reason)
	}
	m.finish(&ending{err: err, evicted: true})
	delete(r.open, key) // handles to come have a mapping of their own
	m.close()
}

// ending is ended for a mapping that may be missing.
func (m *mapping) ending() *ending {
	if m == nil {
		return nil
	}
	return m.ended()
}

// evicted returns why the subscription has to leave, or nil. It costs a load.
func (s *Subscription) evicted() *ending {
	if end := s.topic.ended(); end != nil && end.evicted {
		return end
	}
	return nil
}

// leave closes the subscription, and says why. What a member has in its hands goes to another one.
func (s *Subscription) leave(end *ending) error {
	_ = s.Close() // closing again does nothing; that it is to end is known
	return end.err
}
