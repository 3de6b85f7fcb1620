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

// realtime gives the process's threads the scheduling policy SCHED_RR, so that nothing of the ordinary policies interrupts them
// (sched(7); it needs CAP_SYS_NICE), and the calling goroutine's thread a priority above the others'. Among equals the runtime's monitor
// takes the CPU away ten times a second, for 100 us each time (docs/performance.md).
//
// The parent stays an ordinary process: the kernel lets those run for 50 ms of each second at least. Above the workers it would
// wait for their end in the kernel's release of them, which spins (Linux 6.18) on the CPU that a dying thread of theirs needs: for ever.
func realtime() error {
	runtime.LockOSThread()
	want := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Priority: 1}
	err := eachThread(func(tid int) (changed bool, err error) {
		is, err := unix.SchedGetAttr(tid, 0)
		if err != nil || is.Policy == want.Policy && is.Priority == want.Priority {
			return false, err
		}
		return true, unix.SchedSetAttr(tid, &want, 0)
	})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRealtime, err)
	}
	want.Priority = 2
	if err := unix.SchedSetAttr(0, &want, 0); err != nil {
		return fmt.Errorf("%w: %w", ErrRealtime, err)
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
