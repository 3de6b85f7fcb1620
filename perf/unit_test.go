package perf

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"
)

func TestOptionsNameEveryFault(t *testing.T) {
	_, err := Options{Layer: "kernel", Kind: "spsp", Size: 7, Send: "shout", Ring: 100_000, Batch: -1, Count: -1, OneWay: true, Rate: 1e9, Repeat: -1}.withDefaults()
	if !errors.Is(err, ErrOptions) {
		t.Fatal(err)
	}
	for _, want := range []string{`layer "kernel"`, `kind "spsp"`, "size of 7 bytes", `send "shout"`, "ring of 100000 bytes", "batch of -1", "count -1", "rate of 1e+09", "repeat -1"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
}

func TestOptionsRefuseWhatDoesNotFitTogether(t *testing.T) {
	for name, o := range map[string]Options{
		"one way too small":       {OneWay: true, Size: 16},
		"larger than max_frame":   {Ring: 64 << 10, Size: 4096},
		"batch beyond max_claim":  {Ring: 64 << 10, Size: 64, Batch: 1000},
		"count and duration":      {Count: 1, Duration: time.Second},
		"the same CPU twice":      {CPUs: []int{0, 0}},
		"rate of less than one":   {OneWay: true, Rate: 0.5},
		"negative rate":           {OneWay: true, Rate: -1},
		"a size that is not in 8": {Size: 65},
	} {
		if _, err := o.withDefaults(); !errors.Is(err, ErrOptions) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := (Options{CPUs: []int{0, 4095}}).withDefaults(); !errors.Is(err, ErrCPUs) {
		t.Errorf("a CPU that is not there: got %v", err)
	}
}

func TestIdleReadsBackAsWritten(t *testing.T) {
	for _, s := range []string{"spin", "spin/128", "spin:0", "spin:1", "spin:1/128", "yield", "backoff"} {
		i, err := ParseIdle(s)
		if err != nil || i.String() != s {
			t.Errorf("%s became %s, %v", s, i, err)
		}
	}
	for _, s := range []string{"", "spin:", "spin:x", "spin:1/", "spin:-1", "spin/", "spin/x", "yield/3", "spin:1001", "sleep", "yield:3"} {
		if i, err := ParseIdle(s); !errors.Is(err, ErrOptions) {
			t.Errorf("%q was taken as %v, %v", s, i, err)
		}
	}
}

func TestPayloadsOfAllSizesAreChecked(t *testing.T) {
	for _, timed := range []bool{false, true} {
		for _, size := range []int{8, 16, 24, 32, 56, 64, 72, 120, 128, 136, 520, 1024} {
			if timed && size < minTimed {
				continue
			}
			f, c := filler{timed: timed, sentNs: 1 << 50}, newChecker(size, timed)
			b := make([]byte, size)
			for seq := range uint64(3) {
				f.fill(b, seq)
				if !c.take(b) {
					t.Fatalf("size %d, timed %v: %v", size, timed, c.err)
				}
			}
			if timed && c.sentNs != 1<<50 {
				t.Fatalf("size %d: time %d", size, c.sentNs)
			}
			// A flipped bit anywhere is noticed.
			for i := range b {
				f.fill(b, 3)
				b[i] ^= 0x10
				again := *c
				if again.take(b) {
					t.Fatalf("size %d, timed %v: a wrong byte %d was taken", size, timed, i)
				}
				if !errors.Is(again.err, ErrPayload) {
					t.Fatal(again.err)
				}
			}
			f.fill(b, 4)
			if again := *c; again.take(b) {
				t.Fatalf("size %d: a message was skipped without notice", size)
			}
			f.fill(b, 3)
			if again := *c; size > 8 && again.take(b[:size-8]) {
				t.Fatalf("size %d: a short message was taken", size)
			}
		}
	}
}

func TestSummaryIsThatOfTheTimes(t *testing.T) {
	h := newHistogram()
	for i := range int64(10_000) {
		record(h, i+1)
	}
	record(h, -5)               // two clocks that differ a little
	record(h, int64(time.Hour)) // beyond the histogram's reach
	s := summarize(h)
	if s.Count != 10_002 || s.MinNs != 0 {
		t.Errorf("count %v, min %v", s.Count, s.MinNs)
	}
	for _, c := range []struct{ got, want float64 }{{s.P50Ns, 5000}, {s.P90Ns, 9000}, {s.P99Ns, 9900}, {s.P99_9Ns, 9990}, {s.P99_99Ns, 10_000}, {s.MaxNs, float64(time.Minute)}} {
		if math.Abs(c.got-c.want) > c.want/500 {
			t.Errorf("got %v, want %v to three digits", c.got, c.want)
		}
	}
	a, err := histogramAnswer(h)
	if err != nil {
		t.Fatal(err)
	}
	again, err := a.histogram()
	if err != nil || summarize(again) != s {
		t.Errorf("after the way between processes: %+v, %v, want %+v", again, err, s)
	}
	if _, err := (answer{Histogram: "AAAA"}).histogram(); !errors.Is(err, ErrWorker) {
		t.Errorf("a histogram of nonsense: %v", err)
	}
}

func TestOnlyNearRunsCountWhereThereAreAny(t *testing.T) {
	run := func(placement string, rate, floor float64) ThroughputRun {
		return ThroughputRun{MessagesPerS: rate, Floor: Floor{P50Ns: floor, Placement: placement}}
	}
	of := func(runs ...ThroughputRun) (ThroughputRun, map[string]Spread, int) {
		return medians(runs, throughputFigures, func(r *ThroughputRun) *Floor { return &r.Floor })
	}
	got, spread, near := of(run("far", 10, 450), run("near", 70, 120), run("mixed", 30, 130), run("near", 60, 130))
	if got.MessagesPerS != 65 || got.P50Ns != 125 || got.Placement != "near" || near != 2 || spread["messages_per_s"] != (Spread{60, 65, 70}) {
		t.Errorf("got %+v, %+v, %d near", got, spread["messages_per_s"], near)
	}
	if got, _, near := of(run("far", 10, 450), run("far", 12, 460), run("mixed", 30, 130)); got.MessagesPerS != 12 || got.Placement != "mixed" || near != 0 {
		t.Errorf("without near runs: %+v, %d near", got, near)
	}
}

func TestFloorOfBeforeAndAfterIsTheLower(t *testing.T) {
	before := Floor{P50Ns: 130, P99Ns: 300, LineP50Ns: 110, ClockNs: 30, Lines: 2, Placement: "near"}
	after := Floor{P50Ns: 120, P99Ns: 200, LineP50Ns: 115, ClockNs: 29, Lines: 2, Placement: "near"}
	if got := before.best(after); got != (Floor{P50Ns: 120, P99Ns: 200, LineP50Ns: 110, ClockNs: 29, Lines: 2, Placement: "near"}) {
		t.Errorf("got %+v", got)
	}
	after.Placement = "far"
	if got := before.best(after); got.Placement != "mixed" {
		t.Errorf("near before and far after is %s", got.Placement)
	}
}

func TestAReaderThatGetsNothingNoticesAStall(t *testing.T) {
	for _, strategy := range []string{"spin", "spin/8", "spin:0", "spin:1/8", "yield", "backoff"} {
		i, err := ParseIdle(strategy)
		if err != nil {
			t.Fatal(err)
		}
		d := newIdler(i, &watch{})
		if err := d.check(); err != nil {
			t.Errorf("%s: the first look already: %v", strategy, err)
		}
		d.since = now() - int64(StallLimit) - 1 // as if that long had passed
		if err := d.check(); !errors.Is(err, ErrStalled) {
			t.Errorf("%s: got %v", strategy, err)
		}
		d.got()
		if err := d.check(); err != nil {
			t.Errorf("%s: a message came, still %v", strategy, err)
		}
		for range 300 { // through all that a strategy does
			if err := d.wait(0); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestAStalledShareIsAShare(t *testing.T) {
	if s := stalledShare(time.Millisecond); s < 0 || s > 1 {
		t.Errorf("got %v", s)
	}
}

func TestClocksAgree(t *testing.T) {
	if c := clockCost(); c <= 0 {
		t.Errorf("a reading of the clock costs %v ns", c)
	}
	offset, uncertain, err := sharedClock()
	if err != nil || uncertain < 0 {
		t.Fatal(offset, uncertain, err)
	}
	// Within what one says of itself, the other must agree; both brackets contain the truth.
	again, uncertain2, err := sharedClock()
	if err != nil || max(offset-again, again-offset) > uncertain+uncertain2+2 {
		t.Errorf("offsets %d (+-%d) and %d (+-%d), %v", offset, uncertain, again, uncertain2, err)
	}
}
