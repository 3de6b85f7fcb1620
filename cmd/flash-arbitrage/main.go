// Flash-arbitrage is a consumer and a producer: it follows the pools on market_data and publishes each two-pool cycle that
// pays as a signal. What a cycle is, and when one is reported, stands in package cmd/internal/dex.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/cmd/internal/cli"
	"github.com/mycelium-bus/mycelium/cmd/internal/dex"
)

func main() { cli.Main(newCommand()) }

// options are the flags.
type options struct {
	pools     string
	from      string
	topic     string
	signals   string
	untilIdle time.Duration
	json      bool
}

func newCommand() *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:   "flash-arbitrage",
		Short: "Find two-pool cycles on market_data that pay, and publish them as signals",
		Long: `Follows price and liquidity of all DEX pools on a topic and finds cycles that pay: buy a token in one pool of a pair, sell it
in another, and have more than before after both pools' fees (gas is not counted). Each is printed and published as an
ArbitrageSignal. It misses no event: where it cannot keep up, producers wait for it. It ends with Ctrl-C, or by --until-idle,
and says then what it saw; a pool whose tokens or fee are unknown is compared with none, and counted there.

After each Swap of a v3 pool, and each Sync of a v2 pair, the pool is compared with every other pool of its pair and chain. A
cycle is reported each time that price(sell)/price(buy) > 1/((1-fee(buy))(1-fee(sell))), so again after each further Swap while
the pools stay apart. Its size is the one that earns most if liquidity is the same at all prices.

Profit is counted in a dollar coin if the pair has one, else WETH, else WBTC; of unknown tokens in that with fewer decimals.
With -o json each cycle is an object on a line. Its keys keep the names of the pair USDC/WETH whatever the pair is: usdc_in and
gross_profit_usdc are in the token "quote", and buy_weth_in and sell_weth_in are the pools where "base" is bought and sold.`,
		Example: `  flash-arbitrage --until-idle 2s            # end when the market has been silent for two seconds
  flash-arbitrage -o json | jq .gross_profit_usdc`,
		Args: cobra.NoArgs,
	}
	flags := cmd.Flags()
	flags.StringVar(&o.pools, "pools", "", "`FILE` of pools and tokens, which goes before what the topic says (default $MYC_DATA/dex/pools.json if it is there)")
	flags.DurationVar(&o.untilIdle, "until-idle", 0, "end when nothing came for so `LONG` after the first message that counts by --from (default: never)")
	from := cli.ChoiceFlag(cmd, flags, "from", "", "report cycles from the process's start on (what was published before tells prices only), "+
		"or from the oldest message that is still there", "start", "oldest")
	flags.StringVar(&o.topic, "topic", "market_data", "`NAME` of the topic to follow")
	flags.StringVar(&o.signals, "signals", "signals", "`NAME` of the topic for signals")
	socket := cli.SocketFlag(cmd)
	output := cli.OutputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		o.from, o.json = from.String(), output.String() == "json"
		return run(cmd.Context(), o, *socket, cmd.OutOrStdout(), cmd.ErrOrStderr())
	}
	return cmd
}

func run(ctx context.Context, o options, socket string, stdout, stderr io.Writer) error {
	pools, err := loadPools(o.pools)
	if err != nil {
		return cli.WithHint(err, "%s", dex.PoolsHint)
	}
	over := cli.Waiting(cli.Patience, func() { note(stderr, cli.WaitsForBroker, socket) })
	conn, err := bus.Dial(ctx, bus.Options{Name: "flash-arbitrage", Socket: socket})
	over()
	if err != nil {
		return cli.Stream(ctx, cli.SocketHint(err, socket))
	}
	defer conn.Close()
	return serve(ctx, conn, pools, o, stdout, stderr)
}

// serve follows the market until ctx ends or it is silent, and prints the summary.
func serve(ctx context.Context, conn *bus.Conn, pools *dex.Pools, o options, stdout, stderr io.Writer) error {
	pub, err := conn.Publisher(o.signals)
	if err != nil {
		return topicHint(err, o.signals)
	}
	defer pub.Close()
	info, err := conn.Inspect(ctx, o.topic)
	if err != nil {
		return cli.Stream(ctx, topicHint(err, o.topic))
	}
	// Also to report from now on it begins with the oldest: prices of before hold until the next swap.
	sub, err := conn.Subscribe(o.topic, bus.From(bus.Oldest), bus.Slow(bus.Block), bus.Fanout())
	if err != nil {
		return topicHint(err, o.topic)
	}
	defer sub.Close()
	fmt.Fprintf(stderr, "flash-arbitrage: ready, follows %s\n", o.topic)

	publish := again(stderr, cli.PublishWait(ctx, pub, cli.Patience, func() { note(stderr, cli.WaitsForRoom, o.signals) }))
	h := newHunter(pools, publish, cyclePrinter(stdout, o.json), wallNow)
	if h.began, err = processStart(); err != nil {
		return err
	}
	if o.from == "start" {
		h.since = h.began
	}
	err = topicHint(follow(ctx, &feed{sub, info.Tail, stderr}, h, o.untilIdle), o.topic)
	if summaryErr := h.printSummary(summaryTo(stdout, stderr, o.json)); err == nil {
		err = summaryErr
	}
	return cli.Stream(ctx, err)
}

// summaryTo is stdout for people, and stderr where stdout is a stream of objects.
func summaryTo(stdout, stderr io.Writer, json bool) io.Writer {
	if json {
		return stderr
	}
	return stdout
}

// processStart is when the process began, by the wall clock, up to a clock tick too early. It is not the time at which
// main runs: whoever starts this program, and then a producer, means all that the producer sends.
func processStart() (uint64, error) {
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return 0, err
	}
	// proc_pid_stat(5): field 22, counted from behind the name in parentheses, in USER_HZ ticks since boot.
	const afterName, userHZ = 22 - 3, 100
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) <= afterName {
		return 0, fmt.Errorf("/proc/self/stat has %d fields", len(fields)+2)
	}
	ticks, err := strconv.ParseUint(string(fields[afterName]), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("/proc/self/stat: start time: %w", err)
	}
	var sinceBoot unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &sinceBoot); err != nil {
		return 0, err
	}
	age := uint64(sinceBoot.Nano()) - ticks*(1e9/userHZ)
	return wallNow() - age, nil
}

func wallNow() uint64 { return uint64(time.Now().UnixNano()) }

// loadPools reads the pools file given, or the one of $MYC_DATA if there is one.
func loadPools(given string) (*dex.Pools, error) {
	if given != "" {
		return dex.LoadPools(given)
	}
	data := os.Getenv("MYC_DATA")
	if data == "" {
		return nil, nil
	}
	pools, err := dex.LoadPools(filepath.Join(data, "dex", "pools.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return pools, err
}

// note tells what is neither a result nor an error.
func note(stderr io.Writer, format string, args ...any) {
	fmt.Fprintf(stderr, "flash-arbitrage: note: "+format+"\n", args...)
}

func topicHint(err error, topic string) error {
	switch {
	case errors.Is(err, bus.ErrNoTopic):
		return cli.WithHint(err, "`myc-ctl topic list` shows the topics; `myc-ctl topic create %s --kind mpmc --routing fanout --size 16MiB` makes this one", topic)
	case errors.Is(err, bus.ErrInUse):
		return cli.WithHint(err, "a topic of this kind admits one; `myc-ctl topic inspect %s` names it", topic)
	case errors.Is(err, bus.ErrClosed):
		return cli.WithHint(fmt.Errorf("topic %q ended: %w", topic, err), "%s", cli.DeletedHint)
	case errors.Is(err, bus.ErrPermission):
		return cli.WithHint(err, "a subscriber that producers wait for needs the topic's subscribe and blockers lists to name this user")
	}
	return err
}

// feed is a subscription as follow sees it.
type feed struct {
	*bus.Subscription
	tail   uint64 // where the topic ended before it was subscribed to
	stderr io.Writer
}

// Poll goes on with a topic that was made again, all of which was published since.
func (f *feed) Poll(limit int, handle func(message []byte, since bool) error) (int, error) {
	n, err := f.Subscription.Poll(limit, func(m bus.Message) error { return handle(m.Bytes(), m.Position() >= f.tail) })
	if again, ok := errors.AsType[*bus.RecreatedError](err); ok {
		note(f.stderr, "%s", cli.MadeAgain(again))
		f.tail, err = 0, nil
	}
	return n, err
}

// again returns what publishes a message by publish, and to the topic that was made again where the first attempt says that it was.
func again(stderr io.Writer, publish func([]byte) error) func([]byte) error {
	return func(message []byte) error {
		err := publish(message)
		for {
			again, ok := errors.AsType[*bus.RecreatedError](err)
			if !ok {
				return err
			}
			note(stderr, "%s", cli.MadeAgain(again))
			err = publish(message)
		}
	}
}
