package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strconv"
	"testing"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/bus/broker"
	"github.com/mycelium-bus/mycelium/bus/topic"
	"github.com/mycelium-bus/mycelium/internal/script"
)

func TestMain(m *testing.M) {
	script.Main(m, map[string]func(){"myc-ctl": main, "broker": brokerMain, "attached": attachedMain, "claim": claimMain})
}

func TestTranscripts(t *testing.T) { script.Run(t, "testdata") }

// brokerMain is a broker for the transcripts: `broker DIR` serves DIR at $MYC_SOCKET until it is told to end.
func brokerMain() {
	config := broker.Defaults()
	config.Dir, config.Socket = os.Args[1], os.Getenv("MYC_SOCKET")
	config.Logger = slog.New(slog.DiscardHandler)
	config.Topics = []topic.Config{{Name: "market_data", Size: topic.MiB, Slow: topic.Drop}, {Name: "execution", Size: topic.MiB, Routing: topic.Queue}}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	b, err := broker.New(config)
	if err == nil {
		err = b.Run(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// attachedMain succeeds if a topic of the bus in a directory has so many consumers: `attached DIR TOPIC N`.
func attachedMain() {
	c, err := bus.OpenDir(os.Args[1], bus.Options{})
	if err == nil {
		var info bus.TopicInfo
		if info, err = c.Inspect(context.Background(), os.Args[2]); err == nil && strconv.Itoa(len(info.Consumers)) != os.Args[3] {
			err = fmt.Errorf("%d consumers", len(info.Consumers))
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// claimMain claims room in a topic of the bus in a directory, makes a file, and never commits: `claim DIR TOPIC FILE`.
func claimMain() {
	c, err := bus.OpenDir(os.Args[1], bus.Options{Name: "claimer"})
	var pub *bus.Publisher
	if err == nil {
		pub, err = c.Publisher(os.Args[2])
	}
	if err == nil {
		_, err = pub.Claim(100)
	}
	if err == nil {
		err = os.WriteFile(os.Args[3], nil, 0o600)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	<-ctx.Done()
	pub.Close()
	c.Close()
}
