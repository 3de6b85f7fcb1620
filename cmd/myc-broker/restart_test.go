package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/internal/leak"
)

// publish is a program for the tests: it publishes messages that bear its number (its first argument) and are counted, as fast as
// it can, to a topic (its second argument), until its stdin ends, and says how many.
func publish() {
	number, err := strconv.Atoi(os.Args[1])
	check(err)
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	c := dial(ctx)
	pub, err := c.PublisherContext(ctx, os.Args[2])
	check(err)
	fmt.Println("publishing")
	told := make(chan struct{})
	go func() { defer close(told); io.Copy(io.Discard, os.Stdin) }()
	m := make([]byte, 16)
	for n := uint64(0); ; n++ {
		select {
		case <-told:
			fmt.Println("published", n)
			check(errors.Join(pub.Close(), c.Close()))
			return
		default:
		}
		binary.LittleEndian.PutUint64(m, uint64(number))
		binary.LittleEndian.PutUint64(m[8:], n)
		check(pub.PublishWait(ctx, m))
	}
}

// ways are the kinds of subscriptions that follow has.
var ways = map[string][]bus.SubscribeOption{
	"block": {bus.Slow(bus.Block)},
	"sleep": {bus.Slow(bus.Block), bus.Idle(&bus.Sleep{Spins: -1, Yields: -1, Naps: -1})},
	"copy":  {bus.Slow(bus.Drop), bus.Patience(time.Hour)},
}

// follow is a program for the tests: it receives what publish publishes to a topic (its first argument), in one of the ways that there
// are (its second one), each message once and in order, until it has as many as a line on its stdin says.
func follow() {
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	c := dial(ctx)
	sub, err := c.SubscribeContext(ctx, os.Args[1], ways[os.Args[2]]...)
	check(err)
	fmt.Println("following")
	told := make(chan uint64, 1)
	go func() {
		var n uint64
		_, err := fmt.Scan(&n)
		check(err)
		told <- n
	}()
	next := map[uint64]uint64{}
	got, want := uint64(0), uint64(1<<63)
	for got < want {
		select {
		case want = <-told:
			continue
		default:
		}
		_, err := sub.Poll(1000, func(m bus.Message) error {
			number, n := binary.LittleEndian.Uint64(m.Bytes()), binary.LittleEndian.Uint64(m.Bytes()[8:])
			if n != next[number] {
				return fmt.Errorf("publisher %d: message %d came, want %d", number, n, next[number])
			}
			next[number]++
			got++
			return nil
		})
		check(err)
		look, cancel := context.WithTimeout(ctx, 10*time.Millisecond) // so that a line on stdin is seen too
		if err := sub.Wait(look); !errors.Is(err, context.DeadlineExceeded) {
			check(err)
		}
		cancel()
	}
	fmt.Println("received", got)
	check(errors.Join(sub.Close(), c.Close()))
}

// process is a program of this test binary that runs on its own.
type process struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

// launch starts a program of this test binary; it is killed when the test ends, if it still runs.
func launch(t *testing.T, socket, name string, args ...string) *process {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return launchFrom(t, exe, socket, name, args...)
}

// launchFrom is launch for a program in a file.
func launchFrom(t *testing.T, exe, socket, name string, args ...string) *process {
	t.Helper()
	cmd := &exec.Cmd{Path: exe, Args: append([]string{name}, args...), Env: append(os.Environ(), "MYC_SOCKET="+socket), Stderr: t.Output()}
	p := &process{t: t, cmd: cmd}
	out, err := cmd.StdoutPipe()
	if err == nil {
		p.in, err = cmd.StdinPipe()
	}
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	p.out = bufio.NewScanner(out)
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			cmd.Process.Kill()
			cmd.Wait()
		}
	})
	return p
}

// says returns what follows a word on the process's next line.
func (p *process) says(word string) string {
	p.t.Helper()
	if !p.out.Scan() {
		p.t.Fatalf("%s ended, want %q of it", p.cmd.Args[0], word)
	}
	rest, ok := strings.CutPrefix(p.out.Text(), word)
	if !ok {
		p.t.Fatalf("%s says %q, want %q", p.cmd.Args[0], p.out.Text(), word)
	}
	return strings.TrimSpace(rest)
}

func (p *process) ended() {
	p.t.Helper()
	if err := p.cmd.Wait(); err != nil {
		p.t.Errorf("%s ended with: %v", p.cmd.Args[0], err)
	}
}

func (p *process) descriptors() int {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	return len(entries)
}

// eventually waits for a condition, under a watchdog.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// Two publishers and a subscriber, a process each, exchange as many messages as they can while one broker after the other is ended:
// none of them is restarted, no message is lost or comes twice, and each new broker knows who has what.
func TestBrokersComeAndGoUnderLoad(t *testing.T) {
	for _, c := range []struct {
		name   string
		signal syscall.Signal
		times  int
	}{
		{"killed", syscall.SIGKILL, 10},
		{"replaced", syscall.SIGTERM, 5},
	} {
		t.Run(c.name, func(t *testing.T) { comeAndGo(t, c.signal, c.times) })
	}
}

func comeAndGo(t *testing.T, signal syscall.Signal, times int) {
	dir := leak.ShmDir(t)
	busDir, socket, config := filepath.Join(dir, "bus"), filepath.Join(dir, "socket"), filepath.Join(dir, "config.toml")
	if err := os.WriteFile(config, []byte("[broker]\nlog = \"error\"\n[[topic]]\nname = \"load\"\nsize = \"1MiB\"\nslow = \"block\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	serve := func() *process {
		p := launch(t, socket, "myc-broker", "--config", config, "--dir", busDir)
		p.says("ready")
		return p
	}
	broker := serve()
	follower := launch(t, socket, "follow", "load", "block")
	follower.says("following")
	publishers := []*process{launch(t, socket, "publish", "0", "load"), launch(t, socket, "publish", "1", "load")}
	clients := append(publishers, follower)
	for _, p := range publishers {
		p.says("publishing")
	}
	before := make([]int, len(clients))
	for i, p := range clients {
		before[i] = p.descriptors()
	}

	own, err := bus.OpenDir(busDir, bus.Options{Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	messages := func() uint64 {
		info, err := own.Inspect(t.Context(), "load")
		if err != nil {
			t.Fatal(err)
		}
		return info.Messages
	}
	goesOn := func(when string) {
		t.Helper()
		n := messages()
		eventually(t, "messages are exchanged "+when, func() bool { return messages() > n+1000 })
	}
	for range times {
		goesOn("with a broker")
		if err := broker.cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		if err := broker.cmd.Wait(); (err == nil) != (signal == syscall.SIGTERM) {
			t.Errorf("the broker ended with: %v", err)
		}
		goesOn("without a broker")
		broker = serve()
		eventually(t, "the next broker knows its clients", func() bool { return knows(t, socket, clients) })
	}
	for i, p := range clients { // a connection that is being closed counts for a moment
		eventually(t, "as many descriptors as before", func() bool { return p.descriptors() <= before[i] })
	}

	total := 0
	for _, p := range publishers {
		p.in.Close()
		n, err := strconv.Atoi(p.says("published"))
		if err != nil {
			t.Fatal(err)
		}
		total += n
		p.ended()
	}
	if _, err := fmt.Fprintln(follower.in, total); err != nil {
		t.Fatal(err)
	}
	if got := follower.says("received"); got != strconv.Itoa(total) {
		t.Errorf("%s messages were received, %d published", got, total)
	}
	follower.ended()
	if _, err := own.Verify(t.Context(), "load"); err != nil {
		t.Error(err)
	}
	t.Logf("%d messages, %d brokers", total, times+1)
}

// knows tells whether a broker lists each of the processes, by pid, with one slot.
func knows(t *testing.T, socket string, processes []*process) bool {
	t.Helper()
	c, err := bus.Dial(t.Context(), bus.Options{Name: "test", Socket: socket})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	list, err := c.Clients(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range processes {
		if !slices.ContainsFunc(list, func(c bus.Client) bool { return c.PID == p.cmd.Process.Pid && len(c.Slots) == 1 }) {
			return false
		}
	}
	return true
}
