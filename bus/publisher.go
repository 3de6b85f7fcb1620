package bus

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/mycelium-bus/mycelium/shmring"
)

// Publisher writes messages to a topic. It is for one goroutine, but for Stats and SetIdle. Topics of kind spsc and spmc have one at a
// time, in whatever process; the others have as many as the topic has slots.
//
// None of its calls blocks but those named Wait, and none allocates unless it fails. A claim or batch that was neither
// committed nor aborted is aborted by the next call that claims, or by Close.
//
// When its topic was deleted, or its files were removed, its calls return [ErrClosed]. A publisher of [Dial] goes on by itself when the
// topic is made again: one call returns a [RecreatedError], having published nothing, and from then on it publishes to the new one.
//
// Where somebody cuts one of the topic's files short (nothing of the bus does), the call that comes upon it, or that ends a claim whose
// bytes were gone, returns [ErrCorrupt] with the file's name, and so does every later one; nobody may ever read what it published. Close the
// publisher then. On amd64 and arm64 the first publisher of a process installs a handler for SIGBUS for that, which hands on all but
// the faults of publishers' mappings, to the Go runtime's; elsewhere a publisher that publishes just then is ended by the signal.
type Publisher struct {
	ring   *shmring.Producer
	topic  *mapping
	rules  *rules // nil where the topic takes anything
	claim  shmring.Claim
	serial uint64   // of claim
	parts  [][]byte // of the open batch, where there are rules
	idle   idling
	held   *BackPressureError // the last one
	slot   slot
	conn   *Conn
	next   *follower
	seat   atomic.Pointer[seat]
}

// Publisher opens a publisher of a topic. It blocks while the broker answers; while the broker is away it fails at once
// ([ErrNoBroker]). A connection of [OpenDir] opens the topic's files. Errors: [ErrNoTopic], [ErrInUse], [ErrLimit],
// [ErrPermission], [ErrClosed], ErrNoBroker.
func (c *Conn) Publisher(topic string) (*Publisher, error) {
	return c.openPublisher(context.Background(), topic, attachOptions{})
}

// PublisherContext is Publisher that ends with ctx, and until then waits for a broker that is away.
func (c *Conn) PublisherContext(ctx context.Context, topic string) (*Publisher, error) {
	return c.openPublisher(ctx, topic, attachOptions{wait: true})
}

func (c *Conn) openPublisher(ctx context.Context, topic string, o attachOptions) (*Publisher, error) {
	h, err := c.openProducer(ctx, topic, o)
	if err != nil {
		return nil, fmt.Errorf("publisher of %q: %w", topic, err)
	}
	p := &Publisher{conn: c}
	p.idle.change(&Backoff{})
	p.use(h)
	p.next = c.follow(topic, h.topic, weakly(p), func(ctx context.Context) (*heir, error) {
		return c.openProducer(ctx, topic, attachOptions{})
	})
	return p, nil
}

func (c *Conn) openProducer(ctx context.Context, topic string, o attachOptions) (*heir, error) {
	a, err := c.attachProducer(ctx, topic, o)
	if err != nil {
		return nil, err
	}
	ring, err := a.ring.Producer(a.grant, c.options.Name)
	if err != nil {
		a.slot.released() // the ring has taken the grant over
		return nil, err
	}
	a.slot.taken(ring.Tenancy(), weakly(ring))
	return &heir{topic: a.topic, slot: a.slot, producer: ring, rules: newRules(a.config)}, nil
}

func (p *Publisher) use(h *heir) {
	p.ring, p.topic, p.rules, p.slot = h.producer, h.topic, h.rules, h.slot
	p.serial++ // an open claim is the old ring's
	p.seat.Store(&seat{h.topic.ring, h.producer.ID()})
}

// ended says that the topic has ended, or goes on with the one that was made again.
func (p *Publisher) ended(end *ending) error {
	if end.evicted {
		_ = p.Close() // what it published is committed; an open claim is aborted
		return end.err
	}
	h := p.next.take()
	if h == nil {
		return end.err
	}
	p.next.leave(&heir{topic: p.topic, slot: p.slot, producer: p.ring})
	p.use(h)
	return &RecreatedError{Topic: h.topic.ring.Name()}
}

// Publish copies one message of 1 to max_frame bytes into the ring. It returns [ErrBackPressure] while a slow subscriber
// leaves no room, as a [BackPressureError] that names it, [ErrTooLarge] for a wrong length, [ErrRefused] for what the topic does not take, and [ErrClosed], with [ErrRemoved]
// where its files were removed, which is found out within a second.
func (p *Publisher) Publish(message []byte) error {
	if p.rules != nil || p.topic.ended() != nil {
		if err := p.check(message); err != nil {
			return err
		}
	}
	if err := p.ring.Publish(message); err != nil {
		return p.failed(err)
	}
	return nil
}

// publish is Publish for the calls that wait: where there is no room it returns ErrBackPressure itself.
func (p *Publisher) publish(message []byte) error {
	if p.rules != nil || p.topic.ended() != nil {
		if err := p.check(message); err != nil {
			return err
		}
	}
	return p.ring.Publish(message)
}

// check is what there is to say of a message before it is published, in a topic that has rules or has ended.
func (p *Publisher) check(message []byte) error {
	if end := p.topic.ended(); end != nil {
		return p.ended(end)
	}
	return p.rules.check(message)
}

// PublishWait is Publish that waits, by the publisher's idle strategy, while there is no room. It ends with ctx's error
// when ctx does, together with a [BackPressureError] that says by whom it is held then, and with [ErrSelfBlocked] where the
// calling goroutine waits for itself; the message is not published then.
func (p *Publisher) PublishWait(ctx context.Context, message []byte) error {
	var w wait
	defer w.end()
	for {
		if err := p.publish(message); err != ErrBackPressure {
			p.idle.Reset()
			return err
		}
		if err := w.again(ctx, p, len(message)); err != nil {
			return err
		}
	}
}

// Write claims n bytes of the ring, 1 to max_frame, lets fill write a message into them, and publishes the first used of
// them; used 0 publishes nothing. What fill finds in b is left from an earlier message. b must not be touched after fill
// has returned, and fill must not use the publisher.
//
// If fill returns an error, panics or calls runtime.Goexit, nothing is published and the room is given up. Errors are
// fill's own and those of [Publisher.Publish]; ErrTooLarge also if used is more than n.
func (p *Publisher) Write(n int, fill func(b []byte) (used int, err error)) error {
	c, err := p.Claim(n)
	if err != nil {
		return err
	}
	filled := false
	defer func() {
		if !filled {
			c.Abort()
		}
	}()
	used, err := fill(c.Bytes())
	filled = true
	if err != nil {
		c.Abort()
		return err
	}
	return c.Commit(used)
}

// SetIdle changes what the calls named Wait do while there is no room; the default, and nil, is a [Backoff]. Any goroutine may call it: a
// call that waits goes on by the new strategy at once, when Idle of the old one has returned. A strategy belongs to one handle.
func (p *Publisher) SetIdle(s IdleStrategy) { p.idle.change(s) }

// ID names the publisher in listings: p, slot, generation.
func (p *Publisher) ID() string { return p.seat.Load().id }

// MaxFrame returns the size in bytes of the topic's largest message.
func (p *Publisher) MaxFrame() int { return p.ring.Ring().MaxFrame() }

// PublisherStats are what a publisher did since it was opened, or since it went on with a topic that was made again.
type PublisherStats struct {
	Messages, Bytes uint64        // published; bytes of the messages, without headers and padding
	BackPressured   time.Duration // how long there was no room, counted when there is again
}

// Stats looks the publisher up among the topic's slots; any goroutine may call it, at any time. It allocates, and costs
// microseconds. A closed publisher's are zero.
func (p *Publisher) Stats() (PublisherStats, error) {
	at := p.seat.Load()
	info, err := at.ring.Inspect()
	if err != nil {
		return PublisherStats{}, err
	}
	for _, s := range info.Producers {
		if s.ID == at.id {
			return PublisherStats{s.Messages, s.Bytes, time.Duration(s.BackPressuredNs)}, nil
		}
	}
	return PublisherStats{}, nil
}

// Close aborts a forgotten claim and gives the slot back. It may be called more than once. It waits for the broker to take note,
// at most two seconds.
func (p *Publisher) Close() error {
	p.conn.endFollowing(p.next)
	p.next = nil
	h := heir{slot: p.slot, producer: p.ring}
	p.slot = slot{}
	return h.close()
}
