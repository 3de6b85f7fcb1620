// Package dex answers what happened on a decentralised exchange and whether it left a profit behind: events
// of pools read from files or made up, their form on the bus, and the arithmetic of two-pool cycles.
//
// An [Event] is one Swap, Mint, Burn or Sync of one pool. It comes from a [Source]:
//
//	*.raw.csv[.gz]      logs as a node returns them: topics and ABI words ([OpenFile], abi.go, raw.go)
//	*.events.csv[.gz]   the same, decoded to columns (decoded.go), or taken from traces (trace.go)
//	NewSynthetic(seed)  a market that is made up, with a known number of cycles in it (synthetic.go)
//
// A [Merge] plays many sources as one, in the order of chain, block and log index. An [Encoder] turns events into bus
// messages and [Received] turns them back; a [Finder] follows the pools' states and reports each [Cycle].
//
//	Source... -> Merge -> Encoder -> (bus) -> Received -> Finder -> Cycle.Signal -> (bus)
//
// Numbers of the chain stay exact: [Amount] holds everything between -(2^256-1) and 2^256-1. Floating point begins
// where the chain's own arithmetic ends, in cycle.go.
//
// Read in this order: event.go, amount.go, abi.go, raw.go, merge.go, publish.go, cycle.go.
package dex
