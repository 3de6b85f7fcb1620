package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/mycelium-bus/mycelium/cmd/internal/cli"
	"github.com/mycelium-bus/mycelium/cmd/internal/dex"
)

// maxReports is how many malformed rows are named; all are counted.
const maxReports = 50

// player plays inputs once or over and over.
type player struct {
	in      *inputs
	speed   float64 // times as fast as it was; 0 without waiting
	rate    uint64  // events per second at most; 0 no bound
	loop    bool
	limit   uint64 // events in all; 0 no limit
	clock   clock
	publish func(message []byte) error
	stderr  io.Writer

	sum      summary
	even     pacer // of rate
	reported int
}

// play returns the summary of what was published also when it ends early.
func (p *player) play(ctx context.Context) (summary, error) {
	began := p.clock.Now()
	enc := dex.NewEncoder(p.in.pools, func() uint64 { return uint64(p.clock.Now().UnixNano()) })
	enc.Unknown = func(chain uint32, pool dex.Address) {
		p.sum.UnknownPools++
		fmt.Fprintf(p.stderr, "polygon-adapter: warning: pool %s (chain %d) is in no pools file: its tokens and fee, and the direction of its swaps, go unsaid\n", pool, chain)
	}
	p.sum.SkippedFiles, p.sum.FailedFiles = p.in.skipped, len(p.in.failed)
	p.even = pacer{clock: p.clock}
	var err error
	for {
		if err = p.round(ctx, enc); err != nil || !p.loop || p.full() {
			break
		}
		enc.Announce()
	}
	p.sum.PoolStates = enc.PoolStates()
	p.sum.Messages = p.sum.Published + p.sum.PoolStates
	p.sum.Seconds = p.clock.Now().Sub(began).Seconds()
	if p.sum.Seconds > 0 {
		p.sum.MessagesPerS = math.Round(float64(p.sum.Messages) / p.sum.Seconds)
	}
	return p.sum, err
}

func (p *player) full() bool { return p.limit != 0 && p.sum.Published >= p.limit }

// round plays the inputs from beginning to end, or until the limit.
func (p *player) round(ctx context.Context, enc *dex.Encoder) error {
	m, market, err := p.in.round(p.report)
	if err != nil {
		return err
	}
	defer m.Close()
	p.sum.Rounds++
	defer func() { p.sum.add(m, market) }()

	pace := pacer{speed: p.speed, clock: p.clock}
	var e dex.Event
	for !p.full() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := m.Next(&e); err == io.EOF {
			break
		}
		if err := pace.wait(ctx, &e); err != nil {
			return err
		}
		if err := p.even.evenly(ctx, p.rate); err != nil {
			return err
		}
		switch err := enc.Encode(&e, p.publish); {
		case errors.Is(err, dex.ErrNotRepresentable):
			p.sum.Malformed++
			p.report(m.Fault(err))
		case err != nil:
			return fmt.Errorf("publish: %w", err)
		default:
			p.sum.Published++
		}
	}
	return m.Err()
}

// report names a row that is not published.
func (p *player) report(fault *dex.RowError) {
	switch p.reported++; {
	case p.reported <= maxReports:
		fmt.Fprintf(p.stderr, "polygon-adapter: malformed row: %v\n", fault)
	case p.reported == maxReports+1:
		fmt.Fprintf(p.stderr, "polygon-adapter: malformed row: %v; further ones are counted only\n", fault)
	}
}

// pacer lets events go by the time that passed between their blocks.
type pacer struct {
	speed float64
	clock clock

	chain uint32
	first uint64 // block time, in ns, that belongs to start
	last  uint64
	count uint64 // of evenly
	start time.Time
}

// wait returns when e is due. The count begins anew with each chain, and where time goes back. Events of one block, and
// those without a time, follow each other at once.
func (p *pacer) wait(ctx context.Context, e *dex.Event) error {
	if p.speed == 0 || e.TimeNS == 0 {
		return nil
	}
	if p.start.IsZero() || e.ChainID != p.chain || e.TimeNS < p.last {
		p.chain, p.first, p.start = e.ChainID, e.TimeNS, p.clock.Now()
	}
	p.last = e.TimeNS
	due := float64(e.TimeNS-p.first) / p.speed
	if due > math.MaxInt64 {
		due = math.MaxInt64
	}
	if d := time.Duration(due) - p.clock.Now().Sub(p.start); d > 0 {
		return p.clock.Sleep(ctx, d)
	}
	return nil
}

// evenly returns when the next of rate events per second is due. What was late is made up for.
func (p *pacer) evenly(ctx context.Context, rate uint64) error {
	if rate == 0 {
		return nil
	}
	if p.start.IsZero() {
		p.start = p.clock.Now()
	}
	due := time.Duration(float64(p.count) / float64(rate) * float64(time.Second))
	p.count++
	if d := due - p.clock.Now().Sub(p.start); d > 0 {
		return p.clock.Sleep(ctx, d)
	}
	return nil
}

// parseSpeed reads max, or a number and x.
func parseSpeed(s string) (float64, error) {
	if s == "max" {
		return 0, nil
	}
	number, isTimes := strings.CutSuffix(s, "x")
	f, err := strconv.ParseFloat(number, 64)
	if !isTimes || err != nil || !(f > 0) || math.IsInf(f, 0) {
		return 0, cli.WithHint(cli.UsageError("--speed %q is neither max nor like 1x, 10x, 0.5x", s),
			"1x is as fast as it was, 10x ten times as fast, max, the default, as fast as can be")
	}
	return f, nil
}
