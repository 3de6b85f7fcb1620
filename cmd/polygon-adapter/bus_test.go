package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/bus/bustest"
	"github.com/mycelium-bus/mycelium/bus/topic"
	"github.com/mycelium-bus/mycelium/cmd/internal/dex/dextest"
	"github.com/mycelium-bus/mycelium/codec"
	"github.com/mycelium-bus/mycelium/internal/leak"
)

// TestThroughABus plays a market through a ring that is smaller than the market, to a reader that checks the order.
func TestThroughABus(t *testing.T) {
	dir := leak.ShmDir(t)
	conn, err := bus.OpenDir(dir, bus.Options{Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.CreateTopic(t.Context(), topic.Config{Name: "market_data", Size: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	sub, err := conn.Subscribe("market_data", bus.From(bus.Oldest), bus.Slow(bus.Block))
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	o := options{synthetic: true, seed: 3, events: 20000, topic: "market_data", json: true}
	in, err := openInputs(o, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	done := make(chan error, 1)
	go func() { done <- publish(t.Context(), conn, in, o, &out, os.Stderr) }()
	for next := uint64(1); next <= 20003; {
		if err := sub.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, err := sub.Poll(1000, func(m bus.Message) error {
			tlv, err := m.TLV()
			if err != nil {
				return err
			}
			if tlv.Sequence() != next {
				return fmt.Errorf("message %d came where %d should", tlv.Sequence(), next)
			}
			next++
			return tlv.VerifyChecksum()
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	var sum summary
	if err := json.Unmarshal(out.Bytes(), &sum); err != nil || sum.Messages != 20003 {
		t.Errorf("%v, summary %s", err, out.String())
	}
}

func TestTheProcess(t *testing.T) {
	b := bustest.New(t, topic.Config{Name: "market_data"}, topic.Config{Name: "other"})
	conn := b.Dial("test")
	sub, err := conn.Subscribe("market_data", bus.From(bus.Oldest))
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	dir := folder(t, "pools.json", pools, "x_00000000000000000000000000000000000000a1.raw.csv", lines(header, row(swap, 1, ""), "nonsense", row(swap, 2, "")))
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "polygon-adapter", "-o", "json", "--socket", b.Socket, dir)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	var sum summary
	if err := json.Unmarshal(stdout.Bytes(), &sum); err != nil || sum.Rows != 3 || sum.Published != 2 || sum.Malformed != 1 {
		t.Errorf("%v, summary %s", err, stdout.String())
	}
	var types []codec.Type
	if _, err := sub.Poll(100, func(m bus.Message) error {
		tlv, err := m.TLV()
		for typ := range tlv.TLVs() {
			types = append(types, typ)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	position := codec.TypeEventPosition
	if want := []codec.Type{codec.TypePoolState, position, codec.TypePoolSwap, position, codec.TypePoolSwap, position}; !slices.Equal(types, want) {
		t.Errorf("on the topic are %v, want %v", types, want)
	}

	cmd = exec.CommandContext(t.Context(), "polygon-adapter", "--socket", b.Socket, "--topic", "none", "--synthetic", "1")
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), `no topic "none"`) || !strings.Contains(string(out), "hint: `myc-ctl topic list`") {
		t.Errorf("%v: %s", err, out)
	}
	cmd = exec.CommandContext(t.Context(), "polygon-adapter", "--socket", b.Socket, "--topic", "other", "--synthetic", "1", "--loop", "--speed", "1x")
	stdout.Reset()
	cmd.Stdout = &stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	watch, err := conn.Subscribe("other", bus.From(bus.Oldest))
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Close()
	if err := watch.Wait(t.Context()); err != nil { // it is at work
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil || !strings.Contains(stdout.String(), "published ") {
		t.Errorf("after Ctrl-C: %v, %q; that is the good end of what has none", err, stdout.String())
	}
}

func TestTheRecordedFolder(t *testing.T) {
	dir := dextest.Data(t, "dex")
	sum, messages, stderr, err := playAll(t, options{args: []string{dir}})
	if err != nil {
		t.Fatal(err)
	}
	if sum.Rows != 7527 || sum.Published != 7422 || sum.Other != 105 || sum.PoolStates != 4 || sum.SkippedFiles != 1 ||
		sum.Malformed+sum.Duplicates+sum.OutOfOrder != 0 || sum.UnknownPools != 0 || len(messages) != 7426 {
		t.Errorf("summary %+v", sum)
	}
	if strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, "Aave") {
		t.Errorf("stderr is %q", stderr)
	}
}
