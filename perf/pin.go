package perf

import (
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

// pin binds every thread of this process to one CPU, and makes the Go scheduler use one. Threads that are started later
// inherit the binding from those that start them; a thread that appeared while the list was read is found by another
// pass, until one finds nothing to do.
func pin(cpu int) error {
	runtime.GOMAXPROCS(1)
	var want unix.CPUSet
	want.Set(cpu)
	for range 1000 {
		tasks, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return err
		}
		done := true
		for _, task := range tasks {
			tid, err := strconv.Atoi(task.Name())
			if err != nil {
				return fmt.Errorf("thread %q: %w", task.Name(), err)
			}
			var is unix.CPUSet
			if err := unix.SchedGetaffinity(tid, &is); err == unix.ESRCH {
				continue // it has ended
			} else if err == nil && is == want {
				continue
			}
			done = false
			if err := unix.SchedSetaffinity(tid, &want); err != nil && err != unix.ESRCH {
				return fmt.Errorf("pin thread %d to CPU %d: %w", tid, cpu, err)
			}
		}
		if done {
			return nil
		}
	}
	return fmt.Errorf("pin to CPU %d: new threads kept appearing", cpu)
}
