//go:build linux && (amd64 || stepped)

package shmring

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"
)

const (
	envCrash       = "MYC_CRASH"        // how many deaths of each operation; "distinct": one of each that differs; "full": every one
	envCrashOffset = "MYC_CRASH_OFFSET" // of the samples; default the clock
	envCrashAt     = "MYC_CRASH_AT"     // this place to die alone
)

// crashPlan says where in an operation processes die.
type crashPlan struct {
	samples int  // of the deaths that differ; 0: all of them
	every   bool // at every place
	offset  int
	only    int // -1: not one alone
	// slice is for how long an operation is sampled where nobody asked for a number, so that go test stays short on a slow
	// machine; 0 is without end.
	slice time.Duration
}

func newCrashPlan() (p crashPlan, err error) {
	p = crashPlan{samples: 8, offset: int(time.Now().Unix() % 1_000_000), only: -1, slice: 300 * time.Millisecond}
	if testing.Short() {
		p.samples = 3
	}
	if s := os.Getenv(envCrash); s != "" {
		p.samples, p.slice = 0, 0
		if p.every = s == "full"; !p.every && s != "distinct" {
			if p.samples, err = strconv.Atoi(s); err == nil && p.samples < 1 {
				err = fmt.Errorf("%s=%s: want full, distinct, or a number from 1", envCrash, s)
			}
		}
	}
	if s := os.Getenv(envCrashOffset); s != "" && err == nil {
		p.offset, err = strconv.Atoi(s)
	}
	if s := os.Getenv(envCrashAt); s != "" && err == nil {
		p.only, err = strconv.Atoi(s)
	}
	return p, err
}

// leavesOut reports whether the i-th of [crashOperations], of this kind, is left to another run: go test takes a third of those of delivery,
// another third at each offset.
func (p crashPlan) leavesOut(i int, kind Kind) bool {
	return p.slice > 0 && p.only < 0 && i >= len(crashProtocol) && (i+int(kind)+p.offset)%3 != 0
}

// places returns the places to die of an operation with so many, the last of which is its end; distinct are those that differ.
func (p crashPlan) places(all int, distinct []int) (list []int) {
	switch {
	case p.only >= 0:
		return []int{p.only}
	case p.every:
		for n := range all {
			list = append(list, n)
		}
		return list
	case p.samples == 0:
		return distinct
	}
	stride := max(1, len(distinct)/p.samples)
	for k := range min(p.samples, len(distinct)) {
		list = append(list, distinct[(p.offset+k*stride)%len(distinct)])
	}
	return list
}
