package bus_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/bus/topic"
)

// Members of a group share a topic's messages; a subscription beside it sees them all.
func ExampleGroup() {
	c, end := exampleBus()
	defer end()
	one, _ := c.Subscribe("market_data", bus.Group("workers"))
	defer one.Close()
	two, _ := c.Subscribe("market_data", bus.Group("workers"))
	defer two.Close()
	observer, _ := c.Subscribe("market_data", bus.Lossy())
	defer observer.Close()

	pub, _ := c.Publisher("market_data")
	defer pub.Close()
	for _, text := range []string{"first", "second", "third"} {
		if err := pub.Publish([]byte(text)); err != nil {
			log.Fatal(err)
		}
	}

	show := func(who string) func(bus.Message) error {
		return func(m bus.Message) error { fmt.Printf("%s: %s\n", who, m.Bytes()); return nil }
	}
	one.Poll(1, show("one")) // a member takes a message when it gets to it
	two.Poll(9, show("two"))
	n, _ := observer.Poll(9, func(bus.Message) error { return nil })
	fmt.Println("observer:", n)
	// Output:
	// one: first
	// two: second
	// two: third
	// observer: 3
}

// Subscribe on a queue topic joins its group "default". A message whose handling fails comes again, until it was delivered max_deliver
// times: then it is parked, and goes to the dead-letter topic.
func ExampleMessage_Delivery() {
	c, end := exampleBus()
	defer end()
	orders := topic.Config{Name: "orders", Routing: topic.Queue, Size: topic.MiB,
		Group: []topic.Group{{Name: topic.DefaultGroup, MaxDeliver: 2, DeadLetter: "market_data"}}}
	if err := c.CreateTopic(context.Background(), orders); err != nil {
		log.Fatal(err)
	}
	dead, _ := c.Subscribe("market_data")
	defer dead.Close()
	pub, _ := c.Publisher("orders")
	defer pub.Close()
	sub, _ := c.Subscribe("orders")
	defer sub.Close()

	if err := pub.Publish([]byte("sell everything")); err != nil {
		log.Fatal(err)
	}
	for range 3 {
		n, err := sub.Poll(1, func(m bus.Message) error {
			fmt.Println("delivery", m.Delivery())
			return errors.New("not today")
		})
		fmt.Println(n, err)
	}
	dead.Poll(1, func(m bus.Message) error { fmt.Printf("dead letter: %s\n", m.Bytes()); return nil })
	// Output:
	// delivery 1
	// 0 not today
	// delivery 2
	// 0 not today
	// 0 <nil>
	// dead letter: sell everything
}
