// Command myc-ctl shows and changes what is on a bus: topics, who uses them, and messages by hand.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/cmd/internal/cli"
	"github.com/mycelium-bus/mycelium/tools"
	"github.com/spf13/cobra"
)

func main() { cli.Main(newCommand()) }

func newCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "myc-ctl",
		Short: "Show and change what is on a bus",
		Long: `Show and change what is on a bus: topics, who uses them, and messages by hand.

What only reads works without a broker too, for root and the broker's user: it opens the bus directory and says so.`,
		Example: "  myc-ctl topic create quotes --kind spmc --size 4MiB\n" +
			"  myc-ctl topic inspect quotes\n" +
			"  echo hello | myc-ctl pub quotes\n" +
			"  myc-ctl sub quotes --from oldest --count 1",
	}
	to := &target{socket: cli.SocketFlag(root)}
	root.PersistentFlags().StringVar(&to.dir, "dir", "",
		"the bus `DIR` to repair, or to read while there is no broker; default $MYC_DIR, else /dev/shm/myc (for others than root /dev/shm/myc-UID)")
	root.AddCommand(topicCommand(to), clientsCommand(to), pubCommand(to), subCommand(to), groupCommand(to), parkedCommand(to),
		lossesCommand(to), repairCommand(to), evictCommand(to), lagCommand(to), whyCommand(to), reloadCommand(to))
	return root
}

// target is the bus that the command line names.
type target struct {
	socket *string
	dir    string
}

// dial connects to the broker. One that is stopped is waited for, and the user told.
func (t *target) dial(c *cobra.Command) (*bus.Conn, error) {
	defer cli.Waiting(cli.Patience, func() { cli.Note(c, cli.WaitsForBroker, *t.socket) })()
	return t.connect(c.Context())
}

func (t *target) connect(ctx context.Context) (*bus.Conn, error) {
	c, err := bus.Dial(ctx, bus.Options{Name: "myc-ctl", Socket: *t.socket})
	return c, hint(cli.SocketHint(err, *t.socket))
}

// read connects to the broker or, where none answers, opens the bus directory.
func (t *target) read(c *cobra.Command) (*bus.Conn, error) {
	ctx, cancel := context.WithTimeout(c.Context(), cli.Patience)
	defer cancel()
	conn, err := t.connect(ctx)
	silent := err != nil && ctx.Err() != nil && c.Context().Err() == nil
	if silent {
		err = cli.WithHint(fmt.Errorf("%w: the one at %s does not answer", bus.ErrNoBroker, *t.socket), "is it stopped? `kill -CONT` lets it go on")
	}
	if !errors.Is(err, bus.ErrNoBroker) {
		return conn, err
	}
	dir := t.dir
	if dir == "" {
		dir = tools.DefaultDir()
	}
	conn, dirErr := bus.OpenDir(dir, bus.Options{Name: "myc-ctl"})
	if dirErr != nil {
		return nil, cli.WithHint(errors.Join(err, dirErr), "%s\nor name the bus directory with --dir or MYC_DIR, to read it without a broker", cli.Hint(err))
	}
	cli.Note(c, "no broker answers at %s: reading %s itself", *t.socket, dir)
	return conn, nil
}

// with runs f on a connection and closes it.
func with(c *bus.Conn, err error, f func(*bus.Conn) error) error {
	if err != nil {
		return err
	}
	return errors.Join(hint(f(c)), c.Close())
}

// hint says what to do about an error, where that is known.
func hint(err error) error {
	switch {
	case err == nil || cli.Hint(err) != "":
		return err
	case bus.Hint(err) != "":
		return cli.WithHint(err, "%s", bus.Hint(err))
	case errors.Is(err, bus.ErrNoTopic):
		return cli.WithHint(err, "`myc-ctl topic list` shows the topics that there are")
	case errors.Is(err, bus.ErrCorrupt):
		return cli.WithHint(err, "%s", cli.DamagedHint)
	case errors.Is(err, bus.ErrExists):
		return cli.WithHint(err, "`myc-ctl topic inspect NAME` shows it; `myc-ctl topic delete NAME` deletes it")
	case errors.Is(err, bus.ErrRefused):
		return cli.WithHint(err, "`myc-ctl topic inspect NAME -o json` shows what the topic takes: tlv_types and checksum")
	case errors.Is(err, bus.ErrPermission):
		return cli.WithHint(err, "the topic's lists publish, subscribe and blockers say who may: see the broker's config")
	case errors.Is(err, bus.ErrEvicted):
		return cli.WithHint(err, "start again to go on; who was asked to leave is not kept out")
	case errors.Is(err, bus.ErrNoMember):
		return cli.WithHint(err, "start one of its members first: it takes the message at once")
	case errors.Is(err, bus.ErrPosition):
		return cli.WithHint(err, "--from oldest begins with what is left")
	}
	return err
}

// ended names the topic in a handle's error that says that it is no more.
func ended(topic string, err error) error {
	if !errors.Is(err, bus.ErrClosed) {
		return err
	}
	return cli.WithHint(fmt.Errorf("topic %q ended: %w", topic, err), "%s", cli.DeletedHint)
}

// completeTopic completes the name of a topic as the first argument.
func (t *target) completeTopic(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	// No topics, no completion: an error has nowhere to go here.
	c.SetErr(io.Discard)
	conn, err := t.read(c)
	_ = with(conn, err, func(conn *bus.Conn) error {
		list, err := conn.Topics(c.Context())
		for _, s := range list {
			names = append(names, s.Config.Name)
		}
		return err
	})
	return names, cobra.ShellCompDirectiveNoFileComp
}
