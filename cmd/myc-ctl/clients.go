package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/cmd/internal/cli"
	"github.com/spf13/cobra"
)

// clientView is a client as it is printed; its JSON keys are stable.
type clientView struct {
	Name     string     `json:"name"`
	Software string     `json:"software"`
	PID      int        `json:"pid"`
	UID      *int       `json:"uid"` // null without a broker
	GID      *int       `json:"gid"`
	SinceNs  int64      `json:"since_ns"`
	Slots    []slotView `json:"slots"`
}

type slotView struct {
	Topic string `json:"topic"`
	Role  string `json:"role"` // producer or consumer
	Slot  int    `json:"slot"`
}

func clientsCommand(to *target) *cobra.Command {
	c := &cobra.Command{
		Use:   "clients [REGEX]",
		Short: "List who is connected, and what each uses",
		Long: `List who is connected to the broker, and what each uses: all, or those in whose name a regular expression is found. Without
a broker, the processes that are attached to a topic are listed, as their handles name them.`,
		Example: "  myc-ctl clients\n  myc-ctl clients '^(feed|flash-arbitrage)$' -o json",
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
			clients, err := conn.Clients(c.Context())
			if err != nil {
				return err
			}
			clients = slices.DeleteFunc(clients, func(cl bus.Client) bool { return !listed(cl.Name) })
			if output.String() == "json" {
				return cli.PrintJSON(c.OutOrStdout(), clientViews(clients))
			}
			table := cli.NewTable("client", ">pid", ">uid", ">since", "uses", "software")
			for _, cl := range clients {
				uid := "-"
				if cl.UID >= 0 {
					uid = fmt.Sprint(cl.UID)
				}
				table.Row(cl.Name, cl.PID, uid, cli.Age(time.Since(cl.Since)), uses(cl.Slots), cl.Software)
			}
			return table.Print(c.OutOrStdout())
		})
	}
	return c
}

func clientViews(clients []bus.Client) []clientView {
	list := []clientView{}
	for _, cl := range clients {
		v := clientView{Name: cl.Name, Software: cl.Software, PID: cl.PID, SinceNs: cl.Since.UnixNano(), Slots: []slotView{}}
		if cl.UID >= 0 {
			v.UID, v.GID = &cl.UID, &cl.GID
		}
		for _, s := range cl.Slots {
			v.Slots = append(v.Slots, slotView(s))
		}
		list = append(list, v)
	}
	return list
}

// uses lists slots as people read them: "market_data p0 c3".
func uses(slots []bus.Slot) string {
	var b strings.Builder
	last := ""
	for _, s := range slots {
		if s.Topic != last {
			if last != "" {
				b.WriteString(", ")
			}
			b.WriteString(s.Topic)
			last = s.Topic
		}
		fmt.Fprintf(&b, " %s%d", s.Role[:1], s.Slot)
	}
	return b.String()
}
