package storm

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
	"syscall"
	"time"

	"github.com/mycelium-bus/mycelium/shmring"
	"golang.org/x/sys/unix"
)

// patience is the watchdog of every wait that must end: no process is stopped for longer than a second or two, so what has
// not moved in this time is wedged.
const patience = 60 * time.Second

// process is a child.
type process struct {
	place  place
	number uint64
	name   string
	cmd    *exec.Cmd
	stdin  io.Closer
	stderr bytes.Buffer  // whole when done is closed
	done   chan struct{} // closed when it has ended
	err    error         // how it ended, when done is closed
	killed bool
	holds  []string // what it held when it was stopped, nil while it runs

	stopped time.Time // when it was stopped in an open claim, else zero

	finished bool // it was told to end, and has
}

// conductor starts, kills and stops processes. Its methods are for the goroutine that made it, which is locked to its thread:
// children get SIGKILL when the thread that started them ends (prctl(2), PR_SET_PDEATHSIG), stopped ones too.
type conductor struct {
	config Config
	paths
	cast    []place
	rings   map[string]*shmring.Ring
	current []*process // by place
	all     []*process // in the order of their numbers
	report  *Report
	losses  map[shmring.Loss]bool // of the groups of the topic work
}

// start starts the next process of a place.
func (c *conductor) start(at place, quota uint64) (*process, error) {
	p := &process{place: at, number: uint64(len(c.all) + 1), done: make(chan struct{})}
	p.name = fmt.Sprintf("%s-%d", at.name, p.number)
	told, err := json.Marshal(part{paths: c.paths, Role: at.role, Topic: at.topic, Group: at.group, Number: p.number, Name: p.name,
		Seed: c.config.Seed, Witness: at.witness, Quota: quota})
	if err != nil {
		return nil, err
	}
	p.cmd = exec.Command("/proc/self/exe")
	p.cmd.Env = append(os.Environ(), childVariable+"="+string(told))
	p.cmd.Stderr = &p.stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	c.all = append(c.all, p)
	c.report.count(at.role).Started++
	return p, nil
}

// apply does what the plan decided.
func (c *conductor) apply(e event) (err error) {
	p := c.current[e.place]
	switch e.verb {
	case start:
		c.current[e.place], err = c.start(c.cast[e.place], 0)
		return err
	case kill:
		return c.kill(p)
	case stop:
		return c.stop(p)
	}
	return c.cont(p)
}

// kill ends a process at whatever it is doing. It returns when the process is gone, and with it its locks.
func (c *conductor) kill(p *process) error {
	if err := p.ended(); err != nil {
		return err
	}
	if p.place.role.misses() {
		if err := c.noteLaps(p); err != nil {
			return err
		}
	}
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill %s: %w", p.name, err)
	}
	if err := c.wait(p); err != nil {
		return err
	}
	if status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		return p.ended() // it was faster, and has something to say
	}
	p.killed = true
	n := c.report.count(p.place.role)
	n.Killed++
	if p.holds != nil {
		n.KilledStopped++
	}
	return c.lookAtDead(p)
}

// noteLaps counts what a reader that is about to be killed has missed.
func (c *conductor) noteLaps(p *process) error {
	info, err := c.rings[p.place.topic].Inspect()
	for _, s := range info.Consumers {
		if s.Name == p.name {
			c.report.Topics[p.place.topic].Laps += s.Laps
			c.report.Topics[p.place.topic].MissedBytes += s.MissedBytes
		}
	}
	return err
}

// lookAtDead counts what a dead producer left, unless somebody was faster to put it right.
func (c *conductor) lookAtDead(p *process) error {
	if p.place.role != producer {
		return nil
	}
	mended, err := c.rings[p.place.topic].Repair(true)
	if errors.Is(err, shmring.ErrRepairing) {
		return nil
	}
	for _, m := range mended {
		if m.Name == p.name && strings.Contains(m.What, "claim") {
			c.report.DiedInClaim++
		}
		if m.Name == p.name && strings.Contains(m.What, "padded") {
			c.report.Padded++
		}
	}
	return err
}

// stop stops a process and returns when all its threads stand still.
func (c *conductor) stop(p *process) error {
	if err := p.ended(); err != nil {
		return err
	}
	c.report.count(p.place.role).Stopped++
	if err := p.cmd.Process.Signal(syscall.SIGSTOP); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", p.name, err)
	}
	// The kernel tells a parent when the last thread has stopped (waitid(2)); WNOWAIT leaves its end for Wait to find.
	for {
		err := unix.Waitid(unix.P_PID, p.cmd.Process.Pid, nil, unix.WSTOPPED|unix.WEXITED|unix.WNOWAIT, nil)
		if err == nil {
			break
		}
		if errors.Is(err, unix.ECHILD) { // it has ended, and Wait knows already
			<-p.done
			return p.ended()
		}
		if !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("waitid", err)
		}
	}
	holds, claim, err := c.holdings(p)
	p.holds, p.stopped = holds, time.Time{}
	if claim {
		c.report.StoppedInClaim++
		p.stopped = time.Now()
	}
	return err
}

// cont lets a stopped process go on. Nobody may have taken from it what it held: it was alive all the time.
func (c *conductor) cont(p *process) error {
	if err := p.ended(); err != nil {
		return err
	}
	holds, _, err := c.holdings(p)
	if err != nil {
		return err
	}
	if before, after := strings.Join(p.holds, ", "), strings.Join(holds, ", "); before != after {
		return fmt.Errorf("%s held [%s] when it was stopped, and holds [%s] before it goes on: it was treated as dead", p.name, before, after)
	}
	p.holds = nil
	if !p.stopped.IsZero() {
		c.report.LongestInClaim = max(c.report.LongestInClaim, time.Since(p.stopped))
	}
	if err := p.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		return fmt.Errorf("continue %s: %w", p.name, err)
	}
	return nil
}

// holdings lists the slots and open claims that the topics show for a process; the list is never nil.
func (c *conductor) holdings(p *process) (list []string, claim bool, err error) {
	list = []string{}
	for _, t := range topics() {
		info, err := c.rings[t.Name].Inspect()
		if err != nil {
			return list, false, err
		}
		for _, s := range info.Producers {
			if s.Name == p.name {
				list = append(list, fmt.Sprintf("%s of %s, claim %d, alive %t", s.ID, t.Name, s.OpenClaim, s.Alive))
				claim = claim || s.OpenClaim != 0
			}
		}
		for _, s := range info.Consumers {
			switch {
			case s.Name != p.name || s.Mode == "orphan":
			case p.place.role == member: // one with nothing in its hands stands where its group does
				list = append(list, fmt.Sprintf("%s of %s, alive %t", s.ID, t.Name, s.Alive))
			default:
				list = append(list, fmt.Sprintf("%s of %s at %d, alive %t", s.ID, t.Name, s.Position, s.Alive))
			}
		}
	}
	return list, claim, nil
}

// ended returns an error for a process that ended by itself: none does before it is told to.
func (p *process) ended() error {
	select {
	case <-p.done:
	default:
		return nil
	}
	if p.killed || p.finished {
		return nil
	}
	return fmt.Errorf("%s ended by itself: %s\n%s", p.name, p.cmd.ProcessState, &p.stderr)
}

// outcome waits for the end of a process that is not killed.
func (c *conductor) outcome(p *process) error {
	if err := c.wait(p); err != nil {
		return err
	}
	if p.err != nil {
		return fmt.Errorf("%s: %w\n%s", p.name, p.err, &p.stderr)
	}
	return nil
}

func (c *conductor) wait(p *process) error {
	watchdog := time.NewTimer(patience)
	defer watchdog.Stop()
	select {
	case <-p.done:
		return nil
	case <-watchdog.C:
		return fmt.Errorf("%s does not end within %v\n%s", p.name, patience, c.state())
	}
}

// until repeats a look until it succeeds.
func (c *conductor) until(what string, look func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		done, err := look()
		if done || err != nil {
			return err
		}
		for _, p := range c.current {
			if p != nil {
				if err := p.ended(); err != nil {
					return err
				}
			}
		}
		if !pause(ctx, time.Millisecond) {
			return fmt.Errorf("waited %v in vain: %s\n%s", patience, what, c.state())
		}
	}
}

// pause lets time pass; false when ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// state is what the topics show, for a fault.
func (c *conductor) state() string {
	var b strings.Builder
	for _, t := range topics() {
		info, err := c.rings[t.Name].Inspect()
		fmt.Fprintf(&b, "topic %s: tail %d, limit %d, %v\n", t.Name, info.Tail, info.Limit, err)
		for _, s := range info.Producers {
			fmt.Fprintf(&b, "  %+v\n", s)
		}
		for _, s := range info.Consumers {
			fmt.Fprintf(&b, "  %+v\n", s)
		}
		groups, err := c.rings[t.Name].Groups()
		for _, g := range groups {
			fmt.Fprintf(&b, "  %+v %v\n", g, err)
		}
		if id, since, ok := c.rings[t.Name].Repairer(); ok {
			fmt.Fprintf(&b, "  %s has been repairing since %v\n", id, since)
		}
	}
	return b.String()
}

// killAll ends what still runs. It waits for each: nothing is left when it returns.
func (c *conductor) killAll() {
	for _, p := range c.all {
		select {
		case <-p.done:
		default:
			p.killed = true
			p.cmd.Process.Kill() // it may have ended just now
		}
	}
	for _, p := range c.all {
		<-p.done
	}
}

// keep copies the topics' files to the evidence.
func (c *conductor) keep() error {
	to := filepath.Join(c.Evidence, "topics")
	if err := os.Mkdir(to, 0o700); err != nil {
		return err
	}
	var errs []error
	for _, t := range topics() {
		errs = append(errs, os.CopyFS(filepath.Join(to, t.Name), os.DirFS(filepath.Join(c.Bus, t.Name))))
	}
	return errors.Join(errs...)
}
