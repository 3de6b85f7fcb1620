package main

import (
	"fmt"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/mycelium-bus/mycelium/cmd/internal/dex"
	"github.com/mycelium-bus/mycelium/codec"
)

// hunter turns messages of market data into cycles, and cycles into signals.
type hunter struct {
	finder  *dex.Finder
	publish func(message []byte) error
	print   func(*dex.Cycle) error
	now     func() uint64 // wall clock, ns since 1970

	received dex.Received
	builder  codec.Builder
	buf      []byte

	stamp    uint64 // of the message at hand
	signalID uint64 // of the last signal
	sequence uint64
	fault    error // of publish or print, for the message at hand

	began    uint64 // when the process started, by now
	since    uint64 // what was published earlier tells prices only, unless it comes after the subscription was opened
	counts   bool   // the message at hand was published since
	some     bool   // a message that counts has come
	first    uint64 // when the first message came that was published since it began
	last     uint64
	messages uint64
	events   uint64
	cycles   uint64
	older    uint64 // published before it started: their latency says nothing
	broken   uint64 // no messages, or with values of the wrong length
	latency  *hdrhistogram.Histogram
}

// Latencies from a nanosecond to an hour, to three digits.
const (
	latencyLowest  = 1
	latencyHighest = 3600 * 1e9
	latencyDigits  = 3
)

func newHunter(pools *dex.Pools, publish func([]byte) error, print func(*dex.Cycle) error, now func() uint64) *hunter {
	return &hunter{
		finder: dex.NewFinder(pools), publish: publish, print: print, now: now,
		buf:     make([]byte, dex.SignalSize),
		latency: hdrhistogram.New(latencyLowest, latencyHighest, latencyDigits),
	}
}

// message takes one message; since says that it was published after the topic was subscribed to, whatever its header says: a
// recorded day that is played now bears old times. Its error is one of publishing or printing; a message that cannot be read is
// counted.
func (h *hunter) message(b []byte, since bool) error {
	received := h.now()
	h.messages++
	h.counts = since || h.since == 0
	m, err := codec.Parse(b)
	if err == nil {
		h.stamp = m.TimestampNs()
		h.counts = h.counts || h.stamp >= h.since
		h.record(received)
		err = h.received.Decode(m)
	}
	h.some = h.some || h.counts
	if err != nil {
		h.broken++
		return nil
	}
	r := &h.received
	if r.HasPool {
		h.finder.AddPool(r.Pool, r.Token0, r.Token1)
	}
	if !r.HasEvent {
		return nil
	}
	h.events++
	h.fault = nil
	h.finder.Observe(&r.Event, h.found)
	return h.fault
}

// record measures from the header's time to now. Clocks that were set between the two can make it negative: that is 0.
func (h *hunter) record(received uint64) {
	switch {
	case h.stamp < h.began:
		h.older++
	default:
		if h.first == 0 {
			h.first = received
		}
		h.last = received
		ns := int64(received) - int64(h.stamp)
		// Values outside are recorded as the nearest one inside, so the error cannot be.
		_ = h.latency.RecordValue(min(max(ns, latencyLowest), latencyHighest))
	}
}

// found publishes and prints a cycle, unless it was there before it counts. The signal bears the time of the market data that
// made it, so that it expires with that, and an id made of it: a restarted process that reads the same messages again gives the
// same ids.
func (h *hunter) found(c *dex.Cycle) {
	if !h.counts {
		return
	}
	h.cycles++
	if h.fault != nil {
		return
	}
	h.signalID = max(h.stamp, h.signalID+1)
	signal := c.Signal(h.stamp)
	signal.SignalID = h.signalID
	h.sequence++
	h.builder.Reset(h.buf, codec.Header{
		Domain: codec.DomainSignal, Source: codec.SourceArbitrageStrategy, Sequence: h.sequence, TimestampNs: h.now(),
	})
	signal.AppendTo(&h.builder)
	n, err := h.builder.Finish()
	if err == nil {
		err = h.publish(h.buf[:n])
	}
	if err != nil {
		h.fault = fmt.Errorf("publish a signal: %w", err)
		return
	}
	if err := h.print(c); err != nil {
		h.fault = fmt.Errorf("print a cycle: %w", err)
	}
}
