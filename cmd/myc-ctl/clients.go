package main

import (
	"fmt"
	"io"
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

	State  string        `json:"state"` // active; stalled: one of its handles holds others up
	Stalls []clientStall `json:"stalls"`
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
a broker, the processes that are attached to a topic are listed, as their handles name them.

A client that holds others up, as one does whose process is stopped, is "stalled": to tell that it does not move, this takes up to
2 s while somebody holds others up.`,
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
			stalls := findStalls(c.Context(), conn, clients, func(topic string, err error) {
				cli.Note(c, "whether somebody holds up topic %s cannot be told: %v", topic, err)
			})
			if err := c.Context().Err(); err != nil {
				return err
			}
			views := clientViews(clients, stalls)
			if output.String() == "json" {
				return cli.PrintJSON(c.OutOrStdout(), views)
			}
			return printClients(c.OutOrStdout(), conn.Broker(), views)
		})
	}
	return c
}

func clientViews(clients []bus.Client, stalls slotStalls) []clientView {
	list := []clientView{}
	for _, cl := range clients {
		v := clientView{Name: cl.Name, Software: cl.Software, PID: cl.PID, SinceNs: cl.Since.UnixNano(), Slots: []slotView{},
			State: "active", Stalls: stalls.of(cl)}
		if len(v.Stalls) > 0 {
			v.State = "stalled"
		}
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

func printClients(w io.Writer, broker string, clients []clientView) error {
	var b strings.Builder
	stalled := 0
	table := cli.NewTable("client", ">pid", ">uid", ">since", "uses", "state", "software")
	for _, cl := range clients {
		uid := "-"
		if cl.UID != nil {
			uid = fmt.Sprint(*cl.UID)
		}
		table.Row(cl.Name, cl.PID, uid, cli.Age(time.Since(time.Unix(0, cl.SinceNs))), uses(cl.Slots), cl.State, cl.Software)
		if len(cl.Stalls) > 0 {
			stalled++
		}
		for _, s := range cl.Stalls {
			fmt.Fprintf(&b, "  stalled   %s of %s (%s, %s): %s\n", s.ID, s.Topic, cl.Name, s.process(cl.PID), s.stallView)
		}
	}
	verdict := count(len(clients), "client")
	if stalled > 0 {
		verdict += fmt.Sprintf(", %d of them stalled", stalled)
	}
	if broker != "" {
		verdict += "; served by " + broker
	}
	if _, err := fmt.Fprintf(w, "%s\n%s\n", verdict, &b); err != nil {
		return err
	}
	return table.Print(w)
}

// uses lists slots as people read them: "market_data p0 c3".
func uses(slots []slotView) string {
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
