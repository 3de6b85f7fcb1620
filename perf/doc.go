// Package perf answers the question "how fast is the bus on this machine, and how near is that to what the machine can do?".
// It is the library behind bin/myc-perf.
//
// A measurement is a number of runs. Each run starts two worker processes, pins all their threads to a CPU each, and lets
// them do the same steps at once:
//
//	attach      make the topics' handles, from files that only this run has
//	floor       bounce cache lines: one (are the cores near or far?), then as many as the frame has
//	workload    round trips, one way, or a stream
//	floor       once more
//
// The floor is the least that a message can cost: the same two processes hand bare cache lines to each other, with the same
// clock and nothing else. Only the ratio to it can be compared between machines, or between two runs on a virtual one
// whose host moves its cores.
//
// A message counts when it was received and checked: its sequence number, and the sum of all words of its payload. The first
// tenth of each workload warms up and does not count.
//
// Read in this order: options.go, pair.go and worker.go (two processes), layer.go (what is measured), payload.go, then
// floor.go, latency.go, throughput.go; codec.go stands apart, in one process.
package perf
