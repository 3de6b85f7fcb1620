package bus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/mycelium-bus/mycelium/shmring"
)

// ErrSelfBlocked says that a call that waits for room was made by the goroutine that does not let it have any: in the callback of
// [Subscription.Poll], or the body of a loop over [Subscription.Messages], of a subscription of the same topic, which holds the message
// at hand, and with it the ring from there on, until the callback returns. The call publishes nothing and does not wait. The messages
// that the callback has already handled are given back first. Publish from another goroutine, or keep what there is to be published
// until Poll has returned.
//
// It is said of every subscription that publishers wait for, a member of a group too, whatever its slow policy: that of Drop or Evict would
// make room after its patience, at the price of what the subscription has not read. It is not said of two
// goroutines or processes that wait for each other, nor where the messages come through iter.Pull, nor of a second publisher of the
// goroutine whose claim is open. Nor is it said of a group's message that a member left behind, or that is retried: any member may take it,
// but only in its next Poll. Where the group has no other member than the one whose callback waits, nobody does, and the wait ends with
// its context: give PublishWait a deadline in the callbacks of a group.
var ErrSelfBlocked = errors.New("blocked by its own subscription")

// BackPressureError is the [ErrBackPressure] of a publisher: it says by whom the publisher is held. [Publisher.Publish], Claim, Write and
// Batch return the same one as long as the same holder leaves them no room, so that trying again costs no allocation; what it says is of
// the first of these attempts. PublishWait and ClaimWait that end with their context return one of that moment, together with the
// context's error. It does not change, and may be kept.
type BackPressureError struct {
	Topic string
	// Holder is who leaves no room: a subscription ("subscription"), a group ("group") whose oldest message nobody has acknowledged, or
	// another publisher's open claim ("claim").
	Holder string
	ID     string // of the holder, as in listings; of a group the member's that holds the oldest message, "" where none does
	Slot   int    // of ID; -1 without
	Group  string // the group's name
	Name   string // of ID's process, as it called itself
	PID    int    // of ID's process, as it wrote it down: information only, it means nothing in another pid namespace
	// Since is when this publisher first found no room because of this holder, without having found any since.
	Since       time.Time
	BehindBytes uint64 // of the ring, from where the holder stands up to the newest message
}

// Error says who, since how long, and how far behind; the time goes on until it is called.
func (e *BackPressureError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v: topic %q: held up by ", ErrBackPressure, e.Topic)
	switch {
	case e.Holder == "claim":
		fmt.Fprintf(&b, "the open claim of publisher %s", e.who())
	case e.Holder == "group" && e.ID == "":
		fmt.Fprintf(&b, "group %q, of which nobody has the oldest message", e.Group)
	case e.Holder == "group":
		fmt.Fprintf(&b, "group %q, member %s", e.Group, e.who())
	default:
		fmt.Fprintf(&b, "%s %s", e.Holder, e.who())
	}
	fmt.Fprintf(&b, " for %v, %d bytes behind", time.Since(e.Since).Round(time.Millisecond), e.BehindBytes)
	return b.String()
}

func (e *BackPressureError) who() string { return fmt.Sprintf("%s %q (pid %d)", e.ID, e.Name, e.PID) }

// Unwrap returns [ErrBackPressure].
func (e *BackPressureError) Unwrap() error { return ErrBackPressure }

// failed is what an attempt that failed with err returns.
func (p *Publisher) failed(err error) error {
	if err != ErrBackPressure {
		return err
	}
	if p.held == nil || p.held.Since != p.ring.HeldSince() {
		p.held = p.heldBy()
	}
	return p.held
}

// heldBy describes who holds the publisher up now.
func (p *Publisher) heldBy() *BackPressureError {
	h := p.ring.Held()
	e := &BackPressureError{Topic: p.topic.ring.Name(), Holder: h.What, ID: h.ID, Slot: h.Slot, Group: h.Group, Name: h.Name, PID: h.PID,
		Since: h.Since, BehindBytes: h.Behind}
	if h.What == "reader" {
		e.Holder = "subscription"
	}
	return e
}

// wait is one call that waits for room.
type wait struct {
	asleep sleeper
	by     shmring.Holder // whom it has looked at
	looked time.Time      // when
}

// lookAgain is how long whoever holds a wait up counts as looked at while it does not move. A look is a lock of the process's and a scan,
// which a wait that spins cannot afford each time; what it overlooked must not be waited for for ever.
const lookAgain = time.Millisecond

// again idles once, while there is no room for n bytes, or says why to wait no longer.
func (w *wait) again(ctx context.Context, p *Publisher, n int) error {
	if err := ctx.Err(); err != nil {
		p.idle.Reset()
		return fmt.Errorf("%w: %w", err, p.heldBy())
	}
	if by := p.ring.Holder(); by != w.by || time.Since(w.looked) >= lookAgain {
		if p.ring.SelfBlocked() {
			p.idle.Reset()
			return fmt.Errorf("%w: %v", ErrSelfBlocked, p.heldBy()) // no ErrBackPressure: to try again is in vain
		}
		w.by, w.looked = by, time.Now()
	}
	p.rest(ctx, n, &w.asleep)
	return nil
}

func (w *wait) end() { w.asleep.end() }

// begin notes which goroutine reads, until settle.
func (s *Subscription) begin() {
	if s.member != nil {
		s.member.Begin()
	} else {
		s.ring.Begin()
	}
}
