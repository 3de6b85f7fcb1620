// Command myc-perf measures the bus on this machine, between two pinned processes, beside what the machine itself can do.
package main

import (
	"github.com/mycelium-bus/mycelium/cmd/internal/cli"
	"github.com/mycelium-bus/mycelium/perf"
	"github.com/spf13/cobra"
)

func main() { cli.Main(newCommand()) }

func newCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "myc-perf",
		Short: "Measure latency, throughput and wake-ups of the bus on this machine",
		Long: `Measure latency and throughput of the bus on this machine.

Two processes, each pinned to a CPU, exchange messages through topics of their own in /dev/shm; no broker is needed and
nothing is left behind. Only messages that were received and checked count, and the first tenth of them warms up. Each run
also measures the floor: as many bare cache lines as a message's frame has, bounced between the same two processes.
Compare the ratio to the floor; the nanoseconds depend on where the machine's cores happen to lie (near: they share a
cache; far: they do not).`,
		Example: "  myc-perf latency\n" +
			"  myc-perf latency --one-way --rate 1000000 --hgrm oneway.hgrm\n" +
			"  myc-perf throughput --kind mpmc --size 256 --repeat 5 -o json",
	}
	root.PersistentFlags().String("socket", "", "measure through topics that the broker at `PATH` makes for the run; without it no broker is asked, whatever $MYC_SOCKET says")
	root.AddCommand(latencyCommand(), throughputCommand(), wakeCommand(), codecCommand(), workerCommand())
	return root
}

// workerCommand is how the program runs itself as one of the two processes.
func workerCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "worker",
		Short:  "Be one of the two processes of a measurement",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return perf.Worker(c.InOrStdin(), c.OutOrStdout())
		},
	}
}
