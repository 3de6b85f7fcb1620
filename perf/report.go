package perf

import (
	"bufio"
	"fmt"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Conditions are what a report's figures hold for.
type Conditions struct {
	Verb     string  `json:"verb"`
	Mode     string  `json:"mode,omitempty"` // latency: round_trip or one_way
	Loop     string  `json:"loop,omitempty"` // latency: closed or open
	Layer    string  `json:"layer"`
	Kind     string  `json:"kind"`
	Size     int     `json:"size"`
	Send     string  `json:"send"`
	Batch    int     `json:"batch"`
	Ring     int64   `json:"ring_bytes"`
	Idle     Idle    `json:"idle"`
	Rate     float64 `json:"rate_per_s,omitempty"`
	CPUs     []int   `json:"cpus"` // empty when the workers were not pinned
	Realtime bool    `json:"realtime"`
	Broker   bool    `json:"broker"` // the topics were a broker's
	Machine
}

// Machine is where it was measured.
type Machine struct {
	CPU    string `json:"cpu"`
	Kernel string `json:"kernel"`
	Go     string `json:"go"`
}

func conditions(verb string, o *Options) Conditions {
	c := Conditions{Verb: verb, Layer: o.Layer, Kind: o.Kind, Size: o.Size, Send: o.Send, Batch: o.Batch, Ring: o.Ring,
		Idle: o.Idle, Rate: o.Rate, CPUs: o.CPUs, Realtime: o.Realtime, Broker: o.Socket != "", Machine: machine()}
	if len(o.CPUs) == 1 {
		c.CPUs = []int{}
	}
	return c
}

// machine describes this machine; what it cannot find out is empty.
func machine() Machine {
	m := Machine{Go: runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		m.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	if f, err := os.Open("/proc/cpuinfo"); err == nil {
		defer f.Close()
		fields := map[string]string{}
		for s := bufio.NewScanner(f); s.Scan() && s.Text() != ""; { // the first CPU is enough
			key, value, _ := strings.Cut(s.Text(), ":")
			fields[strings.TrimSpace(key)] = strings.TrimSpace(value)
		}
		m.CPU = fields["model name"]
		if family := fields["cpu family"]; family != "" {
			m.CPU += fmt.Sprintf(" (family %s model %s)", family, fields["model"])
		}
	}
	return m
}

// Title says in one line what was measured.
func (c Conditions) Title() string {
	what := c.Verb
	switch c.Mode {
	case "round_trip":
		what = "latency, round trip (closed loop)"
	case "one_way":
		what = fmt.Sprintf("latency, one way (open loop, %.0f a second)", c.Rate)
	}
	batch := ""
	if c.Batch > 1 {
		batch = fmt.Sprintf(" in batches of %d", c.Batch)
	}
	where := "not pinned"
	if len(c.CPUs) == 2 {
		where = fmt.Sprintf("CPUs %d and %d", c.CPUs[0], c.CPUs[1])
	}
	if c.Realtime {
		where += ", real-time"
	}
	if c.Broker {
		where += ", through a broker"
	}
	return fmt.Sprintf("%s: %d bytes%s, %s, %s %s, ring %d KiB, idle %s, %s",
		what, c.Size, batch, c.Kind, c.Layer, c.Send, c.Ring>>10, c.Idle, where)
}

// Spread is a figure over the runs that count.
type Spread struct {
	Min    float64 `json:"min"`
	Median float64 `json:"median"`
	Max    float64 `json:"max"`
}

// figure is one number of a run, by its name in JSON.
type figure[R any] struct {
	key string
	at  func(*R) *float64
}

// medians returns a run that holds the median of each figure over the near runs, if there are any, else over all; each
// figure's spread; and how many runs were near.
func medians[R any](runs []R, figures []figure[R], floor func(*R) *Floor) (R, map[string]Spread, int) {
	var near []R
	for _, r := range runs {
		if floor(&r).Placement == "near" {
			near = append(near, r)
		}
	}
	use := near
	if len(near) == 0 {
		use = runs
	}
	mid := use[0] // also what is the same in all of them
	placement := floor(&mid).Placement
	for i := range use {
		if floor(&use[i]).Placement != placement {
			placement = "mixed"
		}
	}
	spread := map[string]Spread{}
	for _, f := range figures {
		spread[f.key] = spreadOf(use, f.at)
		*f.at(&mid) = spread[f.key].Median
	}
	floor(&mid).Placement = placement
	return mid, spread, len(near)
}

// spreadOf is the spread of one figure over the runs.
func spreadOf[R any](runs []R, at func(*R) *float64) Spread {
	var values []float64
	for i := range runs {
		values = append(values, *at(&runs[i]))
	}
	slices.Sort(values)
	n := len(values)
	return Spread{values[0], (values[(n-1)/2] + values[n/2]) / 2, values[n-1]}
}

// ratio is a/b to three digits behind the point, 0 where b is 0.
func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return math.Round(1000*a/b) / 1000
}
