package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/cmd/internal/cli"
	"github.com/spf13/cobra"
)

// evictView is what became of a client that was evicted; its JSON keys are stable.
type evictView struct {
	Client  string     `json:"client"`
	PID     int        `json:"pid"`
	Session uint64     `json:"session"`
	Killed  bool       `json:"killed"`
	Closed  []slotView `json:"closed"` // given back, or freed
	Left    []slotView `json:"left"`   // what it still holds
}

func evictCommand(to *target) *cobra.Command {
	c := &cobra.Command{
		Use:   "evict CLIENT",
		Short: "Ask a client to close its handles, or end its process",
		Long: `Ask a client, by its name or its pid, to close its handles: they end with an error that says so, at their next call, and what a
member of a group has in its hands goes to another one. A client that does not look, as one that is stopped or hangs, is not moved by
that: nothing is taken away from a live process behind its back. The exit code is 1 if it still holds something after --wait.

--kill ends its process by SIGKILL, also a stopped or frozen one, and repairs what it leaves behind: claims are closed, slots freed,
and what a member of a group had in its hands goes to the others, marked as redelivered.

For root and the broker's user. It needs the broker, which knows whose process it is.`,
		Example: "  myc-ctl evict dashboard\n  myc-ctl evict dashboard --topic market_data\n  myc-ctl evict 4711 --kill",
		Args:    cobra.ExactArgs(1),
	}
	kill := c.Flags().Bool("kill", false, "end its process (SIGKILL), and repair what it leaves behind")
	topic := c.Flags().String("topic", "", "ask for the handles of `TOPIC` alone")
	all := c.Flags().Bool("all", false, "all clients of that name, where there are several")
	reason := c.Flags().String("reason", "", "`TEXT` for people, that its handles end with")
	wait := c.Flags().Duration("wait", 5*time.Second, "wait at most this `TIME` until it has closed its handles")
	c.MarkFlagsMutuallyExclusive("kill", "topic")
	output := cli.OutputFlag(c)
	c.ValidArgsFunction = to.completeClient
	c.RunE = func(c *cobra.Command, args []string) error {
		conn, err := to.dial(c)
		return with(conn, err, func(conn *bus.Conn) error {
			found, err := findClients(c.Context(), conn, args[0], *all)
			if err != nil {
				return err
			}
			views, failed := []evictView{}, error(nil)
			for _, cl := range found {
				o := bus.EvictOptions{Topic: *topic, Kill: *kill, Reason: *reason}
				v, err := evict(c.Context(), conn, cl, o, *wait)
				views, failed = append(views, v), errors.Join(failed, err)
			}
			if output.String() == "json" {
				return errors.Join(cli.PrintJSON(c.OutOrStdout(), views), failed)
			}
			for _, v := range views {
				fmt.Fprintln(c.OutOrStdout(), v)
			}
			return failed
		})
	}
	return c
}

// String says what became of the client.
func (v evictView) String() string {
	who := fmt.Sprintf("%s (pid %d): ", v.Client, v.PID)
	switch {
	case v.Killed && len(v.Left) == 0:
		return who + "killed, " + freed(v.Closed, "freed")
	case v.Killed:
		return who + "killed, still held: " + uses(v.Left)
	case len(v.Left) > 0:
		return who + "asked to leave, still holds " + uses(v.Left)
	case len(v.Closed) == 0:
		return who + "has nothing to close"
	}
	return who + "asked to leave, " + freed(v.Closed, "closed")
}

func freed(slots []slotView, what string) string {
	if len(slots) == 0 {
		return "nothing was held"
	}
	return what + ": " + uses(slots)
}

// findClients returns the clients that a name or a pid means; several only if all are wanted.
func findClients(ctx context.Context, conn *bus.Conn, who string, all bool) ([]bus.Client, error) {
	clients, err := conn.Clients(ctx)
	if err != nil {
		return nil, err
	}
	pid, notPID := strconv.Atoi(who)
	found := slices.DeleteFunc(clients, func(cl bus.Client) bool {
		return cl.PID == os.Getpid() || cl.Name != who && (notPID != nil || cl.PID != pid)
	})
	switch {
	case len(found) == 0:
		return nil, cli.WithHint(fmt.Errorf("%w: %q", bus.ErrNoClient, who),
			"`myc-ctl clients` lists those that are connected to the broker; a process that uses the bus directory without it is killed by hand")
	case len(found) > 1 && !all:
		var pids []string
		for _, cl := range found {
			pids = append(pids, strconv.Itoa(cl.PID))
		}
		return nil, cli.WithHint(fmt.Errorf("%d clients are named %q: pids %s", len(found), who, strings.Join(pids, ", ")), "name one by its pid, or give --all")
	}
	return found, nil
}

// evict evicts one client and waits until it holds no more of what it was to close.
func evict(ctx context.Context, conn *bus.Conn, cl bus.Client, o bus.EvictOptions, wait time.Duration) (evictView, error) {
	v := evictView{Client: cl.Name, PID: cl.PID, Session: cl.Session, Killed: o.Kill, Closed: []slotView{}, Left: []slotView{}}
	slots := slices.DeleteFunc(slices.Clone(cl.Slots), func(s bus.Slot) bool { return o.Topic != "" && s.Topic != o.Topic })
	if err := conn.Evict(ctx, cl.Session, o); err != nil {
		for _, s := range slots {
			v.Left = append(v.Left, slotView(s))
		}
		v.Killed = false
		return v, err
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(wait); ; {
		holds, err := slotsOf(ctx, conn, cl.Session)
		if err != nil {
			return v, err
		}
		v.Closed, v.Left = v.Closed[:0], v.Left[:0]
		for _, s := range slots {
			if slices.Contains(holds, s) {
				v.Left = append(v.Left, slotView(s))
			} else {
				v.Closed = append(v.Closed, slotView(s))
			}
		}
		if len(v.Left) == 0 {
			return v, nil
		}
		if time.Now().After(end) {
			return v, cli.WithHint(fmt.Errorf("client %q, pid %d, has not closed its handles in %s", cl.Name, cl.PID, wait),
				"it hears of it at its next look at them; `myc-ctl evict %d --kill` ends it", cl.PID)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return v, ctx.Err()
		}
	}
}

// slotsOf returns what a client holds now; nothing when it has gone.
func slotsOf(ctx context.Context, conn *bus.Conn, session uint64) ([]bus.Slot, error) {
	clients, err := conn.Clients(ctx)
	for _, cl := range clients {
		if cl.Session == session {
			return cl.Slots, err
		}
	}
	return nil, err
}

// completeClient completes the name of a client as the first argument.
func (t *target) completeClient(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	var names []string
	if len(args) == 0 {
		conn, err := t.connect(c.Context()) // no clients, no completion: an error has nowhere to go here
		_ = with(conn, err, func(conn *bus.Conn) error {
			clients, err := conn.Clients(c.Context())
			for _, cl := range clients {
				if cl.PID != os.Getpid() {
					names = append(names, cl.Name)
				}
			}
			return err
		})
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
