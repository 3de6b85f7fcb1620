package shmring

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestHoldsAreThoseThatSomebodyWaitsFor(t *testing.T) {
	const C, tail = 1 << 16, 100_000
	claim := func(at uint64) ProducerInfo { return ProducerInfo{ID: "p0.1", Alive: true, OpenClaim: at} }
	reader := func(id string, at uint64) ConsumerInfo {
		c := ConsumerInfo{ID: id, Mode: "block", Alive: true, Position: at, Credit: C / 2}
		if before(at, tail) {
			c.LagBytes = tail - at
		}
		return c
	}
	changed := func(c ConsumerInfo, change func(*ConsumerInfo)) ConsumerInfo { change(&c); return c }
	for name, test := range map[string]struct {
		info Info
		want string
	}{
		"nobody": {Info{Limit: tail + C}, "[]"},
		"a reader waits before an open claim": {Info{Limit: tail + C/4, Producers: []ProducerInfo{claim(99_008)},
			Consumers: []ConsumerInfo{reader("c0.1", 99_008), reader("c1.1", 98_000), reader("c2.1", 99_008)}},
			"[its open claim at 99008 holds up c0.1 c2.1]"},
		"nobody waits before an open claim": {Info{Limit: tail + C/4, Producers: []ProducerInfo{claim(99_008)}}, "[]"},
		"an open claim bounds the limit": {Info{Limit: 34_480 + C, Producers: []ProducerInfo{claim(34_480)}},
			"[its open claim at 34480 leaves producers no room]"},
		"it has not been won": {Info{Limit: tail + C/4, Producers: []ProducerInfo{claim(tail)}, Consumers: []ConsumerInfo{reader("c0.1", tail)}}, "[]"},
		"a single producer's claim": {Info{Kind: SPMC, Limit: tail + C/4, Producers: []ProducerInfo{claim(99_008)},
			Consumers: []ConsumerInfo{reader("c0.1", 99_008)}}, "[]"},
		"a dead producer's": {Info{Limit: tail + C/4, Producers: []ProducerInfo{{ID: "p0.1", OpenClaim: 99_008}},
			Consumers: []ConsumerInfo{reader("c0.1", 99_008)}}, "[]"},
		"a cursor bounds the limit": {Info{Limit: 67_300 + C/2, Consumers: []ConsumerInfo{reader("c0.1", 67_300), reader("c1.1", 90_000)}},
			"[its cursor at 67300 leaves producers no room]"},
		"there is room": {Info{Limit: 99_000 + C/2, Consumers: []ConsumerInfo{reader("c0.1", 99_000)}}, "[]"},
		"one that is catching up": {Info{Limit: 34_500 + C, Consumers: []ConsumerInfo{changed(reader("c0.1", 34_500), func(c *ConsumerInfo) { c.CatchingUp = true })}},
			"[its cursor at 34500 leaves producers no room]"},
		"a dead reader": {Info{Limit: 67_300 + C/2, Consumers: []ConsumerInfo{changed(reader("c0.1", 67_300), func(c *ConsumerInfo) { c.Alive = false })}}, "[]"},
		"a lossy one":   {Info{Limit: 67_300 + C/2, Consumers: []ConsumerInfo{changed(reader("c0.1", 67_300), func(c *ConsumerInfo) { c.Mode = "lossy" })}}, "[]"},
		"a reader that is held up itself": {Info{Limit: 67_312 + C/2, Producers: []ProducerInfo{claim(67_312)}, Consumers: []ConsumerInfo{reader("c0.1", 67_312)}},
			"[its open claim at 67312 holds up c0.1]"},
	} {
		t.Run(name, func(t *testing.T) {
			test.info.Capacity, test.info.MaxFrame, test.info.Tail = C, 1000, tail
			if test.info.Kind == 0 {
				test.info.Kind = MPMC
			}
			if got := fmt.Sprint(test.info.Holds()); got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
		})
	}
}

func TestAStallIsAHoldThatStays(t *testing.T) {
	look := func(positions ...uint64) Info { // of claims before which a reader waits
		i := Info{Kind: MPMC, Capacity: 1 << 16, Tail: 1000, Limit: 1 << 16}
		for n, at := range positions {
			i.Producers = append(i.Producers, ProducerInfo{ID: fmt.Sprint("p", n, ".1"), Alive: true, OpenClaim: at})
			i.Consumers = append(i.Consumers, ConsumerInfo{ID: fmt.Sprint("c", n, ".1"), Mode: "lossy", Alive: true, Position: at})
		}
		return i
	}
	ids := func(stalls []Stall) (of []string) {
		for _, s := range stalls {
			of = append(of, fmt.Sprint(s.ID, "@", s.At, " since ", s.Since.Unix()))
		}
		return of
	}
	var s Stalls
	for n, step := range []struct {
		at           int64 // seconds
		info         Info
		begun, ended string
	}{
		{10, look(16), "[]", "[]"},
		{11, look(16, 32), "[]", "[]"},
		{12, look(16, 48), "[p0.1@16 since 10]", "[]"}, // the second one has moved
		{13, look(16, 48), "[]", "[]"},                 // told once
		{14, look(64, 48), "[p1.1@48 since 12]", "[p0.1@16 since 10]"},
		{90, look(64, 48), "[p0.1@64 since 14]", "[]"},
		{91, look(), "[]", "2"},
		{92, look(), "[]", "[]"},
	} {
		begun, ended := s.Look(time.Unix(step.at, 0), step.info)
		if got := fmt.Sprint(ids(begun)); got != step.begun {
			t.Errorf("look %d: begun %s, want %s", n, got, step.begun)
		}
		if got := fmt.Sprint(ids(ended)); got != step.ended && !(step.ended == "2" && len(ended) == 2) { // in no order
			t.Errorf("look %d: ended %s, want %s", n, got, step.ended)
		}
		if s.Held() != (len(step.info.Holds()) > 0) {
			t.Errorf("look %d: held %v", n, s.Held())
		}
	}
}

func TestPaused(t *testing.T) {
	for name, c := range map[string]struct{ stat, cgroup, file, state, want string }{
		"runs":                     {"7 (a b) S 1", "0::/u\n", "u/cgroup.events", "populated 1\nfrozen 0\n", ""},
		"stopped":                  {"7 (a) T ) T 1", "", "", "", "stopped"},
		"under a debugger":         {"7 (a) t 1", "", "", "", "stopped"},
		"a name that looks so":     {"7 (a) T) R 1", "", "", "", ""},
		"frozen":                   {"7 (a) S 1", "0::/u\n", "u/cgroup.events", "populated 1\nfrozen 1\n", "frozen"},
		"frozen, version 1":        {"7 (a) S 1", "5:cpu:/\n4:freezer:/f\n", "freezer/f/freezer.state", "FROZEN\n", "frozen"},
		"a path that leads astray": {"7 (a) S 1", "0::/../../u\n", "u/cgroup.events", "frozen 1\n", "frozen"},
		"nobody":                   {"", "", "", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			proc, cgroups := filepath.Join(dir, "proc"), filepath.Join(dir, "cgroup")
			err := os.MkdirAll(filepath.Join(proc, "7"), 0o700)
			if c.stat != "" {
				err = errors.Join(err, os.WriteFile(filepath.Join(proc, "7", "stat"), []byte(c.stat), 0o600),
					os.WriteFile(filepath.Join(proc, "7", "cgroup"), []byte(c.cgroup), 0o600))
			}
			if c.file != "" {
				path := filepath.Join(cgroups, c.file)
				err = errors.Join(err, os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(c.state), 0o600))
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := pausedIn(proc, cgroups, 7); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
	if got := Paused(os.Getpid()); got == "stopped" {
		t.Error("this process is stopped, it says")
	}
}
