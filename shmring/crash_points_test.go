//go:build linux && stepped

package shmring

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mycelium-bus/mycelium/shmring/internal/shm"
)

// Kill points are for where ptrace is refused, and for processors that the crash test does not know: the build in which every access
// to shared memory is a step lets a real child process on real files kill itself before its n-th access. Between two accesses
// nothing changes that outlives a process but its locks, which fall at its death.

const envCrashPoint = "MYC_CRASH_POINT" // the access before which a child dies; -1: none, and it tells how many there are

// killPoints is the scheduler of a child: it counts, and kills.
type killPoints struct{ n, at int }

func (k *killPoints) pass() {
	if k.n == k.at {
		fmt.Fprintf(os.Stderr, "dies before %s\n", accessor())
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // not one instruction more of the operation
	}
	k.n++
}

func (k *killPoints) Load(w *uint64) uint64         { k.pass(); return *w }
func (k *killPoints) Store(w *uint64, x uint64)     { k.pass(); *w = x }
func (k *killPoints) StoreFull(w *uint64, x uint64) { k.pass(); *w = x }
func (k *killPoints) Fence()                        {}

func (k *killPoints) CompareAndSwap(w *uint64, old, x uint64) bool {
	k.pass()
	if *w != old {
		return false
	}
	*w = x
	return true
}

// accessor names the ring's function and line that makes the access.
func accessor() string {
	pcs := make([]uintptr, 20)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	for {
		f, more := frames.Next()
		if !more || !strings.HasSuffix(f.File, "_test.go") && !strings.Contains(f.Function, "/internal/shm.") {
			return fmt.Sprintf("%s (%s:%d)", f.Function, filepath.Base(f.File), f.Line)
		}
	}
}

// betweenMarks is the child's side: it says that it is ready, waits for the word to go on, and dies on the way, or tells how many
// accesses there were.
func betweenMarks(do func() error) error {
	k := &killPoints{}
	if _, err := fmt.Sscan(os.Getenv(envCrashPoint), &k.at); err != nil {
		return fmt.Errorf("%s: %w", envCrashPoint, err)
	}
	fmt.Println("ready")
	if _, err := os.Stdin.Read(make([]byte, 1)); err != nil {
		return err
	}
	shm.Steps = k
	err := do()
	shm.Steps = nil
	fmt.Println(k.n)
	return err
}

// TestKillPoints is TestCrash with deaths before every access to shared memory, in place of every instruction. MYC_CRASH=full tries
// all of them.
func TestKillPoints(t *testing.T) {
	plan, err := newCrashPlan()
	if err != nil {
		t.Fatal(err)
	}
	sleepForEver(t)
	stopped := now
	now = time.Now // the clock goes on for those who survive
	t.Cleanup(func() { now = stopped })
	points, kills := 0, 0
	for i, op := range crashOperations {
		for _, kind := range op.kinds {
			if plan.leavesOut(i, kind) {
				continue
			}
			t.Run(fmt.Sprintf("%s/kind=%s", op.name, kind), func(t *testing.T) {
				r := &pointRun{op, kind, busDir(t)}
				n, err := r.trial(-1)
				if err != nil {
					t.Fatalf("undisturbed: %v", err)
				}
				var all []int
				for i := range n {
					all = append(all, i)
				}
				began, tried := time.Now(), 0
				for k, at := range plan.places(n, all) {
					if k > 0 && plan.slice > 0 && time.Since(began) > plan.slice {
						break
					}
					if _, err := r.trial(at); err != nil {
						t.Fatalf("killed before access %d of %d: %v\nagain: %s=%d go test -tags stepped -run '%s' ./shmring",
							at, n, err, envCrashAt, at, exactly(t.Name()))
					}
					tried++
				}
				t.Logf("%d accesses; %d kills, every one repaired and accounted for", n, tried)
				points, kills = points+n, kills+tried
			})
		}
	}
	t.Logf("%d accesses to shared memory, %d kills, offset %d", points, kills, plan.offset)
}

// pointRun tries one operation.
type pointRun struct {
	op   crashOperation
	kind Kind
	bus  string
}

// trial lets a child die before its at-th access, or live on, and returns how many accesses it made.
func (r *pointRun) trial(at int) (n int, err error) {
	w, err := newCrashWorld(r.bus, r.op, r.kind)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	exe, err := os.Executable()
	if err != nil {
		return 0, err
	}
	var said strings.Builder
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), envCrashChild+"="+r.op.name, envCrashTopic+"="+w.ring.path, fmt.Sprintf("%s=%d", envCrashPoint, at))
	cmd.Stderr = &said
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2, cmd.Start()); err != nil {
		return 0, err
	}
	watchdog := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
	defer watchdog.Stop()
	lines := bufio.NewScanner(out)
	if lines.Scan() && lines.Text() == "ready" {
		if err = w.atMark(); err == nil {
			_, err = in.Write([]byte{1})
		}
		if err == nil && lines.Scan() {
			_, err = fmt.Sscan(lines.Text(), &n)
		}
	}
	in.Close()
	ended := cmd.Wait()
	status := cmd.ProcessState.Sys().(syscall.WaitStatus)
	switch {
	case err != nil:
	case at >= 0 && ended == nil && n <= at: // another way than the counted one, which goes by what the kernel does, and shorter
		err = w.judge(true)
	case at >= 0 && !(status.Signaled() && status.Signal() == syscall.SIGKILL && said.Len() > 0):
		err = fmt.Errorf("it did not kill itself: %v", ended)
	case at < 0 && ended != nil:
		err = ended
	default:
		err = w.judge(at < 0)
	}
	if err != nil {
		err = fmt.Errorf("%w (the child: %s)", err, strings.TrimSpace(said.String()))
	}
	return n, err
}
