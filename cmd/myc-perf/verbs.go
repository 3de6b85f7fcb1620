package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/mycelium-bus/mycelium/cmd/internal/cli"
	"github.com/mycelium-bus/mycelium/perf"
	"github.com/spf13/cobra"
)

func latencyCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "latency",
		Short: "Measure round trips, or one-way times at a fixed rate",
		Long: `Measure round trips through two topics: a message is sent when the last one has come back (closed loop).

With --one-way messages are sent at a fixed rate, whatever happens (open loop); a time runs from the moment when the message
was due to its arrival, so that a stall counts for every message that it held up. ratio_to_floor is then over half of the
floor's round trip.

Times include one reading of the clock, in the floor as well; ratio_without_clock takes it off both.`,
		Example: "  myc-perf latency\n" +
			"  myc-perf latency --kind mpmc --size 256 --layer shmring\n" +
			"  myc-perf latency --one-way --rate 1000000 --repeat 5 --hlog oneway.hlog -o json",
		Args: cobra.NoArgs,
	}
	w := addWorkloadFlags(c)
	c.Flags().BoolVar(&w.options.OneWay, "one-way", false, "measure one way instead of round trips")
	c.Flags().Float64Var(&w.options.Rate, "rate", 100_000, "messages a second, one way: `N`")
	hgrm := c.Flags().String("hgrm", "", "write the percentile distribution of all runs to `FILE`")
	hlog := c.Flags().String("hlog", "", "write a histogram log, an interval for each run, to `FILE`")
	output := cli.OutputFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		o, err := w.parse(c)
		if err != nil {
			return err
		}
		if c.Flags().Changed("rate") && !o.OneWay {
			return cli.WithHint(cli.UsageError("--rate goes with --one-way"), "a round trip begins when the last one has ended, at no fixed rate")
		}
		for _, path := range []string{*hgrm, *hlog} { // before the time is spent
			if err := writeFile(path, func(io.Writer) error { return nil }); err != nil {
				return err
			}
		}
		r, err := perf.Latency(c.Context(), o)
		if err != nil {
			return explain(err, &o)
		}
		if err := errors.Join(writeFile(*hgrm, r.WriteHgrm), writeFile(*hlog, r.WriteHlog)); err != nil {
			return err
		}
		if output.String() == "json" {
			return cli.PrintJSON(c.OutOrStdout(), r)
		}
		return printReport(c.OutOrStdout(), r.Title(), r.Table(), r.Verdict())
	}
	return c
}

func throughputCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "throughput",
		Short: "Measure how many messages a second one process takes from another",
		Long: `Measure how many messages a second one process takes from another and checks. The ring is usually full: the producer always
has the next message ready.`,
		Example: "  myc-perf throughput\n" +
			"  myc-perf throughput --kind mpmc --batch 16 --ring 16MiB\n" +
			"  myc-perf throughput --size 4096 --send claim --repeat 5 -o json",
		Args: cobra.NoArgs,
	}
	w := addWorkloadFlags(c)
	c.Flags().IntVar(&w.options.Batch, "batch", 1, "`N` messages written in place and committed together")
	output := cli.OutputFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		o, err := w.parse(c)
		if err != nil {
			return err
		}
		r, err := perf.Throughput(c.Context(), o)
		if err != nil {
			return explain(err, &o)
		}
		if output.String() == "json" {
			return cli.PrintJSON(c.OutOrStdout(), r)
		}
		return printReport(c.OutOrStdout(), r.Title(), r.Table(), r.Verdict())
	}
	return c
}

func wakeCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "wake",
		Short: "Measure what sleeping costs: the sleeper, the message, the publisher",
		Long: `Measure what it costs to sleep until a message comes.

The wake-up: from before the publication to the message in the hands of a subscription that slept, beside a bare store and
futex wake-up between the same two processes, in slices by turns. Idling: the share of a core that one subscription, and
many in one process, use while nothing comes. Publishing: the processor time of the publisher's thread for each message, with
nobody subscribed, with one subscription that spins, and with a crowd that sleeps whenever it has caught up; and for a message that wakes the whole crowd. Every
message to the sleeper is checked, and the crowd must have seen the last one.`,
		Example: "  myc-perf wake\n" +
			"  myc-perf wake --sleepers 10 --count 10000 --repeat 5 -o json",
		Args: cobra.NoArgs,
	}
	o := perf.WakeOptions{}
	f := c.Flags()
	kind := cli.ChoiceFlag(c, f, "kind", "", "the topic's kind", "spmc", "mpmc")
	f.IntVar(&o.Size, "size", 64, "payload of a message in `BYTES`, a multiple of 8")
	f.IntVar(&o.Count, "count", 2000, "`N` wake-ups in each run")
	f.IntVar(&o.Sleepers, "sleepers", 100, "`N` subscriptions in the crowd")
	f.IntVar(&o.Idlers, "idlers", 1000, "`N` subscriptions that idle")
	f.IntVar(&o.Messages, "messages", 2_000_000, "`N` messages published without a break")
	f.DurationVar(&o.Idle, "idle-for", 2*time.Second, "measure idling for this `TIME`")
	f.DurationVar(&o.Every, "every", 300*time.Microsecond, "`TIME` between two messages to a sleeper")
	f.IntVar(&o.Repeat, "repeat", 3, "`N` runs, each with new processes and files")
	cpus := f.String("cpus", "", "the two CPUs to pin to, `A,B`, or none; default the first two that may be used")
	output := cli.OutputFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) (err error) {
		o.Kind, o.Stderr = kind.String(), c.ErrOrStderr()
		if f := c.Flags().Lookup("socket"); f.Changed {
			o.Socket = f.Value.String()
		}
		if o.CPUs, err = parseCPUs(*cpus); err != nil {
			return cli.UsageError("--cpus %s: %w", *cpus, err)
		}
		r, err := perf.Wake(c.Context(), o)
		if err != nil {
			return explain(err, &o.Options)
		}
		if output.String() == "json" {
			return cli.PrintJSON(c.OutOrStdout(), r)
		}
		return printReport(c.OutOrStdout(), r.Title(), r.Table(), r.Verdict())
	}
	return c
}

func codecCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "codec",
		Short:   "Measure building and parsing of messages, on one core",
		Long:    `Measure building and parsing of a Trade and a PoolSwap, on one core, without a topic.`,
		Example: "  myc-perf codec\n  myc-perf codec --count 1000000 -o json",
		Args:    cobra.NoArgs,
	}
	var o perf.CodecOptions
	c.Flags().IntVar(&o.Count, "count", 5_000_000, "`N` messages in each measurement")
	c.Flags().IntVar(&o.Repeat, "repeat", 3, "`N` times each")
	c.Flags().IntVar(&o.CPU, "cpu", perf.Unpinned, "the CPU `N` to pin to; -1 is none")
	output := cli.OutputFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		r, err := perf.Codec(c.Context(), o)
		if err != nil {
			return explain(err, &perf.Options{})
		}
		if output.String() == "json" {
			return cli.PrintJSON(c.OutOrStdout(), r)
		}
		return printReport(c.OutOrStdout(), "", r.Table(), "")
	}
	return c
}

// writeFile writes what write writes to the file at path; to none if path is empty.
func writeFile(path string, write func(io.Writer) error) error {
	if path == "" {
		return nil
	}
	f, err := os.Create(path)
	if err != nil {
		return cli.WithHint(err, "name a file that can be written, in a directory that is there")
	}
	if err := write(f); err != nil {
		f.Close()
		return fmt.Errorf("write %s: %w", path, err)
	}
	return f.Close()
}

func printReport(w io.Writer, title string, rows [][]string, verdict string) error {
	s := cli.Styled(w)
	if verdict != "" {
		fmt.Fprintln(w, s.Bold(verdict))
	}
	if title != "" {
		fmt.Fprintln(w, title)
		fmt.Fprintln(w)
	}
	t := cli.NewTable(rows[0]...)
	for _, row := range rows[1:] {
		cells := make([]any, len(row))
		for i, c := range row {
			cells[i] = c
		}
		t.Row(cells...)
	}
	return t.Print(w)
}
