package shmring_test

import (
	"fmt"
	"log"

	"github.com/mycelium-bus/mycelium/shmring"
)

// The ring itself, in ordinary memory: who grants slots is a broker, or who opened the topic's directory. Programs use package bus.
func Example() {
	ring, err := shmring.NewHeap("quotes", shmring.Options{Kind: shmring.SPMC, Capacity: 1 << 16})
	if err != nil {
		log.Fatal(err)
	}
	defer ring.Close()
	grant, err := ring.GrantProducer(0)
	if err != nil {
		log.Fatal(err)
	}
	producer, err := ring.Producer(grant, "feed")
	if err != nil {
		log.Fatal(err)
	}
	defer producer.Close()
	if grant, err = ring.GrantConsumer(shmring.Policy{Slow: shmring.Block}); err != nil {
		log.Fatal(err)
	}
	reader, err := ring.Reader(grant, shmring.ReaderOptions{Name: "desk"})
	if err != nil {
		log.Fatal(err)
	}
	defer reader.Close()

	claim, err := producer.Claim(16) // room in the ring; nobody sees it yet
	if err != nil {
		log.Fatal(err)
	}
	n := copy(claim.Bytes(), "ETH 2250.17")
	if err := claim.Commit(n); err != nil {
		log.Fatal(err)
	}
	if err := producer.Publish([]byte("ETH 2250.20")); err != nil { // the same by a copy
		log.Fatal(err)
	}

	for frame, ok := reader.Next(); ok; frame, ok = reader.Next() { // lent until the next call
		fmt.Printf("%d %s\n", frame.Position, frame.Payload)
	}
	fmt.Println(reader.Err())
	reader.Release() // producers may have it all
	// Output:
	// 65536 ETH 2250.17
	// 65568 ETH 2250.20
	// <nil>
}
