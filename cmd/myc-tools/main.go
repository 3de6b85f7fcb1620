// Command myc-tools looks into topics: it prints their messages and checks their files, live ones and copies alike.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/mycelium-bus/mycelium/cmd/internal/cli"
	"github.com/mycelium-bus/mycelium/shmring"
	"github.com/mycelium-bus/mycelium/tools"
	"github.com/spf13/cobra"
)

func main() { cli.Main(newCommand()) }

func newCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "myc-tools",
		Short: "Look into topics: print their messages, check their files",
		Long: `Look into topics: print their messages, check their files.

A topic is named as it stands in the bus directory; everything else is a path: of a topic's directory, of a copy of one,
or of a single ring file. No broker is needed; one that answers is asked for its directory. Nothing is written and nobody
waits: a topic that is in use goes on as if nobody looked. What producers overwrote before it could be read is reported on
stderr, to the byte.`,
		Example: "  myc-tools dump market_data --from newest --count 10\n" +
			"  cp -r /dev/shm/myc/market_data copy && myc-tools verify ./copy",
	}
	dir := root.PersistentFlags().String("dir", "",
		"the bus `DIR`; default that of the broker that answers, else $MYC_DIR, else /dev/shm/myc (for others than root /dev/shm/myc-UID)")
	socket := cli.SocketFlag(root)
	busDir := func(c *cobra.Command, arg string) string {
		if *dir == "" && strings.Contains(arg, "/") {
			return tools.DefaultDir() // it is a path, and no broker is asked where topics are
		}
		return cli.BusDir(c, *dir, *socket)
	}
	root.AddCommand(dumpCommand(busDir), verifyCommand(busDir))
	return root
}

// directory is the bus directory in which arg, if it is a topic's name, is looked up.
type directory func(c *cobra.Command, arg string) string

func dumpCommand(busDir directory) *cobra.Command {
	c := &cobra.Command{
		Use:   "dump TOPIC|FILE",
		Short: "Print the messages that are in a topic now",
		Long: `Print the messages that are in a topic now, oldest first. The dump ends with the newest message that was there when it
began; it waits for none.`,
		Example: "  myc-tools dump market_data\n" +
			"  myc-tools dump signals --from newest --count 5 -o json\n" +
			"  myc-tools dump ./copy/ring --from 1048576 -o hex",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeTopics(busDir),
	}
	from := c.Flags().String("from", "oldest", "where to begin: `oldest|newest|POS`; newest means the last --count messages")
	cli.CompleteFlag(c, "from", "oldest", "newest")
	count := c.Flags().Uint64("count", 0, "print at most `N` messages; 0 is all of them, and one from the newest")
	output := cli.OutputFlag(c, string(tools.Text), string(tools.JSON), string(tools.Hex))
	c.RunE = func(c *cobra.Command, args []string) error {
		start, err := tools.ParseStart(*from)
		if err != nil {
			return cli.UsageError("--from: %w", err)
		}
		return with(busDir(c, args[0]), args[0], func(t *tools.Target) error {
			_, err := tools.Dump(c.Context(), t.Ring, c.OutOrStdout(), tools.DumpOptions{
				From: start, Count: *count, Format: tools.Format(output.String()),
				Gap: func(g tools.Gap) { cli.Warn(c, "%s", g) }})
			if errors.Is(err, shmring.ErrPosition) {
				return cli.WithHint(err, "--from oldest begins with what is left; -o json prints each message's position")
			}
			return err
		})
	}
	return c
}

func verifyCommand(busDir directory) *cobra.Command {
	c := &cobra.Command{
		Use:   "verify TOPIC|FILE",
		Short: "Check every frame and invariant of a topic",
		Long: `Check every frame of a topic, and every invariant that its files can show. It ends with the first fault and exit code 1.
Of a single ring file the readers' part cannot be checked.`,
		Example: "  myc-tools verify market_data\n" +
			"  myc-tools verify ./copy --messages -o json",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeTopics(busDir),
	}
	messages := c.Flags().Bool("messages", false, "also parse each message, and verify its checksum where it has one")
	output := cli.OutputFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		return with(busDir(c, args[0]), args[0], func(t *tools.Target) error {
			rep, err := tools.Verify(c.Context(), t, tools.VerifyOptions{Messages: *messages})
			if errors.Is(err, context.Canceled) {
				return err
			}
			if output.String() == "json" {
				if err := cli.PrintJSON(c.OutOrStdout(), rep); err != nil {
					return err
				}
			} else if err == nil {
				printReport(c.OutOrStdout(), &rep)
			}
			if err != nil {
				return fmt.Errorf("verify %s: %w", t.Path, err)
			}
			return nil
		})
	}
	return c
}

// with opens what arg names, and closes it after f.
func with(dir, arg string, f func(*tools.Target) error) error {
	t, err := tools.Open(dir, arg)
	if err != nil {
		return hint(err, dir)
	}
	defer t.Close()
	return f(t)
}

// hint says what to do about a target that cannot be opened.
func hint(err error, dir string) error {
	switch {
	case errors.Is(err, tools.ErrNoTopic):
		if names := tools.Topics(dir); len(names) > 0 {
			return cli.WithHint(err, "the topics there are %s", strings.Join(names, ", "))
		}
		return cli.WithHint(err, "there is no topic there: name the broker's directory with --dir or MYC_DIR, or its socket with --socket")
	case errors.Is(err, shmring.ErrPermission):
		return cli.WithHint(err, "a topic's files are their owner's alone: make a copy so with `chmod -R go= DIR`")
	case errors.Is(err, fs.ErrPermission):
		return cli.WithHint(err, "only root and the broker's user may open the files; who may subscribe sees messages with `myc-ctl sub NAME --from oldest`")
	case errors.Is(err, tools.ErrNotATopic):
		return cli.WithHint(err, "name a topic, a copy of its directory, or its file ring")
	case errors.Is(err, shmring.ErrCorrupt):
		return cli.WithHint(err, "it is no topic's, or damaged: the first field that is wrong is named")
	case errors.Is(err, shmring.ErrVersion):
		return cli.WithHint(err, "use the myc-tools that came with the broker that made the topic")
	}
	return err
}

func printReport(w io.Writer, r *tools.Report) {
	fmt.Fprintf(w, "%s: ok\n", r.Name)
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "  %-9s %s\n", name, fmt.Sprintf(format, args...))
	}
	n := func(v uint64) string { return cli.Number(int64(v)) }
	line("topic", "%s, %s", r.Kind, cli.Size(r.Size))
	line("files", "%s", r.Files)
	line("history", "position %d to %d", r.From, r.To)
	line("frames", "%s with %s bytes of payload, %s of padding", n(r.Frames), n(r.PayloadBytes), n(r.Pads))
	line("producers", "%d, open claims %d", r.Producers, r.OpenClaims)
	if r.Files != "ring" {
		line("consumers", "%d", r.Consumers)
	}
	if r.Overwritten > 0 {
		line("moved on", "%d segments were overwritten while they were looked at", r.Overwritten)
	}
	if m := r.Messages; m != nil {
		line("messages", "%s, %s of them with a checksum", n(m.Checked), n(m.WithChecksum))
		if m.MissedBytes > 0 {
			line("missed", "%s bytes of the ring, overwritten before they were read or not committed yet", n(m.MissedBytes))
		}
	}
}

// completeTopics completes the names of topics; the shell completes paths.
func completeTopics(busDir directory) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return tools.Topics(busDir(c, "")), cobra.ShellCompDirectiveDefault
	}
}
