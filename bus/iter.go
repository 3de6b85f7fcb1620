package bus

import (
	"context"
	"errors"
	"iter"
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
// lets it; every other error (ErrClosed, ErrEvicted, ErrCorrupt, and ctx's when it ends) is the last thing yielded. Messages
// that are already there are not waited for, but are no longer yielded either once ctx has ended. One allocation a loop, none
// a message. The body may change the strategy or close the subscription, but must not poll it.
func (s *Subscription) Messages(ctx context.Context) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		ended := false
		fault := s.ring.Ring().Guard(func() { s.yieldAll(ctx, func(m Message, err error) bool { ended = !yield(m, err); return !ended }) })
		if fault != nil && !ended {
			yield(Message{}, fault)
		}
	}
}

func (s *Subscription) yieldAll(ctx context.Context, yield func(Message, error) bool) {
	unhandled := false
	defer func() {
		if unhandled {
			s.ring.Unread()
		}
		s.ring.Release()
	}()
	done := ctx.Done()
	for {
		select {
		case <-done:
			yield(Message{}, ctx.Err())
			return
		default:
		}
		err := s.takePending()
		if err == nil {
			if f, ok := s.ring.Next(); ok {
				s.idle.Reset()
				unhandled = true
				more := yield(Message{f}, nil)
				unhandled = false
				if !more {
					return
				}
				continue
			}
			err = s.nothing(0)
		}
		if err == nil {
			s.idle.Idle()
			continue
		}
		if !yield(Message{}, err) || !errors.Is(err, ErrLapped) {
			return
		}
	}
}
