//go:build linux && amd64 && !stepped

package shmring

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// tracee is a child process whose main thread is single-stepped while its other threads stand still: the Go scheduler's
// helpers would otherwise interrupt what is stepped, at another instruction each time. One OS thread traces, the one that
// started it (ptrace(2)).
type tracee struct {
	pid      int
	pidfd    int
	threads  []int // the other ones
	watchdog *time.Timer
}

// errNoPtrace says that the system does not let this process trace its children.
var errNoPtrace = errors.New("ptrace is refused")

// startTraced starts this test binary as a child, which is stopped before its first instruction. The caller is locked to its
// OS thread. The child dies with that thread, or after a minute.
func startTraced(env []string, stderr *os.File) (*tracee, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &tracee{pidfd: -1}
	c.pid, err = syscall.ForkExec(exe, []string{exe}, &syscall.ProcAttr{
		Env:   append(os.Environ(), env...),
		Files: []uintptr{stderr.Fd(), stderr.Fd(), stderr.Fd()},
		Sys:   &syscall.SysProcAttr{Ptrace: true, Pdeathsig: syscall.SIGKILL, PidFD: &c.pidfd},
	})
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.ENOSYS) {
		return nil, fmt.Errorf("%w: %w", errNoPtrace, err)
	}
	if err != nil {
		return nil, err
	}
	if c.pidfd < 0 { // before Linux 5.2; it dies with this thread
		return nil, errors.New("the system gives no pidfd of a child")
	}
	pidfd := c.pidfd
	c.watchdog = time.AfterFunc(time.Minute, func() { unix.PidfdSendSignal(pidfd, unix.SIGKILL, nil, 0) })
	if _, err = wait(c.pid); err == nil {
		err = unix.PtraceSetOptions(c.pid, unix.PTRACE_O_EXITKILL)
	}
	if err != nil {
		return nil, errors.Join(err, c.kill())
	}
	return c, nil
}

// tryPtrace returns an errNoPtrace where a child cannot be traced; MYC_CRASH_PTRACE=refused is as if it were so.
func tryPtrace() error {
	if os.Getenv("MYC_CRASH_PTRACE") == "refused" {
		return fmt.Errorf("%w: MYC_CRASH_PTRACE says so", errNoPtrace)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	c, err := startTraced(nil, null)
	if err != nil {
		return err
	}
	return c.kill()
}

// await waits for one of the tracing thread's own children and tracees, not those of other threads, to stop or to end. All of
// a process's threads have to be waited for: the main thread's end is reported after those of the others.
func await() (tid int, status unix.WaitStatus, err error) {
	for {
		tid, err = unix.Wait4(-1, &status, unix.WALL|unix.WNOTHREAD, nil)
		if err != unix.EINTR {
			return tid, status, os.NewSyscallError("wait4", err)
		}
	}
}

// wait waits for a thread to stop and returns the signal that it stopped for.
func wait(tid int) (unix.Signal, error) {
	for {
		switch got, status, err := await(); {
		case err != nil:
			return 0, err
		case status.Signaled() && status.Signal() == unix.SIGKILL:
			return 0, errors.New("the child hung, and the watchdog killed it")
		case got != tid:
		case status.Stopped():
			return status.StopSignal(), nil
		default:
			return 0, fmt.Errorf("the child ended with status %#x", uint32(status))
		}
	}
}

// toMark lets the child run to its next mark, a SIGSTOP that it sends to its own main thread.
func (c *tracee) toMark() error {
	for signal := unix.Signal(0); ; {
		if err := unix.PtraceCont(c.pid, int(signal)); err != nil {
			return os.NewSyscallError("ptrace(PTRACE_CONT)", err)
		}
		var err error
		if signal, err = wait(c.pid); err != nil || signal == unix.SIGSTOP {
			return err
		}
	}
}

// errAsked says that the child could not be brought to stand alone, and that another one may.
var errAsked = errors.New("the main thread was asked to yield")

// alone stops the other threads and lets the main thread go on to its next mark without them.
func (c *tracee) alone() error {
	if err := c.freeze(); err != nil {
		return err
	}
	if err := unix.PtraceSyscall(c.pid, 0); err != nil {
		return os.NewSyscallError("ptrace(PTRACE_SYSCALL)", err)
	}
	if _, err := wait(c.pid); err != nil {
		return err
	}
	var regs unix.PtraceRegs
	if err := unix.PtraceGetRegs(c.pid, &regs); err != nil {
		return os.NewSyscallError("ptrace(PTRACE_GETREGS)", err)
	}
	if regs.Orig_rax != unix.SYS_TGKILL {
		return errAsked
	}
	return c.toMark()
}

// freeze stops all other threads, each where it waits in the kernel: one that stood still in the middle of the Go scheduler
// could hold a lock that the main thread needs.
func (c *tracee) freeze() error {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", c.pid))
	if err != nil {
		return err
	}
	for _, task := range tasks {
		tid, err := strconv.Atoi(filepath.Base(task))
		if err != nil || tid == c.pid {
			continue
		}
		if err := unix.PtraceSeize(tid); err != nil {
			return os.NewSyscallError("ptrace(PTRACE_SEIZE)", err)
		}
		c.threads = append(c.threads, tid)
		if err := unix.PtraceInterrupt(tid); err != nil {
			return os.NewSyscallError("ptrace(PTRACE_INTERRUPT)", err)
		}
		for waiting := false; !waiting; { // ends: an idle thread waits sooner or later
			if _, err := wait(tid); err != nil {
				return err
			}
			var regs unix.PtraceRegs
			if err := unix.PtraceGetRegs(tid, &regs); err != nil {
				return os.NewSyscallError("ptrace(PTRACE_GETREGS)", err)
			}
			switch int64(regs.Orig_rax) {
			case unix.SYS_FUTEX, unix.SYS_NANOSLEEP, unix.SYS_EPOLL_PWAIT:
				waiting = true
			default: // on to its next system call
				if err := unix.PtraceSyscall(tid, 0); err != nil {
					return os.NewSyscallError("ptrace(PTRACE_SYSCALL)", err)
				}
			}
		}
	}
	return nil
}

// step executes one instruction of the main thread. It reports whether that was the second mark.
func (c *tracee) step() (ended bool, err error) {
	if err := unix.PtraceSingleStep(c.pid); err != nil {
		return false, os.NewSyscallError("ptrace(PTRACE_SINGLESTEP)", err)
	}
	switch signal, err := wait(c.pid); {
	case err != nil:
		return false, err
	case signal == unix.SIGSTOP:
		return true, nil
	case signal != unix.SIGTRAP:
		return false, fmt.Errorf("the child stopped for %v", signal)
	}
	return false, nil
}

// next returns the address of the main thread's next instruction. The child runs the same program as the parent, at the same
// addresses.
func (c *tracee) next() (uint64, error) {
	var regs unix.PtraceRegs
	if err := unix.PtraceGetRegs(c.pid, &regs); err != nil {
		return 0, os.NewSyscallError("ptrace(PTRACE_GETREGS)", err)
	}
	return regs.Rip, nil
}

// callsSystem reports whether the instruction at pc is a system call.
func (c *tracee) callsSystem(pc uint64) (bool, error) {
	var code [2]byte
	if _, err := unix.PtracePeekText(c.pid, uintptr(pc), code[:]); err != nil {
		return false, os.NewSyscallError("ptrace(PTRACE_PEEKTEXT)", err)
	}
	return code == [2]byte{0x0f, 0x05}, nil
}

// runTo lets the main thread run at full speed until its next instruction is the one at pc, by a breakpoint. It reports whether
// it came there before its next mark.
func (c *tracee) runTo(pc uint64) (there bool, err error) {
	const int3 = 0xcc
	var was [1]byte
	if _, err := unix.PtracePeekText(c.pid, uintptr(pc), was[:]); err != nil {
		return false, os.NewSyscallError("ptrace(PTRACE_PEEKTEXT)", err)
	}
	if _, err := unix.PtracePokeText(c.pid, uintptr(pc), []byte{int3}); err != nil {
		return false, os.NewSyscallError("ptrace(PTRACE_POKETEXT)", err)
	}
	if err := unix.PtraceCont(c.pid, 0); err != nil {
		return false, os.NewSyscallError("ptrace(PTRACE_CONT)", err)
	}
	signal, err := wait(c.pid)
	if err != nil {
		return false, err
	}
	if _, err := unix.PtracePokeText(c.pid, uintptr(pc), was[:]); err != nil {
		return false, os.NewSyscallError("ptrace(PTRACE_POKETEXT)", err)
	}
	var regs unix.PtraceRegs
	if err := unix.PtraceGetRegs(c.pid, &regs); err != nil {
		return false, os.NewSyscallError("ptrace(PTRACE_GETREGS)", err)
	}
	if signal != unix.SIGTRAP || regs.Rip != pc+1 {
		return false, nil
	}
	regs.Rip = pc
	return true, os.NewSyscallError("ptrace(PTRACE_SETREGS)", unix.PtraceSetRegs(c.pid, &regs))
}

// finish lets the child go on to its end and returns an error unless it found all well.
func (c *tracee) finish() error {
	for _, tid := range c.threads {
		if err := unix.PtraceDetach(tid); err != nil {
			return errors.Join(os.NewSyscallError("ptrace(PTRACE_DETACH)", err), c.kill())
		}
	}
	c.threads = nil
	if err := unix.PtraceDetach(c.pid); err != nil {
		return errors.Join(os.NewSyscallError("ptrace(PTRACE_DETACH)", err), c.kill())
	}
	defer c.gone()
	for {
		tid, status, err := await()
		if err != nil {
			return err
		}
		if tid == c.pid {
			if !status.Exited() || status.ExitStatus() != 0 {
				err = fmt.Errorf("the child ended with status %#x", uint32(status))
			}
			return err
		}
	}
}

// kill sends SIGKILL and waits until nothing of the process is left: its locks have fallen by then.
func (c *tracee) kill() error {
	// By descriptor: the number may be another process's, should this one have ended.
	if err := unix.PidfdSendSignal(c.pidfd, unix.SIGKILL, nil, 0); err != nil && err != unix.ESRCH {
		return os.NewSyscallError("pidfd_send_signal", err)
	}
	defer c.gone()
	for { // ends: a killed thread ends, and does not stop again
		if _, _, err := await(); errors.Is(err, unix.ECHILD) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

func (c *tracee) gone() {
	if c.watchdog != nil {
		c.watchdog.Stop()
	}
	closeFD(&c.pidfd)
}

// betweenMarks is the child's side: it performs what is stepped through between the second mark and the third. At the first one the
// parent stops the other threads.
func betweenMarks(do func() error) error {
	pid := unix.Getpid()
	mark := func() { unix.RawSyscall(unix.SYS_TGKILL, uintptr(pid), uintptr(pid), uintptr(unix.SIGSTOP)) }
	mark()
	_ = yieldIfAsked(3)
	mark()
	err := do()
	mark()
	return err
}

// yieldIfAsked calls functions, for it is then that a goroutine obeys the scheduler's wish that it yield. A wish from before the
// other threads were stopped would end in a wait for them.
//
//go:noinline
func yieldIfAsked(n int) int {
	if n == 0 {
		return 0
	}
	return yieldIfAsked(n-1) + 1
}

// pinThread keeps the calling goroutine on one OS thread and that on one CPU, and with it the children it starts: stepping is
// several times as fast when tracer and tracee take turns on one. The thread ends with the goroutine. Which CPU of those that
// are allowed follows from nth.
func pinThread(nth int) error {
	runtime.LockOSThread()
	var allowed, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		return os.NewSyscallError("sched_getaffinity", err)
	}
	nth %= allowed.Count()
	for cpu := 0; ; cpu++ {
		if !allowed.IsSet(cpu) {
			continue
		}
		if nth == 0 {
			one.Set(cpu)
			return os.NewSyscallError("sched_setaffinity", unix.SchedSetaffinity(0, &one))
		}
		nth--
	}
}
