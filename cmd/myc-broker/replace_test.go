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
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/internal/leak"
)

// work is a program for the tests: as a member of the group "workers" of a topic (its first argument) it takes messages until its stdin
// ends, and leaves in a file (its second one) which.
func work() {
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	c := dial(ctx)
	sub, err := c.SubscribeContext(ctx, os.Args[1], bus.Group("workers"))
	check(err)
	f, err := os.Create(os.Args[2])
	check(err)
	took := bufio.NewWriter(f)
	fmt.Println("working")
	go func() { io.Copy(io.Discard, os.Stdin); stop() }()
	for m, err := range sub.Messages(ctx) {
		if errors.Is(err, context.Canceled) {
			break
		}
		check(err)
		if m.Redelivered() {
			check(errors.New("a message came again, and nobody died"))
		}
		_, err = took.Write(m.Bytes()[:16])
		check(err)
	}
	check(errors.Join(sub.Close(), c.Close(), took.Flush(), f.Close()))
}

// build makes programs that bear a version, and returns the folder that they are in.
func build(t *testing.T, version string, packages ...string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	const variable = "github.com/mycelium-bus/mycelium/cmd/internal/cli.release"
	args := append([]string{"build", "-buildvcs=false", "-o", dir + "/", "-ldflags", "-s -w -X " + variable + "=" + version}, packages...)
	if out, err := exec.CommandContext(t.Context(), "go", args...).CombinedOutput(); err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return dir
}

// replacement is a bus whose broker is replaced under load.
type replacement struct {
	*testing.T
	socket, ctl string
	own         *bus.Conn
	topics      []string
	serve       func(exe string) *process
	broker      *process

	publishers map[string][]*process // by topic
	followers  map[string][]*process
	workers    []*process
	took       []string // files that the workers leave
}

// TestANewerBrokerReplacesTheOld replaces a broker by one of another version and back, while publishers and subscribers of every kind
// exchange messages as fast as they can, each in a process of its own: the old one is told to end while the new one starts, or is
// killed. No client is restarted or sees an error, no message is lost or comes twice, and the new one knows them all.
func TestANewerBrokerReplacesTheOld(t *testing.T) {
	if testing.Short() {
		t.Skip("builds programs")
	}
	older, newer := build(t, "v1.0.0", ".", "../myc-ctl"), build(t, "v2.0.0", ".")
	r := newReplacement(t, filepath.Join(older, "myc-ctl"))
	r.broker = r.serve(filepath.Join(older, "myc-broker"))
	r.says("ready")
	r.load()
	r.shows("v1.0.0")
	for _, change := range []struct {
		how     syscall.Signal
		to      string
		version string
	}{
		{syscall.SIGTERM, newer, "v2.0.0"}, {syscall.SIGKILL, older, "v1.0.0"},
		{syscall.SIGTERM, older, "v1.0.0"}, {syscall.SIGKILL, newer, "v2.0.0"},
	} {
		before := r.messages()
		r.replace(change.how, filepath.Join(change.to, "myc-broker"))
		eventually(t, "the new broker knows its clients", func() bool { return knows(t, r.socket, r.clients()) })
		r.shows(change.version)
		r.goesOn(before)
	}
	r.account()
}

func (r *replacement) says(word string) { r.broker.says(word) }

func newReplacement(t *testing.T, ctl string) *replacement {
	dir := leak.ShmDir(t)
	r := &replacement{T: t, socket: filepath.Join(dir, "socket"), ctl: ctl, topics: []string{"load", "line", "work"},
		publishers: map[string][]*process{}, followers: map[string][]*process{}}
	busDir, config := filepath.Join(dir, "bus"), filepath.Join(dir, "config.toml")
	const topics = `
[broker]
log = "error"
[[topic]]
name = "load"
size = "1MiB"
slow = "block"
[[topic]]
name = "line"
kind = "spsc"
size = "256KiB"
slow = "block"
[[topic]]
name = "work"
size = "256KiB"
slow = "block"
[[topic.group]]
name = "workers"
`
	if err := os.WriteFile(config, []byte(topics), 0o600); err != nil {
		t.Fatal(err)
	}
	r.serve = func(exe string) *process {
		return launchFrom(t, exe, r.socket, "myc-broker", "--config", config, "--dir", busDir)
	}
	t.Cleanup(func() {
		if r.own != nil {
			r.own.Close()
		}
	})
	return r
}

// load starts everybody, subscribers first.
func (r *replacement) load() {
	for _, f := range [][2]string{{"load", "block"}, {"load", "sleep"}, {"load", "copy"}, {"line", "sleep"}, {"work", "block"}} {
		p := launch(r.T, r.socket, "follow", f[0], f[1])
		p.says("following")
		r.followers[f[0]] = append(r.followers[f[0]], p)
	}
	for range 2 {
		r.took = append(r.took, filepath.Join(r.TempDir(), "took"))
		p := launch(r.T, r.socket, "work", "work", r.took[len(r.took)-1])
		p.says("working")
		r.workers = append(r.workers, p)
	}
	for number, topic := range []string{"load", "load", "line", "work", "work"} {
		p := launch(r.T, r.socket, "publish", strconv.Itoa(number), topic)
		p.says("publishing")
		r.publishers[topic] = append(r.publishers[topic], p)
	}
	var err error
	if r.own, err = bus.Dial(r.Context(), bus.Options{Name: "test", Socket: r.socket}); err != nil {
		r.Fatal(err)
	}
}

func (r *replacement) clients() (all []*process) {
	for _, topic := range r.topics {
		all = append(append(all, r.publishers[topic]...), r.followers[topic]...)
	}
	return append(all, r.workers...)
}

// replace ends the broker while the next one starts; that one is started again, as a supervisor does, while the old one is there.
func (r *replacement) replace(how syscall.Signal, exe string) {
	r.Helper()
	next := r.serve(exe)
	if err := r.broker.cmd.Process.Signal(how); err != nil {
		r.Fatal(err)
	}
	eventually(r.T, "the next broker serves", func() bool {
		if next.out.Scan() {
			return true
		}
		next.cmd.Wait()
		next = r.serve(exe)
		return false
	})
	if err := r.broker.cmd.Wait(); (err == nil) != (how == syscall.SIGTERM) {
		r.Errorf("the broker ended with: %v", err)
	}
	r.broker = next
}

// shows wants of myc-ctl that it tells the broker's version.
func (r *replacement) shows(version string) {
	r.Helper()
	cmd := exec.CommandContext(r.Context(), r.ctl, "clients", "^test$", "--socket", r.socket)
	out, err := cmd.CombinedOutput()
	want := regexp.MustCompile(`^\d+ clients?(, \d of them stalled)?; served by myc-broker ` + regexp.QuoteMeta(version) + `\n`)
	if err != nil || !want.Match(out) {
		r.Errorf("myc-ctl clients: %v; want %s of it:\n%s", err, want, out)
	}
}

// messages counts what each topic has taken.
func (r *replacement) messages() (n []uint64) {
	for _, topic := range r.topics {
		info, err := r.own.Inspect(r.Context(), topic)
		if err != nil {
			r.Fatal(err)
		}
		n = append(n, info.Messages)
	}
	return n
}

func (r *replacement) goesOn(before []uint64) {
	r.Helper()
	for i, topic := range r.topics {
		eventually(r.T, "messages are exchanged on "+topic, func() bool { return r.messages()[i] > before[i]+1000 })
	}
}

// account ends everybody and closes the ledger.
func (r *replacement) account() {
	published := map[string][]int{} // of each publisher
	for _, topic := range r.topics {
		total := 0
		for _, p := range r.publishers[topic] {
			p.in.Close()
			n, err := strconv.Atoi(p.says("published"))
			if err != nil {
				r.Fatal(err)
			}
			published[topic] = append(published[topic], n)
			total += n
			p.ended()
		}
		for _, p := range r.followers[topic] {
			fmt.Fprintln(p.in, total)
			if got := p.says("received"); got != strconv.Itoa(total) {
				r.Errorf("%s: %s messages were received, %d published", topic, got, total)
			}
			p.ended()
		}
		r.Logf("%s: %d messages", topic, total)
	}
	eventually(r.T, "the group has taken all", func() bool {
		groups, err := r.own.Groups(r.Context(), "work")
		if err != nil || len(groups) != 1 {
			r.Fatalf("groups %+v, %v", groups, err)
		}
		return groups[0].LagBytes == 0
	})
	for _, p := range r.workers {
		p.in.Close()
		p.ended()
	}
	r.accountOfGroup(published["work"])
	for _, topic := range r.topics {
		if _, err := r.own.Verify(r.Context(), topic); err != nil {
			r.Error(err)
		}
	}
}

// accountOfGroup wants each message that was published to the group's topic once, of one of the workers.
func (r *replacement) accountOfGroup(published []int) {
	const first = 3 // number of the first publisher to the topic
	taken := make([][]bool, len(published))
	for i, n := range published {
		taken[i] = make([]bool, n)
	}
	shares := []int{}
	for _, path := range r.took {
		b, err := os.ReadFile(path)
		if err != nil {
			r.Fatal(err)
		}
		shares = append(shares, len(b)/16)
		for ; len(b) >= 16; b = b[16:] {
			number, n := binary.LittleEndian.Uint64(b)-first, binary.LittleEndian.Uint64(b[8:])
			if number >= uint64(len(taken)) || n >= uint64(len(taken[number])) || taken[number][n] {
				r.Fatalf("message %d of publisher %d was taken again, or never published", n, number+first)
			}
			taken[number][n] = true
		}
	}
	for i, all := range taken {
		for n, ok := range all {
			if !ok {
				r.Fatalf("message %d of publisher %d was not taken", n, i+first)
			}
		}
	}
	r.Logf("the workers took %v", shares)
}
