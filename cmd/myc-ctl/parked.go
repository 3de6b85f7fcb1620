package main

import (
	"time"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/cmd/internal/cli"
	"github.com/spf13/cobra"
)

// parkedView is a parked message as it is printed; its JSON keys are stable.
type parkedView struct {
	Number     uint64 `json:"number"`
	Group      string `json:"group"`
	Position   uint64 `json:"position"`
	Bytes      int    `json:"bytes"`
	Deliveries int    `json:"deliveries"`
	AtNs       int64  `json:"at_ns"`
}

// lossView is a loss as it is printed; its JSON keys are stable.
type lossView struct {
	Who   string `json:"who"`
	Name  string `json:"name"`
	From  uint64 `json:"from_position"`
	To    uint64 `json:"to_position"`
	Bytes uint64 `json:"bytes"`
	AtNs  int64  `json:"at_ns"`
}

func parkedCommand(to *target) *cobra.Command {
	c := &cobra.Command{
		Use:     "parked",
		Short:   "Show the messages that a topic's groups gave up on, and deliver them again",
		Example: "  myc-ctl parked list execution\n  myc-ctl parked retry execution default --all",
	}
	list := &cobra.Command{
		Use:   "list TOPIC",
		Short: "List the parked messages, oldest first",
		Long: `List the messages that were delivered to a group max_deliver times and not handled, oldest first: the newest 1,024. As long as
it was not overwritten, myc-ctl sub TOPIC --from POSITION --count 1 prints one.`,
		Example:           "  myc-ctl parked list execution\n  myc-ctl parked list execution -o json",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: to.completeTopic,
	}
	output := cli.OutputFlag(list)
	list.RunE = func(c *cobra.Command, args []string) error {
		conn, err := to.read(c)
		return with(conn, err, func(conn *bus.Conn) error {
			parked, total, err := conn.Parked(c.Context(), args[0])
			if err != nil {
				return err
			}
			noteLeftOut(c, min(parkedKept, total), total, "parked messages")
			views := []parkedView{}
			table := cli.NewTable(">number", "group", ">position", ">bytes", ">deliveries", ">ago")
			for _, p := range parked {
				views = append(views, parkedView{p.Number, p.GroupName, p.Position, p.Bytes, p.Deliveries, p.At.UnixNano()})
				table.Row(p.Number, p.GroupName, p.Position, p.Bytes, p.Deliveries, cli.Age(time.Since(p.At)))
			}
			if output.String() == "json" {
				return cli.PrintJSON(c.OutOrStdout(), views)
			}
			return table.PrintOr(c.OutOrStdout(), "nothing is parked")
		})
	}
	c.AddCommand(list, retryCommand(to))
	return c
}

func lossesCommand(to *target) *cobra.Command {
	c := &cobra.Command{
		Use:   "losses TOPIC",
		Short: "List what subscribers and groups of a topic missed",
		Long: `List what subscribers and groups of a topic missed, oldest first: the newest 256. Positions and bytes are of the ring, headers and
padding included.`,
		Example:           "  myc-ctl losses market_data\n  myc-ctl losses market_data -o json",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: to.completeTopic,
	}
	output := cli.OutputFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		conn, err := to.read(c)
		return with(conn, err, func(conn *bus.Conn) error {
			losses, total, err := conn.Losses(c.Context(), args[0])
			if err != nil {
				return err
			}
			noteLeftOut(c, uint64(len(losses)), total, "losses")
			views := []lossView{}
			table := cli.NewTable("who", "name", ">from", ">to", ">bytes", ">ago")
			for _, l := range losses {
				views = append(views, lossView{l.ID(), l.Name, l.From, l.To, l.Bytes(), l.At.UnixNano()})
				table.Row(l.ID(), l.Name, l.From, l.To, cli.Size(l.Bytes()), cli.Age(time.Since(l.At)))
			}
			if output.String() == "json" {
				return cli.PrintJSON(c.OutOrStdout(), views)
			}
			return table.PrintOr(c.OutOrStdout(), "nobody has missed anything")
		})
	}
	return c
}

// parkedKept is how many parked messages the list has room for; those that were retried are in it no more.
const parkedKept = 1024

// noteLeftOut says that a list holds only the newest of what there was.
func noteLeftOut(c *cobra.Command, listed, total uint64, what string) {
	if total > listed {
		cli.Note(c, "%d older %s are no longer listed", total-listed, what)
	}
}
