package main

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/bus/topic"
	"github.com/mycelium-bus/mycelium/cmd/internal/cli"
	"github.com/spf13/cobra"
)

// groupView is a queue group as it is printed; its JSON keys are stable.
type groupView struct {
	Name           string       `json:"name"`
	ID             string       `json:"id"`
	State          string       `json:"state"` // starting, active, dropped
	Durable        bool         `json:"durable"`
	Keep           uint64       `json:"keep"`   // bytes
	Credit         uint64       `json:"credit"` // bytes
	MaxDeliver     int          `json:"max_deliver"`
	DeadLetter     string       `json:"dead_letter"` // "": none
	HeadPosition   uint64       `json:"head_position"`
	GatePosition   uint64       `json:"gate_position"`
	LagBytes       uint64       `json:"lag_bytes"`
	Unacknowledged uint64       `json:"unacknowledged_bytes"`
	Messages       uint64       `json:"messages"`
	Parked         int          `json:"parked"`
	LostBytes      uint64       `json:"lost_bytes"`
	Members        []memberView `json:"members"`
}

type memberView struct {
	ID             string `json:"id"`
	Client         string `json:"client"`
	PID            int    `json:"pid"`
	Position       uint64 `json:"position"`
	Unacknowledged uint64 `json:"unacknowledged_bytes"`
	Messages       uint64 `json:"messages"`
	State          string `json:"state"` // active, dead, orphan: messages that one left behind, for another to adopt
}

func groupCommand(to *target) *cobra.Command {
	c := &cobra.Command{
		Use:     "group",
		Short:   "Show the queue groups of a topic",
		Example: "  myc-ctl group list execution\n  myc-ctl group describe execution default",
	}
	c.AddCommand(groupListCommand(to), groupDescribeCommand(to))
	return c
}

func groupListCommand(to *target) *cobra.Command {
	c := &cobra.Command{
		Use:               "list TOPIC",
		Short:             "List a topic's groups: members, how far behind, what was parked and lost",
		Example:           "  myc-ctl group list execution\n  myc-ctl group list execution -o json",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: to.completeTopic,
	}
	output := cli.OutputFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		conn, err := to.read(c)
		return with(conn, err, func(conn *bus.Conn) error {
			list, err := viewGroups(c.Context(), conn, args[0])
			if err != nil {
				return err
			}
			if output.String() == "json" {
				return cli.PrintJSON(c.OutOrStdout(), list)
			}
			table := cli.NewTable("group", "kind", ">members", ">messages", ">lag", ">in hands", ">parked", ">lost", "state")
			for _, g := range list {
				table.Row(g.Name, g.kind(), len(g.Members), cli.Number(int64(g.Messages)), cli.Size(g.LagBytes), cli.Size(g.Unacknowledged), g.Parked,
					cli.Size(g.LostBytes), g.State)
			}
			return table.PrintOr(c.OutOrStdout(), fmt.Sprintf("topic %s has no groups", args[0]))
		})
	}
	return c
}

func groupDescribeCommand(to *target) *cobra.Command {
	c := &cobra.Command{
		Use:   "describe TOPIC [GROUP]",
		Short: "Show a topic's groups with their members, or one of them",
		Long: `Show a topic's groups with their members, or one of them. A member in state orphan is what one left behind that died or was
closed: messages that wait for another member.`,
		Example:           "  myc-ctl group describe execution\n  myc-ctl group describe execution default -o json",
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: to.completeGroup,
	}
	output := cli.OutputFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		conn, err := to.read(c)
		return with(conn, err, func(conn *bus.Conn) error {
			list, err := viewGroups(c.Context(), conn, args[0])
			if err != nil {
				return err
			}
			if len(args) == 2 {
				list = slices.DeleteFunc(list, func(g groupView) bool { return g.Name != args[1] })
				if len(list) == 0 {
					return noGroup(args[0], args[1])
				}
			}
			if output.String() == "json" {
				return cli.PrintJSON(c.OutOrStdout(), list)
			}
			for i, g := range list {
				if i > 0 {
					fmt.Fprintln(c.OutOrStdout())
				}
				if err := g.print(c.OutOrStdout()); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return c
}

func noGroup(topic, group string) error {
	return cli.WithHint(fmt.Errorf("topic %q has no group %q", topic, group), "`myc-ctl group list %s` shows those that there are", topic)
}

// viewGroups looks at a topic's groups and at who is in them.
func viewGroups(ctx context.Context, conn *bus.Conn, name string) ([]groupView, error) {
	groups, err := conn.Groups(ctx, name)
	if err != nil {
		return nil, err
	}
	info, err := conn.Inspect(ctx, name)
	if err != nil {
		return nil, err
	}
	config, err := configOf(ctx, conn, name)
	list := []groupView{}
	for _, g := range groups {
		v := groupView{Name: g.Name, ID: g.ID, State: g.State, Durable: g.Policy.Durable, Keep: g.Policy.Keep, Credit: g.Policy.Credit,
			MaxDeliver: g.Policy.MaxDeliver, DeadLetter: config.GroupOf(g.Name).DeadLetter, HeadPosition: g.Head, GatePosition: g.Gate,
			LagBytes: g.LagBytes, Unacknowledged: g.Unacknowledged, Messages: g.Messages, Parked: g.Parked, LostBytes: g.LostBytes,
			Members: []memberView{}}
		for _, m := range info.Consumers {
			if m.Group == g.Name {
				v.Members = append(v.Members, memberView{m.ID, m.Name, m.PID, m.Position, m.Unacknowledged, m.Messages, consumerState(m)})
			}
		}
		list = append(list, v)
	}
	return list, err
}

// configOf returns the configuration of a topic, with its defaults.
func configOf(ctx context.Context, conn *bus.Conn, name string) (topic.Config, error) {
	states, err := conn.Topics(ctx)
	for _, s := range states {
		if s.Config.Name == name {
			return s.Config.WithDefaults(), err
		}
	}
	return topic.Config{Name: name}.WithDefaults(), err
}

func (g groupView) kind() string {
	if g.Durable {
		return "durable"
	}
	return "ephemeral"
}

func (g groupView) print(w io.Writer) error {
	fmt.Fprintf(w, "%s: %s, %s, %s behind\n", g.Name, g.State, count(len(g.Members), "member"), cli.Size(g.LagBytes))
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "  %-9s %s\n", name, fmt.Sprintf(format, args...))
	}
	line("kind", "%s, credit %s, keeps %s without a member", g.kind(), topic.Size(g.Credit), topic.Size(g.Keep))
	letters := "listed only"
	if g.DeadLetter != "" {
		letters = "published to " + g.DeadLetter
	}
	line("parks", "after %d deliveries, %s: %d so far", g.MaxDeliver, letters, g.Parked)
	line("handed", "out %s messages, %s are in hands", cli.Number(int64(g.Messages)), cli.Size(g.Unacknowledged))
	line("lost", "%s", cli.Size(g.LostBytes))
	line("head", "position %d", g.HeadPosition)
	if len(g.Members) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	table := cli.NewTable("member", "client", ">position", ">in hands", ">messages", "state")
	for _, m := range g.Members {
		table.Row(m.ID, m.Client, m.Position, cli.Size(m.Unacknowledged), cli.Number(int64(m.Messages)), m.State)
	}
	return table.Print(w)
}
