package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/bus/broker"
	"github.com/mycelium-bus/mycelium/bus/topic"
	"github.com/mycelium-bus/mycelium/cmd/internal/cli/clitest"
	"github.com/mycelium-bus/mycelium/internal/script"
)

func TestMain(m *testing.M) {
	script.Main(m, map[string]func(){"myc-ctl": main, "broker": brokerMain, "attached": attachedMain, "claim": claimMain,
		"bytes": bytesMain, "unhex": unhexMain, "held": heldMain})
}

func TestHelp(t *testing.T) { clitest.Help(t, newCommand()) }

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

// attachedMain succeeds if a topic of the bus in a directory has so many consumers: `attached DIR TOPIC N`, or with -p first, so
// many producers.
func attachedMain() {
	args := os.Args[1:]
	producers := args[0] == "-p"
	if producers {
		args = args[1:]
	}
	c, err := bus.OpenDir(args[0], bus.Options{})
	if err == nil {
		var info bus.TopicInfo
		info, err = c.Inspect(context.Background(), args[1])
		n := len(info.Consumers)
		if producers {
			n = len(info.Producers)
		}
		if err == nil && strconv.Itoa(n) != args[2] {
			err = fmt.Errorf("%d are attached", n)
		}
	}
	exitWith(err)
}

// bytesMain publishes bytes, whatever they are, to a topic of the bus in a directory: `bytes DIR TOPIC HEX`.
func bytesMain() {
	b, err := hex.DecodeString(os.Args[3])
	var c *bus.Conn
	if err == nil {
		c, err = bus.OpenDir(os.Args[1], bus.Options{})
	}
	var pub *bus.Publisher
	if err == nil {
		pub, err = c.Publisher(os.Args[2])
	}
	if err == nil {
		err = errors.Join(pub.Publish(b), pub.Close(), c.Close())
	}
	exitWith(err)
}

// unhexMain writes the bytes of a file in hexadecimal to another: `unhex FROM TO`.
func unhexMain() {
	text, err := os.ReadFile(os.Args[1])
	var b []byte
	if err == nil {
		b, err = hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	}
	if err == nil {
		err = os.WriteFile(os.Args[2], b, 0o600)
	}
	exitWith(err)
}

// heldMain runs a program whose input does not end, passes SIGINT on to it, and ends as it does: `held PROGRAM ARG...` writes it a line
// now and then, `held -silent PROGRAM ARG...` nothing.
func heldMain() {
	args := os.Args[1:]
	silent := args[0] == "-silent"
	if silent {
		args = args[1:]
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	in, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		exitWith(err)
	}
	if !silent {
		go func() {
			for range time.Tick(5 * time.Millisecond) {
				if _, err := fmt.Fprintln(in, "again"); err != nil {
					return // it has ended
				}
			}
		}()
	}
	_ = cmd.Wait() // the exit code tells
	os.Exit(cmd.ProcessState.ExitCode())
}

func exitWith(err error) {
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
