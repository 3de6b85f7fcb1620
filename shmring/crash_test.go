//go:build linux && amd64 && !stepped

package shmring

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestCrash kills a process at the instructions of everything that it does to a topic: a child is single-stepped to the n-th
// instruction of an operation and gets SIGKILL; the survivors repair, verify, account for every message, and go on for more
// than a lap. Deaths differ where something that outlives the process has changed between them. By default it samples these, from
// an offset that moves with the clock; MYC_CRASH=distinct tries each of them, and MYC_CRASH=full every instruction.
func TestCrash(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector's own instructions would be stepped through")
	}
	plan, err := newCrashPlan()
	if err != nil {
		t.Fatal(err)
	}
	if err := tryPtrace(); errors.Is(err, errNoPtrace) {
		t.Logf("NOT TESTED: %v; without it a process cannot be killed at a chosen instruction", err)
		killPointsInstead(t)
		return
	}
	sleepForEver(t)
	var all crashTotal
	t.Run("operations", func(t *testing.T) {
		for i, op := range crashOperations {
			for _, kind := range op.kinds {
				if plan.leavesOut(i, kind) {
					continue
				}
				t.Run(fmt.Sprintf("%s/kind=%s", op.name, kind), func(t *testing.T) {
					if plan.samples == 0 && plan.only < 0 {
						t.Parallel() // as many at once as there are CPUs
					}
					r := &crashRun{op: op, kind: kind, bus: busDir(t), stderr: filepath.Join(t.TempDir(), "stderr")}
					r.run(t, plan, &all)
				})
			}
		}
	})
	t.Logf("%d instructions in all, at %d of which a death leaves something else than before; %d kills, offset %d",
		all.instructions.Load(), all.distinct.Load(), all.kills.Load(), plan.offset)
}

// killPointsInstead has the processes die before each access to shared memory that they make, which takes another build.
func killPointsInstead(t *testing.T) {
	t.Log("instead: processes that kill themselves before an access to shared memory")
	out, err := exec.Command("go", "test", "-tags", "stepped", "-count=1", "-v", "-run", "^TestKillPoints$", ".").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", regexp.MustCompile(`(?m)^ *crash_points_test.go.* offset .*$`).Find(out))
}

// crashTotal sums up, over runs at once.
type crashTotal struct{ runs, instructions, distinct, kills atomic.Int64 }

// crashRun tries one operation.
type crashRun struct {
	op          crashOperation
	kind        Kind
	bus, stderr string
	path        []uint64 // the address of each instruction between the marks, as counted
	once        []int    // for each, the last one up to it that is executed only once
	distinct    []int    // deaths that differ: before the first instruction, after each that changed what outlives the process
	kills       int
	strayed     int // kills that came off the counted path
}

func (r *crashRun) run(t *testing.T, plan crashPlan, all *crashTotal) {
	if err := pinThread(os.Getpid() + int(all.runs.Add(1))); err != nil {
		t.Fatal(err)
	}
	if err := r.count(); err != nil {
		t.Fatalf("undisturbed: %v%s", err, r.said())
	}
	all.instructions.Add(int64(len(r.path)))
	all.distinct.Add(int64(len(r.distinct)))
	began := time.Now()
	for k, n := range plan.places(len(r.path)+1, r.distinct) {
		if k > 0 && plan.slice > 0 && time.Since(began) > plan.slice {
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
	t.Logf("%d instructions, %d of them the ring's own, %d deaths that differ; %d kills%s, every one repaired and accounted for",
		len(r.path), own, len(r.distinct), r.kills, stray)
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
	seen := w.remains()
	r.distinct = []int{0}
	for ended := false; !ended; {
		calls := false
		pc, err := c.next()
		if err == nil {
			calls, err = c.callsSystem(pc)
		}
		if err == nil {
			r.path = append(r.path, pc)
			ended, err = c.step()
		}
		if err != nil {
			return errors.Join(err, c.kill(), w.close())
		}
		if seen.changed() || calls || ended {
			r.distinct = append(r.distinct, len(r.path))
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
