// Polygon-adapter is a producer: it plays DEX events, recorded or made up, to a topic. What the files are, and what
// becomes of their rows, stands in package cmd/internal/dex.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/cmd/internal/cli"
)

func main() { cli.Main(newCommand()) }

const (
	syntheticEvents = 200_000 // without --events and --loop
)

// options are the flags.
type options struct {
	args      []string
	synthetic bool
	seed      uint64
	events    uint64
	speed     float64 // 0: as fast as can be
	rate      uint64  // events per second at most; 0: no bound
	loop      bool
	pools     string
	topic     string
	json      bool
}

func newCommand() *cobra.Command {
	var o options
	var speed string
	cmd := &cobra.Command{
		Use:   "polygon-adapter [0xPOOL=]FILE|DIR...",
		Short: "Play DEX events to a topic of the bus",
		Long: `Reads the events of decentralised exchanges' pools and publishes them: Swap, Mint, Burn and Sync, each with its
position on its chain, and the pool's tokens and fee before its first one. It ends when all is published, with a summary.

Files are raw node logs (*.raw.csv), decoded events (*.events.csv) or events taken from traces, packed with gzip or not. A
folder stands for its *.raw.csv and *.raw.csv.gz. All files are merged by chain, block and log index; an event that several
files have, or one has twice, is published once. A row that cannot be read is reported with file and line and counted, the
rest goes on; so it does without a file of a folder that cannot be played, but the exit code is 1 then. Ctrl-C is a good end,
with a summary of what was published.

Raw logs do not name their pool. It is given before the =, or else the hex digits in the file's name, all of an address or
its beginning, are looked up in the pools file: --pools, or else pools.json beside the files and $MYC_DATA/dex/pools.json.`,
		Example: `  polygon-adapter data/dex                                   # a folder's raw logs
  polygon-adapter 0x88e6a0c2ddd26feeb64f039a2c41296fcb3f5640=today.csv.gz
  polygon-adapter --speed 10x --loop data/dex                # ten times as fast as it was, over and over
  polygon-adapter --synthetic 7 --events 1000000 -o json     # a made-up market with a known number of cycles`,
		Args: cobra.ArbitraryArgs,
	}
	flags := cmd.Flags()
	flags.Uint64Var(&o.seed, "synthetic", 0, "play the made-up market of this `SEED` instead of files")
	flags.Uint64Var(&o.events, "events", 0, fmt.Sprintf("end after `N` events (default: all; of a made-up market %d, or with --loop no end)", syntheticEvents))
	flags.StringVar(&speed, "speed", "max", "`1x` as fast as it was by the blocks' times, 10x, 0.5x, or max")
	cli.CompleteFlag(cmd, "speed", "1x", "10x", "max")
	flags.Uint64Var(&o.rate, "rate", 0, "publish at most `N` events per second, evenly (default: no bound)")
	flags.BoolVar(&o.loop, "loop", false, "begin again at the end")
	flags.StringVar(&o.pools, "pools", "", "`FILE` of pools and tokens")
	flags.StringVar(&o.topic, "topic", "market_data", "`NAME` of the topic")
	socket := cli.SocketFlag(cmd)
	output := cli.OutputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		o.args, o.synthetic, o.json = args, flags.Changed("synthetic"), output.String() == "json"
		var err error
		if o.speed, err = parseSpeed(speed); err != nil {
			return err
		}
		return run(cmd.Context(), o, *socket, cmd.OutOrStdout(), cmd.ErrOrStderr())
	}
	return cmd
}

// run opens what is to be played before it connects: a wrong file name should not leave a half-published market.
func run(ctx context.Context, o options, socket string, stdout, stderr io.Writer) error {
	in, err := openInputs(o, stderr)
	if err != nil {
		return err
	}
	defer in.close()
	over := cli.Waiting(cli.Patience, func() { note(stderr, cli.WaitsForBroker, socket) })
	conn, err := bus.Dial(ctx, bus.Options{Name: "polygon-adapter", Socket: socket})
	over()
	if err != nil {
		return cli.Stream(ctx, cli.SocketHint(err, socket))
	}
	defer conn.Close()
	return publish(ctx, conn, in, o, stdout, stderr)
}

// publish plays the inputs to the topic and prints the summary, also when it ends early.
func publish(ctx context.Context, conn *bus.Conn, in *inputs, o options, stdout, stderr io.Writer) error {
	pub, err := conn.Publisher(o.topic)
	if err != nil {
		return topicHint(err, o.topic)
	}
	defer pub.Close()
	p := player{
		in: in, speed: o.speed, rate: o.rate, loop: o.loop, limit: o.events, clock: wallClock{}, stderr: stderr,
		publish: cli.PublishWait(ctx, pub, cli.Patience, func() { note(stderr, cli.WaitsForRoom, o.topic) }),
	}
	sum, err := p.play(ctx)
	sum.Interrupted = err != nil && cli.Stream(ctx, err) == nil
	return errors.Join(cli.Stream(ctx, topicHint(err, o.topic)), sum.print(stdout, o.json), in.leftOut())
}

// note tells what is neither a result nor an error.
func note(stderr io.Writer, format string, args ...any) {
	fmt.Fprintf(stderr, "polygon-adapter: note: "+format+"\n", args...)
}

func topicHint(err error, topic string) error {
	switch {
	case errors.Is(err, bus.ErrNoTopic):
		return cli.WithHint(err, "`myc-ctl topic list` shows the topics; `myc-ctl topic create %s --kind mpmc --routing fanout --size 16MiB` makes this one", topic)
	case errors.Is(err, bus.ErrInUse):
		return cli.WithHint(err, "a topic of this kind has one publisher at a time; `myc-ctl topic inspect %s` names it", topic)
	case errors.Is(err, bus.ErrClosed):
		return cli.WithHint(fmt.Errorf("topic %q ended: %w", topic, err), "%s", cli.DeletedHint)
	case errors.Is(err, bus.ErrPermission):
		return cli.WithHint(err, "the topic's publish list says who may: see the broker's config")
	}
	return err
}

// clock is time, so that tests need not wait for it.
type clock interface {
	Now() time.Time
	Sleep(ctx context.Context, d time.Duration) error
}

type wallClock struct{}

func (wallClock) Now() time.Time { return time.Now() }

func (wallClock) Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
