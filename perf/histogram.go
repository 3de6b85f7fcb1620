package perf

import (
	"fmt"
	"io"
	"math"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// newHistogram takes times from 1 ns to 1 minute with three significant digits.
func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, int64(time.Minute), 3)
}

// record counts a time. One that is longer than the histogram reaches counts as the longest; two clocks that were read in
// two processes may show a little less than nothing, which counts as nothing.
func record(h *hdrhistogram.Histogram, ns int64) {
	// It cannot fail: the value is in range.
	_ = h.RecordValue(min(max(ns, 0), int64(time.Minute)))
}

// Percentiles are what a histogram of times comes to, in nanoseconds, to three significant digits.
type Percentiles struct {
	Count    float64 `json:"count"` // messages (round trips) that were checked and timed; warm-up is not among them
	MinNs    float64 `json:"min_ns"`
	MeanNs   float64 `json:"mean_ns"`
	P50Ns    float64 `json:"p50_ns"`
	P90Ns    float64 `json:"p90_ns"`
	P99Ns    float64 `json:"p99_ns"`
	P99_9Ns  float64 `json:"p99_9_ns"`
	P99_99Ns float64 `json:"p99_99_ns"`
	MaxNs    float64 `json:"max_ns"`
}

func summarize(h *hdrhistogram.Histogram) Percentiles {
	at := func(p float64) float64 { return float64(h.ValueAtPercentile(p)) }
	return Percentiles{
		Count: float64(h.TotalCount()), MinNs: float64(h.Min()), MeanNs: math.Round(10*h.Mean()) / 10,
		P50Ns: at(50), P90Ns: at(90), P99Ns: at(99), P99_9Ns: at(99.9), P99_99Ns: at(99.99), MaxNs: float64(h.Max()),
	}
}

// WriteHgrm writes all runs' times as one percentile distribution in the text form that HdrHistogram's plotter reads, in
// nanoseconds.
func (r *LatencyReport) WriteHgrm(w io.Writer) error {
	all := newHistogram()
	for _, run := range r.Runs {
		if lost := all.Merge(run.histogram); lost != 0 {
			return fmt.Errorf("merge histograms: %d times out of range", lost)
		}
	}
	_, err := all.PercentilesPrint(w, 5, 1)
	return err
}

// WriteHlog writes a histogram log, an interval for each run, as HdrHistogram's tools read it. Its maxima are in
// milliseconds, as is usual there, the histograms in nanoseconds.
func (r *LatencyReport) WriteHlog(w io.Writer) error {
	log := hdrhistogram.NewHistogramLogWriter(w)
	steps := []func() error{
		log.OutputLogFormatVersion,
		func() error { return log.OutputComment(" " + r.Title()) },
		func() error { return log.OutputStartTime(r.Runs[0].histogram.StartTimeMs()) },
		log.OutputLegend,
	}
	for _, run := range r.Runs {
		steps = append(steps, func() error { return log.OutputIntervalHistogram(run.histogram) })
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}
