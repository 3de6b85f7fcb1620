// Package storm answers the question "does anything that dies or stops under full load lose, tear, double or wedge?". It
// runs real processes of every role on a bus: producers, readers of every kind, members of groups, brokers, repairers. A conductor kills
// (SIGKILL), stops (SIGSTOP) and continues them at random and starts their successors; in the end a ledger accounts for
// every message at every reader that lived.
//
//	plan.go       who is killed, stopped, continued, started at which decision: nothing but the seed decides
//	cast.go       the topics, and the places that processes take
//	message.go    what a message says of itself
//	ledger.go     what a producer attempted and committed, in a file that outlives it
//	handled.go    what a member handled, in a file that outlives it
//	sequence.go   what a reader checks with every message, and tells at its end
//	cells.go      what a reader saw, cell by cell of the ring, in a file that outlives it
//	child.go      the processes: producer.go, reader.go (source.go: from the bus, or asleep on the ring itself), member.go,
//	              services.go (broker, repairer)
//	conductor.go  the conductor's processes; storm.go has the storm from its beginning to its end
//	account.go    the account; group.go has that of the groups
//
// What is certain and what is possible: a producer writes how far it will go before it publishes, and how far it has come
// afterwards. What it had come to is certain: every reliable reader that was there must have it, once, whole, in order. What
// it had set out to do is possible: it died on the way. Anything beyond was never sent, and no reader may have it.
//
// A member writes each message down when it has handled it, before it acknowledges it. Each message that the topic's witness saw was
// handled in each group: once, or again, and marked then, as often as it was what a killed member had written down last; or the topic's
// ledger has it as lost, which only a group without a member may lose. A reader that sleeps sleeps for ever, so that one that is not
// woken holds its topic up until the watchdog tells.
//
// One seed gives one sequence of decisions: the same places meet the same fate at the same decision. At which instruction of
// theirs is up to the machine, and so another run of a seed that failed need not fail.
package storm
