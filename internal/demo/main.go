// Demo shows the main job on one machine: a broker, a polygon-adapter, a flash-arbitrage and a lossy observer, each a process of
// its own, on one bus. It plays a market twice, first as fast as can be, then at a pace at which the latency means the bus
// and not a queue, prints what was found, and leaves nothing behind. `make demo` builds the programs and runs it.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func main() {
	data := flag.String("data", "", "`folder` of recorded events to play; empty: a made-up market")
	bin := flag.String("bin", "bin", "`folder` of the programs")
	observeSocket := flag.String("observe", "", "be the observer on the broker at this `socket`")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if *observeSocket != "" {
		err = observe(ctx, *observeSocket, os.Stdout)
	} else {
		// The whole takes seconds; what takes a minute is stuck, and is said so.
		bounded, cancel := context.WithTimeoutCause(ctx, time.Minute, errors.New("the demo took more than a minute"))
		err = run(bounded, *bin, *data, os.Stdout)
		cancel()
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "demo: error: %v\n", err)
		os.Exit(1)
	}
}

// rounds are the two ways a market is played; the number of events, first, is a made-up market's.
var rounds = []struct {
	title string
	args  []string
}{
	{"as fast as can be", []string{"--events", "1000000"}},
	{"at 10,000 events per second", []string{"--events", "30000", "--rate", "10000"}},
}

// run plays both rounds, each on a bus of its own.
func run(ctx context.Context, bin, data string, out io.Writer) error {
	for i, round := range rounds {
		args := append([]string{"--synthetic", "7"}, round.args...)
		if data != "" {
			args = append([]string{data}, round.args[2:]...)
		}
		if i > 0 {
			fmt.Fprintln(out)
		}
		fmt.Fprintf(out, "A market on the bus, %s:\n", round.title)
		if err := playRound(ctx, bin, args, data == "", out); err != nil {
			return err
		}
	}
	return nil
}

// playRound starts the processes and lets them end. Then all have ended and all files are gone, also when it fails.
func playRound(ctx context.Context, bin string, args []string, known bool, out io.Writer) (err error) {
	d, err := newDemo(ctx, bin, out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.end()) }()
	if err := d.startBroker(); err != nil {
		return err
	}
	observer, err := d.startObserver()
	if err != nil {
		return err
	}
	if err := d.play(args, known); err != nil {
		return err
	}
	return d.endObserver(observer)
}

// demo is a bus in temporary folders and the processes on it.
type demo struct {
	ctx         context.Context
	bin, socket string
	tmp, bus    string
	out         io.Writer
	running     []*process
}

// process is a program that was started, with what it says.
type process struct {
	name   string
	cmd    *exec.Cmd
	first  chan string   // the first line of its standard output; closed without one
	ended  chan struct{} // closed when its output has ended; lines are complete then
	lines  []string
	stderr *bytes.Buffer
}

func newDemo(ctx context.Context, bin string, out io.Writer) (*demo, error) {
	tmp, err := os.MkdirTemp("", "myc-demo-")
	if err != nil {
		return nil, err
	}
	bus, err := os.MkdirTemp("/dev/shm", "myc-demo-")
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(tmp))
	}
	return &demo{ctx: ctx, bin: bin, tmp: tmp, bus: bus, socket: filepath.Join(tmp, "broker.sock"), out: out}, nil
}

// start starts a program; it is told to end when the demo's time is over.
func (d *demo) start(path string, args ...string) (*process, error) {
	p := &process{name: filepath.Base(path), first: make(chan string, 1), ended: make(chan struct{}), stderr: new(bytes.Buffer)}
	p.cmd = exec.CommandContext(d.ctx, path, args...)
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	p.cmd.WaitDelay = 5 * time.Second
	p.cmd.Env = append(os.Environ(), "MYC_SOCKET="+d.socket)
	p.cmd.Stderr = p.stderr
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w (run `make build` first)", p.name, err)
	}
	d.running = append(d.running, p)
	go func() {
		defer close(p.ended)
		defer close(p.first)
		s := bufio.NewScanner(stdout) // always read on: a program that cannot write holds the others up
		s.Buffer(nil, 1<<20)
		for s.Scan() {
			if p.lines = append(p.lines, s.Text()); len(p.lines) == 1 {
				p.first <- s.Text()
			}
		}
	}()
	return p, nil
}

// wait reads a program's output to its end and returns it.
func (d *demo) wait(p *process) ([]string, error) {
	<-p.ended
	err := p.cmd.Wait()
	for i, r := range d.running {
		if r == p {
			d.running = append(d.running[:i], d.running[i+1:]...)
			break
		}
	}
	if cause := context.Cause(d.ctx); cause != nil {
		return p.lines, cause
	}
	if err != nil {
		return p.lines, fmt.Errorf("%s: %w\n%s", p.name, err, p.stderr)
	}
	return p.lines, nil
}

// line waits for the first line of a program that goes on.
func (d *demo) line(p *process) (string, error) {
	select {
	case l, ok := <-p.first:
		if !ok {
			_, err := d.wait(p)
			return "", errors.Join(fmt.Errorf("%s ended: %s", p.name, p.stderr), err)
		}
		return l, nil
	case <-d.ctx.Done():
		return "", context.Cause(d.ctx)
	}
}

func (d *demo) startBroker() error {
	p, err := d.start(filepath.Join(d.bin, "myc-broker"), "--dir", d.bus, "--socket", d.socket)
	if err != nil {
		return err
	}
	l, err := d.line(p)
	if err == nil && !strings.HasPrefix(l, "ready") {
		err = fmt.Errorf("myc-broker says %q, not ready", l)
	}
	return err
}

func (d *demo) startObserver() (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p, err := d.start(self, "-observe", d.socket)
	if err != nil {
		return nil, err
	}
	_, err = d.line(p) // it has subscribed
	return p, err
}

// summary is the part of polygon-adapter's that is shown here.
type summary struct {
	Published    uint64  `json:"published"`
	Messages     uint64  `json:"messages"`
	Malformed    uint64  `json:"malformed"`
	Cycles       *uint64 `json:"cycles"`
	Seconds      float64 `json:"seconds"`
	MessagesPerS float64 `json:"messages_per_s"`
}

// play runs flash-arbitrage and, beside it, polygon-adapter, and prints what both say.
func (d *demo) play(args []string, known bool) error {
	finder, err := d.start(filepath.Join(d.bin, "flash-arbitrage"), "--until-idle", "1s")
	if err != nil {
		return err
	}
	adapter, err := d.start(filepath.Join(d.bin, "polygon-adapter"), append(args, "-o", "json")...)
	if err != nil {
		return err
	}
	played, err := d.wait(adapter)
	if err != nil {
		return err
	}
	var s summary
	if err := json.Unmarshal([]byte(strings.Join(played, "\n")), &s); err != nil {
		return fmt.Errorf("polygon-adapter's summary: %w", err)
	}
	if s.Messages == 0 {
		return errors.New("polygon-adapter published nothing")
	}
	fmt.Fprintf(d.out, "polygon-adapter  %d messages in %.2f s, %.0f messages/s\n", s.Messages, s.Seconds, s.MessagesPerS)
	found, err := d.wait(finder)
	if err != nil {
		return err
	}
	cycles := 0
	for _, l := range found {
		switch {
		case strings.HasPrefix(l, "block "):
			if cycles++; cycles <= 3 {
				fmt.Fprintf(d.out, "flash-arbitrage  %s\n", l)
			}
		case cycles > 3:
			fmt.Fprintf(d.out, "                 ... %d cycles in all\n", cycles)
			cycles = -cycles
			fallthrough
		default:
			fmt.Fprintf(d.out, "flash-arbitrage  %s\n", strings.TrimSpace(l))
		}
	}
	if cycles < 0 {
		cycles = -cycles
	}
	if known && s.Cycles != nil && uint64(cycles) != *s.Cycles {
		return fmt.Errorf("the made-up market has %d cycles, flash-arbitrage found %d", *s.Cycles, cycles)
	}
	return nil
}

// endObserver lets the observer tell what it saw.
func (d *demo) endObserver(p *process) error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	lines, err := d.wait(p)
	for _, l := range lines[min(1, len(lines)):] {
		fmt.Fprintf(d.out, "observer (lossy) %s\n", l)
	}
	return err
}

// end ends what still runs, the broker last, and removes the folders.
func (d *demo) end() error {
	var errs []error
	for i := len(d.running) - 1; i >= 0; i-- {
		p := d.running[i]
		p.cmd.Process.Signal(syscall.SIGTERM)
		<-p.ended
		if err := p.cmd.Wait(); err != nil && context.Cause(d.ctx) == nil {
			errs = append(errs, fmt.Errorf("%s: %w\n%s", p.name, err, p.stderr))
		}
	}
	return errors.Join(append(errs, os.RemoveAll(d.bus), os.RemoveAll(d.tmp))...)
}
