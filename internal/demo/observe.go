package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/mycelium-bus/mycelium/bus"
)

// observe watches market_data as a dashboard would: it holds nobody up, and is told what it missed. It ends with ctx.
func observe(ctx context.Context, socket string, out io.Writer) error {
	c, err := bus.Dial(ctx, bus.Options{Name: "observer", Socket: socket})
	if err != nil {
		return err
	}
	defer c.Close()
	sub, err := c.Subscribe("market_data", bus.Lossy())
	if err != nil {
		return err
	}
	defer sub.Close()
	fmt.Fprintln(out, "ready")

	var messages, torn, missed uint64
	latency := hdrhistogram.New(1, int64(time.Minute), 3)
	see := func(m bus.Message) error {
		view, err := m.TLV()
		if err != nil || view.VerifyChecksum() != nil {
			torn++
			return nil
		}
		messages++
		if d := time.Now().UnixNano() - int64(view.Header().TimestampNs); d > 0 {
			latency.RecordValue(d)
		}
		return nil
	}
	for {
		n, err := sub.Poll(1024, see)
		var lap *bus.LappedError
		switch {
		case errors.As(err, &lap):
			missed += lap.Missed()
		case err != nil:
			return err
		case n > 0:
		case sub.Wait(ctx) != nil:
			if ctx.Err() == nil {
				continue // Poll will say what it was
			}
			fmt.Fprintf(out, "%d messages, %d of them torn, %d bytes of the ring missed\n", messages, torn, missed)
			at := func(p float64) time.Duration { return time.Duration(latency.ValueAtPercentile(p)) }
			fmt.Fprintf(out, "latency: p50 %s, p99 %s, p99.9 %s, max %s\n", at(50), at(99), at(99.9), time.Duration(latency.Max()))
			if torn > 0 {
				return fmt.Errorf("%d messages are torn", torn)
			}
			return nil
		}
	}
}
