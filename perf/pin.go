package perf

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// chooseCPUs returns the two CPUs for the workers: those named, or the first two that this process may use.
func chooseCPUs(named []int) ([]int, error) {
	if len(named) == 1 && named[0] == Unpinned {
		return named, nil
	}
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, os.NewSyscallError("sched_getaffinity", err)
	}
	var usable []int
	for cpu := range len(set) * 64 {
		if set.IsSet(cpu) {
			usable = append(usable, cpu)
		}
	}
	if len(named) == 0 {
		if len(usable) < 2 {
			return nil, fmt.Errorf("%w: this process may use CPUs %v, a measurement needs two", ErrCPUs, usable)
		}
		return usable[:2], nil
	}
	if len(named) != 2 || named[0] == named[1] {
		return nil, fmt.Errorf("%w: CPUs %v: want two different ones", ErrOptions, named)
	}
	for _, cpu := range named {
		if !slices.Contains(usable, cpu) {
			return nil, fmt.Errorf("%w: CPU %d is not among %v, which this process may use", ErrCPUs, cpu, usable)
		}
	}
	return named, nil
}

// pin binds every thread of this process to one CPU, and makes the Go scheduler use one.
func pin(cpu int) error {
	runtime.GOMAXPROCS(1)
	var want unix.CPUSet
	want.Set(cpu)
	err := eachThread(func(tid int) (changed bool, err error) {
		var is unix.CPUSet
		if err := unix.SchedGetaffinity(tid, &is); err != nil || is == want {
			return false, err
		}
		return true, unix.SchedSetaffinity(tid, &want)
	})
	if err != nil {
		return fmt.Errorf("pin to CPU %d: %w", cpu, err)
	}
	return nil
}

// Realtime gives every thread of this process the scheduling policy SCHED_RR with a priority from 1 (lowest) to 99, so that
// nothing of the ordinary policies interrupts it (sched(7)). It needs CAP_SYS_NICE. Who measures with [Options.Realtime] on a
// busy machine calls it with 3 or more for itself, or its workers, which run at 1 and 2, keep it from telling them what to do.
func Realtime(priority int) error {
	want := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Priority: uint32(priority)}
	err := eachThread(func(tid int) (changed bool, err error) {
		is, err := unix.SchedGetAttr(tid, 0)
		if err != nil || is.Policy == want.Policy && is.Priority == want.Priority {
			return false, err
		}
		return true, unix.SchedSetAttr(tid, &want, 0)
	})
	if err != nil {
		return fmt.Errorf("real-time priority %d: %w", priority, err)
	}
	return nil
}

// realtimeAlone puts the calling goroutine's thread above the process's other ones, and those above all ordinary processes. With
// equals the runtime's monitor takes the CPU away ten times a second, for 100 us each time (docs/performance.md).
func realtimeAlone() error {
	runtime.LockOSThread()
	if err := Realtime(1); err != nil {
		return err
	}
	above := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Priority: 2}
	if err := unix.SchedSetAttr(0, &above, 0); err != nil {
		return fmt.Errorf("real-time priority %d: %w", above.Priority, err)
	}
	return nil
}

// eachThread calls change for every thread of this process. Threads that start later inherit what was changed in those that
// start them; one that appeared while the list was read is found by another pass, until one finds nothing to change.
func eachThread(change func(tid int) (changed bool, err error)) error {
	for range 1000 {
		tasks, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return err
		}
		done := true
		for _, task := range tasks {
			tid, err := strconv.Atoi(task.Name())
			if err != nil {
				return err
			}
			changed, err := change(tid)
			if err != nil && err != unix.ESRCH { // ESRCH: it has ended
				return fmt.Errorf("thread %d: %w", tid, err)
			}
			done = done && !changed
		}
		if done {
			return nil
		}
	}
	return errors.New("new threads kept appearing")
}
