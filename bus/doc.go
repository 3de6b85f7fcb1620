// Package bus answers: how does a program publish and receive messages on this machine's bus?
//
//	c, err := bus.Dial(ctx, bus.Options{Name: "polygon-adapter"}) // through the broker
//	c, err := bus.OpenDir(dir, bus.Options{})                     // no broker: same user, same files
//
//	pub, err := c.Publisher("market_data")
//	err = pub.Publish(message)
//
//	sub, err := c.Subscribe("market_data", bus.From(bus.Oldest))
//	n, err := sub.Poll(100, func(m bus.Message) error { ... })
//
// A topic is a ring in shared memory that publishers and subscriptions map. Messages go from process to process without
// anybody between: the broker makes topics and hands them out, and while it is dead, restarting or being replaced, everything
// that is attached goes on, and connections find the next broker by themselves.
//
//   - A topic is one order: every subscription sees the same messages in the same sequence, whoever published them.
//   - Members of a queue group ([Group]) share a topic's messages; any number of groups and subscriptions on one topic do not notice each
//     other. A message that a member did not handle comes again.
//   - A publisher that has no room gets [ErrBackPressure], which names who is in the way ([BackPressureError]); nothing is overwritten
//     that a reliable subscription has not acknowledged. Which subscriptions those are is their slow policy ([Slow], [Lossy]).
//   - A committed message is never torn and never lost, whatever process dies at whatever instruction. An open claim of a
//     process that died is given up.
//   - Publishing and polling neither block nor allocate; what blocks has Wait in its name or is a loop over
//     [Subscription.Messages].
//
// Bytes are either lent in the ring itself ([Publisher.Write], [Publisher.Claim], and the messages of a Block subscription or a group) or
// copied once. Handles are for one goroutine each; [Conn] is for all.
//
// Read in this order: conn.go, publisher.go, claim.go, subscription.go, group.go, iter.go, options.go, start.go, filter.go,
// chosen.go, held.go, sleep.go, arm.go; then dial.go and dir.go for who hands topics out, and reconnect.go for when the broker goes away.
package bus
