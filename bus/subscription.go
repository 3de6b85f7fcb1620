package bus

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/mycelium-bus/mycelium/shmring"
)

// Subscription reads the messages of a topic, all of them, or as a member of a group those that fall to it, in the topic's one order. It
// is for one goroutine, but for Stats and SetIdle.
//
//	Poll ──> callback(m) ──> nil: m is acknowledged ──> next message
//	               └───────> an error or a panic: Poll ends, and the next one begins with m again
//
// What is acknowledged may be overwritten by publishers: at the latest when Poll returns. What happens when a subscription
// holds publishers up is its slow policy's to say, see [Slow].
//
// When its topic was deleted, or its files were removed, it yields what is there and then [ErrClosed]. A subscription of [Dial] goes on by
// itself when the topic is made again: it says so once by a [RecreatedError], and reads the new one from its oldest message on.
type Subscription struct {
	ring    *shmring.Reader // nil for a member of a group
	member  *shmring.Member // nil for who is in none
	from    source          // the one of them that there is
	topic   *mapping
	chosen  chosen
	event   *event // of FD; nil where nobody asked for it
	closed  bool
	pending error // what a Wait found, for the next Poll
	idle    idling
	slot    slot
	conn    *Conn
	next    *follower
	left    *heir // what it has left for another topic in the call before: nil again once the keeper has it
	seat    atomic.Pointer[seat]
}

// source is a handle of the ring that yields messages. Where each message counts, the handles themselves are called.
type source interface {
	shmring.Sleeper
	Next() (shmring.Frame, bool)
	Err() error
	Position() uint64
	Producer() int
	ID() string
	Ring() *shmring.Ring
	Tenancy() shmring.Tenancy
	Close() error
}

// Subscribe opens a subscription of a topic. It blocks as [Conn.Publisher] does. Errors: [ErrNoTopic], [ErrInUse],
// [ErrLimit], [ErrPermission], [ErrPosition], [ErrInvalid], [ErrClosed], [ErrNoBroker].
func (c *Conn) Subscribe(topic string, options ...SubscribeOption) (*Subscription, error) {
	return c.openSubscription(context.Background(), topic, attachOptions{}, options)
}

// SubscribeContext is Subscribe that ends with ctx, and until then waits for a broker that is away.
func (c *Conn) SubscribeContext(ctx context.Context, topic string, options ...SubscribeOption) (*Subscription, error) {
	return c.openSubscription(ctx, topic, attachOptions{wait: true}, options)
}

func (c *Conn) openSubscription(ctx context.Context, topic string, how attachOptions, options []SubscribeOption) (*Subscription, error) {
	o := subscribeOptions{attachOptions: how, idle: &Backoff{}}
	for _, option := range options {
		option.apply(&o)
	}
	h, err := c.openReader(ctx, topic, o)
	if err != nil {
		return nil, fmt.Errorf("subscribe %q: %w", topic, err)
	}
	s := &Subscription{conn: c}
	s.idle.change(o.idle)
	s.chosen.choose(o)
	s.use(h)
	s.next = c.follow(topic, h.topic, weakly(s), func(ctx context.Context) (*heir, error) { return c.again(ctx, topic, o) })
	return s, nil
}

func (c *Conn) openReader(ctx context.Context, topic string, o subscribeOptions) (*heir, error) {
	a, err := c.attachConsumer(ctx, topic, o)
	if err != nil {
		return nil, err
	}
	h := &heir{topic: a.topic}
	var handle func() any
	group := o.groupOf(a.config.Routing)
	if group != "" {
		if err := o.checkGroup(group); err != nil { // the broker does not know all of it
			a.abandon()
			return nil, err
		}
	}
	if group != "" {
		var m *shmring.Member
		if m, err = c.openMember(&a, group, o); err == nil {
			h.reader, handle = m, weakly(m)
		}
	} else {
		var r *shmring.Reader
		if r, err = a.ring.Reader(a.grant, shmring.ReaderOptions{Name: c.options.Name, From: o.begin(), InPlace: o.inPlace}); err == nil {
			h.reader, handle = r, weakly(r)
		}
	}
	if err != nil {
		a.slot.released() // the ring has taken the grant over
		return nil, err
	}
	a.slot.taken(h.reader.Tenancy(), handle)
	h.slot = a.slot
	return h, nil
}

func (s *Subscription) use(h *heir) {
	s.from, s.topic, s.slot = h.reader, h.topic, h.slot
	s.ring, _ = h.reader.(*shmring.Reader)
	s.member, _ = h.reader.(*shmring.Member)
	s.chosen.restart(s.member != nil)
	s.seat.Store(&seat{h.topic.ring, h.reader.ID()})
}

// Poll hands the messages that are there to handle, one after the other, at most limit of them, and returns how many were
// handled. It does not wait: n is 0 when there is none. m's bytes are lent until handle returns. It does not allocate.
//
// If handle returns an error, Poll ends with it, and if it panics or calls runtime.Goexit, Poll ends that way: the messages
// before are acknowledged, this one is not, and the next Poll begins with it; a group's message comes to another member if this one is
// closed first, and is parked when it was delivered max_deliver times (see [Group]). handle may close the subscription, but must not
// poll it.
//
// A [LappedError] says which part of the ring was missed, in bytes; it is returned once, n counts the messages before, and
// the next Poll goes on after the gap; so is a [RecreatedError], which follows ErrClosed in a subscription of [Dial]. Else ErrClosed is final,
// as ErrEvicted and ErrCorrupt are.
func (s *Subscription) Poll(limit int, handle func(m Message) error) (n int, err error) {
	if end := s.evicted(); end != nil {
		return 0, s.leave(end)
	}
	if s.left != nil {
		s.leaveOld()
	}
	if s.pending != nil {
		return 0, s.takePending()
	}
	// Somebody may cut the file short: then a look at it faults.
	if fault := s.from.Ring().Guard(func() { n, err = s.pollKind(limit, handle) }); fault != nil {
		err = fault
	}
	return n, err
}

func (s *Subscription) pollKind(limit int, handle func(m Message) error) (n int, err error) {
	switch {
	case s.member != nil:
		return s.pollMember(limit, handle)
	case s.chosen.on:
		return s.pollChosen(limit, handle)
	}
	return s.poll(limit, handle)
}

// poll is for readers that take what is next. Members and who chooses have loops of their own: one loop that asks at each message which it
// is takes 9.5 ns a message instead of 5.5 (BenchmarkPoll/mode=block).
func (s *Subscription) poll(limit int, handle func(m Message) error) (n int, err error) {
	handled := true
	r := s.ring // nothing may go on with another one
	r.Begin()
	defer func() { settleReader(r, handled) }()
	for n < limit {
		f, ok := r.Next()
		if !ok {
			return n, s.nothing(n)
		}
		handled = false
		if err := handle(Message{f}); err != nil {
			return n, err
		}
		handled = true
		if n++; n%lookEvery == 0 && s.evicted() != nil {
			return n, nil // the next call says so
		}
	}
	return n, nil
}

// settle ends a call that read: the message at hand was handled, or comes again.
func (s *Subscription) settle(handled bool) {
	if s.member != nil {
		settleMember(s.member, handled)
		return
	}
	settleReader(s.ring, handled)
	if s.chosen.on {
		s.tellChosen()
	}
}

func settleReader(r *shmring.Reader, handled bool) {
	r.End()
	if !handled {
		r.Unread()
	}
	r.Release()
}

// nothing says why there was no message, n messages after the call began: nil if one may still come. What is in the topic comes before
// the news of its end.
func (s *Subscription) nothing(n int) error {
	err := s.from.Err()
	if s.chosen.on {
		s.tellChosen()
	}
	if n > 0 || s.chosen.unfinished || err != nil && err != ErrClosed {
		return err
	}
	end := s.topic.ended()
	if end == nil {
		return err
	}
	if end.evicted { // since the call looked for that
		return s.leave(end)
	}
	if s.peek() { // it came between the look before and the end
		return nil
	}
	h := s.next.take()
	if h == nil {
		return end.err
	}
	s.left = &heir{topic: s.topic, slot: s.slot, reader: s.from} // the call is not done with it
	s.use(h)
	return &RecreatedError{Topic: h.topic.ring.Name(), Missed: h.missed}
}

// leaveOld gives the keeper what the call before has left.
func (s *Subscription) leaveOld() {
	s.next.leave(s.left)
	s.left = nil
}

// peek looks whether there is a message, and leaves it where it is.
func (s *Subscription) peek() (there bool) {
	if s.chosen.on {
		_, there = s.nextChosen()
	} else {
		_, there = s.from.Next()
	}
	if !there {
		return false
	}
	if s.member != nil {
		s.member.Unseen()
	} else {
		s.ring.Unread()
	}
	return true
}

func (s *Subscription) takePending() error {
	err := s.pending
	s.pending = nil
	return err
}

// Wait returns nil as soon as the next Poll has something to say: a message, a [LappedError] or a [RecreatedError]. Until then it idles by the
// subscription's strategy. It ends with ctx's error when ctx does, and with ErrClosed, ErrEvicted or ErrCorrupt where nothing
// will come any more. It takes no message of a group: where several members wait, each of them is woken and one gets the message.
func (s *Subscription) Wait(ctx context.Context) error {
	var asleep sleeper
	defer asleep.end()
	for {
		if there, err := s.look(); there || err != nil {
			s.idle.Reset()
			return err
		}
		if err := ctx.Err(); err != nil {
			s.idle.Reset()
			return err
		}
		s.rest(ctx, &asleep)
	}
}

// look tells whether a Poll would find something, without consuming it.
func (s *Subscription) look() (there bool, err error) {
	if end := s.evicted(); end != nil {
		return false, s.leave(end)
	}
	if s.left != nil {
		s.leaveOld()
	}
	if s.pending != nil {
		return true, nil
	}
	fault := s.from.Ring().Guard(func() {
		switch {
		case s.member != nil && s.member.Err() == nil && s.member.Ready():
			there = true
		case s.member != nil && !s.from.Ring().Closing() && s.topic.ended() == nil:
			err = s.member.Err()
		case s.peek():
			there = true
		default:
			err = s.nothing(0)
		}
	})
	if there || fault != nil {
		return there, fault
	}
	if errors.Is(err, ErrLapped) {
		s.pending = err // it is told once, and by Poll
		return true, nil
	}
	return false, err
}

// SetIdle changes what Wait and Messages do while there is no message; nil is a [Backoff]. Any goroutine may call it: a wait that is under
// way goes on by the new strategy at once, when Idle of the old one has returned. A strategy belongs to one handle.
func (s *Subscription) SetIdle(strategy IdleStrategy) { s.idle.change(strategy) }

// Position returns the position of the next message to be handled; of a member that holds none, of the next one that its group takes.
func (s *Subscription) Position() uint64 { return s.from.Position() }

// Producer returns the slot number of the publisher that wrote the message at hand, in the callback of Poll or the body of a
// loop over Messages. A publisher that comes later may have the same.
func (s *Subscription) Producer() int { return s.from.Producer() }

// ID names the subscription in listings: c, slot, generation.
func (s *Subscription) ID() string { return s.seat.Load().id }

// SubscriptionStats are what a subscription did since it was opened, or since it went on with a topic that was made again.
type SubscriptionStats struct {
	Messages, Bytes uint64 // handled; bytes of the messages, without headers and padding
	MissedBytes     uint64 // of the ring, headers and padding included
	Laps            uint64 // how often it missed some
	LagBytes        uint64 // of the ring, between its position and the newest message
	Skipped         uint64 // messages that its Filter passed over; they are not among Messages
	PassedBytes     uint64 // of the ring, that Latest passed over, headers and padding included
}

// Stats looks the subscription up among the topic's slots; any goroutine may call it, at any time. It allocates, and costs
// microseconds. The figures are as of the last time that the subscription told how far it had come: at the latest when the
// last Poll ended. A closed subscription's are zero.
func (s *Subscription) Stats() (SubscriptionStats, error) {
	at := s.seat.Load()
	info, err := at.ring.Inspect()
	if err != nil {
		return SubscriptionStats{}, err
	}
	for _, c := range info.Consumers {
		if c.ID == at.id {
			return SubscriptionStats{c.Messages, c.Bytes, c.MissedBytes, c.Laps, c.LagBytes, s.chosen.skipped.Load(), s.chosen.passed.Load()}, nil
		}
	}
	return SubscriptionStats{}, nil
}

// Close gives the slot back; what was not handled stays unread, or goes to another member of the group. It may be called more than once. Bytes that were lent must
// not be touched afterwards. It waits for the broker to take note, at most two seconds.
func (s *Subscription) Close() error {
	s.closed = true
	if s.event != nil {
		s.conn.waker.close(s.event)
		s.event = nil
	}
	if s.left != nil {
		s.leaveOld()
	}
	s.conn.endFollowing(s.next)
	s.next = nil
	h := heir{slot: s.slot, reader: s.from}
	s.slot = slot{}
	return h.close()
}
