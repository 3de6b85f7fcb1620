package perf

import (
	"context"
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Sleeping costs three parties something, and each is measured: who sleeps (idle), who is waited for (the wake-up's time, beside that
// of a bare futex between the same two processes), and who publishes (the processor time of its thread, with a crowd asleep and with
// nobody).
//
//	parent ── idle 1, idle N ──────────────> side 1: subscriptions that sleep, and nothing comes
//	       ── bell, wake, bell, wake ... ──> both: a word and a futex, then messages, each to one who sleeps
//	       ── publish ─────────────────────> side 0, nobody subscribes; then with one on side 1 that spins
//	       ── gather N, rouse, publish ────> side 1, then side 0: wakes all N each time; publishes without a break
//	       ── dismiss ─────────────────────> side 1: all have seen the last message

// WakeOptions say what is measured. The zero value measures one run.
type WakeOptions struct {
	Options                // of those: Kind, Ring, Size, CPUs, Repeat, Socket; Count is how many wake-ups each run times, default 2,000
	Sleepers int           // subscriptions asleep in the crowd, default 100
	Idlers   int           // subscriptions that sleep in the measurement of idling, default 1,000
	Messages int           // published without a break, default 2 million
	Idle     time.Duration // for how long idling is measured, default 2 s
	Every    time.Duration // time between two messages to a sleeper, default 300 us, so that it has fallen asleep
}

// WakeRun is one run's figures.
type WakeRun struct {
	Percentiles // of wake-ups: from before the publication to the message in the sleeper's hands
	Floor

	// A store and a FUTEX_WAKE, to a goroutine in FUTEX_WAIT: the same times, in slices between those of the messages.
	BareP50Ns float64 `json:"bare_futex_p50_ns"`
	BareP99Ns float64 `json:"bare_futex_p99_ns"`
	RatioBare float64 `json:"ratio_to_bare_futex"` // of the medians

	IdleOneShare float64 `json:"idle_one_share"` // of a core (0 to 1), for one subscription that sleeps
	IdleAllShare float64 `json:"idle_all_share"` // for Idlers of them, in one process

	PublishNs        float64 `json:"publish_cpu_ns"`         // thread's processor time per message, nobody subscribed
	PublishReadNs    float64 `json:"publish_cpu_read_ns"`    // with one lossy subscription that never sleeps: what being read costs
	PublishCrowdedNs float64 `json:"publish_cpu_crowded_ns"` // with Sleepers lossy subscriptions that sleep whenever they have caught up
	RatioCrowded     float64 `json:"ratio_crowded"`          // to PublishNs
	RatioRead        float64 `json:"ratio_crowded_to_read"`  // to PublishReadNs: what sleeping adds
	RouseNs          float64 `json:"rouse_cpu_ns"`           // thread's processor time of a publication that wakes all Sleepers
	RouseOneNs       float64 `json:"rouse_one_cpu_ns"`       // that wakes one

	next uint64 // sequence number of the next message
}

// WakeReport is all runs. The embedded WakeRun holds the median of each figure over the runs that count, as [LatencyReport] does.
type WakeReport struct {
	Conditions
	WakeRun
	Sleepers int               `json:"sleepers"`
	Idlers   int               `json:"idlers"`
	NearRuns int               `json:"near_runs"`
	Spread   map[string]Spread `json:"spread"`
	Runs     []WakeRun         `json:"runs"`
}

var wakeFigures = []figure[WakeRun]{
	{"count", func(r *WakeRun) *float64 { return &r.Count }},
	{"min_ns", func(r *WakeRun) *float64 { return &r.MinNs }},
	{"mean_ns", func(r *WakeRun) *float64 { return &r.MeanNs }},
	{"p50_ns", func(r *WakeRun) *float64 { return &r.Percentiles.P50Ns }},
	{"p90_ns", func(r *WakeRun) *float64 { return &r.P90Ns }},
	{"p99_ns", func(r *WakeRun) *float64 { return &r.Percentiles.P99Ns }},
	{"p99_9_ns", func(r *WakeRun) *float64 { return &r.Percentiles.P99_9Ns }},
	{"p99_99_ns", func(r *WakeRun) *float64 { return &r.P99_99Ns }},
	{"max_ns", func(r *WakeRun) *float64 { return &r.MaxNs }},
	{"bare_futex_p50_ns", func(r *WakeRun) *float64 { return &r.BareP50Ns }},
	{"bare_futex_p99_ns", func(r *WakeRun) *float64 { return &r.BareP99Ns }},
	{"ratio_to_bare_futex", func(r *WakeRun) *float64 { return &r.RatioBare }},
	{"idle_one_share", func(r *WakeRun) *float64 { return &r.IdleOneShare }},
	{"idle_all_share", func(r *WakeRun) *float64 { return &r.IdleAllShare }},
	{"publish_cpu_ns", func(r *WakeRun) *float64 { return &r.PublishNs }},
	{"publish_cpu_read_ns", func(r *WakeRun) *float64 { return &r.PublishReadNs }},
	{"publish_cpu_crowded_ns", func(r *WakeRun) *float64 { return &r.PublishCrowdedNs }},
	{"ratio_crowded", func(r *WakeRun) *float64 { return &r.RatioCrowded }},
	{"ratio_crowded_to_read", func(r *WakeRun) *float64 { return &r.RatioRead }},
	{"rouse_one_cpu_ns", func(r *WakeRun) *float64 { return &r.RouseOneNs }},
	{"rouse_cpu_ns", func(r *WakeRun) *float64 { return &r.RouseNs }},
	{"floor_p50_ns", func(r *WakeRun) *float64 { return &r.Floor.P50Ns }},
	{"floor_line_p50_ns", func(r *WakeRun) *float64 { return &r.LineP50Ns }},
	{"stalled_share", func(r *WakeRun) *float64 { return &r.StalledShare }},
}

func (o WakeOptions) withDefaults() (WakeOptions, error) {
	setDefault(&o.Count, 2000)
	setDefault(&o.Sleepers, 100)
	setDefault(&o.Idlers, 1000)
	setDefault(&o.Messages, 2_000_000)
	setDefault(&o.Idle, 2*time.Second)
	setDefault(&o.Every, 300*time.Microsecond)
	o.OneWay, o.Layer = true, "bus"
	var err error
	o.Options, err = o.Options.withDefaults()
	if err == nil && (o.Sleepers < 1 || o.Sleepers > maxSleepers || o.Idlers < 1 || o.Idlers > maxSleepers) {
		err = fmt.Errorf("%w: %d and %d subscriptions that sleep: want 1 to %d", ErrOptions, o.Sleepers, o.Idlers, maxSleepers)
	}
	if err == nil && o.Messages < 10 {
		err = fmt.Errorf("%w: %d messages without a break: want at least 10", ErrOptions, o.Messages)
	}
	if err == nil && (o.Idle < time.Millisecond || o.Every < time.Microsecond || o.Every > time.Second) {
		err = fmt.Errorf("%w: idle for %v, a message every %v: want at least 1ms, and 1us to 1s", ErrOptions, o.Idle, o.Every)
	}
	return o, err
}

// maxSleepers is as many subscriptions as a topic has room for by default.
const maxSleepers = 1000

// Wake measures what sleeping costs. It blocks until all runs are done, and leaves no files, as [Latency].
func Wake(ctx context.Context, o WakeOptions) (*WakeReport, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	r := &WakeReport{Conditions: conditions("wake", &o.Options), Sleepers: o.Sleepers, Idlers: o.Idlers}
	for range o.Repeat {
		run, err := wakeRun(ctx, &o)
		if err != nil {
			return nil, err
		}
		r.Runs = append(r.Runs, *run)
	}
	r.WakeRun, r.Spread, r.NearRuns = medians(r.Runs, wakeFigures, func(run *WakeRun) *Floor { return &run.Floor })
	return r, nil
}

func wakeRun(ctx context.Context, o *WakeOptions) (*WakeRun, error) {
	run := &WakeRun{}
	p, err := startPair(ctx, &o.Options, false, true)
	if err != nil {
		return nil, err
	}
	before, err := p.floor(ctx, &o.Options, 0)
	if err == nil {
		err = run.idle(ctx, p, o)
	}
	if err == nil {
		err = run.wakeUps(ctx, p, o)
	}
	if err == nil {
		err = run.publications(ctx, p, o)
	}
	if err == nil {
		run.Floor, err = p.floor(ctx, &o.Options, 1)
	}
	if err != nil {
		p.kill()
		return nil, err
	}
	run.Floor = before.best(run.Floor)
	return run, p.end()
}

// idle measures what sleeping subscriptions use of a core while nothing comes.
func (run *WakeRun) idle(ctx context.Context, p *pair, o *WakeOptions) error {
	for _, step := range []struct {
		sleepers int
		share    *float64
	}{{1, &run.IdleOneShare}, {o.Idlers, &run.IdleAllShare}} {
		if _, err := p.do(ctx, order{Do: "gather", Count: uint64(step.sleepers)}); err != nil {
			return err
		}
		answers, err := p.do(ctx, order{Do: "idle", Every: int64(o.Idle)})
		if err != nil {
			return err
		}
		*step.share = float64(answers[1].CPUNs) / float64(answers[1].ElapsedNs)
		if err := p.dismiss(ctx, step.sleepers, 0); err != nil {
			return err
		}
	}
	return nil
}

// dismiss ends the crowd, all of which must have seen message seen-1.
func (p *pair) dismiss(ctx context.Context, sleepers int, seen uint64) error {
	answers, err := p.do(ctx, order{Do: "dismiss", First: seen})
	if err == nil && answers[1].Sleepers != sleepers {
		err = fmt.Errorf("%w: %d of %d that slept saw the last message", ErrPayload, answers[1].Sleepers, sleepers)
	}
	return err
}

// wakeSlices is in how many slices the wake-ups are timed, those of the bare futex between them.
const wakeSlices = 10

func (run *WakeRun) wakeUps(ctx context.Context, p *pair, o *WakeOptions) error {
	bare, messages := newHistogram(), newHistogram()
	count := max(1, uint64(o.Count)/wakeSlices)
	for _, do := range []string{"bell", "wake"} {
		if _, err := p.do(ctx, order{Do: do}); err != nil { // both sides are there
			return err
		}
	}
	for range wakeSlices {
		for _, step := range []struct {
			do   string
			into *hdrhistogram.Histogram
		}{{"bell", bare}, {"wake", messages}} {
			answers, err := p.do(ctx, order{Do: step.do, Count: count, First: run.next, Every: int64(o.Every)})
			if err != nil {
				return err
			}
			h, err := answers[1].histogram()
			if err != nil {
				return err
			}
			step.into.Merge(h)
			if step.do == "wake" {
				run.next += count
			}
		}
	}
	if _, err := p.do(ctx, order{Do: "wake"}); err != nil { // the subscription ends, and holds nobody up
		return err
	}
	run.Percentiles = summarize(messages)
	floor := summarize(bare)
	run.BareP50Ns, run.BareP99Ns = floor.P50Ns, floor.P99Ns
	run.RatioBare = ratio(run.Percentiles.P50Ns, floor.P50Ns)
	return nil
}

// publications measures the publisher's thread: with nobody subscribed, with one who reads, with one asleep, with the crowd.
func (run *WakeRun) publications(ctx context.Context, p *pair, o *WakeOptions) error {
	many, rousing := uint64(o.Messages), max(10, uint64(o.Count)/10)
	perMessage := func(do string, count uint64, every time.Duration) (float64, error) {
		answers, err := p.do(ctx, order{Do: do, Count: count, First: run.next, Every: int64(every)})
		run.next += count
		return ratio(float64(answers[0].CPUNs), float64(count)), err
	}
	var err error
	if _, err = perMessage("publish", many/10, 0); err != nil { // the ring goes round once
		return err
	}
	if run.PublishNs, err = perMessage("publish", many, 0); err != nil {
		return err
	}
	if _, err := p.do(ctx, order{Do: "gather", Count: 1, Spin: true}); err != nil {
		return err
	}
	if run.PublishReadNs, err = perMessage("publish", many, 0); err != nil {
		return err
	}
	if err := p.dismiss(ctx, 1, run.next); err != nil {
		return err
	}
	for _, step := range []struct {
		sleepers int
		rouse    *float64
	}{{1, &run.RouseOneNs}, {o.Sleepers, &run.RouseNs}} {
		if _, err := p.do(ctx, order{Do: "gather", Count: uint64(step.sleepers)}); err != nil {
			return err
		}
		// As much time for each of them as a wake-up and falling asleep take.
		if *step.rouse, err = perMessage("rouse", rousing, o.Every+time.Duration(step.sleepers)*50*time.Microsecond); err != nil {
			return err
		}
		if step.sleepers == o.Sleepers {
			if run.PublishCrowdedNs, err = perMessage("publish", many, 0); err != nil {
				return err
			}
			run.RatioCrowded = ratio(run.PublishCrowdedNs, run.PublishNs)
			run.RatioRead = ratio(run.PublishCrowdedNs, run.PublishReadNs)
		}
		if err := p.dismiss(ctx, step.sleepers, run.next); err != nil {
			return err
		}
	}
	return nil
}
