package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/bus/topic"
	"github.com/mycelium-bus/mycelium/cmd/internal/cli"
	"github.com/mycelium-bus/mycelium/perf"
	"github.com/spf13/cobra"
)

// workloadFlags are those of every verb with two processes.
type workloadFlags struct {
	options           perf.Options
	layer, kind, send *cli.Choice
	idle, cpus        string
	ring              topic.Size
}

func addWorkloadFlags(c *cobra.Command) *workloadFlags {
	w := &workloadFlags{ring: 4 << 20}
	f := c.Flags()
	w.layer = cli.ChoiceFlag(c, f, "layer", "", "what is measured: what programs call, or the ring below it", "bus", "shmring")
	w.kind = cli.ChoiceFlag(c, f, "kind", "", "the topic's kind", "spsc", "spmc", "mpsc", "mpmc")
	w.send = cli.ChoiceFlag(c, f, "send", "", "copy each message into the ring, or write it in place by claim and commit, or in a callback", "publish", "claim", "write")
	f.IntVar(&w.options.Size, "size", 64, "payload of a message in `BYTES`, a multiple of 8")
	f.TextVar(&w.ring, "ring", w.ring, "`SIZE` of the topic, a power of two")
	f.StringVar(&w.idle, "idle", "spin/128", "what a reader does when nothing is there: `spin|spin:N|spin:N/BURST|yield|backoff` (spin as the library does, or with N PAUSE between looks; /BURST PAUSE once after a burst)")
	f.IntVar(&w.options.Count, "count", 0, "`N` messages in each run, of which the first tenth warms up; default what takes half a second or so")
	f.DurationVar(&w.options.Duration, "duration", 0, "instead of --count: as many messages as fit into this `TIME`, by a short trial")
	f.IntVar(&w.options.Repeat, "repeat", 3, "`N` runs, each with new processes and files")
	f.StringVar(&w.cpus, "cpus", "", "the two CPUs to pin to, `A,B`, or none; default the first two that may be used")
	f.BoolVar(&w.options.Realtime, "realtime", false, "run above all ordinary processes (SCHED_RR, needs CAP_SYS_NICE): for a busy machine")
	c.MarkFlagsMutuallyExclusive("count", "duration")
	return w
}

// parse turns the flags into options.
func (w *workloadFlags) parse(c *cobra.Command) (perf.Options, error) {
	o := w.options
	o.Layer, o.Kind, o.Send = w.layer.String(), w.kind.String(), w.send.String()
	o.Ring = int64(w.ring)
	o.Stderr = c.ErrOrStderr()
	if f := c.Flags().Lookup("socket"); f.Changed {
		o.Socket = f.Value.String()
	}
	var err error
	if o.Idle, err = perf.ParseIdle(w.idle); err != nil {
		return o, cli.UsageError("--idle: %w", err)
	}
	if o.CPUs, err = parseCPUs(w.cpus); err != nil {
		return o, cli.UsageError("--cpus %s: %w", w.cpus, err)
	}
	return o, nil
}

func parseCPUs(s string) ([]int, error) {
	switch s {
	case "":
		return nil, nil
	case "none":
		return []int{perf.Unpinned}, nil
	}
	var list []int
	for field := range strings.SplitSeq(s, ",") {
		cpu, err := strconv.Atoi(field)
		if err != nil || cpu < 0 {
			return nil, fmt.Errorf("%q is no CPU number", field)
		}
		list = append(list, cpu)
	}
	if len(list) != 2 {
		return nil, errors.New("want two CPUs")
	}
	return list, nil
}

// explain gives the library's errors the exit code and the hint that they deserve.
func explain(err error, o *perf.Options) error {
	switch {
	case errors.Is(err, bus.ErrNoBroker), errors.Is(err, bus.ErrPermission):
		return cli.SocketHint(err, o.Socket)
	case bus.Hint(err) != "":
		return cli.WithHint(err, "%s", bus.Hint(err))
	case errors.Is(err, perf.ErrOptions):
		return cli.UsageError("%w", err)
	case errors.Is(err, perf.ErrCPUs):
		return cli.WithHint(err, "free more CPUs (taskset, cgroup cpuset), or measure without pinning: --cpus none")
	case errors.Is(err, perf.ErrRealtime):
		return cli.WithHint(err, "real-time scheduling needs CAP_SYS_NICE: run it as root, or without --realtime")
	case errors.Is(err, perf.ErrStalled):
		return cli.WithHint(err, "something kept one of the two processes from running; on a busy machine choose other CPUs with --cpus")
	}
	return err
}
