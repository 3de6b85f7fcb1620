package bus

import (
	"context"
	"errors"
	"iter"

	"github.com/mycelium-bus/mycelium/shmring"
)

// Messages yields the topic's messages one after the other and waits, by the subscription's idle strategy, while there is
// none. A message is lent until the loop's next iteration, which acknowledges it; so does leaving the loop by break or
// return. A body that panics or calls runtime.Goexit does not: the message comes again.
//
//	for m, err := range sub.Messages(ctx) {
//		if err != nil {
//			return err
//		}
//		...
//	}
//
// The error is nil with each message. A [LappedError] comes with no message, and the loop goes on behind the gap if the body
// lets it. In a subscription of [Dial] it goes on after ErrClosed too: it waits until the topic is made again, and says so by a
// [RecreatedError]. Every other error (ErrClosed without a broker or of a closed subscription, ErrEvicted, ErrCorrupt, and ctx's when it
// ends, or that a dead-letter topic does not take a message) is the last thing yielded. Messages that are already there are not waited for, but are no longer yielded either once ctx has
// ended. A few allocations a loop, none a message. The body may change the strategy or close the subscription, but must not poll it.
func (s *Subscription) Messages(ctx context.Context) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		l := loop{s: s, ctx: ctx, yield: yield}
		defer l.asleep.end()
		for l.again = true; l.again; { // once for each topic that the subscription goes on with
			if s.left != nil {
				s.leaveOld()
			}
			if fault := s.from.Ring().Guard(l.run); fault != nil && !l.left {
				yield(Message{}, fault)
				return
			}
		}
	}
}

// loop is one loop over Messages.
type loop struct {
	s     *Subscription
	ctx   context.Context
	yield func(Message, error) bool
	left  bool // the body has left it
	told  bool // that the topic has ended
	again bool // the subscription goes on with another ring, outside of the guard of the one before

	asleep sleeper
}

func (l *loop) say(m Message, err error) bool {
	l.left = !l.yield(m, err)
	return !l.left
}

func (l *loop) run() {
	s := l.s
	l.again = false
	unhandled := false
	s.begin()
	defer func() {
		s.settle(!unhandled)
	}()
	done := l.ctx.Done()
	for {
		select {
		case <-done:
			l.say(Message{}, l.ctx.Err())
			return
		default:
		}
		if end := s.evicted(); end != nil {
			l.say(Message{}, s.leave(end))
			return
		}
		err := s.takePending()
		if err == nil {
			var f shmring.Frame
			var ok bool
			switch {
			case s.member != nil:
				f, ok = s.nextOfGroup()
			case s.chosen.on:
				f, ok = s.nextChosen()
			default:
				f, ok = s.ring.Next()
			}
			if ok {
				s.idle.Reset()
				unhandled = true
				more := l.say(Message{f}, nil)
				unhandled = false
				if s.chosen.inPlace && s.member == nil && !s.ring.Stayed() {
					s.pending = s.ring.Err()
				}
				if !more {
					return
				}
				continue
			}
			err = s.nothing(0)
		}
		if err == nil || l.told && l.mayReturn(err) {
			s.rest(l.ctx, &l.asleep)
			continue
		}
		if !l.say(Message{}, err) || !l.goesOn(err) {
			return
		}
	}
}

// goesOn tells whether the loop does, after an error that the body let pass.
func (l *loop) goesOn(err error) bool {
	if _, l.again = errors.AsType[*RecreatedError](err); l.again {
		l.told = false
		return false
	}
	l.told = l.mayReturn(err)
	return l.told || errors.Is(err, ErrLapped)
}

// mayReturn tells an ended topic that may be made again from what is final.
func (l *loop) mayReturn(err error) bool { return l.s.mayReturn(err) }
