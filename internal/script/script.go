// Package script answers the question "how do the programs' transcripts run?". A transcript is a file testdata/*.txt
// of a program's folder in the form of testscript: commands, what they must print, the files they need. The programs
// run as processes of their own, made from the test binary itself, so there is nothing to build first:
//
//	func TestMain(m *testing.M)        { script.Main(m, map[string]func(){"myc-ctl": main, "myc-broker": broker.Main}) }
//	func TestTranscripts(t *testing.T) { script.Run(t, "testdata") }
//
// Each transcript has a folder of its own in /dev/shm, removed at its end, and these variables:
//
//	$BUS         the folder for the bus directory (not made yet: --dir $BUS)
//	$MYC_SOCKET  the broker's socket, which every program takes unless --socket is given
//	$MYC_DATA    the folder of recorded data, absolute; the condition [data] tells whether it is there
//
// and these commands beside testscript's (https://pkg.go.dev/github.com/rogpeppe/go-internal/testscript):
//
//	eventually COMMAND ARG...   runs a program again and again until it succeeds, under a watchdog
//	exits CODE COMMAND ARG...   runs a program that must end with this exit code
//	[!] json PATH [WANT]        the value at PATH (a.0.b) in the JSON on the last stdout is WANT, or is there at all
//
// `go test -update` (`make golden`) writes what cmp compares with back into the transcripts.
package script

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/mycelium-bus/mycelium/internal/golden"
	"github.com/mycelium-bus/mycelium/internal/leak"
)

// patience is how long eventually goes on: a watchdog for what never comes.
const patience = 30 * time.Second

// Main is the TestMain of a package with transcripts. programs maps each program's name to its main, which may call
// os.Exit. It also fails if the tests leave goroutines, descriptors or files in /dev/shm. It does not return.
func Main(m *testing.M, programs map[string]func()) {
	testscript.Main(leak.Checked(m), programs)
}

// Run runs the transcripts of a folder, each as a parallel subtest.
func Run(t *testing.T, dir string) {
	t.Helper()
	data := dataDir(t)
	testscript.Run(t, testscript.Params{
		Dir:                 dir,
		UpdateScripts:       golden.Updating(),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup:               func(env *testscript.Env) error { return setup(env, data) },
		Condition: func(cond string) (bool, error) {
			if cond == "data" {
				_, err := os.Stat(data)
				return err == nil, nil
			}
			return false, os.ErrInvalid
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"eventually": eventually,
			"exits":      exits,
			"json":       checkJSON,
		},
	})
}

func setup(env *testscript.Env, data string) error {
	dir := leak.ShmDir(env.T().(testing.TB))
	env.Setenv("BUS", filepath.Join(dir, "bus"))
	env.Setenv("MYC_SOCKET", filepath.Join(dir, "socket"))
	env.Setenv("MYC_DATA", data)
	env.Setenv("NO_COLOR", "1")
	// A program built with the race detector otherwise sleeps a second at its end, for reports of other threads.
	env.Setenv("GORACE", "atexit_sleep_ms=20")
	return nil
}

// dataDir returns the folder of recorded data: $MYC_DATA, else ../shared/data from the folder of go.mod.
func dataDir(t *testing.T) string {
	t.Helper()
	if dir := os.Getenv("MYC_DATA"); dir != "" {
		return dir
	}
	root, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	for !isFile(filepath.Join(root, "go.mod")) && root != filepath.Dir(root) {
		root = filepath.Dir(root)
	}
	return filepath.Join(root, "..", "shared", "data")
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
