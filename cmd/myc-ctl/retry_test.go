package main

import (
	"context"
	"errors"
	"os"
	"strconv"
	"syscall"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/cmd/internal/cli/clitest"
)

// parksMain fails what the default group of a topic gets until N messages are parked: `parks DIR TOPIC N`.
func parksMain() {
	c, err := bus.OpenDir(os.Args[1], bus.Options{})
	var sub *bus.Subscription
	if err == nil {
		sub, err = c.Subscribe(os.Args[2])
	}
	n, parsed := strconv.Atoi(os.Args[3])
	clitest.ExitWith(errors.Join(err, parsed))
	failure := errors.New("no")
	for {
		_, err := sub.Poll(1, func(bus.Message) error { return failure })
		if err != nil && !errors.Is(err, failure) {
			clitest.ExitWith(err)
		}
		parked, _, err := c.Parked(context.Background(), os.Args[2])
		clitest.ExitWith(err)
		if len(parked) >= n {
			clitest.ExitWith(errors.Join(sub.Close(), c.Close()))
			return
		}
	}
}

// stopMemberMain stops the process of the first member of a topic's groups (SIGSTOP): `stopmember DIR TOPIC`; with -c it goes on.
func stopMemberMain() {
	what, args := syscall.SIGSTOP, os.Args[1:]
	if args[0] == "-c" {
		what, args = syscall.SIGCONT, args[1:]
	}
	c, err := bus.OpenDir(args[0], bus.Options{})
	clitest.ExitWith(err)
	info, err := c.Inspect(context.Background(), args[1])
	clitest.ExitWith(errors.Join(err, c.Close()))
	for _, m := range info.Consumers {
		if m.Mode == "member" {
			clitest.ExitWith(syscall.Kill(m.PID, what))
			return
		}
	}
	clitest.ExitWith(errors.New("no member"))
}
