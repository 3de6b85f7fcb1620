package perf

import (
	"fmt"
	"os"
	"testing"

	"github.com/mycelium-bus/mycelium/internal/leak"
)

// TestMain lets the test binary be a worker, as the program is: a sound one, or one with a fault that tests ask for.
func TestMain(m *testing.M) {
	if len(os.Args) != 2 {
		leak.Main(m)
	}
	worker, ok := map[string]func() error{
		"worker":         func() error { return Worker(os.Stdin, os.Stdout) },
		"worker-dies":    workerDies,
		"worker-babbles": workerBabbles,
		"worker-forges":  workerForges,
	}[os.Args[1]]
	if !ok {
		leak.Main(m)
	}
	if err := worker(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}
