package bus_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/bus/topic"
	"github.com/mycelium-bus/mycelium/codec"
)

// exampleBus makes a bus in a directory of its own with the topic "market_data", and what takes it away.
func exampleBus() (*bus.Conn, func()) {
	dir, err := os.MkdirTemp("", "bus-")
	if err != nil {
		log.Fatal(err)
	}
	c, err := bus.OpenDir(dir, bus.Options{Name: "example"})
	if err != nil {
		log.Fatal(err)
	}
	if err := c.CreateTopic(context.Background(), topic.Config{Name: "market_data", Size: topic.MiB}); err != nil {
		log.Fatal(err)
	}
	return c, func() {
		c.Close()
		os.RemoveAll(dir)
	}
}

// A trade goes from a publisher to a subscription. Programs usually get c from bus.Dial.
func Example() {
	c, end := exampleBus()
	defer end()

	sub, err := c.Subscribe("market_data")
	if err != nil {
		log.Fatal(err)
	}
	defer sub.Close()

	pub, err := c.Publisher("market_data")
	if err != nil {
		log.Fatal(err)
	}
	defer pub.Close()

	err = pub.Write(codec.Size(codec.TradeSize), func(b []byte) (int, error) {
		var m codec.Builder
		m.Reset(b, codec.Header{Domain: codec.DomainMarketData, Source: codec.SourceKrakenCollector, Sequence: 1})
		trade := codec.Trade{Price: 65_000_00000000, Volume: 25000000}
		trade.AppendTo(&m)
		return m.Finish()
	})
	if err != nil {
		log.Fatal(err)
	}

	_, err = sub.Poll(10, func(m bus.Message) error {
		view, err := m.TLV()
		if err != nil {
			return err
		}
		value, _ := view.Find(codec.TypeTrade)
		var trade codec.Trade
		if err := trade.Decode(value); err != nil {
			return err
		}
		fmt.Printf("%v: %d at %d\n", view.Source(), trade.Volume, trade.Price)
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output: KrakenCollector: 25000000 at 6500000000000
}

// A claim is written to in place and committed by hand.
func ExamplePublisher_Claim() {
	c, end := exampleBus()
	defer end()
	sub, _ := c.Subscribe("market_data")
	defer sub.Close()
	pub, _ := c.Publisher("market_data")
	defer pub.Close()

	claim, err := pub.Claim(100) // what may be needed
	if err != nil {
		log.Fatal(err)
	}
	used := copy(claim.Bytes(), "hello")
	if err := claim.Commit(used); err != nil {
		log.Fatal(err)
	}

	sub.Poll(1, func(m bus.Message) error {
		fmt.Printf("%s\n", m.Bytes())
		return nil
	})
	// Output: hello
}

// Write gives the room up if the message could not be written.
func ExamplePublisher_Write() {
	c, end := exampleBus()
	defer end()
	sub, _ := c.Subscribe("market_data")
	defer sub.Close()
	pub, _ := c.Publisher("market_data")
	defer pub.Close()

	errNoPrice := errors.New("no price")
	for _, price := range []string{"101", "", "103"} {
		err := pub.Write(16, func(b []byte) (used int, err error) {
			if price == "" {
				return 0, errNoPrice
			}
			return copy(b, price), nil
		})
		fmt.Println("write:", err)
	}

	n, err := sub.Poll(10, func(m bus.Message) error {
		fmt.Printf("%s\n", m.Bytes())
		return nil
	})
	fmt.Println(n, err)
	// Output:
	// write: <nil>
	// write: no price
	// write: <nil>
	// 101
	// 103
	// 2 <nil>
}

// The messages of a batch become visible together.
func ExamplePublisher_Batch() {
	c, end := exampleBus()
	defer end()
	sub, _ := c.Subscribe("market_data")
	defer sub.Close()
	pub, _ := c.Publisher("market_data")
	defer pub.Close()

	words := []string{"bid", "ask", "last"}
	size := 0
	for _, w := range words {
		size += bus.FrameSize(len(w))
	}
	batch, err := pub.Batch(size)
	if err != nil {
		log.Fatal(err)
	}
	for _, w := range words {
		b, err := batch.Next(len(w))
		if err != nil {
			log.Fatal(err)
		}
		copy(b, w)
	}
	if err := batch.Commit(); err != nil {
		log.Fatal(err)
	}

	sub.Poll(10, func(m bus.Message) error {
		fmt.Printf("%s\n", m.Bytes())
		return nil
	})
	// Output:
	// bid
	// ask
	// last
}

// A callback that fails keeps its message: the next Poll begins with it.
func ExampleSubscription_Poll() {
	c, end := exampleBus()
	defer end()
	sub, _ := c.Subscribe("market_data")
	defer sub.Close()
	pub, _ := c.Publisher("market_data")
	defer pub.Close()
	for _, w := range []string{"one", "two", "three"} {
		pub.Publish([]byte(w))
	}

	failed := false
	handle := func(m bus.Message) error {
		if string(m.Bytes()) == "two" && !failed {
			failed = true
			return errors.New("not now")
		}
		fmt.Printf("%s\n", m.Bytes())
		return nil
	}
	n, err := sub.Poll(10, handle)
	fmt.Println(n, err)
	n, err = sub.Poll(10, handle)
	fmt.Println(n, err)
	// Output:
	// one
	// 1 not now
	// two
	// three
	// 2 <nil>
}

// A loop over Messages waits for the next one.
func ExampleSubscription_Messages() {
	c, end := exampleBus()
	defer end()
	sub, _ := c.Subscribe("market_data")
	defer sub.Close()

	go func() {
		pub, err := c.Publisher("market_data")
		if err != nil {
			log.Fatal(err)
		}
		defer pub.Close()
		for i := range 3 {
			pub.Publish(fmt.Appendf(nil, "message %d", i))
		}
	}()

	n := 0
	for m, err := range sub.Messages(context.Background()) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s\n", m.Bytes())
		if n++; n == 3 {
			break
		}
	}
	// Output:
	// message 0
	// message 1
	// message 2
}

// A bus without a broker is a directory. Another process of the same user may open it at the same time.
func ExampleOpenDir() {
	dir, err := os.MkdirTemp("", "bus-") // a real one lies in /dev/shm
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	c, err := bus.OpenDir(dir, bus.Options{Name: "example"})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	err = c.CreateTopic(context.Background(), topic.Config{Name: "quotes", Kind: topic.SPMC, Size: topic.MiB})
	if err != nil {
		log.Fatal(err)
	}

	pub, err := c.Publisher("quotes")
	if err != nil {
		log.Fatal(err)
	}
	defer pub.Close()
	_, err = c.Publisher("quotes")
	fmt.Println(errors.Is(err, bus.ErrInUse))

	topics, err := c.Topics(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	for _, t := range topics {
		fmt.Println(t.Config.Name, t.Config.Kind, t.Config.Size)
	}
	// Output:
	// true
	// quotes spmc 1MiB
}
