package perf

import (
	"context"
	"fmt"
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
	mode, loop := "round_trip", "closed"
	if o.OneWay {
		mode, loop = "one_way", "open"
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
			run, err := latencyRun(ctx, &trial, mode)
			if err != nil {
				return nil, err
			}
			o.Count = max(1000, int(float64(o.Duration)/run.MeanNs))
		}
	}
	r := &LatencyReport{Conditions: conditions("latency", &o)}
	r.Mode, r.Loop = mode, loop
	for range o.Repeat {
		run, err := latencyRun(ctx, &o, mode)
		if err != nil {
			return nil, err
		}
		r.Runs = append(r.Runs, *run)
	}
	r.LatencyRun, r.Spread, r.NearRuns = medians(r.Runs, latencyFigures, func(run *LatencyRun) *Floor { return &run.Floor })
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

// latencyRun does one run with a pair of its own.
func latencyRun(ctx context.Context, o *Options, mode string) (*LatencyRun, error) {
	run := &LatencyRun{}
	keeper := 0 // the side that has the times
	if o.OneWay {
		keeper = 1
	}
	err := onPair(ctx, o, !o.OneWay, &run.Floor, func(p *pair) error {
		answers, err := p.do(ctx, order{Do: mode, Count: uint64(o.Count)})
		if err != nil {
			return err
		}
		run.histogram, err = answers[keeper].histogram()
		return err
	})
	if err != nil {
		return nil, err
	}
	run.Percentiles = summarize(run.histogram)
	floor, clock := run.Floor.P50Ns, run.ClockNs
	if o.OneWay {
		floor, clock = floor/2, clock/2
	}
	run.RatioToFloor = ratio(run.Percentiles.P50Ns, floor)
	run.RatioWithoutClock = ratio(run.Percentiles.P50Ns-run.ClockNs, floor-clock)
	return run, nil
}

// onPair runs a workload between two measurements of the floor, with two new processes.
func onPair(ctx context.Context, o *Options, back bool, floor *Floor, workload func(*pair) error) error {
	p, err := startPair(ctx, o, back)
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

// oneWay is the workers' part: side 0 sends at the rate, side 1 keeps the time.
func (w *worker) oneWay(o order) (answer, error) {
	offset, _, err := sharedClock()
	if err != nil {
		return answer{}, err
	}
	if w.Side == 0 {
		return answer{}, w.sendAtRate(o.Count, offset)
	}
	h := newHistogram()
	h.SetStartTimeMs(time.Now().UnixMilli())
	warm := o.Count / 10
	w.checker.then = func() error {
		if t := now() + offset; w.checker.next > warm {
			record(h, t-w.checker.sentNs)
		}
		return nil
	}
	if err := w.receive(o.Count, pollLimit, nil); err != nil {
		return answer{}, err
	}
	h.SetEndTimeMs(time.Now().UnixMilli())
	return histogramAnswer(h)
}

// sendAtRate sends each message when it is due, or as soon as it can afterwards; what it carries is when it was due.
func (w *worker) sendAtRate(count uint64, offset int64) error {
	interval := 1e9 / w.Options.Rate
	start := now() + int64(time.Millisecond)
	for seq := range count {
		due := start + int64(float64(seq)*interval)
		for now() < due {
		}
		w.filler.sentNs = due + offset
		if err := w.send(seq); err != nil {
			return err
		}
	}
	return nil
}
