package cli

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestASignal runs the program as a process (script.Main has put it in PATH), signals it once it says that it is ready,
// and looks at how it ended.
func TestASignal(t *testing.T) {
	for _, c := range []struct {
		name, command string
		signal        syscall.Signal
		code          int
		stderr        string
	}{
		{"Ctrl-C is the good end of a stream", "stream", syscall.SIGINT, ExitOK, ""},
		{"SIGTERM is the good end of a stream", "stream", syscall.SIGTERM, ExitOK, ""},
		{"Ctrl-C interrupts work", "work", syscall.SIGINT, ExitFailed, "myc-try: error: interrupted\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var stderr strings.Builder
			cmd := startReady(t, c.command, &stderr)
			if err := cmd.Process.Signal(c.signal); err != nil {
				t.Fatal(err)
			}
			cmd.Wait()
			if cmd.ProcessState.ExitCode() != c.code || stderr.String() != c.stderr {
				t.Errorf("%v, stderr %q; want code %d, stderr %q", cmd.ProcessState, stderr.String(), c.code, c.stderr)
			}
		})
	}
}

// startReady starts the program and returns when it has said that it is ready.
func startReady(t *testing.T, command string, stderr io.Writer) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "myc-try", command) // killed at the test's end, whatever happens
	cmd.Stderr = stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	if !lines.Scan() || lines.Text() != "ready" {
		t.Fatalf("first line %q, %v", lines.Text(), lines.Err())
	}
	return cmd
}

func TestASignalThatComesTwice(t *testing.T) {
	for _, c := range []struct {
		name string
		at   []time.Duration // of each signal
		dies int             // by which of them; 0: by none
	}{
		{"at once is one signal", []time.Duration{0, 0, sameSignal - 1}, 0},
		{"later ends the process", []time.Duration{0, 1, sameSignal}, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			signals := make(chan os.Signal, len(c.at))
			for range c.at {
				signals <- syscall.SIGINT
			}
			close(signals)
			seen, cancelled, died := 0, 0, 0
			watch(signals, func() time.Time { seen++; return time.Unix(1, 0).Add(c.at[seen-1]) }, func() { cancelled++ }, func(s os.Signal) {
				if s == syscall.SIGINT {
					died = seen
				}
			})
			if cancelled != 1 || died != c.dies {
				t.Errorf("cancelled %d times, died by signal %d, want once and %d", cancelled, died, c.dies)
			}
		})
	}
}

// TestALaterSignalEndsWhoDoesNotListen signals again and again, as a user does who is not heard.
func TestALaterSignalEndsWhoDoesNotListen(t *testing.T) {
	cmd := startReady(t, "deaf", nil)
	ended := make(chan struct{})
	go func() { cmd.Wait(); close(ended) }()
	for again := time.NewTicker(10 * time.Millisecond); ; {
		select {
		case <-ended:
			again.Stop()
			status := cmd.ProcessState.Sys().(syscall.WaitStatus)
			if !status.Signaled() || status.Signal() != syscall.SIGINT {
				t.Errorf("ended with %v, want by SIGINT", cmd.ProcessState)
			}
			return
		case <-again.C:
			_ = cmd.Process.Signal(syscall.SIGINT) // it may have ended
		}
	}
}
