package perf

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Latency measures round trips (closed loop: the next message is sent when the last one came back), or with OneWay
// the time from when a message should have been sent to its arrival (open loop: sent at a fixed rate whatever happens, so a
// stall counts for every message that it delayed: no coordinated omission). It blocks until all runs are done; no file
// of it is left, whatever happened but the death of parent and workers at once.
func Latency(ctx context.Context, o Options) (*LatencyReport, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if o.Batch != 1 {
		return nil, fmt.Errorf("%w: a latency is of single messages, batch is %d", ErrOptions, o.Batch)
	}
	mode, loop, measure := "round_trip", "closed", roundTripRun
	if o.OneWay {
		mode, loop, measure = "one_way", "open", oneWayRun
	}
	if o.Count == 0 {
		o.Count = 1_000_000
		switch {
		case o.OneWay && o.Duration > 0:
			o.Count = max(1, int(o.Rate*o.Duration.Seconds()))
		case o.OneWay:
			o.Count = max(100, int(o.Rate/2))
		case o.Duration > 0:
			trial := o
			trial.Count = 20_000
			run, err := roundTripRun(ctx, &trial)
			if err != nil {
				return nil, err
			}
			o.Count = max(1000, int(float64(o.Duration)/run.MeanNs))
		}
	}
	r := &LatencyReport{Conditions: conditions("latency", &o)}
	r.Mode, r.Loop = mode, loop
	for range o.Repeat {
		run, err := measure(ctx, &o)
		if err != nil {
			return nil, err
		}
		r.Runs = append(r.Runs, *run)
	}
	runs := slices.Clone(r.Runs)
	if o.OneWay {
		for i := range runs {
			own := *runs[i].OneWay
			runs[i].OneWay = &own // what becomes the median of all must not be one of them
		}
	}
	r.LatencyRun, r.Spread, r.NearRuns = medians(runs, r.figures(), func(run *LatencyRun) *Floor { return &run.Floor })
	return r, nil
}

// LatencyRun is one run's times beside its floor.
type LatencyRun struct {
	Percentiles
	Floor
	// RatioToFloor is the median of the workload over that of the floor, each with the clock's reading in it; one way, over half
	// the floor's.
	RatioToFloor float64 `json:"ratio_to_floor"`
	// RatioWithoutClock is the same with the clock's reading taken off both: the stricter figure.
	RatioWithoutClock float64 `json:"ratio_without_clock"`
	*OneWay                   // nil for round trips

	histogram *hdrhistogram.Histogram
}

// LatencyReport is all runs. The embedded LatencyRun holds the median of each figure over the runs that count: the near ones,
// if there are any, else all.
type LatencyReport struct {
	Conditions
	LatencyRun
	NearRuns int               `json:"near_runs"`
	Spread   map[string]Spread `json:"spread"`
	Runs     []LatencyRun      `json:"runs"`
}

var latencyFigures = []figure[LatencyRun]{
	{"count", func(r *LatencyRun) *float64 { return &r.Count }},
	{"min_ns", func(r *LatencyRun) *float64 { return &r.MinNs }},
	{"mean_ns", func(r *LatencyRun) *float64 { return &r.MeanNs }},
	{"p50_ns", func(r *LatencyRun) *float64 { return &r.Percentiles.P50Ns }},
	{"p90_ns", func(r *LatencyRun) *float64 { return &r.P90Ns }},
	{"p99_ns", func(r *LatencyRun) *float64 { return &r.Percentiles.P99Ns }},
	{"p99_9_ns", func(r *LatencyRun) *float64 { return &r.Percentiles.P99_9Ns }},
	{"p99_99_ns", func(r *LatencyRun) *float64 { return &r.P99_99Ns }},
	{"max_ns", func(r *LatencyRun) *float64 { return &r.MaxNs }},
	{"floor_p50_ns", func(r *LatencyRun) *float64 { return &r.Floor.P50Ns }},
	{"floor_p99_ns", func(r *LatencyRun) *float64 { return &r.Floor.P99Ns }},
	{"floor_p99_9_ns", func(r *LatencyRun) *float64 { return &r.Floor.P99_9Ns }},
	{"floor_line_p50_ns", func(r *LatencyRun) *float64 { return &r.LineP50Ns }},
	{"clock_ns", func(r *LatencyRun) *float64 { return &r.ClockNs }},
	{"stalled_share", func(r *LatencyRun) *float64 { return &r.StalledShare }},
	{"ratio_to_floor", func(r *LatencyRun) *float64 { return &r.RatioToFloor }},
	{"ratio_without_clock", func(r *LatencyRun) *float64 { return &r.RatioWithoutClock }},
}

// figures are those of the report's mode.
func (r *LatencyReport) figures() []figure[LatencyRun] {
	if r.Mode == "one_way" {
		return slices.Concat(latencyFigures, oneWayFigures)
	}
	return latencyFigures
}

// roundTripRun does one run with a pair of its own.
func roundTripRun(ctx context.Context, o *Options) (*LatencyRun, error) {
	run := &LatencyRun{}
	err := onPair(ctx, o, true, &run.Floor, func(p *pair) error {
		answers, err := p.do(ctx, order{Do: "round_trip", Count: uint64(o.Count)})
		if err != nil {
			return err
		}
		run.histogram, err = answers[0].histogram()
		return err
	})
	if err != nil {
		return nil, err
	}
	run.Percentiles = summarize(run.histogram)
	run.RatioToFloor = ratio(run.Percentiles.P50Ns, run.Floor.P50Ns)
	run.RatioWithoutClock = ratio(run.Percentiles.P50Ns-run.ClockNs, run.Floor.P50Ns-run.ClockNs)
	return run, nil
}

// onPair runs a workload between two measurements of the floor, with two new processes.
func onPair(ctx context.Context, o *Options, back bool, floor *Floor, workload func(*pair) error) error {
	p, err := startPair(ctx, o, back, false)
	if err != nil {
		return err
	}
	before, err := p.floor(ctx, o, 0)
	if err == nil {
		err = workload(p)
	}
	if err == nil {
		*floor, err = p.floor(ctx, o, 1)
	}
	if err != nil {
		p.kill()
		return err
	}
	*floor = before.best(*floor)
	return p.end()
}

// roundTrip is the workers' part: side 0 sends and keeps the time, side 1 checks and answers. Both do it while they have the
// message they got, as a program would in the callback of Poll.
func (w *worker) roundTrip(o order) (answer, error) {
	if w.Side == 1 {
		w.checker.then = func() error { return w.send(w.checker.next - 1) }
		return answer{}, w.receive(o.Count, 1, nil)
	}
	h := newHistogram()
	h.SetStartTimeMs(time.Now().UnixMilli())
	warm := o.Count / 10
	sent := now()
	w.checker.then = func() error {
		t := now()
		if w.checker.next < o.Count {
			if err := w.send(w.checker.next); err != nil {
				return err
			}
		}
		if w.checker.next > warm {
			record(h, t-sent) // while the next message travels
		}
		sent = t
		return nil
	}
	if err := w.send(0); err != nil {
		return answer{}, err
	}
	if err := w.receive(o.Count, 1, nil); err != nil {
		return answer{}, err
	}
	h.SetEndTimeMs(time.Now().UnixMilli())
	return histogramAnswer(h)
}
