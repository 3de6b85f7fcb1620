// Package storm answers the question "does anything that dies or stops under full load lose, tear, double or wedge?". It
// runs real processes of every role on a bus: producers, reliable and lossy readers, brokers, repairers. A conductor kills
// (SIGKILL), stops (SIGSTOP) and continues them at random and starts their successors; in the end a ledger accounts for
// every message at every reader that lived.
//
//	plan.go       who is killed, stopped, continued, started at which decision: nothing but the seed decides
//	cast.go       the topics, and the places that processes take
//	message.go    what a message says of itself
//	ledger.go     what a producer attempted and committed, in a file that outlives it
//	sequence.go   what a reader checks with every message, and tells at its end
//	cells.go      what a reader saw, cell by cell of the ring, in a file that outlives it
//	child.go      the processes: producer.go, reader.go, services.go (broker, repairer)
//	conductor.go  the conductor's processes; storm.go has the storm from its beginning to its end
//	account.go    the account
//
// What is certain and what is possible: a producer writes how far it will go before it publishes, and how far it has come
// afterwards. What it had come to is certain: every reliable reader that was there must have it, once, whole, in order. What
// it had set out to do is possible: it died on the way. Anything beyond was never sent, and no reader may have it.
//
// One seed gives one sequence of decisions: the same places meet the same fate at the same decision. At which instruction of
// theirs is up to the machine, and so another run of a seed that failed need not fail.
package storm
