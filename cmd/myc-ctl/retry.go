package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/cmd/internal/cli"
	"github.com/spf13/cobra"
)

// retriedView is what became of a parked message that was to be delivered again; its JSON keys are stable.
type retriedView struct {
	Number   uint64 `json:"number"`
	Group    string `json:"group"`
	Position uint64 `json:"position"`
	Outcome  string `json:"outcome"` // handled; waiting: the group has it, and no member has handled it yet; parked: it stays so; gone: it was not listed any more
	Error    string `json:"error,omitempty"`
}

func retryCommand(to *target) *cobra.Command {
	c := &cobra.Command{
		Use:   "retry TOPIC GROUP [POSITION...]",
		Short: "Deliver parked messages again, to the group that gave them up",
		Long: `Deliver parked messages again, to the group that gave them up and to nobody else: those at the positions that are named, or --all. A
member gets each marked as redelivered, before it takes anything new; its deliveries count from the beginning, so that one that fails
again is parked again. It leaves the list once the group has it.

One after the other is handed over, and waited for; while one waits, publishers are held up by it as by any message that the group has not
handled. Who dies in between, this program included, may have a message delivered twice, and never lost. What was overwritten in the
ring cannot be delivered again: where the group has a dead-letter topic, it was published there.`,
		Example: "  myc-ctl parked retry execution default 1048640\n  myc-ctl parked retry execution default --all -o json",
		Args:    cobra.MinimumNArgs(2),
	}
	all := c.Flags().Bool("all", false, "all that the group has parked")
	wait := c.Flags().Duration("wait", 30*time.Second, "wait at most this `TIME` until the group has handled them")
	output := cli.OutputFlag(c)
	c.ValidArgsFunction = to.completeGroup
	c.RunE = func(c *cobra.Command, args []string) error {
		positions, err := parsePositions(args[2:])
		if err != nil {
			return err
		}
		if *all == (len(positions) > 0) {
			return cli.UsageError("either positions or --all say which messages are meant")
		}
		conn, err := to.read(c)
		return with(conn, err, func(conn *bus.Conn) error {
			found, err := findParked(c.Context(), conn, args[0], args[1], positions)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(c.Context(), *wait)
			defer cancel()
			retried, err := conn.RetryParked(ctx, args[0], found...)
			if errors.Is(err, context.DeadlineExceeded) {
				err = cli.WithHint(fmt.Errorf("the group has not handled them all in %s", *wait), "`myc-ctl group describe %s %s` shows who is in it", args[0], args[1])
			}
			views := []retriedView{}
			for _, r := range retried {
				views = append(views, viewRetried(r))
				switch {
				case err != nil || r.Err == nil:
				case errors.Is(r.Err, bus.ErrNotParked):
					err = cli.WithHint(errors.New("some were not parked any more"), "somebody else has retried them, or newer ones took their places in the list")
				default:
					err = cli.WithHint(errors.New("some stay parked"), "what was overwritten is gone from the ring: a dead-letter topic keeps what is parked")
				}
			}
			if output.String() == "json" {
				return errors.Join(cli.PrintJSON(c.OutOrStdout(), views), err)
			}
			return errors.Join(printRetried(c.OutOrStdout(), views, len(found)), err)
		})
	}
	return c
}

func parsePositions(args []string) ([]uint64, error) {
	var positions []uint64
	for _, arg := range args {
		p, err := strconv.ParseUint(arg, 10, 64)
		if err != nil {
			return nil, cli.WithHint(cli.UsageError("%q is not a position", arg), "`myc-ctl parked list TOPIC` shows them")
		}
		positions = append(positions, p)
	}
	return positions, nil
}

// findParked returns what a group has parked: all, or at the positions.
func findParked(ctx context.Context, conn *bus.Conn, topic, group string, positions []uint64) ([]bus.Parked, error) {
	parked, _, err := conn.Parked(ctx, topic)
	if err != nil {
		return nil, err
	}
	var found []bus.Parked
	for _, p := range parked {
		if p.GroupName == group && (positions == nil || slices.Contains(positions, p.Position)) {
			found = append(found, p)
		}
	}
	if len(found) == 0 {
		groups, err := conn.Groups(ctx, topic)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(groups, func(g bus.GroupInfo) bool { return g.Name == group }) {
			return nil, noGroup(topic, group)
		}
	}
	for _, at := range positions {
		if !slices.ContainsFunc(found, func(p bus.Parked) bool { return p.Position == at }) {
			return nil, cli.WithHint(fmt.Errorf("group %q of topic %q has parked nothing at %d", group, topic, at), "`myc-ctl parked list %s` shows what is parked", topic)
		}
	}
	return found, nil
}

func viewRetried(r bus.Retried) retriedView {
	v := retriedView{r.Parked.Number, r.Parked.GroupName, r.Parked.Position, "waiting", ""}
	switch {
	case errors.Is(r.Err, bus.ErrNotParked):
		v.Outcome, v.Error = "gone", r.Err.Error()
	case r.Err != nil:
		v.Outcome, v.Error = "parked", r.Err.Error()
	case r.Handled:
		v.Outcome = "handled"
	}
	return v
}

func printRetried(w io.Writer, views []retriedView, wanted int) error {
	handled := 0
	table := cli.NewTable(">number", "group", ">position", "outcome")
	for _, v := range views {
		outcome := v.Outcome
		if v.Error != "" {
			outcome += ": " + v.Error
		}
		if v.Outcome == "handled" {
			handled++
		}
		table.Row(v.Number, v.Group, v.Position, outcome)
	}
	if _, err := fmt.Fprintf(w, "%d of %s handled\n", handled, count(wanted, "message")); err != nil || len(views) == 0 {
		return err
	}
	return table.Print(w)
}

// completeGroup completes a topic, then one of its groups.
func (t *target) completeGroup(c *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
	if len(args) != 1 {
		return t.completeTopic(c, args, toComplete)
	}
	var names []string
	c.SetErr(io.Discard)
	conn, err := t.read(c)
	_ = with(conn, err, func(conn *bus.Conn) error {
		groups, err := conn.Groups(c.Context(), args[0])
		for _, g := range groups {
			names = append(names, g.Name)
		}
		return err
	})
	return names, cobra.ShellCompDirectiveNoFileComp
}
