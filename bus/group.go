package bus

import (
	"context"
	"errors"
	"fmt"

	"github.com/mycelium-bus/mycelium/shmring"
)

// openMember joins a group with a grant, which the ring takes over.
func (c *Conn) openMember(a *attachment, group string, o subscribeOptions) (*shmring.Member, error) {
	options := shmring.MemberOptions{Name: c.options.Name, From: o.start.from, Retrier: o.retrier}
	if name := a.config.GroupOf(group).DeadLetter; name != "" {
		letters := &deadLetters{conn: c, topic: name}
		options.OnPark = letters.park
		give := a.slot.give
		a.slot.give = func() {
			letters.close()
			if give != nil {
				give()
			}
		}
	}
	return a.ring.Member(a.grant, options)
}

// nextOfGroup is the member's Next; the frame's position bears how often the message was delivered.
func (s *Subscription) nextOfGroup() (shmring.Frame, bool) {
	f, ok := s.member.Next()
	if ok && s.member.Redelivered() {
		f.Position |= uint64(min(max(s.member.Delivery()-1, 1), earlier))
	}
	return f, ok
}

// pollMember is poll for a member.
func (s *Subscription) pollMember(limit int, handle func(m Message) error) (n int, err error) {
	handled := true
	m := s.member // nothing may go on with another one
	m.Begin()
	defer func() { settleMember(m, handled) }()
	for n < limit {
		f, ok := s.nextOfGroup()
		if !ok {
			return n, s.nothing(n)
		}
		handled = false
		if err := handle(Message{f}); err != nil {
			return n, err
		}
		handled = true
		if n++; s.evicted() != nil {
			return n, nil // the next call says so, and gives back what is in its hands
		}
	}
	return n, nil
}

// settleMember ends a call that read: the message at hand was handled, or comes again.
func settleMember(m *shmring.Member, handled bool) {
	m.End()
	if !handled {
		m.Unread()
	}
	m.Release()
}

// deadLetters publishes what a member parks. It is the member's goroutine's.
type deadLetters struct {
	conn  *Conn
	topic string
	pub   *Publisher
}

// park publishes a message to the dead-letter topic, which is opened when it is needed first: that waits for the broker's answer, at most
// a second. Nothing else waits.
func (d *deadLetters) park(f shmring.Frame, _ int) error {
	err := d.open()
	if err == nil {
		err = d.pub.Publish(f.Payload)
	}
	if err == nil {
		return nil
	}
	if errors.Is(err, ErrClosed) || errors.Is(err, ErrEvicted) {
		d.close() // the topic may be made again
	}
	return fmt.Errorf("dead-letter topic %q: %w", d.topic, err)
}

func (d *deadLetters) open() error {
	if d.pub != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var err error
	d.pub, err = d.conn.openPublisher(ctx, d.topic, attachOptions{})
	return err
}

func (d *deadLetters) close() {
	if d.pub != nil {
		_ = d.pub.Close() // what it published is committed
		d.pub = nil
	}
}
