package perf

import (
	"context"
	"fmt"
	"math"
)

// NearNs tells the placements apart: one line's round trip takes less than this between cores that share a cache, and
// more than 300 ns elsewhere, on the machines of docs/performance.md (the clock's reading is in it).
const NearNs = 205

// Floor is what the machine needs to hand bare cache lines to and fro between the two processes: measured before and after
// each workload, with no PAUSE and with one between looks; the best of the four counts. Times include one reading of the
// clock per round trip, as the workload's do.
type Floor struct {
	P50Ns     float64 `json:"floor_p50_ns"`
	P99Ns     float64 `json:"floor_p99_ns"`
	P99_9Ns   float64 `json:"floor_p99_9_ns"`
	Lines     int     `json:"floor_lines"`       // as many as the frame has, 16 bytes of header included
	LineP50Ns float64 `json:"floor_line_p50_ns"` // of one line: tells the placement
	Placement string  `json:"placement"`         // near, far, or mixed when it changed between before and after
	ClockNs   float64 `json:"clock_ns"`          // what one reading of the clock costs; it is part of all times
	// StalledShare is which share of the time (0 to 1) the worse of the two processes did not run for 2 us or more, watching the
	// clock for 20 ms before and after the workload. What the high percentiles show beyond the floor's may be that.
	StalledShare float64 `json:"stalled_share"`
}

// best joins the floors of before and after.
func (f Floor) best(after Floor) Floor {
	b := f
	if after.P50Ns < f.P50Ns {
		b = after
	}
	b.LineP50Ns = min(f.LineP50Ns, after.LineP50Ns)
	b.ClockNs = min(f.ClockNs, after.ClockNs)
	b.StalledShare = (f.StalledShare + after.StalledShare) / 2
	if f.Placement != after.Placement {
		b.Placement = "mixed"
	}
	return b
}

// floor measures one line, then the frame's.
func (p *pair) floor(ctx context.Context, o *Options, round uint64) (Floor, error) {
	count := uint64(100_000)
	k := lines(o.Size)
	if k > 8 {
		count = 20_000
	}
	count = min(count, max(1, uint64(o.Count)))
	first := 1 + round*8*count // numbers that the lines have not held
	f := Floor{Lines: k, LineP50Ns: math.Inf(1), P50Ns: math.Inf(1)}
	for i, step := range []struct {
		lines int
		pause uint32
	}{{1, 0}, {1, 1}, {k, 0}, {k, 1}} {
		answers, err := p.do(ctx, order{Do: "floor", Count: count, First: first + uint64(i)*count, Lines: step.lines, Pause: step.pause})
		if err != nil {
			return f, fmt.Errorf("floor: %w", err)
		}
		h, err := answers[0].histogram()
		if err != nil {
			return f, err
		}
		s := summarize(h)
		f.ClockNs = answers[0].ClockNs
		if step.lines == 1 {
			f.LineP50Ns = min(f.LineP50Ns, s.P50Ns)
		}
		if step.lines == k && s.P50Ns < f.P50Ns {
			f.P50Ns, f.P99Ns, f.P99_9Ns = s.P50Ns, s.P99Ns, s.P99_9Ns
		}
	}
	answers, err := p.do(ctx, order{Do: "stalls"})
	if err != nil {
		return f, fmt.Errorf("stalls: %w", err)
	}
	f.StalledShare = ratio(max(answers[0].StalledShare, answers[1].StalledShare), 1)
	f.Placement = "far"
	if f.LineP50Ns < NearNs {
		f.Placement = "near"
	}
	return f, nil
}

// floor is the workers' part: side 0 sends and keeps the time, side 1 answers.
func (w *worker) floor(o order) (answer, error) {
	if w.Side == 1 {
		for seq := o.First; seq < o.First+o.Count; seq++ {
			if err := w.awaitLines(0, o, seq); err != nil {
				return answer{}, err
			}
			w.lines.Send(1, o.Lines, seq)
		}
		return answer{}, nil
	}
	h := newHistogram()
	warm := o.First + o.Count/10
	w.lines.Send(0, o.Lines, o.First)
	sent := now()
	for seq := o.First; ; seq++ {
		if err := w.awaitLines(1, o, seq); err != nil {
			return answer{}, err
		}
		t := now()
		last := seq+1 == o.First+o.Count
		if !last {
			w.lines.Send(0, o.Lines, seq+1)
		}
		if seq >= warm {
			record(h, t-sent) // while the lines travel
		}
		sent = t
		if last {
			break
		}
	}
	a, err := histogramAnswer(h)
	a.ClockNs = clockCost()
	return a, err
}

func (w *worker) awaitLines(side int, o order, seq uint64) error {
	for since := int64(0); !w.lines.Await(side, o.Lines, seq, o.Pause, 1<<18); {
		t := now()
		if since == 0 {
			since = t
		}
		if t-since > int64(StallLimit) {
			return fmt.Errorf("%w: line %d of side %d did not come in %v", ErrStalled, seq, side, StallLimit)
		}
	}
	return nil
}
