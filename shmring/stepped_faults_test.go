//go:build stepped

package shmring

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// fault is a mistake that the protocol's order exists to prevent: old is replaced by new, once, in a copy of the file, and the
// scenario must then fail.
type fault struct {
	name, file, old, new, scenario string
}

// faults are seeded one by one.
var faults = []fault{
	{"the slots scanned before the tail", "limit.go",
		"	end = p.place(t, size).end\n	bound := alignUp(end, p.segment)\n	bound = p.gateOfReaders(bound, &holder)\n	bound = p.gateOfGroups(bound, end, &holder)\n	if !p.single {\n		bound = p.gateOfClaims(bound, &holder)\n	}\n",
		"	bound := p.gateOfReaders(t+1<<40, &holder)\n	if !p.single {\n		bound = p.gateOfClaims(bound, &holder)\n		t = r.tail.Load()\n	}\n	end = p.place(t, size).end\n	bound = earlier(bound, alignUp(end, p.segment))\n",
		"an open claim is not run over"},
	{"the open-claim gate left out", "limit.go",
		"		bound = p.gateOfClaims(bound, &holder)\n", "", "an open claim is not run over"},
	{"a repair that believes the dead one's own length", "repair.go",
		"	return r.judgeByEnds(t, tail, whole, own, intents, stamped)\n", "	return whole\n", "a repairer beside two"},
	{"the stamp at t read before the ends", "repair.go",
		"	tail := r.tail.Load()\n	intents := r.intents()\n", "	here := r.data.Word(t).Load() == t^r.nonce\n	winner := uint64(frameSlot(r.data.Word(t + 8).Load()))\n	tail := r.tail.Load()\n	intents := r.intents()\n//CUT",
		"a repairer judges batches"},
	{"no look at the limit", "repair.go",
		"	case before(t+r.capacity, limit):\n		return clear // lost laps ago: a winner's intent would have held the limit\n", "	case limit == 0:\n", "a loser's intent is laps old"},
	{"the stamp before the payload", "claim.go",
		"	p.data.Copy(pos+frameHeaderSize, message)\n	p.pos = pos + size\n", "	p.data.Word(pos + 8).StoreRelaxed(p.tag | n)\n	p.data.Word(pos).StoreRelease(pos ^ p.nonce)\n	p.data.Copy(pos+frameHeaderSize, message)\n	p.pos = pos + size\n", "a single producer and its reader"},
	{"a joiner without the extra segment", "join.go",
		"alignUp(limit, r.segment)+r.segment-r.capacity", "alignUp(limit, r.segment)-r.capacity", "a reader joins while producers"},
	{"a single producer's refresh with plain stores", "limit.go",
		"		r.tail.Store(t)\n", "		r.tail.StoreRelaxed(t)\n", "a reader joins while a single"},
	{"the state read after the lock", "repair.go",
		"	s := state(r.consumerWord(slot, cState).Load())\n	if s.kind() == slotMember {\n		return r.repairMember(slot, s, dry)\n	}\n	if s.kind() != slotReader && s.kind() != slotLossy || !r.died(consumerLocks, slot, r.consumerWord(slot, cState), s) {\n", "	dead := !r.alive(consumerLocks, slot)\n	s := state(r.consumerWord(slot, cState).Load())\n	if s.kind() != slotReader && s.kind() != slotLossy || !dead {\n", "a slot's next tenant"},
	{"an intent left behind after back pressure", "claim.go",
		"				p.slotPosition.StoreRelease(0)\n				wrote = false\n", "				wrote = false\n", "back pressure leaves no intent"},
	{"the PAD of a shorter commit stamped first", "claim.go",
		"	if c.start != c.frame {\n		p.pad(c.start, c.frame)\n	}\n", "	if !p.single && used != c.end {\n		p.pad(used, c.end)\n	}\n	if c.start != c.frame {\n		p.pad(c.start, c.frame)\n	}\n", "a repairer judges a shorter commit"},
	{"the intent written after the claim", "claim.go",
		"		p.slotPosition.StoreRelease(0)\n		p.slotSize.StoreRelease(c.end - c.start)\n		p.slotPosition.StoreRelease(t)\n		wrote = true\n", "", "shorter commits"},
	{"the cursor published before the frame was read", "reader.go",
		"			r.pos, r.next, r.word = pos, pos+size, w\n			r.nMessages++\n			r.nBytes += n\n			return Frame{r.data.Bytes(pos+frameHeaderSize, n), pos}, true\n		}\n	}\n	return r.nextSlow(pos)\n",
		"			r.pos, r.next, r.word = pos+size, pos+size, w\n			r.publish()\n			r.pos = pos\n			return Frame{r.data.Bytes(pos+frameHeaderSize, n), pos}, true\n		}\n	}\n	return r.nextSlow(pos)\n", "a full ring"},
	{"a copy that is not checked", "lossy.go",
		"		if limit, ok := r.intact(pos); !ok {\n			return r.lapped(pos, limit)\n		}\n		r.pos, r.next", "		r.pos, r.next", "a lossy reader is overtaken"},
	{"the part at t padded before the part behind the segment's end", "repair.go",
		"	if end := alignDown(from, r.segment) + r.segment; before(end, to) {\n		r.padAs(slot, end, to)\n		to = end\n	}\n	if from != to {\n		r.padAs(slot, from, to)\n	}\n",
		"	if end := alignDown(from, r.segment) + r.segment; before(end, to) {\n		r.padAs(slot, from, end)\n		r.producerWord(slot, pPosition).StoreRelease(0)\n		from = end\n	}\n	if from != to {\n		r.padAs(slot, from, to)\n	}\n", "repairers die amid"},
	{"the slot freed before its claim is padded", "repair.go",
		"		if !dry {\n			r.padRange(slot, v.from, v.to)\n", "		if !dry {\n			r.producerWord(slot, pPosition).CompareAndSwap(t, 0)\n			r.padRange(slot, v.from, v.to)\n", "repairers die amid"},
}

// TestSteppedFindsSeededFaults shows that the stepped runs can fail: each fault is seeded into a copy of the source, by the
// compiler's overlay, and the scenario named beside it must find it. Runs by chance come first, which is mostly quick. It has each
// finding replayed from the schedule that it printed. That takes minutes for all of them: it seeds a quarter, another one each day, or
// with FAULTS=1 all.
func TestSteppedFindsSeededFaults(t *testing.T) {
	for i, f := range faults {
		if os.Getenv("FAULTS") == "" && (i+time.Now().YearDay())%4 != 0 {
			continue
		}
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			seed(t, f, dir)
			faulty := filepath.Join(dir, "faulty.test")
			build := exec.Command("go", "test", "-c", "-tags", "stepped", "-vet=off", "-ldflags=-s -w", "-gcflags=-N -l", // it takes longer than the run
				"-overlay", filepath.Join(dir, "overlay.json"), "-o", faulty, ".")
			if out, err := build.CombinedOutput(); err != nil {
				t.Fatalf("the fault does not build: %v\n%s", err, out)
			}
			names := strings.ReplaceAll(regexp.QuoteMeta(f.scenario), `\|`, "|")
			names = strings.ReplaceAll(names, " ", "_")
			out, err := runFaulty(faulty, "^TestStepped$/("+names+")", "MYC_RANDOM=20000")
			if err == nil {
				t.Fatalf("not found by %q:\n%s", f.scenario, out)
			}
			found := regexp.MustCompile(`stepped_test.go:\d+: fault: (.*)\n(?:.*\n)*?\s*MYC_STEPS='(.*?)' .* -run '(.*?)'`).FindStringSubmatch(out)
			if found == nil {
				t.Fatalf("%v, and no schedule:\n%.4000s", err, out)
			}
			again, err := runFaulty(faulty, found[3], "MYC_STEPS="+found[2])
			number := regexp.MustCompile(`0x[0-9a-f]+|\d+`) // stamps differ with the ring's nonce, and of several lost messages one is named
			if message := number.ReplaceAllString(found[1], "#"); err == nil || !strings.Contains(number.ReplaceAllString(again, "#"), message) {
				t.Fatalf("the schedule %s of %s does not fail again with %q: %v\n%.4000s", found[2], found[3], message, err, again)
			}
			t.Logf("found: %s, by %s in %s", found[1], found[2], found[3])
		})
	}
}

// runFaulty runs scenarios of a faulty build, up to the first that fails.
func runFaulty(faulty, run, env string) (out string, err error) {
	cmd := exec.Command(faulty, "-test.failfast", "-test.v", "-test.timeout", "100s", "-test.run", run)
	cmd.Env = append(os.Environ(), "MYC_SHARD=0/1", env)
	b, err := cmd.CombinedOutput()
	return string(b), err
}

// TestSeededFaultsFit finds the place of every fault in the source as it is.
func TestSeededFaultsFit(t *testing.T) {
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) { seed(t, f, t.TempDir()) })
	}
}

// seed writes the faulty copy and the overlay that puts it in the file's place.
func seed(t *testing.T, f fault, dir string) {
	t.Helper()
	possible := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	source, err := filepath.Abs(f.file)
	possible(err)
	b, err := os.ReadFile(source)
	possible(err)
	text := string(b)
	if n := strings.Count(text, f.old); n != 1 {
		t.Fatalf("%s has the text to be replaced %d times, want once:\n%s", f.file, n, f.old)
	}
	replacement, cut := strings.CutSuffix(f.new, "//CUT")
	replacement, won := strings.CutSuffix(replacement, "//WON")
	text = strings.Replace(text, f.old, replacement, 1)
	if won { // what was loaded early is what is believed
		text = strings.Replace(text, "	won := r.consumerWord(slot, cWon).Load()\n	return end, head", "	won := early\n	return end, head", 1)
	}
	if cut { // the loads were moved up: they are not made again where they belong
		text = strings.Replace(text, "	here := r.data.Word(t).Load() == t^r.nonce\n	// order: none, the stamp's acquire covers it.\n	winner := uint64(frameSlot(r.data.Word(t + 8).Load()))\n", "", 1)
	}
	faulty := filepath.Join(dir, f.file)
	possible(os.WriteFile(faulty, []byte(text), 0o600))
	replace := map[string]string{source: faulty}
	tests, err := filepath.Glob("*_test.go")
	possible(err)
	for _, name := range tests {
		if !strings.HasPrefix(name, "stepped_") { // the others are not needed, and a build without them takes a fraction of the time
			unneeded, err := filepath.Abs(name)
			possible(err)
			replace[unneeded] = ""
		}
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	possible(err)
	possible(os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600))
}
