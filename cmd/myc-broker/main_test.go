package main

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/cmd/internal/cli/clitest"
	"github.com/mycelium-bus/mycelium/internal/script"
)

func TestMain(m *testing.M) {
	script.Main(m, map[string]func(){"myc-broker": main, "topics": topics, "hold": hold, "signal": send, "publish": publish, "follow": follow,
		"work": work})
}

func TestTranscripts(t *testing.T) { script.Run(t, "testdata") }

func TestHelp(t *testing.T) { clitest.Help(t, newCommand()) }

func dial(ctx context.Context) *bus.Conn {
	c, err := bus.Dial(ctx, bus.Options{Name: "test", Socket: os.Getenv("MYC_SOCKET")})
	check(err)
	return c
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// topics is a program for the transcripts: it prints what the broker lists.
func topics() {
	ctx, stop := context.WithTimeout(context.Background(), 10*time.Second)
	defer stop()
	c := dial(ctx)
	defer c.Close()
	list, err := c.Topics(ctx)
	check(err)
	for _, t := range list {
		fmt.Println(t.Config.Name, t.Config.Kind, t.Config.Routing, t.Config.Size, t.Config.Slow, t.State)
	}
}

// hold is a program for the transcripts: it publishes to the topic that is its argument, and stays attached until it is
// killed. The file that is its second argument appears once it is.
func hold() {
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	c := dial(ctx)
	pub, err := c.PublisherContext(ctx, os.Args[1])
	check(err)
	check(pub.Publish([]byte("a message")))
	check(os.WriteFile(os.Args[2], nil, 0o600))
	<-ctx.Done()
	check(pub.Close())
}

// send is a program for the transcripts: it sends a signal, its first argument, to the broker that wrote itself into the
// lock file, its second.
func send() {
	note, err := os.ReadFile(os.Args[2])
	check(err)
	var pid int
	_, err = fmt.Sscanf(string(note), "pid %d,", &pid)
	check(err)
	check(syscall.Kill(pid, map[string]syscall.Signal{"HUP": syscall.SIGHUP, "TERM": syscall.SIGTERM}[os.Args[1]]))
}
