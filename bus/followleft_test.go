package bus

import (
	"errors"
	"testing"

	"github.com/mycelium-bus/mycelium/bus/topic"
)

// What a handle leaves is the keeper's, who closes it, only when the call that left it has done with it: the next call gives it, or Close.
func TestWhatIsLeftIsGivenByTheNextCall(t *testing.T) {
	poll := func(s *Subscription) error {
		_, err := s.Poll(1, func(Message) error { return nil })
		return err
	}
	for name, call := range map[string]func(s *Subscription) error{
		"Poll": poll,
		"Wait": func(s *Subscription) error {
			if err := s.Wait(t.Context()); err != nil {
				return err
			}
			return s.takePending()
		},
		"Messages": func(s *Subscription) (err error) {
			for _, err = range s.Messages(t.Context()) {
				break
			}
			return err
		},
	} {
		for of, options := range map[string][]SubscribeOption{"reader": nil, "member": {Group("g")}, "reader that chooses": {Latest()}} {
			for then, next := range map[string]func(*Subscription) error{"Poll": poll, "Close": (*Subscription).Close} {
				t.Run(name+" of a "+of+", "+then, func(t *testing.T) {
					s := aSubscription(t, options...)
					if err := s.conn.CreateTopic(t.Context(), topic.Config{Name: "next", Size: topic.MinSize}); err != nil {
						t.Fatal(err)
					}
					h, err := s.conn.again(t.Context(), "next", subscribeOptions{})
					if err != nil {
						t.Fatal(err)
					}
					f := &follower{over: func() error { return nil }, topic: s.topic, heir: h}
					s.next = f
					old := s.from
					s.topic.finish(&ending{err: ErrClosed})
					if err := call(s); !errors.As(err, new(*RecreatedError)) {
						t.Fatalf("%v, want a RecreatedError", err)
					}
					if f.tidy(); old.Err() != nil {
						t.Errorf("the keeper has closed what the call may be using: %v", old.Err())
					}
					if err := next(s); err != nil {
						t.Error(err)
					}
					if f.tidy(); !errors.Is(old.Err(), ErrClosed) {
						t.Errorf("what was left is not closed: %v", old.Err())
					}
				})
			}
		}
	}
}
