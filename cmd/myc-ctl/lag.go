package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/cmd/internal/cli"
	"github.com/spf13/cobra"
)

// lagView is how far a consumer or a group is behind, as it is printed; its JSON keys are stable.
type lagView struct {
	Topic       string  `json:"topic"`
	Kind        string  `json:"kind"` // subscription, group, member
	ID          string  `json:"id"`
	Client      string  `json:"client"` // of a group: its name
	Group       *string `json:"group"`  // of a member
	Mode        string  `json:"mode"`   // block, drop, evict, lossy; durable, ephemeral; member, orphan
	Position    uint64  `json:"position"`
	LagBytes    uint64  `json:"lag_bytes"`
	LagMessages *int64  `json:"lag_messages"` // null beyond 64 MiB, and where it cannot be told
	OldestAgeNs *int64  `json:"oldest_age_ns"`
	Credit      uint64  `json:"credit"` // bytes; of a group without members what it keeps
	MissedBytes uint64  `json:"missed_bytes"`
	State       string  `json:"state"`
}

func lagCommand(to *target) *cobra.Command {
	c := &cobra.Command{
		Use:   "lag [TOPIC]",
		Short: "Show how far each consumer and group is behind",
		Long: `Show how far each consumer and group is behind the newest message: of a topic, of the topics in whose name a regular expression is
found, or of all, the furthest first. Nobody notices. "oldest" is the age of the first message that it has not handled, by the message's
own time stamp; "credit" is how many bytes it may be behind before publishers wait for it. A group is as far behind as its oldest message
that nobody has acknowledged. myc-ctl why TOPIC tells who holds publishers up.`,
		Example:           "  myc-ctl lag\n  myc-ctl lag execution -o json",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: to.completeTopic,
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
			if len(args) == 1 && slices.ContainsFunc(states, func(s bus.TopicState) bool { return s.Config.Name == args[0] }) {
				listed = func(name string) bool { return name == args[0] } // itself, and not others in whose name it is found
			}
			list, found, failed := []lagView{}, false, error(nil)
			for _, s := range states {
				if !listed(s.Config.Name) {
					continue
				}
				found = true
				lags, err := lagsOf(c.Context(), conn, s)
				list = append(list, lags...)
				if !errors.Is(err, bus.ErrNoTopic) { // deleted meanwhile
					failed = errors.Join(failed, err)
				}
			}
			if !found && len(args) == 1 {
				return fmt.Errorf("%w: none in whose name %q is found", bus.ErrNoTopic, args[0])
			}
			slices.SortStableFunc(list, func(a, b lagView) int { return cmp.Compare(b.LagBytes, a.LagBytes) })
			if output.String() == "json" {
				return errors.Join(cli.PrintJSON(c.OutOrStdout(), list), failed)
			}
			return errors.Join(printLags(c.OutOrStdout(), list), failed)
		})
	}
	return c
}

// lagsOf looks at a topic's consumers and groups.
func lagsOf(ctx context.Context, conn *bus.Conn, s bus.TopicState) ([]lagView, error) {
	v, err := viewTopic(ctx, conn, s)
	if v.TailPosition == nil {
		if err == nil && s.Fault != "" {
			err = damaged(v.Name, v.Fault)
		}
		return nil, err
	}
	groups, groupErr := conn.Groups(ctx, v.Name)
	var list []lagView
	var positions []uint64
	for _, g := range groups {
		l := lagView{Topic: v.Name, Kind: "group", ID: g.ID, Client: g.Name, Mode: "ephemeral", Position: g.Gate, LagBytes: g.LagBytes,
			Credit: g.Policy.Credit, MissedBytes: g.LostBytes, State: g.State}
		if g.Policy.Durable {
			l.Mode = "durable"
		}
		if g.Members == 0 && g.State == "active" {
			l.State, l.Credit = "without members", g.Policy.Keep
		}
		list = append(list, l)
		positions = append(positions, g.Gate)
	}
	counts, countErr := conn.CountMessages(ctx, v.Name, *v.TailPosition, positions...)
	for i := range list {
		if i < len(counts) && counts[i] >= 0 && list[i].LagBytes <= walkAtMost {
			list[i].LagMessages = &counts[i]
		}
	}
	for _, c := range v.Consumers {
		l := lagView{Topic: v.Name, Kind: "subscription", ID: c.ID, Client: c.Client, Group: c.Group, Mode: c.Mode, Position: c.Position,
			LagBytes: c.LagBytes, LagMessages: c.LagMessages, Credit: c.Credit, MissedBytes: c.MissedBytes, State: c.State}
		if c.Group != nil {
			l.Kind = "member"
		}
		list = append(list, l)
		positions = append(positions, c.Position)
	}
	made, madeErr := conn.Written(ctx, v.Name, positions...)
	for i := range made {
		if !made[i].IsZero() && list[i].LagBytes > 0 {
			age := max(time.Since(made[i]), 0).Nanoseconds()
			list[i].OldestAgeNs = &age
		}
	}
	if errors.Is(countErr, bus.ErrCorrupt) {
		countErr = nil // the lags stay null; `myc-tools verify` says what is wrong
	}
	return list, errors.Join(err, groupErr, countErr, madeErr)
}

func printLags(w io.Writer, list []lagView) error {
	table := cli.NewTable("topic", "id", "client or group", "mode", ">lag", ">messages", ">oldest", ">credit", ">missed", "state")
	behind := 0
	for _, l := range list {
		messages, oldest := "-", "-"
		if l.LagMessages != nil {
			messages = cli.Number(*l.LagMessages)
		}
		if l.OldestAgeNs != nil {
			oldest = cli.Age(time.Duration(*l.OldestAgeNs))
		}
		mode := l.Mode
		if l.Group != nil {
			mode += " of " + *l.Group
		}
		if l.LagBytes > 0 {
			behind++
		}
		table.Row(l.Topic, l.ID, l.Client, mode, cli.Size(l.LagBytes), messages, oldest, cli.Size(l.Credit), cli.Size(l.MissedBytes), l.State)
	}
	verdict := "nobody is attached"
	switch {
	case behind > 0:
		first := list[0]
		verdict = fmt.Sprintf("%d of %d behind, the furthest is %s (%s of %s) by %s", behind, len(list), first.Client, first.ID, first.Topic, cli.Size(first.LagBytes))
		if first.OldestAgeNs != nil {
			verdict += ", " + cli.Age(time.Duration(*first.OldestAgeNs))
		}
	case len(list) > 0:
		verdict = "nobody is behind"
	}
	if _, err := fmt.Fprintln(w, verdict); err != nil || len(list) == 0 {
		return err
	}
	return table.Print(w)
}
