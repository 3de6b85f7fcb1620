package perf

import (
	"fmt"
	"strings"
)

// The text reports are tables of cells, so that whoever prints them aligns them as it does everything else. The first row
// is the titles; a title that begins with '>' is a column of figures.

// Table returns the report as rows of cells.
func (r *LatencyReport) Table() [][]string {
	rows := [][]string{{"", ">min", ">median", ">max"}}
	for _, f := range r.figures() {
		s := r.Spread[f.key]
		name, format := strings.TrimSuffix(f.key, "_ns"), nanoseconds
		switch {
		case f.key == "count":
			continue // the same in all runs; the title of the table has it
		case f.key == "stalled_share":
			name, format = "cores stalled", percent
		case !strings.HasSuffix(f.key, "_ns") && !strings.HasPrefix(f.key, "ratio"):
			format = func(v float64) string { return fmt.Sprintf("%.0f", v) }
		case strings.HasPrefix(f.key, "ratio"):
			format = func(v float64) string { return fmt.Sprintf("%.2f", v) }
		}
		name = strings.ReplaceAll(strings.ReplaceAll(strings.ReplaceAll(name, "99_9", "99.9"), "99_99", "99.99"), "_", " ")
		rows = append(rows, []string{name, format(s.Min), format(s.Median), format(s.Max)})
	}
	return rows
}

// Verdict says what the figures come to, and what they hold for.
func (r *LatencyReport) Verdict() string {
	if r.Mode == "one_way" {
		return fmt.Sprintf("one way p50 %s, p99.9 %s, %.2f and %.2f times the open loop's floor (%s and %s for %s) on %s cores; stalls of the cores touched %.1f%% of the messages; %s",
			nanoseconds(r.Percentiles.P50Ns), nanoseconds(r.Percentiles.P99_9Ns), r.RatioP50, r.RatioP99_9, nanoseconds(r.OneWay.FloorP50Ns),
			nanoseconds(r.OneWay.FloorP99_9Ns), countLines(r.Lines), r.Placement, 100*ratio(r.StalledMessages, r.Count), counted(r.NearRuns, len(r.Runs)))
	}
	return fmt.Sprintf("round trip p50 %s, %.2f times the floor (%s for %s) on %s cores; %s",
		nanoseconds(r.Percentiles.P50Ns), r.RatioToFloor, nanoseconds(r.Floor.P50Ns), countLines(r.Lines), r.Placement, counted(r.NearRuns, len(r.Runs)))
}

// Table returns the report as rows of cells.
func (r *ThroughputReport) Table() [][]string {
	rows := [][]string{{"", ">min", ">median", ">max"}}
	row := func(name, key string, format func(float64) string) {
		s := r.Spread[key]
		rows = append(rows, []string{name, format(s.Min), format(s.Median), format(s.Max)})
	}
	row("million messages/s", "messages_per_s", func(v float64) string { return fmt.Sprintf("%.2f", v/1e6) })
	row("GB/s of payload", "bytes_per_s", func(v float64) string { return fmt.Sprintf("%.2f", v/1e9) })
	row("ns per message", "ns_per_message", func(v float64) string { return fmt.Sprintf("%.1f", v) })
	row("floor p50", "floor_p50_ns", nanoseconds)
	row("cores stalled", "stalled_share", percent)
	row("ns per message / floor p50", "ratio_to_floor", func(v float64) string { return fmt.Sprintf("%.3f", v) })
	return rows
}

// Verdict says what the figures come to, and what they hold for.
func (r *ThroughputReport) Verdict() string {
	return fmt.Sprintf("%.1f million verified messages/s (%.0f counted in each run) on %s cores; floor p50 %s for %s; %s",
		r.MessagesPerS/1e6, r.VerifiedMessages, r.Placement, nanoseconds(r.P50Ns), countLines(r.Lines), counted(r.NearRuns, len(r.Runs)))
}

// Table returns the report as rows of cells.
func (r *WakeReport) Table() [][]string {
	rows := [][]string{{"", ">min", ">median", ">max"}}
	row := func(name, key string, format func(float64) string) {
		s := r.Spread[key]
		rows = append(rows, []string{name, format(s.Min), format(s.Median), format(s.Max)})
	}
	times := func(v float64) string { return fmt.Sprintf("%.2f", v) }
	row("wake-up p50", "p50_ns", nanoseconds)
	row("wake-up p99", "p99_ns", nanoseconds)
	row("wake-up p99.9", "p99_9_ns", nanoseconds)
	row("bare futex p50", "bare_futex_p50_ns", nanoseconds)
	row("bare futex p99", "bare_futex_p99_ns", nanoseconds)
	row("ratio to bare futex", "ratio_to_bare_futex", times)
	row("idle: one sleeper, of a core", "idle_one_share", fine)
	row(fmt.Sprintf("idle: %d sleepers, of a core", r.Idlers), "idle_all_share", fine)
	row("publish, nobody there, CPU", "publish_cpu_ns", nanoseconds)
	row("publish, one that spins, CPU", "publish_cpu_read_ns", nanoseconds)
	row(fmt.Sprintf("publish, %d sleepers, CPU", r.Sleepers), "publish_cpu_crowded_ns", nanoseconds)
	row("ratio with sleepers", "ratio_crowded", times)
	row("ratio to one that spins", "ratio_crowded_to_read", times)
	row("publish that wakes one, CPU", "rouse_one_cpu_ns", nanoseconds)
	row(fmt.Sprintf("publish that wakes %d, CPU", r.Sleepers), "rouse_cpu_ns", nanoseconds)
	row("floor line p50", "floor_line_p50_ns", nanoseconds)
	row("cores stalled", "stalled_share", percent)
	return rows
}

// Verdict says what the figures come to, and what they hold for.
func (r *WakeReport) Verdict() string {
	return fmt.Sprintf("wake-up p50 %s, %.2f times a bare futex (%s); %d sleepers idle at %s of a core; a publication costs %.2f times as much with %d sleepers; %s cores, %s",
		nanoseconds(r.Percentiles.P50Ns), r.RatioBare, nanoseconds(r.BareP50Ns), r.Idlers, fine(r.IdleAllShare), r.RatioCrowded, r.Sleepers,
		r.Placement, counted(r.NearRuns, len(r.Runs)))
}

func fine(v float64) string { return fmt.Sprintf("%.3f%%", 100*v) }

// Table returns the report as rows of cells.
func (r *CodecReport) Table() [][]string {
	rows := [][]string{{"message", "operation", "checksum", ">bytes", ">million/s", ">ns", ">allocs"}}
	for _, c := range r.Results {
		checksum := "no"
		if c.Checksum {
			checksum = "yes"
		}
		rows = append(rows, []string{c.Message, c.Operation, checksum, fmt.Sprint(c.Bytes),
			fmt.Sprintf("%.1f", c.MessagesPerS/1e6), fmt.Sprintf("%.1f", c.NsPerMessage), fmt.Sprintf("%.0f", c.AllocsPerMessage)})
	}
	return rows
}

func percent(v float64) string { return fmt.Sprintf("%.1f%%", 100*v) }

func nanoseconds(v float64) string {
	if v < 100 {
		return fmt.Sprintf("%.1fns", v)
	}
	return fmt.Sprintf("%.0fns", v)
}

func countLines(n int) string {
	if n == 1 {
		return "1 cache line"
	}
	return fmt.Sprintf("%d cache lines", n)
}

func counted(near, all int) string {
	switch near {
	case all:
		return fmt.Sprintf("all %d runs were near", all)
	case 0:
		return fmt.Sprintf("none of %d runs was near", all)
	}
	return fmt.Sprintf("%d of %d runs were near, the others do not count", near, all)
}
