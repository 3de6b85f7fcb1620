package bus_test

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/mycelium-bus/mycelium/bus/bustest"
	"github.com/mycelium-bus/mycelium/bus/topic"
)

// TestStart builds the two programs of docs/start.md and lets one read what the other writes.
func TestStart(t *testing.T) {
	page, err := os.ReadFile("../docs/start.md")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var programs []string
	for _, m := range regexp.MustCompile("(?s)```go\n(package main\n.*?)```").FindAllSubmatch(page, -1) {
		source := filepath.Join(dir, "program"+string('0'+rune(len(programs)))+".go")
		if err := os.WriteFile(source, m[1], 0o600); err != nil {
			t.Fatal(err)
		}
		program := source[:len(source)-len(".go")]
		if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, source).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		programs = append(programs, program)
	}
	if len(programs) != 2 {
		t.Fatalf("the page has %d programs, want 2", len(programs))
	}

	b := bustest.New(t, topic.Config{Name: "quotes", Kind: topic.SPMC, Size: topic.MiB})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	run := func(program string) (first string, end func()) {
		cmd := exec.CommandContext(ctx, program)
		cmd.Env = append(os.Environ(), "MYC_SOCKET="+b.Socket)
		cmd.Stderr = t.Output()
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		end = func() {
			cmd.Process.Signal(os.Interrupt)
			if err := cmd.Wait(); err != nil {
				t.Errorf("%s: %v", filepath.Base(program), err)
			}
		}
		if program == programs[1] {
			lines := bufio.NewScanner(out)
			lines.Scan()
			first = lines.Text()
		}
		return first, end
	}
	_, endFeed := run(programs[0])
	defer endFeed()
	first, endWatch := run(programs[1])
	defer endWatch()
	if !regexp.MustCompile(`^\d+ quote \d+$`).MatchString(first) {
		t.Errorf("the second program printed %q", first)
	}
}
