package main

import (
	"runtime"
	"testing"

	"github.com/mycelium-bus/mycelium/cmd/internal/cli/clitest"
	"github.com/mycelium-bus/mycelium/internal/script"
	"github.com/mycelium-bus/mycelium/perf"
)

func TestMain(m *testing.M) { script.Main(m, map[string]func(){"myc-perf": main}) }

func TestHelp(t *testing.T) { clitest.Help(t, newCommand()) }

// TestJSONIsDocumented looks at a run's keys; of all runs together there are the same, and what the page says beside the table.
func TestJSONIsDocumented(t *testing.T) {
	clitest.JSON(t, "myc-perf", map[string]any{
		"latency": struct {
			perf.Conditions
			perf.LatencyRun
		}{},
		"throughput": struct {
			perf.Conditions
			perf.ThroughputRun
		}{},
		"wake": struct {
			perf.Conditions
			perf.WakeRun
		}{},
		"codec": perf.CodecReport{},
	})
}

func TestTranscripts(t *testing.T) {
	if runtime.NumCPU() < 2 {
		t.Skip("a measurement needs two CPUs; this process may use one")
	}
	script.Run(t, "testdata")
}
