// Command model answers the question "does the protocol hold in every order of its steps?": it walks every state that a small
// instance of each part of the protocol can reach. It prints a table; `make model` runs it.
//
//	engine.go    a model's parts, and the walk over all states
//	visited.go   the set of states that were seen
//	trace.go     a counterexample as a numbered list of steps
//	buffer.go    a processor's store buffer, as on x86
//	models.go    the list of models
//	main.go      the table
//
// Every other file is a model. To read one, begin with its comment, then its state (shared words first, then what each process
// keeps to itself), then the steps of each process: one step is one access to shared memory, and the order of the cases is the
// order of the program. What must never be stands in the function that the model names as fault.
//
// Models are short because they leave much out: a ring has a few units, a process one or two operations, and memory is
// sequentially consistent but where a model has store buffers. What they settle is the logic of an order of loads and stores. The
// stepped runs of package shmring take the real code through fewer orders; the two are each other's check.
//
// A model that finds nothing shows nothing, unless it can find something. So each has wrong variants: the same model with one
// mistake in it, which must fail.
package main
