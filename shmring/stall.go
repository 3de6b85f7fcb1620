package shmring

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Hold is a live handle that others wait for, as one look shows it: most are over in a moment.
type Hold struct {
	ID, Name string
	PID      int // as its process wrote it down; information only
	Slot     int
	Producer bool
	At       uint64   // position of its open claim, or its cursor
	Readers  []string // IDs of the readers that wait before its open claim
	Full     bool     // producers have no room, or nearly none, because of it
}

// String says what is held up: "its open claim at 65536 holds up c0.1, and producers have no room".
func (h Hold) String() string {
	what := "its cursor"
	if h.Producer {
		what = "its open claim"
	}
	var held []string
	if len(h.Readers) > 0 {
		held = append(held, "holds up "+strings.Join(h.Readers, " "))
	}
	if h.Full {
		held = append(held, "leaves producers no room")
	}
	return fmt.Sprintf("%s at %d %s", what, h.At, strings.Join(held, " and "))
}

// Holds tells who holds others up: the producers before whose open claim a reader waits, and the handles that the limit ends at, once
// what is left before it is too little for two of the largest messages. The dead are a repair's to deal with.
func (i Info) Holds() []Hold {
	var holds []Hold
	full := func(bound uint64) bool {
		room := i.Limit - i.Tail
		return bound == i.Limit && int64(room) >= 0 && room < 2*align16(frameHeaderSize+i.MaxFrame)
	}
	for _, p := range i.Producers {
		// A single producer's open claim is in nobody's way, and one at the tail has not been won.
		if !p.Alive || p.OpenClaim == 0 || i.Kind.singleProducer() || !before(p.OpenClaim, i.Tail) {
			continue
		}
		h := Hold{ID: p.ID, Name: p.Name, PID: p.PID, Slot: p.Slot, Producer: true, At: p.OpenClaim, Full: full(p.OpenClaim + i.Capacity)}
		for _, c := range i.Consumers {
			if c.Alive && c.Position == p.OpenClaim {
				h.Readers = append(h.Readers, c.ID)
			}
		}
		if h.Full || len(h.Readers) > 0 {
			holds = append(holds, h)
		}
	}
	for _, c := range i.Consumers {
		credit := c.Credit
		if c.CatchingUp {
			credit = i.Capacity
		}
		// Who waits before an open claim is held up himself.
		waits := slices.ContainsFunc(holds, func(h Hold) bool { return h.At == c.Position })
		if c.Gates() && c.LagBytes > 0 && !waits && full(c.Position+credit) {
			holds = append(holds, Hold{ID: c.ID, Name: c.Name, PID: c.PID, Slot: c.Slot, At: c.Position, Full: true})
		}
	}
	return holds
}

// StallAfter is how long a hold lasts before its handle counts as stalled.
const StallAfter = 2 * time.Second

// Stall is a handle that has held others up for [StallAfter], in one place: its process is stopped, or busy with one message. It is
// never taken for dead.
type Stall struct {
	Hold
	Since time.Time // of the first look that showed it
}

// Stalls tells stalls from holds that pass, by comparing looks at one topic. The zero value has seen none. It is for one goroutine at
// a time.
type Stalls struct{ seen map[stallKey]*stallSeen }

// stallKey is what stays the same as long as a handle does not move.
type stallKey struct {
	id string
	at uint64
}

type stallSeen struct {
	Stall
	told bool
}

// Look takes one more look, at a time: begun are the holds that have become stalls by it, ended the stalls that are over.
func (s *Stalls) Look(now time.Time, info Info) (begun, ended []Stall) {
	held := map[stallKey]*stallSeen{}
	for _, h := range info.Holds() {
		key := stallKey{h.ID, h.At}
		seen := s.seen[key]
		if seen == nil {
			seen = &stallSeen{Stall: Stall{Since: now}}
		}
		seen.Hold = h
		held[key] = seen
		if !seen.told && now.Sub(seen.Since) >= StallAfter {
			seen.told = true
			begun = append(begun, seen.Stall)
		}
	}
	for key, seen := range s.seen {
		if held[key] == nil && seen.told {
			ended = append(ended, seen.Stall)
		}
	}
	s.seen = held
	return begun, ended
}

// Held reports whether the last look showed any hold, which may become a stall.
func (s *Stalls) Held() bool { return len(s.seen) > 0 }

// Paused tells whether the process with a pid runs: "" if it does as far as can be told, "stopped" after SIGSTOP or under a debugger
// (proc_pid_stat(5), state T or t), "frozen" in a frozen cgroup (Linux Documentation/admin-guide/cgroup-v2.rst, cgroup.events; version
// 1: freezer.state). It is information only: a pid means nothing in another pid namespace.
func Paused(pid int) string { return pausedIn("/proc", "/sys/fs/cgroup", pid) }

func pausedIn(proc, cgroups string, pid int) string {
	dir := filepath.Join(proc, strconv.Itoa(pid))
	stat, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return ""
	}
	// The name in parentheses may hold anything; the state follows the last one.
	if at := bytes.LastIndexByte(stat, ')'); at >= 0 && at+2 < len(stat) && (stat[at+2] == 'T' || stat[at+2] == 't') {
		return "stopped"
	}
	groups, err := os.ReadFile(filepath.Join(dir, "cgroup"))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(groups)) {
		id, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		controllers, path, _ := strings.Cut(rest, ":")
		path = filepath.Clean("/" + path)
		switch {
		case id == "0":
			b, _ := os.ReadFile(filepath.Join(cgroups, path, "cgroup.events"))
			if slices.Contains(strings.Split(string(b), "\n"), "frozen 1") {
				return "frozen"
			}
		case containsField(controllers, "freezer"):
			b, _ := os.ReadFile(filepath.Join(cgroups, "freezer", path, "freezer.state"))
			if strings.TrimSpace(string(b)) == "FROZEN" {
				return "frozen"
			}
		}
	}
	return ""
}
