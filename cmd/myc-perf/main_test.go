package main

import (
	"runtime"
	"testing"

	"github.com/mycelium-bus/mycelium/cmd/internal/cli/clitest"
	"github.com/mycelium-bus/mycelium/internal/script"
)

func TestMain(m *testing.M) { script.Main(m, map[string]func(){"myc-perf": main}) }

func TestHelp(t *testing.T) { clitest.Help(t, newCommand()) }

func TestTranscripts(t *testing.T) {
	if runtime.NumCPU() < 2 {
		t.Skip("a measurement needs two CPUs; this process may use one")
	}
	script.Run(t, "testdata")
}
