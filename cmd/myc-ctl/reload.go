package main

import (
	"errors"
	"fmt"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/cmd/internal/cli"
	"github.com/spf13/cobra"
)

// reloadView is what the broker made of its configuration; its JSON keys are stable.
type reloadView struct {
	File    string   `json:"file"` // "": the broker has none
	Changed []string `json:"changed"`
	Refused []string `json:"refused"`
	Kept    []string `json:"kept"`
}

func reloadCommand(to *target) *cobra.Command {
	c := &cobra.Command{
		Use:   "reload",
		Short: "Have the broker read its configuration again",
		Long: `Have the broker read its configuration again, as SIGHUP does, and say what changed. All of it comes into force, or none: then every
fault is told, and the exit code is 1. New topics are made; rights, slow policies, credits, patience, groups, limits and the log level change
in place, for handles that are opened from then on. Nobody is disconnected. What cannot change while a topic lives (kind, sizes, slots), or
while the broker runs (its socket, its directory), is refused by name.

For root and the broker's user.`,
		Example: "  myc-ctl reload\n  myc-ctl reload -o json",
		Args:    cobra.NoArgs,
	}
	output := cli.OutputFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		conn, err := to.dial(c)
		return with(conn, err, func(conn *bus.Conn) error {
			r, err := conn.Reload(c.Context())
			if err != nil {
				return err
			}
			if len(r.Refused) > 0 {
				err = cli.WithHint(errors.New("the configuration is refused: the old one stays in force"),
					"put right what is named above; `myc-broker --check-config` checks a file without a broker")
			}
			v := reloadView{r.File, orEmpty(r.Changed), orEmpty(r.Refused), orEmpty(r.Kept)}
			if output.String() == "json" {
				return errors.Join(cli.PrintJSON(c.OutOrStdout(), v), err)
			}
			w := c.OutOrStdout()
			switch {
			case len(r.Refused) > 0:
				fmt.Fprintf(w, "refused: %s\n", count(len(r.Refused), "fault"))
			case len(r.Changed) > 0:
				fmt.Fprintf(w, "reloaded: %s\n", count(len(r.Changed), "change"))
			default:
				fmt.Fprintln(w, "reloaded: nothing has changed")
			}
			for _, l := range []struct {
				what string
				text []string
			}{{"refused", v.Refused}, {"changed", v.Changed}, {"kept", v.Kept}} {
				for _, text := range l.text {
					fmt.Fprintf(w, "  %-8s %s\n", l.what, text)
				}
			}
			return err
		})
	}
	return c
}
