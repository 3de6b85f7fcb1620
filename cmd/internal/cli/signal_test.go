package cli

import (
	"bufio"
	"os/exec"
	"strings"
	"syscall"
	"testing"
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
			cmd := exec.CommandContext(t.Context(), "myc-try", c.command) // killed at the test's end, whatever happens
			var stderr strings.Builder
			cmd.Stderr = &stderr
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
