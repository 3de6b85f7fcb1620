package perf

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/mycelium-bus/mycelium/shmring"
)

func TestAGapTouchesTheWaysThatMeetIt(t *testing.T) {
	gaps := []gap{{From: 10, To: 20}, {From: 30, To: 40, Own: true}, {From: 50, To: 60}}
	g := toucher{gaps}
	for _, c := range []struct {
		way  way
		want bool
	}{
		{way{0, 10}, false},  // over when the gap begins
		{way{5, 11}, true},   // sent before it, arrived in it
		{way{12, 14}, true},  // within it
		{way{19, 25}, true},  // due in it, arrived later
		{way{20, 25}, false}, // due when it was over
		{way{29, 45}, false}, // the process's own
		{way{41, 70}, true},  // the whole gap within the way
		{way{60, 61}, false},
	} {
		if got := g.touched(c.way); got != c.want {
			t.Errorf("%+v: touched is %v", c.way, got)
		}
	}
	g = toucher{gaps[1:]}
	if !g.touched(way{25, 55}) {
		t.Error("an own gap hides the one behind it")
	}
}

func TestTheWatchNotesWhatIsLongEnough(t *testing.T) {
	w := watch{offset: 1000}
	w.saw(now() - 10*stallNs)
	if w.saw(now()); len(w.gaps) != 0 {
		t.Fatalf("it noted %+v before it began", w.gaps)
	}
	if err := w.begin(); err != nil {
		t.Fatal(err)
	}
	began := now() - 10*stallNs
	w.last = began
	w.saw(began + stallNs) // just not long enough
	w.saw(began + 2*stallNs + 1)
	if len(w.gaps) != 1 || w.gaps[0].From != began+stallNs+1000 || w.gaps[0].To < w.gaps[0].From {
		t.Errorf("got %+v, want one from %d", w.gaps, began+stallNs+1000)
	}
	var a answer
	if err := w.end(&a); err != nil || len(a.Gaps) != 1 {
		t.Errorf("the answer has %d gaps, %v", len(a.Gaps), err)
	}
	if w.saw(w.last + 10*stallNs); len(w.gaps) != 1 {
		t.Error("it went on after its end")
	}
}

func TestAPageFaultIsTheProcessesOwn(t *testing.T) {
	w := watch{}
	if err := w.begin(); err != nil {
		t.Fatal(err)
	}
	// A mapping without memory behind it yet, touched in the middle of what the loop does.
	f, err := os.Create(filepath.Join(t.TempDir(), "lines"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	l, err := shmring.NewLines(f)
	if err != nil {
		t.Fatal(err)
	}
	l.Send(0, 1024, 1)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	w.saw(w.last + 2*stallNs)
	if len(w.gaps) == 0 || !w.gaps[0].Own {
		t.Errorf("got %+v, want a gap of the process's own", w.gaps)
	}
}

// seer is a worker with lines that this test's own process writes.
func seer(t *testing.T, count int) (*worker, order, schedule) {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "lines"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := &worker{}
	w.Options.Rate = 1e6
	if w.lines, err = shmring.NewLines(f); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.lines.Close(); err != nil {
			t.Error(err)
		}
	})
	o := order{Do: "one_way_floor", Count: uint64(count), First: 100, Lines: 2, Start: now()}
	return w, o, w.schedule(o)
}

func TestLinesThatWereOverwrittenHaveArrived(t *testing.T) {
	const count = 50
	w, o, s := seer(t, count)
	for now() < s.due(count) { // this side stood still until all were due
	}
	w.lines.Send(0, o.Lines, o.First+count-1)
	if err := w.seeLines(o, s); err != nil {
		t.Fatal(err)
	}
	if len(w.ways) != count {
		t.Fatalf("%d lines arrived, want %d", len(w.ways), count)
	}
	for i, m := range w.ways {
		if m.due != s.due(uint64(i)) || m.arrived < s.due(count) || m.arrived != w.ways[0].arrived {
			t.Fatalf("line %d: %+v", i, m)
		}
	}
}

func TestLinesArriveOneByOne(t *testing.T) {
	const count = 20
	w, o, s := seer(t, count)
	sent := make(chan error, 1)
	go func() {
		sender := worker{lines: w.lines}
		sent <- sender.sendOnSchedule(o, s, func(seq uint64) error {
			sender.lines.Send(0, o.Lines, seq)
			return nil
		})
	}()
	if err := w.seeLines(o, s); err != nil {
		t.Fatal(err)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	for i, m := range w.ways {
		if m.due != s.due(uint64(i)) || m.arrived < m.due {
			t.Errorf("line %d arrived before it was due: %+v", i, m)
		}
	}
}

func TestSlicesAreTheWhole(t *testing.T) {
	for _, c := range []struct {
		count, slices int
		rate          float64
	}{{60, 1, 1e5}, {50_000, 5, 1e5}, {50_001, 5, 1e5}, {5_000, 5, 10}, {1_000_000, 1, 1e7}} {
		all := slicesOf(&Options{Count: c.count, Rate: c.rate})
		sum := uint64(0)
		for _, n := range all {
			sum += n
		}
		if len(all) != c.slices || sum != uint64(c.count) {
			t.Errorf("%d messages at %g a second became %v", c.count, c.rate, all)
		}
	}
}

func TestTheMedianOfRunsIsNoneOfThem(t *testing.T) {
	o := tiny(t, "worker")
	o.OneWay, o.Repeat = true, 3
	r, err := Latency(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	for i, run := range r.Runs {
		if run.OneWay == r.OneWay {
			t.Errorf("run %d is also the median", i)
		}
		if run.Count != run.StalledMessages+run.UnstalledMessages {
			t.Errorf("run %d: %v messages, of which %v stalled and %v not", i, run.Count, run.StalledMessages, run.UnstalledMessages)
		}
		if run.OneWay.FloorP50Ns <= 0 {
			t.Errorf("run %d: no floor: %+v", i, run.OneWay)
		}
	}
}
