//go:build linux && amd64 && !stepped

package shmring

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const (
	envCrash       = "MYC_CRASH"        // how many instructions of each operation, or "full": every one
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
	var all crashTotal
	t.Run("operations", func(t *testing.T) {
		for _, op := range crashOperations {
			for _, kind := range op.kinds {
				t.Run(fmt.Sprintf("%s/kind=%s", op.name, kind), func(t *testing.T) {
					if plan.samples == 0 {
						t.Parallel() // as many at once as there are CPUs
					}
					r := &crashRun{op: op, kind: kind, bus: busDir(t), stderr: filepath.Join(t.TempDir(), "stderr")}
					r.run(t, plan, &all)
				})
			}
		}
	})
	t.Logf("%d instructions in all, %d kills, offset %d", all.instructions.Load(), all.kills.Load(), plan.offset)
}

// crashTotal sums up, over runs at once.
type crashTotal struct{ runs, instructions, kills atomic.Int64 }

// crashPlan says which instructions are tried.
type crashPlan struct {
	samples int // 0: all
	offset  int
	only    int // -1: not one alone
	// slice is for how long an operation is sampled where nobody asked for a number, so that go test stays short on a slow
	// machine; 0 is without end.
	slice time.Duration
}

func newCrashPlan() (p crashPlan, err error) {
	p = crashPlan{samples: 8, offset: int(time.Now().Unix() / (24 * 60 * 60)), only: -1, slice: 300 * time.Millisecond}
	if testing.Short() {
		p.samples = 3
	}
	if s := os.Getenv(envCrash); s != "" {
		p.samples, p.slice = 0, 0
		if s != "full" {
			if p.samples, err = strconv.Atoi(s); err == nil && p.samples < 1 {
				err = fmt.Errorf("%s=%s: want full, or a number from 1", envCrash, s)
			}
		}
	}
	if s := os.Getenv(envCrashOffset); s != "" && err == nil {
		p.offset, err = strconv.Atoi(s)
	}
	if s := os.Getenv(envCrashAt); s != "" && err == nil {
		p.only, err = strconv.Atoi(s)
	}
	return p, err
}

// at returns the k-th instruction to be tried of an operation of so many, from 0 to all of them done; ok is false when there are
// no more.
func (p crashPlan) at(k, instructions int) (n int, ok bool) {
	switch {
	case p.only >= 0:
		return p.only, k == 0
	case p.samples == 0:
		return k, k <= instructions
	}
	points := instructions + 1
	stride := max(1, points/p.samples)
	return (p.offset + k*stride) % points, k < min(p.samples, points)
}

// crashRun tries one operation.
type crashRun struct {
	op          crashOperation
	kind        Kind
	bus, stderr string
	path        []uint64 // the address of each instruction between the marks, as counted
	once        []int    // for each, the last one up to it that is executed only once
	kills       int
	strayed     int // kills that came off the counted path
}

func (r *crashRun) run(t *testing.T, plan crashPlan, all *crashTotal) {
	if err := pinThread(os.Getpid() + int(all.runs.Add(1))); err != nil {
		t.Fatal(err)
	}
	switch err := r.count(); {
	case errors.Is(err, errNoPtrace):
		t.Skipf("NOT TESTED: %v; without it a process cannot be killed at a chosen instruction", err)
	case err != nil:
		t.Fatalf("undisturbed: %v%s", err, r.said())
	}
	all.instructions.Add(int64(len(r.path)))
	began := time.Now()
	for k := 0; ; k++ {
		n, ok := plan.at(k, len(r.path))
		if !ok || k > 0 && plan.slice > 0 && time.Since(began) > plan.slice {
			break
		}
		if at, err := r.trial(n); err != nil {
			t.Fatalf("killed after %d of %d instructions, before %s: %v%s\nagain: %s=%d go test -run '^TestCrash$/^operations$/^%s$/^kind=%s$' ./shmring",
				n, len(r.path), describe(at), err, r.said(), envCrashAt, n, strings.ReplaceAll(regexp.QuoteMeta(r.op.name), " ", "_"), r.kind)
		}
		r.kills++
		all.kills.Add(1)
	}
	own := 0
	for _, pc := range r.path {
		if f := runtime.FuncForPC(uintptr(pc)); f != nil && strings.Contains(f.Name(), "/shmring") {
			own++
		}
	}
	stray := ""
	if r.strayed > 0 {
		stray = fmt.Sprintf(" (%d of them elsewhere than counted)", r.strayed)
	}
	t.Logf("%d instructions, %d of them the ring's own; %d kills%s, every one repaired and accounted for", len(r.path), own, r.kills, stray)
}

// describe names an instruction's function and line.
func describe(pc uint64) string {
	f := runtime.FuncForPC(uintptr(pc))
	if f == nil {
		return fmt.Sprintf("%#x", pc)
	}
	file, line := f.FileLine(uintptr(pc))
	return fmt.Sprintf("%s (%s:%d)", f.Name(), filepath.Base(file), line)
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
	for ended := false; !ended; {
		pc, err := c.next()
		if err == nil {
			r.path = append(r.path, pc)
			ended, err = c.step()
		}
		if err != nil {
			return errors.Join(err, c.kill(), w.close())
		}
	}
	r.findOnce()
	if err = c.finish(); err == nil {
		err = w.judge(true)
	}
	return errors.Join(err, w.close())
}

// findOnce finds where a breakpoint shortens the way: at instructions of the program that are executed once on it.
func (r *crashRun) findOnce() {
	times := map[uint64]int{}
	for _, pc := range r.path {
		times[pc]++
	}
	last := 0
	for i, pc := range r.path {
		if times[pc] == 1 && runtime.FuncForPC(uintptr(pc)) != nil { // not in the kernel's vdso
			last = i
		}
		r.once = append(r.once, last)
	}
}

// trial kills the child after n instructions, or at the end of its operation if that comes earlier. It returns the address of
// the instruction that was to come next.
func (r *crashRun) trial(n int) (at uint64, err error) {
	w, c, err := r.begin()
	if err != nil {
		return 0, err
	}
	ended := false
	i := r.once[min(n, len(r.once)-1)]
	if i > 0 {
		there, err := c.runTo(r.path[i])
		if err != nil {
			return r.path[i], errors.Join(err, c.kill(), w.close())
		}
		ended = !there
	}
	for ; i < n && !ended; i++ {
		if ended, err = c.step(); err != nil {
			return 0, errors.Join(err, c.kill(), w.close())
		}
	}
	if at, err = c.next(); err == nil {
		if ended != (n == len(r.path)) || !ended && at != r.path[n] {
			r.strayed++
		}
		err = errors.Join(c.kill(), w.judge(ended))
	}
	return at, errors.Join(err, w.close())
}

// said returns what the last child wrote.
func (r *crashRun) said() string {
	b, err := os.ReadFile(r.stderr)
	if err != nil || len(b) == 0 {
		return ""
	}
	return fmt.Sprintf("\nthe child wrote: %.2000s", b)
}
