package bus_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/bus/topic"
)

// A publisher may wait for room; what ends the wait is the context, and the error says who was in the way.
func ExamplePublisher_PublishWait() {
	c, end := exampleBus()
	defer end()
	if err := c.CreateTopic(context.Background(), topic.Config{Name: "orders", Size: topic.MinSize}); err != nil {
		log.Fatal(err)
	}
	slow, _ := c.Subscribe("orders") // never polls
	defer slow.Close()
	pub, _ := c.Publisher("orders")
	defer pub.Close()

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var err error
	for n := 0; err == nil; n++ {
		if err = pub.Publish(make([]byte, 1000)); errors.Is(err, bus.ErrBackPressure) {
			cancel() // a program would let time do this: context.WithTimeout
			err = pub.PublishWait(ctx, make([]byte, 1000))
		}
	}
	held, _ := errors.AsType[*bus.BackPressureError](err)
	fmt.Println(errors.Is(err, context.Canceled), held.Holder, held.ID)
	// Output: true subscription c0.1
}

// One goroutine sleeps until any of several topics has something for it. What a subscription of its own does while it waits is its idle
// strategy's to say; Sleep costs next to nothing until a message comes.
func ExampleWaitAny() {
	c, end := exampleBus()
	defer end()
	if err := c.CreateTopic(context.Background(), topic.Config{Name: "orders", Size: topic.MiB}); err != nil {
		log.Fatal(err)
	}
	market, _ := c.Subscribe("market_data", bus.Idle(&bus.Sleep{}))
	defer market.Close()
	orders, _ := c.Subscribe("orders", bus.Idle(&bus.Sleep{}))
	defer orders.Close()
	published := make(chan struct{})
	go func() { // usually another process
		defer close(published)
		pub, _ := c.Publisher("orders")
		defer pub.Close()
		if err := pub.Publish([]byte("buy")); err != nil {
			log.Fatal(err)
		}
	}()
	defer func() { <-published }()

	ready, err := bus.WaitAny(context.Background(), market, orders)
	if err != nil {
		log.Fatal(err)
	}
	n, err := ready.Poll(10, func(m bus.Message) error { fmt.Printf("%s\n", m.Bytes()); return nil })
	fmt.Println(n, err, ready == orders)
	// Output:
	// buy
	// 1 <nil> true
}

// What a group gave up on is listed, and delivered again when whatever was wrong is mended.
func ExampleConn_RetryParked() {
	c, end := exampleBus()
	defer end()
	ctx := context.Background()
	orders := topic.Config{Name: "orders", Routing: topic.Queue, Size: topic.MiB, Group: []topic.Group{{Name: topic.DefaultGroup, MaxDeliver: 1}}}
	if err := c.CreateTopic(ctx, orders); err != nil {
		log.Fatal(err)
	}
	pub, _ := c.Publisher("orders")
	defer pub.Close()
	sub, _ := c.Subscribe("orders")
	defer sub.Close()
	if err := pub.Publish([]byte("sell everything")); err != nil {
		log.Fatal(err)
	}
	for range 2 { // it is parked when it would be delivered once more
		sub.Poll(1, func(bus.Message) error { return errors.New("not today") })
	}
	parked, total, _ := c.Parked(ctx, "orders")
	fmt.Println(total, parked[0].GroupName, parked[0].Deliveries)

	done := make(chan struct{})
	go func() { // the worker goes on
		defer close(done)
		for m, err := range sub.Messages(ctx) {
			fmt.Printf("%s, redelivered %v, %v\n", m.Bytes(), m.Redelivered(), err)
			return
		}
	}()
	retried, err := c.RetryParked(ctx, "orders", parked...)
	<-done
	fmt.Println(retried[0].Handled, retried[0].Err, err)
	// Output:
	// 1 default 1
	// sell everything, redelivered true, <nil>
	// true <nil> <nil>
}
