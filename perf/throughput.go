package perf

import (
	"context"
	"time"
)

// Throughput measures how many messages a second go from one process to the other and are checked there, the producer
// always having the next one ready. It blocks until all runs are done, and leaves no files, as [Latency].
func Throughput(ctx context.Context, o Options) (*ThroughputReport, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	o.OneWay, o.Rate = false, 0
	if o.Count == 0 {
		o.Count = min(max(2<<30/frameSize(o.Size), 1000), 20_000_000)
		if o.Duration > 0 {
			trial := o
			trial.Count = max(1000, o.Count/20)
			run, err := throughputRun(ctx, &trial)
			if err != nil {
				return nil, err
			}
			o.Count = max(1000, int(run.MessagesPerS*o.Duration.Seconds()))
		}
	}
	o.Count = (o.Count + o.Batch - 1) / o.Batch * o.Batch
	r := &ThroughputReport{Conditions: conditions("throughput", &o)}
	for range o.Repeat {
		run, err := throughputRun(ctx, &o)
		if err != nil {
			return nil, err
		}
		r.Runs = append(r.Runs, *run)
	}
	r.ThroughputRun, r.Spread, r.NearRuns = medians(r.Runs, throughputFigures, func(run *ThroughputRun) *Floor { return &run.Floor })
	return r, nil
}

// ThroughputRun is one run's rate beside its floor.
type ThroughputRun struct {
	MessagesPerS     float64 `json:"messages_per_s"`
	BytesPerS        float64 `json:"bytes_per_s"`       // of payload
	VerifiedMessages float64 `json:"verified_messages"` // received and checked after the warm-up: those that the rate counts
	NsPerMessage     float64 `json:"ns_per_message"`
	Floor
	// RatioToFloor is the time per message over the floor's round trip at the median. Messages overlap, so it is well below 1.
	RatioToFloor float64 `json:"ratio_to_floor"`
}

// ThroughputReport is all runs. The embedded ThroughputRun holds the median of each figure over the runs that count: the near
// ones, if there are any, else all.
type ThroughputReport struct {
	Conditions
	ThroughputRun
	NearRuns int               `json:"near_runs"`
	Spread   map[string]Spread `json:"spread"`
	Runs     []ThroughputRun   `json:"runs"`
}

var throughputFigures = []figure[ThroughputRun]{
	{"messages_per_s", func(r *ThroughputRun) *float64 { return &r.MessagesPerS }},
	{"bytes_per_s", func(r *ThroughputRun) *float64 { return &r.BytesPerS }},
	{"verified_messages", func(r *ThroughputRun) *float64 { return &r.VerifiedMessages }},
	{"ns_per_message", func(r *ThroughputRun) *float64 { return &r.NsPerMessage }},
	{"floor_p50_ns", func(r *ThroughputRun) *float64 { return &r.P50Ns }},
	{"floor_p99_ns", func(r *ThroughputRun) *float64 { return &r.P99Ns }},
	{"floor_p99_9_ns", func(r *ThroughputRun) *float64 { return &r.P99_9Ns }},
	{"floor_line_p50_ns", func(r *ThroughputRun) *float64 { return &r.LineP50Ns }},
	{"clock_ns", func(r *ThroughputRun) *float64 { return &r.ClockNs }},
	{"stalled_share", func(r *ThroughputRun) *float64 { return &r.StalledShare }},
	{"ratio_to_floor", func(r *ThroughputRun) *float64 { return &r.RatioToFloor }},
}

func throughputRun(ctx context.Context, o *Options) (*ThroughputRun, error) {
	run := &ThroughputRun{}
	err := onPair(ctx, o, false, &run.Floor, func(p *pair) error {
		answers, err := p.do(ctx, order{Do: "stream", Count: uint64(o.Count)})
		if err != nil {
			return err
		}
		run.VerifiedMessages = float64(answers[1].Messages)
		run.NsPerMessage = ratio(float64(answers[1].ElapsedNs), run.VerifiedMessages)
		run.MessagesPerS = ratio(run.VerifiedMessages, float64(answers[1].ElapsedNs)/1e9)
		run.BytesPerS = run.MessagesPerS * float64(o.Size)
		return nil
	})
	if err != nil {
		return nil, err
	}
	run.RatioToFloor = ratio(run.NsPerMessage, run.P50Ns)
	return run, nil
}

// pollLimit is how many messages a poll takes at most.
const pollLimit = 256

// stream is the workers' part: side 0 sends as fast as it can, side 1 checks and keeps the time.
func (w *worker) stream(o order) (answer, error) {
	if w.Side == 0 {
		for seq := uint64(0); seq < o.Count; seq += uint64(w.Options.Batch) {
			if err := w.send(seq); err != nil {
				return answer{}, err
			}
		}
		return answer{}, nil
	}
	var started time.Time
	var before uint64 // messages that were the warm-up
	err := w.receive(o.Count, pollLimit, func(got uint64) {
		if started.IsZero() && got >= o.Count/10 {
			started, before = time.Now(), got
		}
	})
	return answer{Messages: o.Count - before, ElapsedNs: int64(time.Since(started))}, err
}
