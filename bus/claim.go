package bus

import (
	"context"

	"github.com/mycelium-bus/mycelium/shmring"
)

// Claim is room for one message in the ring itself, to be finished by Commit or Abort. It is a value for the publisher's
// goroutine; using it after it was finished, or after a later claim of the same publisher, panics.
type Claim struct {
	// Two words, so that it lives in registers: the ring's own claim in here cost 15 ns more (it is copied through memory).
	p      *Publisher
	serial uint64
}

// Claim reserves n bytes of the ring, 1 to max_frame, for one message to be written in place. Subscribers see nothing until
// [Claim.Commit]. In a topic with many publishers no subscriber passes an open claim, so commit soon; [Publisher.Write]
// cannot forget to. Errors are those of [Publisher.Publish].
func (p *Publisher) Claim(n int) (Claim, error) {
	if end := p.topic.ended(); end != nil {
		return Claim{}, p.ended(end)
	}
	c, err := p.ring.Claim(n)
	if err != nil {
		return Claim{}, p.failed(err)
	}
	p.claim = c
	p.serial++
	return Claim{p, p.serial}, nil
}

// ClaimWait is Claim that waits, by the publisher's idle strategy, while there is no room. It ends as [Publisher.PublishWait]
// does: with ctx's error when ctx does, and with [ErrSelfBlocked].
func (p *Publisher) ClaimWait(ctx context.Context, n int) (Claim, error) {
	var w wait
	defer w.end()
	for {
		if end := p.topic.ended(); end != nil {
			p.idle.Reset()
			return Claim{}, p.ended(end)
		}
		c, err := p.ring.Claim(n)
		if err == nil {
			p.idle.Reset()
			p.claim = c
			p.serial++
			return Claim{p, p.serial}, nil
		}
		if err == ErrBackPressure {
			if err = w.again(ctx, p, n); err == nil {
				continue
			}
		}
		p.idle.Reset()
		return Claim{}, err
	}
}

// Bytes returns the claimed bytes. They hold what an earlier message left there, are the caller's until Commit or Abort,
// and must not be touched afterwards.
func (c Claim) Bytes() []byte { return c.ring().Bytes() }

// Position returns where in the ring the message goes.
func (c Claim) Position() uint64 { return c.ring().Position() }

// Commit publishes the first used bytes of the claim as a message; used 0 is the same as Abort. If it returns an error
// nothing is published and the claim is finished all the same: [ErrTooLarge] for a used beyond the claim, [ErrRefused].
// With [ErrCorrupt] subscribers may have it or not.
func (c Claim) Commit(used int) error {
	if c.p.rules != nil {
		return c.commitChecked(used)
	}
	return c.ring().Commit(used)
}

func (c Claim) commitChecked(used int) error {
	if b := c.Bytes(); used > 0 && used <= len(b) {
		if err := c.p.rules.check(b[:used]); err != nil {
			c.Abort()
			return err
		}
	}
	return c.ring().Commit(used)
}

// Abort gives the claim up; subscribers never see it.
func (c Claim) Abort() { c.ring().Abort() }

func (c Claim) ring() shmring.Claim {
	if c.serial != c.p.serial {
		staleClaim()
	}
	return c.p.claim
}

//go:noinline
func staleClaim() { panic("bus: use of a claim after a later one") }

// FrameSize returns how many bytes of the ring a message of n bytes (0 or more) takes, its header of 16 bytes and padding included: what to
// add up for [Publisher.Batch].
func FrameSize(n int) int { return shmring.FrameSize(n) }

// Batch is room for several messages that become visible together. It is for the publisher's goroutine, through a pointer;
// using it after it was finished panics.
type Batch struct {
	ring shmring.Batch
	p    *Publisher
}

// Batch reserves size bytes for several messages: the sum of their [FrameSize]. It must fit the topic's largest claim,
// which is at least one largest message and usually a 32nd of the ring. Errors are those of [Publisher.Publish].
func (p *Publisher) Batch(size int) (Batch, error) {
	if end := p.topic.ended(); end != nil {
		return Batch{}, p.ended(end)
	}
	b, err := p.ring.Batch(size)
	if err != nil {
		return Batch{}, p.failed(err)
	}
	p.parts = p.parts[:0]
	return Batch{b, p}, nil
}

// Next returns n bytes for the batch's next message, to be filled before Commit; n is 1 to max_frame. It returns
// [ErrTooLarge] when n is not, or when the batch has no room for it; the batch stays usable.
func (b *Batch) Next(n int) ([]byte, error) {
	part, err := b.ring.Next(n)
	if err == nil && b.p.rules != nil {
		b.p.parts = append(b.p.parts, part) // grows to the largest batch, once
	}
	return part, err
}

// Len returns how many messages the batch holds.
func (b *Batch) Len() int { return b.ring.Len() }

// Commit publishes the batch's messages in the order of their Next calls; none is the same as Abort. If one of them is
// refused ([ErrRefused]) none is published, and the batch is finished.
func (b *Batch) Commit() error {
	if b.p.rules != nil {
		for _, part := range b.p.parts {
			if err := b.p.rules.check(part); err != nil {
				b.ring.Abort()
				return err
			}
		}
	}
	return b.ring.Commit()
}

// Abort gives the batch up; subscribers never see any of it.
func (b *Batch) Abort() { b.ring.Abort() }
