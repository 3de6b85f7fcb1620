package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/bus/bustest"
	"github.com/mycelium-bus/mycelium/bus/topic"
	"github.com/mycelium-bus/mycelium/cmd/internal/dex"
	"github.com/mycelium-bus/mycelium/internal/leak"
)

// feedOf is a source of batches; a nil batch is a Wait that ends by its context.
type feedOf struct {
	t       *testing.T
	batches [][][]byte
	polls   int
	waits   int
	since   bool
	atEnd   func()
}

func (f *feedOf) Poll(limit int, handle func([]byte, bool) error) (int, error) {
	f.polls++
	if len(f.batches) == 0 || f.batches[0] == nil {
		return 0, nil
	}
	batch := f.batches[0]
	f.batches = f.batches[1:]
	for i, m := range batch {
		if i == limit {
			f.t.Fatal("a batch longer than the limit")
		}
		if err := handle(m, f.since); err != nil {
			return i, err
		}
	}
	return len(batch), nil
}

func (f *feedOf) Wait(ctx context.Context) error {
	f.waits++
	if len(f.batches) > 0 && f.batches[0] != nil {
		return nil
	}
	if len(f.batches) == 0 && f.atEnd != nil {
		f.atEnd()
	} else if len(f.batches) > 0 {
		f.batches = f.batches[1:]
		if _, bounded := ctx.Deadline(); !bounded {
			return nil
		}
	}
	<-ctx.Done()
	return ctx.Err()
}

func TestFollowEndsWhenTheMarketIsSilent(t *testing.T) {
	messages, _ := market(t, 1, 100)
	quiet := func() *hunter {
		return newHunter(nil, func([]byte) error { return nil }, func(*dex.Cycle) error { return nil }, func() uint64 { return 1 })
	}
	t.Run("after the first message", func(t *testing.T) {
		h := quiet()
		f := &feedOf{t: t, batches: [][][]byte{nil, messages[:50], {}, messages[50:]}}
		if err := follow(t.Context(), f, h, time.Millisecond); err != nil {
			t.Fatal(err)
		}
		if h.messages != uint64(len(messages)) {
			t.Errorf("%d messages of %d", h.messages, len(messages))
		}
	})
	t.Run("which is not one of before", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		h := quiet()
		h.since = math.MaxUint64
		f := &feedOf{t: t, batches: [][][]byte{messages[:50], nil, messages[50:]}, atEnd: cancel}
		if err := follow(ctx, f, h, time.Nanosecond); !errors.Is(err, context.Canceled) || h.messages != uint64(len(messages)) || h.some {
			t.Errorf("%d messages of %d, some %v, %v", h.messages, len(messages), h.some, err)
		}
	})
	t.Run("which has an old time and came since", func(t *testing.T) {
		h := quiet()
		h.since = math.MaxUint64
		f := &feedOf{t: t, batches: [][][]byte{nil, messages}, since: true}
		if err := follow(t.Context(), f, h, time.Millisecond); err != nil || !h.some {
			t.Errorf("some %v, %v", h.some, err)
		}
	})
	t.Run("not without --until-idle", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		h := quiet()
		f := &feedOf{t: t, batches: [][][]byte{messages}, atEnd: cancel}
		if err := follow(ctx, f, h, 0); !errors.Is(err, context.Canceled) || h.messages != uint64(len(messages)) {
			t.Errorf("%d messages, %v", h.messages, err)
		}
	})
	t.Run("a source's error is passed on", func(t *testing.T) {
		full := errors.New("full")
		h := newHunter(nil, func([]byte) error { return full }, func(*dex.Cycle) error { return nil }, func() uint64 { return 1 })
		many, _ := market(t, 5, 5000)
		var batches [][][]byte
		for len(many) > 0 {
			n := min(len(many), pollLimit)
			batches, many = append(batches, many[:n]), many[n:]
		}
		if err := follow(t.Context(), &feedOf{t: t, batches: batches}, h, time.Hour); !errors.Is(err, full) {
			t.Errorf("error is %v", err)
		}
	})
}

// TestThroughABus plays a market through rings of the real bus, smaller than what passes through.
func TestThroughABus(t *testing.T) {
	conn, err := bus.OpenDir(leak.ShmDir(t), bus.Options{Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, name := range []string{"market_data", "signals"} {
		if err := conn.CreateTopic(t.Context(), topic.Config{Name: name, Size: 1 << 20}); err != nil {
			t.Fatal(err)
		}
	}
	watch, err := conn.Subscribe("signals", bus.From(bus.Oldest))
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Close()
	messages, cycles := market(t, 5, 10000)
	pub, err := conn.Publisher("market_data")
	if err != nil {
		t.Fatal(err)
	}
	defer pub.Close()
	// Some are there before the hunter is: it begins with the oldest.
	for _, m := range messages[:100] {
		if err := pub.PublishWait(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	ready, stderr := newReady()
	var stdout bytes.Buffer
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() {
		done <- serve(ctx, conn, nil, options{topic: "market_data", signals: "signals", json: true}, &stdout, stderr)
	}()
	<-ready
	for _, m := range messages[100:] {
		if err := pub.PublishWait(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	for got := uint64(0); got < cycles; {
		if err := watch.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		n, err := watch.Poll(100, func(bus.Message) error { return nil })
		if err != nil {
			t.Fatal(err)
		}
		got += uint64(n)
	}
	cancel() // as Ctrl-C does
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(stdout.String(), "\n"); uint64(n) != cycles {
		t.Errorf("%d lines for %d cycles", n, cycles)
	}
	if want := fmt.Sprintf("%d cycles in", cycles); !strings.Contains(stderr.text.String(), want) {
		t.Errorf("stderr has no %q: %s", want, stderr.text.String())
	}
}

// TestTheProcess starts the program and publishes at once: what is sent after its start counts, whenever it is ready.
func TestTheProcess(t *testing.T) {
	b := bustest.New(t, topic.Config{Name: "market_data"}, topic.Config{Name: "signals"})
	conn := b.Dial("test")
	pub, err := conn.Publisher("market_data")
	if err != nil {
		t.Fatal(err)
	}
	defer pub.Close()
	watch, err := conn.Subscribe("signals", bus.From(bus.Oldest))
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Close()
	// A market that was played before the program began: its cycles are old news.
	if old := publishMarket(t, pub, 9, time.Hour); old == 0 {
		t.Fatal("no cycles in the old market")
	}

	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "flash-arbitrage", "-o", "json", "--socket", b.Socket)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	cycles := publishMarket(t, pub, 8, 0)
	for got := uint64(0); got < cycles; {
		if err := watch.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		n, err := watch.Poll(100, func(bus.Message) error { return nil })
		if err != nil {
			t.Fatal(err)
		}
		got += uint64(n)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	if n := strings.Count(stdout.String(), "\n"); uint64(n) != cycles {
		t.Errorf("%d lines for %d cycles", n, cycles)
	}
	for _, want := range []string{"ready", fmt.Sprintf("%d cycles in 10,000 events", cycles), "5,003 messages are older", "latency of 5,003 messages: p50 "} {
		if !strings.Contains(stderr.String(), want) {
			t.Errorf("no %q on stderr:\n%s", want, stderr.String())
		}
	}
}

// publishMarket publishes 5,000 events, stamped with a time so long ago, and returns how many cycles they have.
func publishMarket(t *testing.T, pub *bus.Publisher, seed uint64, ago time.Duration) uint64 {
	t.Helper()
	s := dex.NewSynthetic(seed, 5000)
	enc := dex.NewEncoder(dex.SyntheticPools(), func() uint64 { return wallNow() - uint64(ago) })
	var e dex.Event
	for s.Next(&e) == nil {
		if err := enc.Encode(&e, func(m []byte) error { return pub.PublishWait(t.Context(), m) }); err != nil {
			t.Fatal(err)
		}
	}
	return s.Cycles()
}

// readyWriter tells when the first thing was written.
type readyWriter struct {
	text  bytes.Buffer
	ready chan struct{}
	told  bool
}

func newReady() (<-chan struct{}, *readyWriter) {
	w := &readyWriter{ready: make(chan struct{})}
	return w.ready, w
}

func (w *readyWriter) Write(p []byte) (int, error) {
	n, err := w.text.Write(p)
	if !w.told {
		w.told = true
		close(w.ready)
	}
	return n, err
}

func TestLoadPools(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("MYC_DATA", "")
	if p, err := loadPools(""); p != nil || err != nil {
		t.Errorf("nothing given: %v, %v", p, err)
	}
	t.Setenv("MYC_DATA", dir)
	if p, err := loadPools(""); p != nil || err != nil {
		t.Errorf("nothing there: %v, %v", p, err)
	}
	if err := os.Mkdir(filepath.Join(dir, "dex"), 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "dex", "pools.json")
	if err := os.WriteFile(path, []byte(`{"pools": []}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if p, err := loadPools(""); p == nil || err != nil {
		t.Errorf("in MYC_DATA: %v, %v", p, err)
	}
	if err := os.WriteFile(path, []byte(`{`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, given := range []string{"", path, path + "-none"} {
		if _, err := loadPools(given); err == nil {
			t.Errorf("loadPools(%q) has no error", given)
		}
	}
}
