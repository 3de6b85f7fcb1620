// Myc-broker is the daemon of a bus: it makes topics, hands out their files and slots, and cleans up. See package broker.
package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/mycelium-bus/mycelium/bus/broker"
	"github.com/mycelium-bus/mycelium/cmd/internal/cli"
	"github.com/mycelium-bus/mycelium/shmring"
)

func main() { cli.Main(newCommand()) }

const examples = `  myc-broker                                  # the built-in topics market_data, signals, execution
  myc-broker --config /etc/myc/broker.toml    # topics, rights and limits from a file
  myc-broker --config broker.toml --check-config
  myc-broker --dir /dev/shm/test --socket /tmp/test.sock
  myc-broker --purge                          # remove all topics of the bus directory, and end`

// flags are what the command line says; what it does not say comes from the environment, the file, the defaults, in this order.
type flags struct {
	config, dir *string
	socket      *string
	check       bool
	purge       bool
}

func newCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "myc-broker",
		Short: "The daemon of a bus: makes topics, hands out their files and slots, and cleans up",
		Long: `The daemon of a bus: makes topics, hands out their files and slots, and cleans up.

It never touches a message: while it is dead or being replaced, attached producers and consumers go on. It prints one
line "ready SOCKET" when clients can connect. SIGTERM and Ctrl-C end it; the topics stay for the next broker.

To replace it by a newer one, end it and start the other with the same socket and directory: clients find it by
themselves and tell it what they use, and messages flow meanwhile. The newer one refuses to start before the older has ended.

SIGHUP, "myc-ctl reload" and a changed file make it read its configuration again: all of it comes into force, or none. Nobody is
disconnected; what changes holds for handles that are opened from then on.`,
		Example: examples,
		Args:    cobra.NoArgs,
	}
	f := &flags{
		config: cmd.Flags().String("config", "", "the configuration `FILE` (TOML); without one, the built-in default"),
		dir:    cmd.Flags().String("dir", "", "the bus directory `DIR`; default /dev/shm/myc, for others than root /dev/shm/myc-UID"),
		socket: cli.SocketFlag(cmd),
	}
	cmd.Flags().BoolVar(&f.check, "check-config", false, "check the configuration, print every fault, and end")
	cmd.Flags().BoolVar(&f.purge, "purge", false, "remove all topics of the bus directory, and end; refused while clients are attached")
	cmd.MarkFlagsMutuallyExclusive("check-config", "purge")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return hintOf(run(cmd, f)) }
	return cmd
}

func run(cmd *cobra.Command, f *flags) error {
	c, err := f.load(cmd)
	if err != nil {
		return err
	}
	switch {
	case f.check:
		var names []string
		for _, t := range c.Topics {
			names = append(names, t.Name)
		}
		fmt.Fprintf(cmd.OutOrStdout(), "configuration ok: topics %s\n", strings.Join(names, ", "))
		return nil
	case f.purge:
		return purge(cmd, c.Dir)
	}
	c.Software = cli.Software("myc-broker")
	c.LogLevel = new(slog.LevelVar)
	c.LogLevel.Set(c.Level())
	c.Logger = slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: c.LogLevel}))
	c.File, c.Reload = *f.config, func() (broker.Config, error) { return f.load(cmd) }
	return serve(cmd, c)
}

// load reads the configuration and puts the command line above it.
func (f *flags) load(cmd *cobra.Command) (broker.Config, error) {
	var c broker.Config
	var err error
	if *f.config != "" {
		c, err = broker.Load(*f.config, os.Environ())
	} else {
		c, err = broker.Parse("", "", os.Environ())
	}
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		return c, cli.WithHint(err, "--config names a file that can be read; without it the broker has its built-in default")
	case err != nil:
		return c, cli.WithHint(err, "docs/reference/config.md lists every key")
	}
	if cmd.Flags().Changed("dir") {
		if c.Dir, err = filepath.Abs(*f.dir); err != nil {
			return c, err
		}
	}
	if cmd.Flags().Changed("socket") || c.Socket == "" {
		c.Socket = *f.socket
	}
	return c, c.Validate()
}

func purge(cmd *cobra.Command, dir string) error {
	names, err := broker.Purge(dir)
	for _, name := range names {
		fmt.Fprintf(cmd.OutOrStdout(), "removed %s\n", name)
	}
	if err == nil && len(names) == 0 {
		fmt.Fprintf(cmd.ErrOrStderr(), "no topics in %s\n", dir)
	}
	return err
}

func serve(cmd *cobra.Command, c broker.Config) error {
	b, err := broker.New(c)
	switch {
	case errors.Is(err, shmring.ErrNoSpace):
		return cli.WithHint(err, "give the file system or the memory limit more room, name another directory with --dir, or configure smaller topics with --config")
	case err != nil:
		return err
	}
	unhook := reloadOnSignal(b, c.File)
	defer unhook()
	ctx := cmd.Context()
	if ctx.Err() != nil {
		return errors.Join(ctx.Err(), b.Close())
	}
	if _, err := fmt.Fprintf(cmd.OutOrStdout(), "ready %s\n", b.Socket()); err != nil {
		return errors.Join(fmt.Errorf("say that the broker is ready: %w", err), b.Close())
	}
	return cli.Stream(ctx, b.Run(ctx))
}

// hintOf takes the hint of an error that has one over to where programs print it.
func hintOf(err error) error {
	if h, ok := errors.AsType[interface {
		error
		Hint() string
	}](err); ok && h.Hint() != "" && cli.Hint(err) == "" {
		return cli.WithHint(err, "%s", h.Hint())
	}
	return err
}
