package storm

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/mycelium-bus/mycelium/bus"
)

// errPutBack is what a member's callback returns now and then: the message comes again.
var errPutBack = errors.New("put back")

// handle handles what falls to a member of a group, until it is told to end: by then the group has nothing left.
func (p part) handle(ctx context.Context, rng *rand.Rand) error {
	file, done, err := createHandled(p.handled(p.Name), false)
	if err != nil {
		return err
	}
	sub, conn, err := attach(context.Background(), p, func(c *bus.Conn) (*bus.Subscription, error) {
		return c.Subscribe(p.Topic, bus.Group(p.Group))
	})
	if err != nil {
		return err
	}
	defer conn.Close()
	if p.Number%4 < 2 {
		sub.SetIdle(&bus.Sleep{})
	}
	for ctx.Err() == nil {
		_, err := sub.Poll(1+rng.IntN(64), func(m bus.Message) error {
			got, err := parse(m.Position(), m.Bytes())
			switch {
			case err != nil:
				return err
			case rng.IntN(256) == 0:
				return errPutBack
			case rng.IntN(8) == 0:
				dawdle(time.Duration(rng.IntN(200)) * time.Microsecond) // a kill meets it with a message in its hands
			}
			err = file.add(got, m.Redelivered())
			if rng.IntN(8) == 0 {
				dawdle(time.Duration(rng.IntN(200)) * time.Microsecond) // or with one that it has handled, and not acknowledged
			}
			return err
		})
		if err != nil && !errors.Is(err, errPutBack) {
			return err
		}
		if err := sub.Wait(ctx); err != nil && ctx.Err() == nil {
			return err
		}
	}
	return errors.Join(sub.Close(), done())
}
