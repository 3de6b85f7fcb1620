package clitest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/bus/broker"
	"github.com/mycelium-bus/mycelium/bus/topic"
	"github.com/mycelium-bus/mycelium/shmring"
)

// Broker returns a program for transcripts: `broker DIR` serves DIR with the given topics at $MYC_SOCKET until SIGINT. A reload
// reads $WORK/broker.toml.
func Broker(topics ...topic.Config) func() {
	return func() {
		config := broker.Defaults()
		config.Dir, config.Socket, config.Topics = os.Args[1], os.Getenv("MYC_SOCKET"), topics
		config.Logger = slog.New(slog.DiscardHandler)
		config.File = filepath.Join(os.Getenv("WORK"), "broker.toml") // read by a reload alone
		config.Reload = func() (broker.Config, error) {
			c, err := broker.Load(config.File, nil)
			c.Dir, c.Socket, c.Metrics = config.Dir, config.Socket, config.Metrics
			return c, err
		}
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
		defer stop()
		b, err := broker.New(config)
		if err == nil {
			err = b.Run(ctx)
		}
		ExitWith(err)
	}
}

// Attached is a program for transcripts: `attached DIR TOPIC N` succeeds if a topic of the bus in DIR has N consumers,
// `attached -p DIR TOPIC N` if it has N producers.
func Attached() {
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
	ExitWith(err)
}

// Stop is a program for transcripts: `stop DIR` stops the broker that has a bus directory (SIGSTOP), `stop DIR TOPIC ID` the process
// of a topic's consumer; `stop -c ...` lets it go on.
func Stop() {
	what, args := syscall.SIGSTOP, os.Args[1:]
	if args[0] == "-c" {
		what, args = syscall.SIGCONT, args[1:]
	}
	var pid int
	if len(args) > 1 {
		pid = Consumer(args[0], args[1], args[2]).PID
	} else {
		note, err := os.ReadFile(filepath.Join(args[0], ".lock"))
		ExitWith(err)
		_, err = fmt.Sscanf(string(note), "pid %d,", &pid)
		ExitWith(err)
	}
	ExitWith(syscall.Kill(pid, what))
}

// Consumer returns the consumer with an ID of a topic of the bus in a directory; without one, it ends the program.
func Consumer(dir, topic, id string) shmring.ConsumerInfo {
	c, err := bus.OpenDir(dir, bus.Options{})
	ExitWith(err)
	info, err := c.Inspect(context.Background(), topic)
	ExitWith(errors.Join(err, c.Close()))
	for _, consumer := range info.Consumers {
		if consumer.ID == id {
			return consumer
		}
	}
	ExitWith(fmt.Errorf("topic %q has no consumer %s", topic, id))
	panic("unreachable")
}

// ExitWith ends a program for transcripts with the error, unless there is none.
func ExitWith(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
