package bus_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/bus/bustest"
	"github.com/mycelium-bus/mycelium/bus/topic"
)

// Programs reach the bus through its broker. A socket that is not given is $MYC_SOCKET, or that of the host's broker.
func ExampleDial() {
	socket, stop, err := bustest.Start(topic.Config{Name: "market_data", Size: topic.MiB}) // usually a broker runs already
	if err != nil {
		log.Fatal(err)
	}
	defer stop()

	c, err := bus.Dial(context.Background(), bus.Options{Name: "example", Socket: socket})
	if err != nil {
		log.Fatal(err) // bus.Hint(err) says what to do about it
	}
	defer c.Close()

	topics, err := c.Topics(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	for _, t := range topics {
		fmt.Println(t.Config.Name, t.State)
	}
	_, err = c.Publisher("nothing")
	fmt.Println(errors.Is(err, bus.ErrNoTopic))
	// Output:
	// market_data active
	// true
}

// A topic's kind and sizes are fixed at its creation; what is left out has a default.
func ExampleConn_CreateTopic() {
	c, end := exampleBus()
	defer end()
	orders := topic.Config{Name: "orders", Kind: topic.SPMC, Size: 4 * topic.MiB, MaxFrame: 4 * topic.KiB}
	if err := c.CreateTopic(context.Background(), orders); err != nil {
		log.Fatal(err)
	}
	fmt.Println(errors.Is(c.CreateTopic(context.Background(), orders), bus.ErrExists))

	info, err := c.Inspect(context.Background(), "orders")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(info.Name, info.Kind, info.Capacity, info.MaxFrame)
	// Output:
	// true
	// orders spmc 4194304 4096
}

// Publish copies a message into the ring. Where a slow subscription leaves no room it says so, and PublishWait waits.
func ExamplePublisher_Publish() {
	c, end := exampleBus()
	defer end()
	sub, _ := c.Subscribe("market_data")
	defer sub.Close()
	pub, _ := c.Publisher("market_data")
	defer pub.Close()

	message := make([]byte, 10_000)
	n := 0
	for pub.Publish(message) == nil {
		n++
	}
	err := pub.Publish(message)
	fmt.Println(n > 0, errors.Is(err, bus.ErrBackPressure))

	read, _ := sub.Poll(n, func(bus.Message) error { return nil })
	fmt.Println(read == n, pub.Publish(message))
	// Output:
	// true true
	// true <nil>
}

// A subscription begins with the next message, unless it is told otherwise.
func ExampleConn_Subscribe() {
	c, end := exampleBus()
	defer end()
	pub, _ := c.Publisher("market_data")
	defer pub.Close()
	pub.Publish([]byte("before"))

	next, err := c.Subscribe("market_data")
	if err != nil {
		log.Fatal(err)
	}
	defer next.Close()
	oldest, err := c.Subscribe("market_data", bus.From(bus.Oldest), bus.Slow(bus.Drop))
	if err != nil {
		log.Fatal(err)
	}
	defer oldest.Close()
	pub.Publish([]byte("after"))

	for name, sub := range map[string]*bus.Subscription{"next": next, "oldest": oldest} {
		sub.Poll(10, func(m bus.Message) error {
			fmt.Printf("%s: %s\n", name, m.Bytes())
			return nil
		})
	}
	// Unordered output:
	// next: after
	// oldest: before
	// oldest: after
}

// From a position, which a message told, a subscription goes on where another one was.
func ExampleFrom() {
	c, end := exampleBus()
	defer end()
	pub, _ := c.Publisher("market_data")
	defer pub.Close()
	first, _ := c.Subscribe("market_data")
	for _, w := range []string{"one", "two", "three"} {
		pub.Publish([]byte(w))
	}
	first.Poll(1, func(bus.Message) error { return nil })
	position := first.Position()
	first.Close()

	sub, err := c.Subscribe("market_data", bus.From(bus.Position(position)))
	if err != nil {
		log.Fatal(err)
	}
	defer sub.Close()
	sub.Poll(10, func(m bus.Message) error {
		fmt.Printf("%s\n", m.Bytes())
		return nil
	})
	// Output:
	// two
	// three
}

// A lossy subscription holds nobody up: what is overwritten before it was read, it is told.
func ExampleLossy() {
	c, end := exampleBus()
	defer end()
	sub, err := c.Subscribe("market_data", bus.Lossy())
	if err != nil {
		log.Fatal(err)
	}
	defer sub.Close()
	pub, _ := c.Publisher("market_data")
	defer pub.Close()
	for range 500 { // several times round a ring of 1 MiB
		if err := pub.Publish(make([]byte, 10_000)); err != nil {
			log.Fatal(err)
		}
	}

	n, err := sub.Poll(1000, func(bus.Message) error { return nil })
	lapped, ok := errors.AsType[*bus.LappedError](err)
	fmt.Println(n, ok, lapped.Missed() > 3<<20)
	n, err = sub.Poll(1000, func(bus.Message) error { return nil })
	fmt.Println(n > 0, err)
	// Output:
	// 0 true true
	// true <nil>
}

// Stats may be asked for by any goroutine.
func ExampleSubscription_Stats() {
	c, end := exampleBus()
	defer end()
	sub, _ := c.Subscribe("market_data")
	defer sub.Close()
	pub, _ := c.Publisher("market_data")
	defer pub.Close()
	for range 3 {
		pub.Publish(make([]byte, 100))
	}
	sub.Poll(2, func(bus.Message) error { return nil })

	read, err := sub.Stats()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(read.Messages, read.Bytes, read.LagBytes == uint64(bus.FrameSize(100)))
	published, err := pub.Stats()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(published.Messages, published.Bytes)
	// Output:
	// 2 200 true
	// 3 300
}
