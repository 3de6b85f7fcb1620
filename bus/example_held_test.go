package bus_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mycelium-bus/mycelium/bus"
)

// Who finds no room is told by whom it is held.
func ExampleBackPressureError() {
	c, end := exampleBus()
	defer end()
	sub, _ := c.Subscribe("market_data") // and never polls
	defer sub.Close()
	pub, _ := c.Publisher("market_data")
	defer pub.Close()

	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	for {
		err := pub.PublishWait(ctx, make([]byte, 10_000))
		if held, ok := errors.AsType[*bus.BackPressureError](err); ok {
			fmt.Println(held.Topic, held.Holder, held.ID == sub.ID(), held.BehindBytes > 0)
			fmt.Println(errors.Is(err, context.DeadlineExceeded))
			return
		}
	}
	// Output:
	// market_data subscription true true
	// true
}
