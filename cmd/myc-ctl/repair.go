package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/cmd/internal/cli"
	"github.com/mycelium-bus/mycelium/shmring"
	"github.com/spf13/cobra"
)

// repairView is what a repair did, or would do; its JSON keys are stable.
type repairView struct {
	Dir     string       `json:"dir"`
	DryRun  bool         `json:"dry_run"`
	Topics  []string     `json:"topics"`  // that were looked at
	Repairs []mendedView `json:"repairs"` // made, or with dry_run wanted
}

type mendedView struct {
	Topic  string `json:"topic"`
	ID     string `json:"id"` // of the dead client's handle
	Client string `json:"client"`
	What   string `json:"what"`
}

func repairCommand(to *target) *cobra.Command {
	c := &cobra.Command{
		Use:   "repair [TOPIC...]",
		Short: "Put right what dead processes left behind",
		Long: `Put right what dead processes left behind in the named topics, or in all: open claims are closed and slots freed. Live processes
are not touched, however long they have been stopped.

The broker does this each second, and clients while there is none, so there is seldom anything to do. It works on the files
of the bus directory, with and without a broker, for root and the broker's user. The exit code is 0 also where something was
wrong and was put right; it is 1 if a topic could not be looked at, for one because a stopped process is repairing it.`,
		Example: "  myc-ctl repair\n  myc-ctl repair --dry-run market_data\n  myc-ctl repair -o json",
	}
	dry := c.Flags().Bool("dry-run", false, "change nothing, tell what would be done")
	output := cli.OutputFlag(c)
	c.ValidArgsFunction = to.completeTopic
	c.RunE = func(c *cobra.Command, args []string) error {
		v, failed := repairAll(c.Context(), cli.BusDir(c, to.dir, *to.socket), args, *dry)
		if output.String() == "json" {
			return errors.Join(cli.PrintJSON(c.OutOrStdout(), v), failed)
		}
		if failed != nil && len(v.Topics) == 0 {
			return failed
		}
		verdict := "nothing to repair"
		if n := len(v.Repairs); n > 0 && *dry {
			verdict = count(n, "repair") + " wanted"
		} else if n > 0 {
			verdict = count(n, "repair") + " made"
		}
		fmt.Fprintf(c.OutOrStdout(), "%s in %s of %s\n", verdict, count(len(v.Topics), "topic"), v.Dir)
		if len(v.Repairs) == 0 {
			return failed
		}
		table := cli.NewTable("topic", "id", "client", "repair")
		for _, m := range v.Repairs {
			table.Row(m.Topic, m.ID, m.Client, m.What)
		}
		return errors.Join(table.Print(c.OutOrStdout()), failed)
	}
	return c
}

// repairAll repairs topics, all those that are there if none is named. What keeps it from one does not keep it from the others.
func repairAll(ctx context.Context, dir string, topics []string, dry bool) (repairView, error) {
	v := repairView{Dir: dir, DryRun: dry, Topics: []string{}, Repairs: []mendedView{}}
	var failed, hinted error
	if len(topics) == 0 {
		conn, err := bus.OpenDir(dir, bus.Options{Name: "myc-ctl"})
		if errors.Is(err, fs.ErrNotExist) {
			return v, cli.WithHint(err, "name the bus directory with --dir or MYC_DIR")
		}
		if errors.Is(err, bus.ErrPermission) {
			return v, cli.WithHint(err, "only root and the user whose directory it is may repair; the broker does it each second anyway")
		}
		err = with(conn, err, func(conn *bus.Conn) error {
			list, err := conn.Topics(ctx)
			for _, s := range list {
				if s.State != "closing" {
					topics = append(topics, s.Config.Name)
				}
			}
			return err
		})
		if err != nil {
			return v, err
		}
	}
	for _, name := range topics {
		mended, err := repairTopic(filepath.Join(dir, name), dry)
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("repair %q: %w", name, err))
			if hinted == nil {
				hinted = hint(err)
			}
			continue
		}
		v.Topics = append(v.Topics, name)
		for _, m := range mended {
			v.Repairs = append(v.Repairs, mendedView{name, m.ID, m.Name, m.What})
		}
	}
	return v, cli.WithHint(failed, "%s", cli.Hint(hinted))
}

func repairTopic(path string, dry bool) (mended []shmring.Mended, err error) {
	ring, err := shmring.Open(path, shmring.Produce)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, cli.WithHint(fmt.Errorf("%w at %s", bus.ErrNoTopic, path), "`myc-ctl topic list` shows the topics that there are")
	}
	if err != nil {
		return nil, err
	}
	defer ring.Close()
	if fault := ring.Guard(func() { mended, err = ring.Repair(dry) }); fault != nil {
		err = fault
	}
	if !errors.Is(err, shmring.ErrRepairing) {
		return mended, err
	}
	if who, since, ok := ring.Repairer(); ok {
		return nil, cli.WithHint(fmt.Errorf("%w: %s has been at it since %s", err, who, since.Format("15:04:05.000")),
			"a repair takes milliseconds: if that process is stopped, let it go on or kill it (`myc-ctl topic inspect` names its pid)")
	}
	return nil, cli.WithHint(err, "try again")
}
