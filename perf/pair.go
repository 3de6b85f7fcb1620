package perf

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
)

// The parent makes the files of a run, starts two workers, and tells both the same steps, each as soon as both have answered
// the one before. It measures nothing, and sleeps while they do.
//
//	parent ── setup, order, order, ..., end ──> worker   a JSON object a line on its stdin
//	       <──── answer, answer, ... ──────────          a JSON object a line on its stdout
//
// A worker whose stdin ends without "end" has lost its parent: it removes the run's files and exits. A parent whose worker
// exits, or fails, kills the other one and removes the files.

// setup is what a worker is told first.
type setup struct {
	Options Options `json:"options"`
	Dir     string  `json:"dir"`
	Side    int     `json:"side"`  // 0 sends first
	CPU     int     `json:"cpu"`   // or Unpinned
	Back    bool    `json:"back"`  // there is a topic back to side 0
	Sleep   bool    `json:"sleep"` // side 1 receives by subscriptions that sleep, made at the order of each step
}

// order is one step.
type order struct {
	Do    string `json:"do"` // floor, stalls, round_trip, one_way_floor, one_way, judge, stream, those of wake.go, end
	Count uint64 `json:"count,omitempty"`
	First uint64 `json:"first,omitempty"` // the first sequence number; floors: new to the lines
	Lines int    `json:"lines,omitempty"`
	Pause uint32 `json:"pause,omitempty"` // floor: PAUSE between looks
	Start int64  `json:"start,omitempty"` // one way: when the first message is due, CLOCK_MONOTONIC
	Gaps  []gap  `json:"gaps,omitempty"`  // judge: those of side 0
	Spin  bool   `json:"spin,omitempty"`  // gather: they spin, and never sleep
	Every int64  `json:"every,omitempty"` // wake: nanoseconds between two messages; idle: for how long
}

// answer is what came of a step.
type answer struct {
	Error     string  `json:"error,omitempty"`
	Code      string  `json:"code,omitempty"` // which sentinel the error is
	Histogram string  `json:"histogram,omitempty"`
	StartMs   int64   `json:"start_ms,omitempty"` // wall clock
	EndMs     int64   `json:"end_ms,omitempty"`
	ElapsedNs int64   `json:"elapsed_ns,omitempty"`
	Messages  uint64  `json:"messages,omitempty"`
	ClockNs   float64 `json:"clock_ns,omitempty"` // what reading the clock costs

	StalledShare float64 `json:"stalled_share,omitempty"`

	// Wake.
	CPUNs    int64 `json:"cpu_ns,omitempty"`   // of the thread (publish), or of the process (idle)
	Sleepers int   `json:"sleepers,omitempty"` // dismiss: those that had seen the last message

	// One way.
	Late        bool   `json:"late,omitempty"` // the first message was due before this side was ready
	Gaps        []gap  `json:"gaps,omitempty"`
	PageFaults  int64  `json:"page_faults,omitempty"`
	Preemptions int64  `json:"preemptions,omitempty"`
	Unstalled   string `json:"unstalled,omitempty"` // judge: the histogram of the messages that no stall touched
}

// codes are the sentinels that survive the way between processes.
var codes = map[string]error{"stalled": ErrStalled, "payload": ErrPayload, "realtime": ErrRealtime}

type pair struct {
	options *Options
	dir     string
	workers [2]*process
}

type process struct {
	cpu     int
	cmd     *exec.Cmd
	in      io.WriteCloser
	answers chan answer // closed when the process has ended
	ended   error       // then: how
	stderr  tail
}

// dirPrefix begins the names of runs' folders in /dev/shm.
const dirPrefix = "myc-perf-"

// shmDir is where rings live; without it they go where temporary files do.
func shmDir() string {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		return "/dev/shm"
	}
	return ""
}

// startPair makes the run's files and starts its workers. Back says whether messages also go from side 1 to side 0, sleep whether side 1
// makes its own subscriptions.
func startPair(ctx context.Context, o *Options, back, sleep bool) (p *pair, err error) {
	dir, err := os.MkdirTemp(shmDir(), dirPrefix)
	if err != nil {
		return nil, err
	}
	p = &pair{options: o, dir: dir}
	made := p // a return with an error clears p
	defer func() {
		if err != nil {
			made.kill()
		}
	}()
	if err := p.createTopics(o, back); err != nil {
		return nil, err
	}
	for side := range p.workers {
		cpu := Unpinned
		if len(o.CPUs) == 2 {
			cpu = o.CPUs[side]
		}
		if p.workers[side], err = startWorker(o, cpu); err != nil {
			return nil, err
		}
		s := setup{Options: *o, Dir: dir, Side: side, CPU: cpu, Back: back, Sleep: sleep}
		if err := json.NewEncoder(p.workers[side].in).Encode(s); err != nil {
			return nil, p.workers[side].failed(err)
		}
	}
	_, err = p.collect(ctx) // both have attached
	return p, err
}

const topicThere, topicBack = "there", "back"

// topicOf is a topic's name on the bus; a broker's has other topics too.
func topicOf(o *Options, dir, topic string) string {
	if o.Socket == "" {
		return topic
	}
	return strings.ToLower(filepath.Base(dir)) + "-" + topic
}

// removeRun removes all that a run made.
func removeRun(o *Options, dir string) error {
	var errs []error
	for _, topic := range []string{topicThere, topicBack} {
		errs = append(errs, layers[o.Layer].remove(topicOf(o, dir, topic), o))
	}
	return errors.Join(append(errs, os.RemoveAll(dir))...)
}

func busDir(dir string) string { return filepath.Join(dir, "bus") }

func (p *pair) createTopics(o *Options, back bool) error {
	if err := os.Mkdir(busDir(p.dir), 0o700); err != nil {
		return err
	}
	topics := []string{topicThere}
	if back {
		topics = append(topics, topicBack)
	}
	for _, topic := range topics {
		if err := layers[o.Layer].create(busDir(p.dir), topicOf(o, p.dir, topic), o); err != nil {
			return fmt.Errorf("create topic %s: %w", topic, err)
		}
	}
	return nil
}

func startWorker(o *Options, cpu int) (*process, error) {
	command := o.Worker
	if len(command) == 0 {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		command = []string{self, "worker"}
	}
	w := &process{cpu: cpu, cmd: exec.Command(command[0], command[1:]...), answers: make(chan answer, 1)}
	w.cmd.Stderr = &w.stderr
	if o.Stderr != nil {
		w.cmd.Stderr = io.MultiWriter(o.Stderr, &w.stderr)
	}
	// A group of its own: what is meant for the parent, a Ctrl-C on a terminal above all, is the parent's to deal with.
	w.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var err error
	if w.in, err = w.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := w.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := w.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start worker: %w", err)
	}
	go w.read(out)
	return w, nil
}

// read passes the worker's answers on until it ends.
func (w *process) read(out io.Reader) {
	dec := json.NewDecoder(out)
	for {
		var a answer
		err := dec.Decode(&a)
		if err == nil {
			w.answers <- a
			continue
		}
		if !errors.Is(err, io.EOF) {
			_ = w.cmd.Process.Kill() // it no longer speaks our language
		}
		w.ended = w.cmd.Wait()
		close(w.answers)
		return
	}
}

// failed says that the worker is at fault, and what it complained about last.
func (w *process) failed(err error) error {
	if err == nil {
		err = errors.New("exit status 0, too early")
	}
	return fmt.Errorf("%w: worker on %s: %w%s", ErrWorker, cpuName(w.cpu), err, w.stderr.last())
}

func cpuName(cpu int) string {
	if cpu == Unpinned {
		return "no CPU of its own"
	}
	return fmt.Sprintf("CPU %d", cpu)
}

// do gives both workers a step and returns their answers. It ends early when one of them fails or dies, or ctx is done; the
// pair is then good for kill only.
func (p *pair) do(ctx context.Context, o order) ([2]answer, error) {
	for _, w := range p.workers {
		if err := json.NewEncoder(w.in).Encode(o); err != nil {
			return [2]answer{}, w.failed(err)
		}
	}
	return p.collect(ctx)
}

func (p *pair) collect(ctx context.Context) (answers [2]answer, err error) {
	wait := [2]chan answer{p.workers[0].answers, p.workers[1].answers}
	for wait[0] != nil || wait[1] != nil {
		var side int
		var a answer
		var alive bool
		select {
		case <-ctx.Done():
			return answers, context.Cause(ctx)
		case a, alive = <-wait[0]:
			side = 0
		case a, alive = <-wait[1]:
			side = 1
		}
		w := p.workers[side]
		switch {
		case !alive && ctx.Err() != nil:
			return answers, context.Cause(ctx)
		case !alive:
			return answers, w.failed(w.ended)
		case a.Error != "":
			return answers, w.failed(remoteError(a))
		}
		answers[side], wait[side] = a, nil
	}
	return answers, nil
}

func remoteError(a answer) error {
	if sentinel := codes[a.Code]; sentinel != nil {
		return fmt.Errorf("%w: %s", sentinel, a.Error)
	}
	return errors.New(a.Error)
}

// end lets the workers close what they have open, and removes the run's files.
func (p *pair) end() error {
	for _, w := range p.workers {
		if err := json.NewEncoder(w.in).Encode(order{Do: "end"}); err != nil {
			p.kill()
			return w.failed(err)
		}
	}
	var errs []error
	for _, w := range p.workers {
		for range w.answers {
		}
		if w.ended != nil {
			errs = append(errs, w.failed(w.ended))
		}
	}
	return errors.Join(append(errs, removeRun(p.options, p.dir))...)
}

// kill ends the workers, wherever they are, and removes the run's files.
func (p *pair) kill() {
	for _, w := range p.workers {
		if w != nil {
			_ = w.cmd.Process.Kill() // it may be dead already
		}
	}
	for _, w := range p.workers {
		if w != nil {
			for range w.answers {
			}
			w.in.Close()
		}
	}
	_ = removeRun(p.options, p.dir) // the error that led here matters more
}

// tail keeps the end of what was written to it.
type tail struct {
	mu sync.Mutex
	b  []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	t.b = t.b[max(0, len(t.b)-4096):]
	return len(p), nil
}

// last returns the last line as something to put behind an error, or "".
func (t *tail) last() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := bytes.TrimSpace(t.b)
	if len(text) == 0 {
		return ""
	}
	return ": " + string(text[bytes.LastIndexByte(text, '\n')+1:])
}
