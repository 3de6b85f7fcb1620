package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/bus/topic"
	"github.com/mycelium-bus/mycelium/cmd/internal/cli/clitest"
	"github.com/mycelium-bus/mycelium/internal/script"
	"github.com/mycelium-bus/mycelium/shmring"
	"github.com/mycelium-bus/mycelium/tools"
)

func TestMain(m *testing.M) {
	serve := clitest.Broker(topic.Config{Name: "market_data", Size: topic.MiB, Slow: topic.Drop},
		topic.Config{Name: "execution", Size: topic.MiB, Routing: topic.Queue})
	script.Main(m, map[string]func(){"myc-ctl": main, "broker": serve, "attached": clitest.Attached, "stop": clitest.Stop, "claim": claimMain,
		"bytes": bytesMain, "parks": parksMain, "cross": crossMain, "stopmember": stopMemberMain, "unhex": unhexMain, "held": heldMain,
		"fill": fillMain, "shows": showsMain,
		"dropped": readerMain(func(c shmring.ConsumerInfo) bool { return c.Dropped }),
		"lapped":  readerMain(func(c shmring.ConsumerInfo) bool { return c.LagBytes > 3*uint64(topic.MinSize) }),
		"told":    readerMain(func(c shmring.ConsumerInfo) bool { return c.Laps > 0 && c.LagBytes == 0 && !c.Dropped })})
}

func TestHelp(t *testing.T) { clitest.Help(t, newCommand()) }

func TestJSONIsDocumented(t *testing.T) {
	clitest.JSON(t, "myc-ctl", map[string]any{"topic list": []topicView{}, "topic inspect": topicView{}, "clients": []clientView{},
		"sub": tools.Record{}, "group list": []groupView{}, "group describe": []groupView{}, "parked list": []parkedView{},
		"parked retry": []retriedView{}, "losses": []lossView{}, "repair": repairView{}, "evict": []evictView{}, "lag": []lagView{},
		"why": whyView{}, "reload": reloadView{}})
}

func TestTranscripts(t *testing.T) { script.Run(t, "testdata") }

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
	clitest.ExitWith(err)
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
	clitest.ExitWith(err)
}

// heldMain runs a program whose input does not end, passes SIGINT on to it, and ends as it does: `held PROGRAM ARG...` writes it a line
// now and then, `held -silent PROGRAM ARG...` nothing. A program that is stopped goes on for SIGINT, so that a transcript that fails ends.
func heldMain() {
	args := os.Args[1:]
	silent := args[0] == "-silent"
	if silent {
		args = args[1:]
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Cancel = func() error {
		return errors.Join(cmd.Process.Signal(os.Interrupt), cmd.Process.Signal(syscall.SIGCONT))
	}
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	in, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	clitest.ExitWith(err)
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
	clitest.ExitWith(err)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	<-ctx.Done()
	pub.Close()
	c.Close()
}

// fillMain publishes to a topic of the bus in a directory whenever there is room, until SIGINT: `fill DIR TOPIC`.
func fillMain() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	c, err := bus.OpenDir(os.Args[1], bus.Options{})
	var pub *bus.Publisher
	if err == nil {
		pub, err = c.Publisher(os.Args[2])
	}
	for err == nil {
		if err = pub.PublishWait(ctx, make([]byte, 1000)); err == nil {
			err = ctx.Err()
		}
	}
	if errors.Is(err, context.Canceled) {
		err = errors.Join(pub.Close(), c.Close())
	}
	clitest.ExitWith(err)
}

// showsMain runs a program, passes on what it prints, and fails unless a regular expression is found there: `shows REGEX PROGRAM ARG...`.
func showsMain() {
	out, err := exec.Command(os.Args[2], os.Args[3:]...).Output()
	os.Stdout.Write(out)
	if err == nil && !regexp.MustCompile(os.Args[1]).Match(out) {
		err = fmt.Errorf("no match for %q", os.Args[1])
	}
	clitest.ExitWith(err)
}

// readerMain returns a program that succeeds if a consumer is as told: `dropped DIR TOPIC ID`.
func readerMain(is func(shmring.ConsumerInfo) bool) func() {
	return func() {
		if c := clitest.Consumer(os.Args[1], os.Args[2], os.Args[3]); !is(c) {
			clitest.ExitWith(fmt.Errorf("it is %+v", c))
		}
	}
}
