package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/bus/topic"
	"github.com/mycelium-bus/mycelium/cmd/internal/cli"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func topicCommand(to *target) *cobra.Command {
	c := &cobra.Command{
		Use:   "topic",
		Short: "Create, list, inspect and delete topics",
		Example: "  myc-ctl topic create quotes --kind spmc --size 4MiB\n" +
			"  myc-ctl topic list '^market'\n" +
			"  myc-ctl topic inspect quotes",
	}
	c.AddCommand(createCommand(to), listCommand(to), inspectCommand(to), deleteCommand(to))
	return c
}

func createCommand(to *target) *cobra.Command {
	c := &cobra.Command{
		Use:   "create NAME",
		Short: "Create a topic",
		Long: `Create a topic. It stays until it is deleted or the machine restarts; topics of the broker's config are made again then.
Kind, routing, sizes and slots never change while a topic lives.`,
		Example: "  myc-ctl topic create quotes --kind spmc --size 4MiB\n" +
			"  myc-ctl topic create orders --routing queue --max-frame 4KiB --publish group:trading --subscribe '*'",
		Args: cobra.ExactArgs(1),
	}
	var config topic.Config
	f := c.Flags()
	f.TextVar(&config.Kind, "kind", topic.MPMC, "`spsc|spmc|mpsc|mpmc`: one or many producers, one or many reliable readers")
	f.TextVar(&config.Routing, "routing", topic.Fanout, "`fanout|queue`: every subscriber gets every message, or they share them")
	f.TextVar(&config.Size, "size", topic.DefaultSize, "the ring's `BYTES`, a power of two: 64KiB to 32GiB")
	f.TextVar(&config.MaxFrame, "max-frame", topic.Size(0), "`BYTES` of the largest message; default 64KiB, at most size/32 - 16")
	f.TextVar(&config.MaxClaim, "max-claim", topic.Size(0), "`BYTES` of the largest batch; default size/32")
	f.TextVar(&config.Credit, "credit", topic.Size(0), "most `BYTES` that a reliable subscriber may lag; default size/2")
	f.TextVar(&config.Slow, "slow", topic.Block, "`block|drop|evict`: what happens to a subscriber that holds publishers up")
	f.TextVar(&config.Patience, "patience", topic.DefaultPatience, "`TIME` that it may, before drop or evict")
	f.TextVar(&config.Types, "tlv-types", topic.TypeSet{}, "`TYPES` that may be published, like 1-19,106; default anything")
	f.TextVar(&config.Checksum, "checksum", topic.ChecksumPresent, "`present|require|skip`: what is made of messages' checksums")
	f.StringSliceVar(&config.Publish, "publish", nil, "`WHO` may publish: *, user:NAME, group:NAME; default the broker's user")
	f.StringSliceVar(&config.Subscribe, "subscribe", nil, "`WHO` may subscribe")
	f.StringSliceVar(&config.Blockers, "blockers", nil, "`WHO` may subscribe with block")
	f.TextVar(&config.Sleep, "sleep", topic.SleepAuto, "`auto|fence`: how sleepers learn of messages; fence for hosts with isolated cores")
	f.IntVar(&config.Producers, "producers", 0, "`N` producer slots; default 64, or the one of spsc and spmc")
	f.IntVar(&config.Consumers, "consumers", 0, "`N` consumer slots; default 1000")
	f.IntVar(&config.Groups, "groups", 0, "room for `N` queue groups; default 32")
	cli.CompleteFlag(c, "kind", "spsc", "spmc", "mpsc", "mpmc")
	cli.CompleteFlag(c, "routing", "fanout", "queue")
	cli.CompleteFlag(c, "slow", "block", "drop", "evict")
	cli.CompleteFlag(c, "sleep", "auto", "fence")
	cli.CompleteFlag(c, "checksum", "present", "require", "skip")
	c.RunE = func(c *cobra.Command, args []string) error {
		config.Name = args[0]
		if err := checkConfig(config, f); err != nil {
			return err
		}
		conn, err := to.dial(c)
		return with(conn, err, func(conn *bus.Conn) error {
			if err := conn.CreateTopic(c.Context(), config); err != nil {
				return err
			}
			full := config.WithDefaults()
			fmt.Fprintf(c.OutOrStdout(), "%s: created, %s %s, %s\n", full.Name, full.Kind, full.Routing, full.Size)
			return nil
		})
	}
	return c
}

// checkConfig tells every fault of what the command line says about a topic, and in the hint what would be right.
func checkConfig(config topic.Config, f *pflag.FlagSet) error {
	faults := topic.Faults(config.Validate())
	f.Visit(func(given *pflag.Flag) {
		if v := given.Value.String(); v == "0" || v == "0s" { // which the configuration would take for "not given"
			faults = append(faults, &topic.Fault{Key: given.Name, Value: v, Problem: "it is too small", Advice: "leave it out for the default"})
		}
	})
	var errs []error
	var hints []string
	for _, fault := range faults {
		key := strings.ReplaceAll(fault.Key, "_", "-")
		if f.Lookup(key) != nil {
			key = "--" + key
		}
		errs = append(errs, fmt.Errorf("%s %s: %s", key, fault.Value, fault.Problem))
		if fault.Advice != "" {
			hints = append(hints, key+": "+fault.Advice)
		}
	}
	if len(errs) == 0 {
		return nil
	}
	return cli.WithHint(cli.UsageError("%w", errors.Join(errs...)), "%s", strings.Join(hints, "\n"))
}

func deleteCommand(to *target) *cobra.Command {
	c := &cobra.Command{
		Use:   "delete NAME",
		Short: "Delete a topic, with the messages that are in it",
		Long: `Delete a topic, with the messages that are in it. Who is attached gets an error: readers after the last message,
publishers at their second message at the latest. Its memory goes back when the last handle is closed.`,
		Example:           "  myc-ctl topic delete quotes",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: to.completeTopic,
	}
	c.RunE = func(c *cobra.Command, args []string) error {
		conn, err := to.dial(c)
		return with(conn, err, func(conn *bus.Conn) error {
			if err := conn.DeleteTopic(c.Context(), args[0]); err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "%s: deleted\n", args[0])
			return nil
		})
	}
	return c
}

func listCommand(to *target) *cobra.Command {
	c := &cobra.Command{
		Use:     "list [REGEX]",
		Short:   "List the topics, all or those in whose name a regular expression is found",
		Example: "  myc-ctl topic list\n  myc-ctl topic list '^market|signals' -o json",
		Args:    cobra.MaximumNArgs(1),
	}
	output := cli.OutputFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		listed, err := cli.Filter(args)
		if err != nil {
			return err
		}
		conn, err := to.read(c)
		return with(conn, err, func(conn *bus.Conn) error {
			states, err := conn.Topics(c.Context())
			if err != nil {
				return err
			}
			list := []topicView{}
			for _, s := range states {
				if !listed(s.Config.Name) {
					continue
				}
				v, err := viewTopic(c.Context(), conn, s)
				if errors.Is(err, bus.ErrNoTopic) {
					continue // deleted meanwhile
				}
				list = append(list, v)
			}
			if output.String() == "json" {
				return cli.PrintJSON(c.OutOrStdout(), list)
			}
			none := "there are no topics"
			if len(args) > 0 && len(states) > 0 {
				none = fmt.Sprintf("no topic has %q in its name", args[0])
			}
			return printList(c.OutOrStdout(), list, none)
		})
	}
	return c
}

func printList(w io.Writer, list []topicView, none string) error {
	table := cli.NewTable("topic", "kind", "routing", ">size", ">max frame", ">messages", ">bytes", ">producers", ">consumers", "state")
	for _, v := range list {
		state := v.State
		if v.Fault != "" {
			state += ": " + v.Fault
		}
		if v.TailPosition == nil {
			table.Row(v.Name, v.Kind, v.Routing, topic.Size(v.Size), topic.Size(v.MaxFrame), "-", "-", "-", "-", state)
			continue
		}
		table.Row(v.Name, v.Kind, v.Routing, topic.Size(v.Size), topic.Size(v.MaxFrame), cli.Number(int64(*v.Messages)), cli.Size(*v.Bytes),
			len(v.Producers), len(v.Consumers), state)
	}
	return table.PrintOr(w, none)
}

func inspectCommand(to *target) *cobra.Command {
	c := &cobra.Command{
		Use:   "inspect NAME",
		Short: "Show a topic: sizes, counters, who publishes, who lags how far",
		Long: `Show a topic: sizes, counters, who publishes, who lags how far. Nobody who uses the topic notices. lag_messages is counted by a
walk over the ring; it is left out beyond 64 MiB and where messages were overwritten.

A live process that holds others up, as one does that is stopped, is "stalled": to tell that it does not move, this takes up to
2 s while somebody holds others up.`,
		Example:           "  myc-ctl topic inspect market_data\n  myc-ctl topic inspect market_data -o json",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: to.completeTopic,
	}
	output := cli.OutputFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		conn, err := to.read(c)
		return with(conn, err, func(conn *bus.Conn) error {
			v, err := findTopic(c.Context(), conn, args[0])
			if v.Name == "" {
				return err
			}
			if err == nil && v.State == "damaged" {
				err = damaged(v.Name, v.Fault)
			}
			// What can be read is printed all the same.
			if output.String() == "json" {
				return errors.Join(cli.PrintJSON(c.OutOrStdout(), v), err)
			}
			return errors.Join(v.print(c.OutOrStdout()), err)
		})
	}
	return c
}

// damaged says what is wrong with a topic's files.
func damaged(name, fault string) error {
	return cli.WithHint(fmt.Errorf("topic %q is damaged: %s", name, fault), "%s", cli.DamagedHint)
}

// findTopic looks at the topic of a name.
func findTopic(ctx context.Context, conn *bus.Conn, name string) (topicView, error) {
	states, err := conn.Topics(ctx)
	if err != nil {
		return topicView{}, err
	}
	for _, s := range states {
		if s.Config.Name != name {
			continue
		}
		stalls, lookErr := []bus.Stall(nil), error(nil)
		if s.State == "active" {
			stalls, lookErr = conn.Stalls(ctx, name)
		}
		v, err := viewTopic(ctx, conn, s)
		v.mark(stalls)
		if err == nil {
			err = lookErr
		}
		return v, err
	}
	return topicView{}, fmt.Errorf("inspect topic %q: %w", name, bus.ErrNoTopic)
}

func (v topicView) print(w io.Writer) error {
	fmt.Fprintf(w, "%s: %s\n", v.Name, v.verdict())
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "  %-9s %s\n", name, fmt.Sprintf(format, args...))
	}
	for _, p := range v.Producers {
		if p.Stall != nil {
			line(p.State, "%s (%s, %s): %s", p.ID, p.Client, p.Stall.process(p.PID), p.Stall)
		}
	}
	for _, s := range v.Consumers {
		if s.Stall != nil {
			line(s.State, "%s (%s, %s): %s", s.ID, s.Client, s.Stall.process(s.PID), s.Stall)
		}
	}
	line("topic", "%s %s, %s, messages of up to %s", v.Kind, v.Routing, topic.Size(v.Size), topic.Size(v.MaxFrame))
	if v.TailPosition == nil {
		return nil
	}
	slow := v.Slow
	if slow != topic.Block.String() {
		slow += fmt.Sprintf(" after %s", time.Duration(v.PatienceNs))
	}
	line("reliable", "%s, credit %s", slow, topic.Size(v.Credit))
	line("age", "%s", cli.Age(time.Since(time.Unix(0, int64(v.CreatedNs)))))
	line("published", "%s messages, %s", cli.Number(int64(*v.Messages)), cli.Size(*v.Bytes))
	line("tail", "position %d", *v.TailPosition)
	if len(v.Producers) > 0 {
		fmt.Fprintln(w)
		table := cli.NewTable("producer", "client", ">messages", ">bytes", ">back pressure", "state")
		for _, p := range v.Producers {
			table.Row(p.ID, p.Client, cli.Number(int64(p.Messages)), cli.Size(p.Bytes), cli.Age(time.Duration(p.BackPressuredNs)), p.State)
		}
		if err := table.Print(w); err != nil {
			return err
		}
	}
	if len(v.Consumers) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	table := cli.NewTable("consumer", "client", "mode", ">position", ">lag", ">messages behind", ">missed", ">laps", "state")
	for _, s := range v.Consumers {
		behind := "-"
		if s.LagMessages != nil {
			behind = cli.Number(*s.LagMessages)
		}
		mode := s.Mode
		if s.Group != nil {
			mode += " of " + *s.Group
		}
		table.Row(s.ID, s.Client, mode, s.Position, cli.Size(s.LagBytes), behind, cli.Size(s.MissedBytes), s.Laps, s.State)
	}
	return table.Print(w)
}
