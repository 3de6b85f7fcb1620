//go:build stepped

package shmring

import (
	"fmt"
	"os"
	"regexp"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestStepped runs every scenario in every order of its steps, within its bounds. FULL=1 goes one preemption deeper.
func TestStepped(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // one process runs at a time
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	shard, shards := 0, 1 // MYC_SHARD=1/2 runs the second half: a run uses one core
	fmt.Sscanf(os.Getenv("MYC_SHARD"), "%d/%d", &shard, &shards)
	deeper, _ := strconv.Atoi(os.Getenv("FULL"))
	total, tried := 0, 0
	for i, s := range scenarios {
		if i%shards != shard {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			s := *s
			s.preempts += deeper
			began := time.Now()
			e := explore(t, &s)
			if e.failure != "" {
				t.Fatalf("fault: %s\nMYC_STEPS='%s' go test -tags stepped -run '%s' ./shmring replays it", e.failure, e.schedule(), exactly(t.Name()))
			}
			t.Logf("%d processes, %d schedules, %d of them cut off at a state seen before, %d preemptions, %d kills, %.1f s",
				len(e.procs), e.Runs, e.Pruned, s.preempts, s.kills, time.Since(began).Seconds())
			total += e.Runs
			tried++
		})
	}
	t.Logf("%d schedules of %d scenarios", total, tried)
}

// exactly is the regular expression that -run takes for a test alone.
func exactly(name string) string {
	parts := strings.Split(name, "/")
	for i, part := range parts {
		parts[i] = "^" + strings.ReplaceAll(regexp.QuoteMeta(part), "'", ".") + "$" // for a shell's quotes
	}
	return strings.Join(parts, "/")
}
