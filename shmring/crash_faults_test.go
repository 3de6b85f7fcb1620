//go:build linux && amd64 && !stepped

package shmring

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// crashFaults are mistakes that only a death at the right instruction shows: old is replaced by new, once, in a copy of the file,
// and the kills in the operation named beside it must find it.
var crashFaults = []struct{ name, file, old, new, samples, operation string }{
	{"the intent written after the claim", "claim.go", `	p.slotSize.StoreRelease(end - t)
	p.slotPosition.StoreRelease(t)
	// order: sequentially consistent, pair [tail] with every load of tail: who sees the tail beyond t sees the intent at t.
	if !p.ring.tail.CompareAndSwap(t, end) {
		// order: release, pair [intent] with Producer.gateOfClaims.
		p.slotPosition.StoreRelease(0)
		return false, nil
	}
`, `	if !p.ring.tail.CompareAndSwap(t, end) {
		return false, nil
	}
	p.slotSize.StoreRelease(end - t)
	p.slotPosition.StoreRelease(t)
`, "full", "publish/kind=mpmc"},
	{"the stamp before the payload", "claim.go", `	p.data.Copy(pos+frameHeaderSize, message)
	p.pos = pos + size
`, `	p.data.Word(pos + 8).StoreRelaxed(p.tag | n)
	p.data.Word(pos).StoreRelease(pos ^ p.nonce)
	p.data.Copy(pos+frameHeaderSize, message)
	p.pos = pos + size
`, "full", "publish/kind=spsc"},
	{"the intent cleared before the rest is padded", "claim.go", `	if used != c.end {
		p.pad(used, c.end)
	}
`, `	p.slotPosition.StoreRelease(0)
	if used != c.end {
		p.pad(used, c.end)
	}
`, "full", "claim and commit less/kind=mpmc"},
	{"a repair that pads nothing", "repair.go", `			r.padRange(slot, v.from, v.to)
`, ``, "full", "claim and commit/kind=mpmc"},
	{"a repair that clears the intent before it pads", "repair.go", `			r.padRange(slot, v.from, v.to)
`, `			r.producerWord(slot, pPosition).CompareAndSwap(t, 0)
			r.padRange(slot, v.from, v.to)
`, "400", "repair half a batch/kind=mpmc"},
	{"a take whose range is written when it is won", "take.go", `		m.held.from.StoreRelease(0)
		m.held.end.StoreRelease(end)
		m.held.from.StoreRelease(pack(h, 1))
		wrote = true
		// order: sequentially consistent, pair [head] with every load of it: who sees the head beyond h sees the range.
		if !m.head.CompareAndSwap(head, pack(end, m.slot)) {
			continue
		}
`, `		if !m.head.CompareAndSwap(head, pack(end, m.slot)) {
			continue
		}
		m.held.end.StoreRelease(end)
		m.held.from.StoreRelease(pack(h, 1))
		wrote = true
`, "distinct", "take/kind=mpmc"},
	{"a batch acknowledged when it is handed out", "take.go", `	if messages != 0 {
			return m.inReach(h)
`, `	if messages != 0 {
			m.held.from.StoreRelease(0)
			m.held.fromAs = 0
			return m.inReach(h)
`, "distinct", "take a batch/kind=mpmc"},
	{"a dead member's slot freed with its range", "adopt.go", `			to = makeState(s.gen(), slotOrphan, 0, uint16(s.group()))
`, ``, "distinct", "take a batch/kind=mpmc"},
	{"what was adopted is freed by who closes", "member.go", `		m.putDown(slotOrphan)
`, `		m.putDown(slotFree)
`, "distinct", "give back what was adopted/kind=mpmc"},
	{"a parked message recorded after it is passed over", "member.go", `			if err := m.park(f); err != nil {
				m.once = err
				return Frame{}, false
			}
`, `			m.acknowledge(pack(next, 0) * min(1, m.held.until-next))
			if err := m.park(f); err != nil {
				m.once = err
				return Frame{}, false
			}
`, "distinct", "park/kind=mpmc"},
	{"a group's loss recorded after its head has moved", "groupjoin.go", `			r.recordLoss(r.lossOfGroup(group, s.gen(), old, pos))
`, `			w(gHead).Store(pack(pos, groupNobody))
			r.recordLoss(r.lossOfGroup(group, s.gen(), old, pos))
`, "distinct", "join a group that was dropped/kind=mpmc"},
	{"a repair that wakes nobody", "repair.go", `	if owes || len(done) > 0 {
		r.wakeAll()
	}
`, `	_ = owes
`, "distinct", "wake readers/kind=mpmc"},
	{"a repair that forgets what a dead repairer owed", "repair.go", `	owes := w(2).Load() != 0
`, `	owes := false
`, "distinct", "repair what owed a wake/kind=mpmc"},
	{"a gate that moves without a wake", "reader.go", `		r.checkGate()
		r.ring.freed()
	}
}
`, `		r.checkGate()
	}
}
`, "distinct", "wake a producer/kind=mpmc"},
	{"a dropped reader that does not say what it missed", "lossy.go", `	if r.mayRecord() {
		r.ring.recordLoss(`, `	if r.mayRecord() && to == 0 {
		r.ring.recordLoss(`, "distinct", "drop a reader/kind=mpmc"},
}

// TestCrashFindsSeededFaults shows that the kills can fail: each fault is seeded into a copy of the source, by the compiler's
// overlay. It takes two minutes, so it runs with the full run alone.
func TestCrashFindsSeededFaults(t *testing.T) {
	if os.Getenv(envCrash) != "full" || os.Getenv(envCrashAt) != "" {
		t.Skip("runs with MYC_CRASH=full (make crash)")
	}
	for _, f := range crashFaults {
		t.Run(f.name, func(t *testing.T) {
			overlay := seedCrashFault(t, f.file, f.old, f.new)
			run := "^TestCrash$/^operations$/"
			for part := range strings.SplitSeq(f.operation, "/") {
				run += "^" + strings.ReplaceAll(regexp.QuoteMeta(part), " ", "_") + "$/"
			}
			cmd := exec.Command("go", "test", "-count=1", "-timeout", "5m", "-overlay", overlay, "-run", strings.TrimSuffix(run, "/"), ".")
			cmd.Env = append(os.Environ(), envCrash+"="+f.samples, envCrashOffset+"=0")
			out, err := cmd.CombinedOutput()
			found := regexp.MustCompile(`crash_test.go:\d+: (killed after .*|undisturbed: .*)`).FindSubmatch(out)
			if err == nil || found == nil {
				t.Fatalf("not found in %q (%v):\n%s", f.operation, err, out)
			}
			t.Logf("found: %s", found[1])
		})
	}
}

// TestCrashFaultsFit finds the place of every fault, and its operation, as they are.
func TestCrashFaultsFit(t *testing.T) {
	for _, f := range crashFaults {
		t.Run(f.name, func(t *testing.T) { seedCrashFault(t, f.file, f.old, f.new) })
		name, _, _ := strings.Cut(f.operation, "/")
		if !slices.ContainsFunc(crashOperations, func(op crashOperation) bool { return op.name == name }) {
			t.Errorf("%s: there is no operation %q", f.name, name)
		}
	}
}

// seedCrashFault writes the faulty copy, and the overlay that puts it in the file's place.
func seedCrashFault(t *testing.T, file, old, new string) (overlay string) {
	t.Helper()
	source, err := filepath.Abs(file)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(source)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(b), old); n != 1 {
		t.Fatalf("%s has the text to be replaced %d times, want once:\n%s", file, n, old)
	}
	dir := t.TempDir()
	faulty := filepath.Join(dir, file)
	overlay = filepath.Join(dir, "overlay.json")
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{source: faulty}})
	if err != nil {
		t.Fatal(err)
	}
	for path, content := range map[string][]byte{faulty: []byte(strings.Replace(string(b), old, new, 1)), overlay: replace} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return overlay
}
