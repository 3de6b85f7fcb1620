package perf

import (
	"context"
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"
)

// An open loop sends by a schedule: a message is due at its time whatever happened to the one before, and its way begins then.
// Where a core stands still for a while, all that was due meanwhile is late, and no bus can change it. So the run consists of slices
// of a tenth of a second, each with a floor before it: bare cache lines, written by the same schedule by the same loop.
//
//	parent ── one_way_floor(start, count) ──> both: lines by the schedule ── gaps of side 0 ──> judge: side 1 makes histograms
//	       ── one_way(start, count) ───────> both: messages by the schedule ─ gaps of side 0 ──> judge
//	       ── ...
//
// Both sides note when their loop did not run (watch.go). A message whose way meets such a gap of either side is stalled.

// OneWay is what an open loop comes to beside its own floor. The whole's percentiles, stalls and all, are [Percentiles].
type OneWay struct {
	// The floor of the open loop: as many bare cache lines as the frame has, stored at the same rate by the same schedule and seen by a
	// spinning reader in the other process, in slices between those of the workload.
	FloorP50Ns   float64 `json:"floor_one_way_p50_ns"`
	FloorP99Ns   float64 `json:"floor_one_way_p99_ns"`
	FloorP99_9Ns float64 `json:"floor_one_way_p99_9_ns"`
	FloorMaxNs   float64 `json:"floor_one_way_max_ns"`
	RatioP50     float64 `json:"ratio_to_floor_one_way"`       // of the medians
	RatioP99_9   float64 `json:"ratio_to_floor_one_way_p99_9"` // of the 99.9th percentiles, both of the whole

	// StalledMessages are those whose way, from due to arrival, met a time of 2 us or more in which either side's loop did not run and the
	// kernel counts no page fault and no sleep of it. FloorStalledMessages are those of the floor, of as many.
	StalledMessages      float64 `json:"stalled_messages"`
	FloorStalledMessages float64 `json:"floor_one_way_stalled_messages"`

	// Of the messages that no stall touched: not the whole, but what is left to the bus.
	UnstalledMessages     float64 `json:"unstalled_messages"`
	UnstalledP50Ns        float64 `json:"unstalled_p50_ns"`
	UnstalledP99Ns        float64 `json:"unstalled_p99_ns"`
	UnstalledP99_9Ns      float64 `json:"unstalled_p99_9_ns"`
	UnstalledMaxNs        float64 `json:"unstalled_max_ns"`
	FloorUnstalledP99_9Ns float64 `json:"floor_one_way_unstalled_p99_9_ns"`

	// Both sides together, during the messages.
	Stalls      float64 `json:"stalls"`
	FloorStalls float64 `json:"floor_one_way_stalls"`
	OwnStalls   float64 `json:"own_stalls"`  // with a page fault or a sleep of the process's own: not in Stalls, touching nothing
	PageFaults  float64 `json:"page_faults"` // of the two measuring threads
	Preemptions float64 `json:"preemptions"` // how often the kernel gave their CPUs to another thread
}

var oneWayFigures = []figure[LatencyRun]{
	{"floor_one_way_p50_ns", func(r *LatencyRun) *float64 { return &r.OneWay.FloorP50Ns }},
	{"floor_one_way_p99_ns", func(r *LatencyRun) *float64 { return &r.OneWay.FloorP99Ns }},
	{"floor_one_way_p99_9_ns", func(r *LatencyRun) *float64 { return &r.OneWay.FloorP99_9Ns }},
	{"floor_one_way_max_ns", func(r *LatencyRun) *float64 { return &r.OneWay.FloorMaxNs }},
	{"ratio_to_floor_one_way", func(r *LatencyRun) *float64 { return &r.RatioP50 }},
	{"ratio_to_floor_one_way_p99_9", func(r *LatencyRun) *float64 { return &r.RatioP99_9 }},
	{"stalled_messages", func(r *LatencyRun) *float64 { return &r.StalledMessages }},
	{"floor_one_way_stalled_messages", func(r *LatencyRun) *float64 { return &r.FloorStalledMessages }},
	{"unstalled_messages", func(r *LatencyRun) *float64 { return &r.UnstalledMessages }},
	{"unstalled_p50_ns", func(r *LatencyRun) *float64 { return &r.UnstalledP50Ns }},
	{"unstalled_p99_ns", func(r *LatencyRun) *float64 { return &r.UnstalledP99Ns }},
	{"unstalled_p99_9_ns", func(r *LatencyRun) *float64 { return &r.UnstalledP99_9Ns }},
	{"unstalled_max_ns", func(r *LatencyRun) *float64 { return &r.UnstalledMaxNs }},
	{"floor_one_way_unstalled_p99_9_ns", func(r *LatencyRun) *float64 { return &r.FloorUnstalledP99_9Ns }},
	{"stalls", func(r *LatencyRun) *float64 { return &r.Stalls }},
	{"floor_one_way_stalls", func(r *LatencyRun) *float64 { return &r.FloorStalls }},
	{"own_stalls", func(r *LatencyRun) *float64 { return &r.OwnStalls }},
	{"page_faults", func(r *LatencyRun) *float64 { return &r.PageFaults }},
	{"preemptions", func(r *LatencyRun) *float64 { return &r.Preemptions }},
}

// oneWayRun does one run with a pair of its own.
func oneWayRun(ctx context.Context, o *Options) (*LatencyRun, error) {
	run := &LatencyRun{OneWay: &OneWay{}}
	lines, messages := newPaced("one_way_floor", 1<<32), newPaced("one_way", 0) // the lines have never held numbers as high
	err := onPair(ctx, o, false, &run.Floor, func(p *pair) error {
		for _, count := range slicesOf(o) {
			if err := p.paced(ctx, o, lines, count); err != nil {
				return err
			}
			if err := p.paced(ctx, o, messages, count); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	run.histogram = messages.all
	run.Percentiles = summarize(messages.all)
	run.RatioToFloor = ratio(run.Percentiles.P50Ns, run.Floor.P50Ns/2)
	run.RatioWithoutClock = ratio(run.Percentiles.P50Ns-run.ClockNs, (run.Floor.P50Ns-run.ClockNs)/2)
	run.OneWay.fill(lines, messages)
	return run, nil
}

func (w *OneWay) fill(lines, messages *paced) {
	whole, floor := summarize(messages.all), summarize(lines.all)
	w.FloorP50Ns, w.FloorP99Ns, w.FloorP99_9Ns, w.FloorMaxNs = floor.P50Ns, floor.P99Ns, floor.P99_9Ns, floor.MaxNs
	w.RatioP50, w.RatioP99_9 = ratio(whole.P50Ns, floor.P50Ns), ratio(whole.P99_9Ns, floor.P99_9Ns)
	quiet, floorQuiet := summarize(messages.unstalled), summarize(lines.unstalled)
	w.StalledMessages, w.FloorStalledMessages = whole.Count-quiet.Count, floor.Count-floorQuiet.Count
	w.UnstalledMessages, w.UnstalledP50Ns, w.UnstalledP99Ns = quiet.Count, quiet.P50Ns, quiet.P99Ns
	w.UnstalledP99_9Ns, w.UnstalledMaxNs = quiet.P99_9Ns, quiet.MaxNs
	w.FloorUnstalledP99_9Ns = floorQuiet.P99_9Ns
	w.FloorStalls = float64(lines.stalls)
	w.Stalls, w.OwnStalls = float64(messages.stalls), float64(messages.ownStalls)
	w.PageFaults, w.Preemptions = float64(messages.pageFaults), float64(messages.preemptions)
}

// slicesOf cuts a run's messages into slices of a tenth of a second, or of 1,000 where that is more.
func slicesOf(o *Options) []uint64 {
	count := uint64(o.Count)
	n := max(1, count/max(1000, uint64(o.Rate/10)))
	var all []uint64
	for i := range n {
		all = append(all, count*(i+1)/n-count*i/n)
	}
	return all
}

// paced gathers what the slices of one kind came to.
type paced struct {
	do                                         string
	next                                       uint64 // sequence number
	all, unstalled                             *hdrhistogram.Histogram
	stalls, ownStalls, pageFaults, preemptions int64
}

func newPaced(do string, first uint64) *paced {
	s := &paced{do: do, next: first, all: newHistogram(), unstalled: newHistogram()}
	s.all.SetStartTimeMs(time.Now().UnixMilli())
	return s
}

const (
	firstLead = 2 * time.Millisecond // from the order to the first message
	lastLead  = 200 * time.Millisecond
	// breath is how long both sides sleep before each slice in real time: it gives other programs the share of each second that they
	// are due before the kernel takes it in the middle of a slice.
	breath = 10 * time.Millisecond
)

// paced lets both workers do a slice by a schedule that begins a little later. If one of them came too late for its beginning the
// slice is done again, with more time to get ready: that is the orders' fault, not a message's.
func (p *pair) paced(ctx context.Context, o *Options, s *paced, count uint64) error {
	for lead := firstLead; ; lead *= 4 {
		if o.Realtime {
			time.Sleep(breath)
		}
		start, err := monotonic()
		if err != nil {
			return err
		}
		step := order{Do: s.do, Count: count, First: s.next, Lines: lines(o.Size), Start: start + int64(lead)}
		answers, err := p.do(ctx, step)
		if err != nil {
			return err
		}
		s.next += count
		if (answers[0].Late || answers[1].Late) && lead < lastLead {
			continue
		}
		return p.judge(ctx, s, step, answers)
	}
}

// judge tells side 1, which has the times, about the gaps of side 0, and takes what it makes of them.
func (p *pair) judge(ctx context.Context, s *paced, step order, answers [2]answer) error {
	for _, a := range answers {
		s.pageFaults += a.PageFaults
		s.preemptions += a.Preemptions
		for _, g := range a.Gaps {
			if g.Own {
				s.ownStalls++
			} else {
				s.stalls++
			}
		}
	}
	judged, err := p.do(ctx, order{Do: "judge", Gaps: answers[0].Gaps})
	if err != nil {
		return err
	}
	all, err := judged[1].histogram()
	if err != nil {
		return err
	}
	unstalled, err := answer{Histogram: judged[1].Unstalled}.histogram()
	if err != nil {
		return err
	}
	if lost := s.all.Merge(all) + s.unstalled.Merge(unstalled); lost != 0 {
		return fmt.Errorf("%w: %d times out of range after %s", ErrWorker, lost, step.Do)
	}
	s.all.SetEndTimeMs(time.Now().UnixMilli())
	return nil
}

// monotonic reads the clock that all processes share.
func monotonic() (int64, error) {
	var ts unix.Timespec
	err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return ts.Nano(), err
}

// The workers' part.

// schedule says when messages are due by this process's clock.
type schedule struct {
	start    int64
	interval float64
}

func (s schedule) due(i uint64) int64 { return s.start + int64(float64(i)*s.interval) }

// dueBy returns how many messages are due at t.
func (s schedule) dueBy(t int64) uint64 {
	return uint64(max(0, float64(t-s.start)/s.interval+1))
}

func (w *worker) schedule(o order) schedule {
	return schedule{start: o.Start - w.watch.offset, interval: 1e9 / w.Options.Rate}
}

// onSchedule does side's part of a slice: lines or messages.
func (w *worker) onSchedule(o order) (a answer, err error) {
	s := w.schedule(o)
	w.ways = room(w.ways, int(o.Count))
	if err := w.watch.begin(); err != nil {
		return a, err
	}
	a.Late = now() > s.start
	switch {
	case w.Side == 0 && o.Do == "one_way":
		err = w.sendOnSchedule(o, s, w.send)
	case w.Side == 0:
		err = w.sendOnSchedule(o, s, func(seq uint64) error {
			w.lines.Send(0, o.Lines, seq)
			return nil
		})
	case o.Do == "one_way":
		w.checker.then = func() error {
			t := now()
			w.watch.saw(t)
			w.ways = append(w.ways, way{w.checker.sentNs, t + w.watch.offset})
			return nil
		}
		err = w.receive(o.Count, pollLimit, nil)
	default:
		err = w.seeLines(o, s)
	}
	if err != nil {
		return a, err
	}
	return a, w.watch.end(&a)
}

// sendOnSchedule sends each message when it is due, or as soon as it can afterwards; what it carries is when it was due.
func (w *worker) sendOnSchedule(o order, s schedule, send func(seq uint64) error) error {
	for i := range o.Count {
		due := s.due(i)
		for {
			t := now()
			w.watch.saw(t)
			if t >= due {
				break
			}
		}
		w.filler.sentNs = due + w.watch.offset
		if err := send(o.First + i); err != nil {
			return err
		}
	}
	return nil
}

// seeLines waits for each of the lines' numbers and notes when it was there. The lines hold the latest number alone; where this
// side stood still, it is one of those that were due meanwhile, and they have all arrived.
func (w *worker) seeLines(o order, s schedule) error {
	pause := uint32(1)
	if i := w.Options.Idle; i.Strategy == "spin" && i.Pause != BusySpin {
		pause = uint32(i.Pause)
	}
	quiet := now()
	for next := uint64(0); next < o.Count; {
		seen, looks := next, watchEvery
		for !w.lines.Await(0, o.Lines, o.First+seen, pause, looks) {
			t := now()
			w.watch.saw(t)
			if t-quiet > int64(StallLimit) {
				return fmt.Errorf("%w: line %d did not come in %v", ErrStalled, next, StallLimit)
			}
			if seen, looks = seen+1, 1; seen >= min(s.dueBy(t), o.Count) {
				seen, looks = next, watchEvery
			}
		}
		quiet = now()
		w.watch.saw(quiet)
		for ; next <= seen; next++ {
			w.ways = append(w.ways, way{s.due(next) + w.watch.offset, quiet + w.watch.offset})
		}
	}
	return nil
}

// judge makes histograms of the ways that side 1 noted: of all, and of those that no stall of either side touched. The first tenth
// warmed up.
func (w *worker) judge(o order) (answer, error) {
	if w.Side == 0 {
		return answer{}, nil
	}
	all, unstalled := newHistogram(), newHistogram()
	there, here := toucher{o.Gaps}, toucher{w.watch.gaps}
	for _, m := range w.ways[len(w.ways)/10:] {
		record(all, m.arrived-m.due)
		if sent, came := there.touched(m), here.touched(m); !sent && !came {
			record(unstalled, m.arrived-m.due)
		}
	}
	quiet, err := histogramAnswer(unstalled)
	if err != nil {
		return answer{}, err
	}
	a, err := histogramAnswer(all)
	a.Unstalled = quiet.Histogram
	return a, err
}
