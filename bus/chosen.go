package bus

import (
	"sync/atomic"

	"github.com/mycelium-bus/mycelium/shmring"
)

// Latest makes a subscription that wants the newest message only, as who shows a state rather than its history does: whatever came since
// its last look, it is handed the newest, and passes over the others. What it passes over is not lost and no error tells of it;
// [SubscriptionStats] counts its bytes. It begins with the newest message that is there already, unless [From] says otherwise.
//
// It holds nobody up, as [Lossy] does, and reads copies: [Slow], [Credit], [Patience] and [Group] do not go with it ([ErrInvalid]). With
// a [Filter] it is the newest of the messages that pass. On a topic with routing queue it observes, as [Fanout] does. A look costs a walk
// over the headers of what came since, of the ring's last eighth at most, or with a Filter, where nothing wanted came, of everything since.
func Latest() SubscribeOption {
	return option(func(o *subscribeOptions) { o.slow, o.latest = shmring.Lossy, true })
}

// InPlace lends a subscription that publishers may overtake ([Lossy], or [Slow] with Drop or Evict) its messages in the ring itself
// instead of copies. They may be overwritten while they are looked at: whoever uses what it has read asks [Message.Intact] after the
// look, and forgets what it has read if the answer is false. A message counts as handled if the callback has returned nil, and heard yes
// from Intact or leaves the message whole; if not it is told as missed ([LappedError]).
//
// It saves the copy of long messages of which little is looked at. Bytes that change under the reader may be anything: what parses them
// must bear that, as package codec does, and the race detector does not see them.
//
// To a Block subscription and to members of a group, who read in place anyway and are waited for, it changes nothing.
func InPlace() SubscribeOption { return option(func(o *subscribeOptions) { o.inPlace = true }) }

// Intact reports whether the message is still the one that was lent, so that everything that was read of it until now was its own. It
// is always true for copies, and for Block subscriptions and groups, whom publishers wait for; see [InPlace]. It may be asked as long as
// the message is lent, from any goroutine, and costs some ten nanoseconds.
func (m Message) Intact() bool {
	f := m.frame
	f.Position &^= earlier
	return f.Intact()
}

// chosen is a subscription that does not simply take what is next.
type chosen struct {
	on         bool
	filter     *filter // nil: all
	latest     bool
	inPlace    bool
	unfinished bool // the last look ended before it knew whether there is a message
	nSkipped   uint64
	skipped    atomic.Uint64 // as told
	passed     atomic.Uint64
}

func (c *chosen) choose(o subscribeOptions) {
	c.filter, c.latest, c.inPlace = o.filter, o.latest, o.inPlace
}

// restart begins counting anew, with another handle of the ring.
func (c *chosen) restart(member bool) {
	c.on = !member && (c.filter != nil || c.latest || c.inPlace)
	c.nSkipped = 0
	c.skipped.Store(0)
	c.passed.Store(0)
}

// begin is where a reader of the ring is to begin.
func (o subscribeOptions) begin() shmring.From {
	if o.latest && !o.started {
		return Oldest.from
	}
	return o.start.from
}

// mostSkipped is how many messages one look passes over: publishers of what is not wanted must not hold the caller.
const mostSkipped = 4096

// nextChosen is Next for a subscription that chooses.
func (s *Subscription) nextChosen() (shmring.Frame, bool) {
	c := &s.chosen
	c.unfinished = false
	if c.latest {
		if c.filter == nil {
			return s.ring.Newest(nil)
		}
		return s.ring.Newest(c.filter.wants)
	}
	for range mostSkipped {
		f, ok := s.ring.Next()
		if !ok || c.filter == nil || c.filter.wants(f.Payload) {
			return f, ok
		}
		s.ring.Skip()
		c.nSkipped++
	}
	c.unfinished = true
	return shmring.Frame{}, false
}

// tellChosen makes the counters known to other goroutines.
func (s *Subscription) tellChosen() {
	c := &s.chosen
	if c.filter != nil && c.skipped.Load() != c.nSkipped {
		c.skipped.Store(c.nSkipped)
	}
	if c.latest && c.passed.Load() != s.ring.Passed() {
		c.passed.Store(s.ring.Passed())
	}
}

// pollChosen is poll for a subscription that chooses.
func (s *Subscription) pollChosen(limit int, handle func(m Message) error) (n int, err error) {
	handled := true
	r := s.ring // nothing may go on with another one
	r.Begin()
	defer func() {
		settleReader(r, handled)
		if s.ring == r {
			s.tellChosen()
		}
	}()
	for n < limit {
		f, ok := s.nextChosen()
		if !ok {
			return n, s.nothing(n)
		}
		handled = false
		if err := handle(Message{f}); err != nil {
			return n, err
		}
		handled = true
		if s.chosen.inPlace && !r.Stayed() {
			return n, r.Err()
		}
		if n++; n%lookEvery == 0 && s.evicted() != nil {
			return n, nil // the next call says so
		}
	}
	return n, nil
}
