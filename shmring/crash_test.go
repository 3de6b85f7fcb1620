//go:build linux && amd64 && !stepped

package shmring

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	envCrash       = "MYC_CRASH"        // "full": every instruction
	envCrashOffset = "MYC_CRASH_OFFSET" // of the samples; default the day
	envCrashAt     = "MYC_CRASH_AT"     // this instruction alone
)

// TestCrash kills a process at the instructions of everything that it does to a topic: a child is single-stepped to the n-th
// instruction of an operation and gets SIGKILL; the survivors repair, verify, account for every message, and go on for more
// than a lap. By default it samples, from an offset that moves by the day; with MYC_CRASH=full it tries every instruction.
func TestCrash(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector's own instructions would be stepped through")
	}
	plan, err := newCrashPlan()
	if err != nil {
		t.Fatal(err)
	}
	instructions, kills := 0, 0
	for _, op := range crashOperations {
		for _, kind := range op.kinds {
			t.Run(fmt.Sprintf("%s/kind=%s", op.name, kind), func(t *testing.T) {
				r := &crashRun{op: op, kind: kind, bus: busDir(t), stderr: filepath.Join(t.TempDir(), "stderr")}
				r.run(t, plan)
				instructions += r.instructions
				kills += r.kills
			})
		}
	}
	t.Logf("%d instructions in all, %d kills, offset %d", instructions, kills, plan.offset)
}

// crashPlan says which instructions are tried.
type crashPlan struct {
	samples int // 0: all
	offset  int
	only    int // -1: not one alone
}

func newCrashPlan() (p crashPlan, err error) {
	p = crashPlan{samples: 10, offset: int(time.Now().Unix() / (24 * 60 * 60)), only: -1}
	if testing.Short() {
		p.samples = 3
	}
	if os.Getenv(envCrash) == "full" {
		p.samples = 0
	}
	if s := os.Getenv(envCrashOffset); s != "" {
		p.offset, err = strconv.Atoi(s)
	}
	if s := os.Getenv(envCrashAt); s != "" && err == nil {
		p.only, err = strconv.Atoi(s)
	}
	return p, err
}

// at returns the first instruction to try and the distance to the next ones.
func (p crashPlan) at(instructions int) (first, stride int) {
	if p.only >= 0 {
		return p.only, 1 << 30
	}
	stride = 1
	if p.samples > 0 {
		stride = max(1, (instructions+p.samples)/p.samples)
	}
	return p.offset % stride, stride
}

// crashRun tries one operation.
type crashRun struct {
	op           crashOperation
	kind         Kind
	bus, stderr  string
	instructions int // between the marks
	own          int // of them in the ring's packages
	kills        int
}

func (r *crashRun) run(t *testing.T, plan crashPlan) {
	if err := pinThread(); err != nil {
		t.Fatal(err)
	}
	switch err := r.count(); {
	case errors.Is(err, errNoPtrace):
		t.Skipf("NOT TESTED: %v; without it a process cannot be killed at a chosen instruction", err)
	case err != nil:
		t.Fatalf("undisturbed: %v%s", err, r.said())
	}
	n, stride := plan.at(r.instructions)
	for ended := false; !ended; n += stride {
		var place string
		var err error
		if ended, place, err = r.trial(n); err != nil {
			t.Fatalf("killed after %d of %d instructions, before %s: %v%s\nagain: %s=%d go test -run '^TestCrash$/^%s$/^kind=%s$' ./shmring",
				n, r.instructions, place, err, r.said(), envCrashAt, n, strings.ReplaceAll(r.op.name, " ", "_"), r.kind)
		}
		r.kills++
	}
	t.Logf("%d instructions, %d of them the ring's own; %d kills, every one repaired and accounted for", r.instructions, r.own, r.kills)
}

// begin makes a topic and a child that stands alone at the mark before its operation.
func (r *crashRun) begin() (*crashWorld, *tracee, error) {
	for range 100 {
		w, c, err := r.tryBegin()
		if !errors.Is(err, errAsked) {
			return w, c, err
		}
	}
	return nil, nil, errAsked
}

func (r *crashRun) tryBegin() (w *crashWorld, c *tracee, err error) {
	if w, err = newCrashWorld(r.bus, r.op, r.kind); err != nil {
		return nil, nil, err
	}
	stderr, err := os.Create(r.stderr)
	if err == nil {
		c, err = startTraced([]string{"GODEBUG=asyncpreemptoff=1", "GOMAXPROCS=1", "GOGC=off",
			envCrashChild + "=" + r.op.name, envCrashTopic + "=" + w.ring.path}, stderr)
		stderr.Close()
	}
	if err != nil {
		return nil, nil, errors.Join(err, w.close())
	}
	for _, step := range []func() error{c.toMark, c.alone, w.atMark} {
		if err := step(); err != nil {
			return nil, nil, errors.Join(err, c.kill(), w.close())
		}
	}
	return w, c, nil
}

// count steps through the whole operation and lets the child live, which checks what its operation returned.
func (r *crashRun) count() error {
	w, c, err := r.begin()
	if err != nil {
		return err
	}
	for ended := false; !ended; r.instructions++ {
		function, _ := c.place()
		if strings.Contains(function, "/shmring.") || strings.Contains(function, "/shmring/internal/shm.") {
			r.own++
		}
		if ended, err = c.step(); err != nil {
			return errors.Join(err, c.kill(), w.close())
		}
	}
	if err = c.finish(); err == nil {
		err = w.judge(true)
	}
	return errors.Join(err, w.close())
}

// trial kills the child after n instructions, or at the end of its operation if that comes earlier.
func (r *crashRun) trial(n int) (ended bool, place string, err error) {
	w, c, err := r.begin()
	if err != nil {
		return false, "its operation", err
	}
	for i := 0; i < n && !ended; i++ {
		if ended, err = c.step(); err != nil {
			return false, "it came there", errors.Join(err, c.kill(), w.close())
		}
	}
	function, line := c.place()
	if err = c.kill(); err == nil {
		err = w.judge(ended)
	}
	return ended, fmt.Sprintf("%s (%s)", function, line), errors.Join(err, w.close())
}

// said returns what the last child wrote.
func (r *crashRun) said() string {
	b, err := os.ReadFile(r.stderr)
	if err != nil || len(b) == 0 {
		return ""
	}
	return fmt.Sprintf("\nthe child wrote: %.2000s", b)
}
