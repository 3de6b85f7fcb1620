package storm

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mycelium-bus/mycelium/internal/leak"
)

func TestMain(m *testing.M) {
	if code, is := Child(); is {
		os.Exit(code)
	}
	leak.Main(m)
}

// configure has the seed of MYC_STORM_SEED, or one that the clock gives.
func configure(t *testing.T, duration time.Duration) Config {
	t.Helper()
	if raceEnabled {
		t.Skip("the race detector does not see shared memory, and its processes are too slow for a storm")
	}
	c := Config{Seed: uint64(time.Now().UnixNano()) % 1_000_000, Duration: duration, Memory: leak.ShmDir(t), Evidence: t.ArtifactDir()}
	if text := os.Getenv("MYC_STORM_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("MYC_STORM_SEED: %v", err)
		}
		c.Seed = seed
	}
	t.Logf("seed %d: MYC_STORM_SEED=%d makes the same decisions", c.Seed, c.Seed)
	return c
}

// TestStorm lets a storm pass: 8 s, 2 s with -short, MYC_STORM_DURATION where that is set.
func TestStorm(t *testing.T) {
	duration := 8 * time.Second
	if testing.Short() {
		duration = 2 * time.Second
	}
	if text := os.Getenv("MYC_STORM_DURATION"); text != "" {
		var err error
		if duration, err = time.ParseDuration(text); err != nil {
			t.Fatalf("MYC_STORM_DURATION: %v", err)
		}
	}
	c := configure(t, duration)
	report, err := Run(t.Context(), c)
	t.Logf("%s", report)
	if err != nil {
		t.Fatalf("the evidence is kept with -artifacts: %s", c.Evidence)
	}
	t.Cleanup(func() { // of a storm without a fault nothing is kept
		for _, path := range must(filepath.Glob(c.Evidence + "/*"))(t) {
			if err := os.Remove(path); err != nil {
				t.Error(err)
			}
		}
	})
	for _, s := range report.Topics {
		if s.Delivered == 0 || s.Cells == 0 || s.Lived < 2 {
			t.Errorf("a storm that shows nothing: %+v", s)
		}
	}
	if groups := report.Topics[work].Groups; len(groups) != 2 || groups[0].Handled == 0 || groups[1].Handled == 0 {
		t.Errorf("groups that show nothing: %+v", groups)
	}
}

// TestStormFindsDamage has somebody scribble over the rings of a storm.
func TestStormFindsDamage(t *testing.T) {
	c := configure(t, time.Minute)
	rng := rand.New(rand.NewPCG(c.Seed, 1))
	c.meddle = func(c *conductor) error {
		f, err := os.OpenFile(filepath.Join(c.Bus, many, "ring"), os.O_RDWR, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return err
		}
		// The frames are the file's last part. What is changed there may be read already: so, often.
		for range 100 {
			back := 1 + rng.Int64N(int64(c.rings[many].Capacity()))
			if _, err := f.WriteAt([]byte{byte(rng.Uint32())}, info.Size()-back); err != nil {
				return err
			}
		}
		return nil
	}
	report, err := Run(t.Context(), c)
	if err == nil {
		t.Fatalf("found no fault:\n%s", report)
	}
	wantOneOf(t, err, "torn", "corrupt", "never sent")
}

// TestStormFindsAFalseDeath replaces a lock file, so that whoever opens the topic from then on takes the living for dead.
func TestStormFindsAFalseDeath(t *testing.T) {
	c := configure(t, time.Minute)
	done := false
	c.meddle = func(c *conductor) error {
		if done {
			return nil
		}
		done = true
		locks := filepath.Join(c.Bus, many, "locks.p")
		if err := os.WriteFile(locks+"new", nil, 0o600); err != nil {
			return err
		}
		return os.Rename(locks+"new", locks)
	}
	report, err := Run(t.Context(), c)
	if err == nil {
		t.Fatalf("found no fault:\n%s", report)
	}
	// Messages that were padded away are missing, readers that were freed are lapped; the broker sees that the file is another, and
	// so does whoever is attached.
	wantOneOf(t, err, "want", "lost", "treated as dead", "damaged", "removed under us")
}

func wantOneOf(t *testing.T, err error, parts ...string) {
	t.Helper()
	if !slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(err.Error(), part) }) {
		t.Errorf("found something else: %v", err)
	}
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
