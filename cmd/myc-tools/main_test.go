package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/mycelium-bus/mycelium/cmd/internal/cli/clitest"
	"github.com/mycelium-bus/mycelium/codec"
	"github.com/mycelium-bus/mycelium/internal/script"
	"github.com/mycelium-bus/mycelium/shmring"
	"github.com/mycelium-bus/mycelium/tools"
)

func TestMain(m *testing.M) {
	script.Main(m, map[string]func(){"myc-tools": main, "topic": topic, "busy": busy, "put": put, "broker": clitest.Broker(), "stop": clitest.Stop})
}

func TestTranscripts(t *testing.T) { script.Run(t, "testdata") }

func TestHelp(t *testing.T) { clitest.Help(t, newCommand()) }

func TestJSONIsDocumented(t *testing.T) {
	clitest.JSON(t, "myc-tools", map[string]any{"dump": tools.Record{}, "verify": tools.Report{}})
}

// topic makes a topic with a few messages: topic DIR NAME KIND.
func topic() {
	r, p := create(os.Args[1], os.Args[2], os.Args[3])
	for i, build := range []func(*codec.Builder){
		func(b *codec.Builder) {
			(&codec.Trade{Instrument: codec.Instrument{AssetID: codec.SymbolAsset("BTC"), VenueID: 101}, Price: 4500050000000,
				Volume: 25000000, ExecutionTimestampNs: 7, Side: codec.Sell}).AppendTo(b)
		},
		func(b *codec.Builder) {
			(&codec.PoolSync{Reserve0: codec.Uint128{Lo: 5}, Reserve1: codec.Uint128{Hi: 1}, BlockNumber: 9}).AppendTo(b)
			(&codec.EventPosition{BlockNumber: 9, ChainID: 137, TxIndex: 4, LogIndex: 3}).AppendTo(b)
		},
		func(b *codec.Builder) { b.Append(codec.TypeText, []byte("two words")) },
		func(b *codec.Builder) { b.AppendExtended(233, []byte{1, 2, 3}) },
		func(b *codec.Builder) { b.Append(codec.TypeTrade, []byte("short")) },
	} {
		must(p.Publish(message(uint64(i+1), build)))
	}
	must(p.Publish([]byte("not a message")))
	must(errors.Join(p.Close(), r.Close()))
}

// busy makes a topic and publishes to it as fast as it can, until it is told to stop: busy DIR NAME KIND.
func busy() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	r, p := create(os.Args[1], os.Args[2], os.Args[3])
	for i := uint64(1); ctx.Err() == nil; i++ {
		must(p.Publish(message(i, func(b *codec.Builder) { b.Append(codec.TypeText, make([]byte, i%200)) })))
	}
	must(errors.Join(p.Close(), r.Close()))
}

// put writes bytes into a file: put FILE OFFSET HEX.
func put() {
	f, err := os.OpenFile(os.Args[1], os.O_WRONLY, 0)
	must(err)
	off, err := strconv.ParseInt(os.Args[2], 10, 64)
	must(err)
	b, err := hex.DecodeString(os.Args[3])
	must(err)
	_, err = f.WriteAt(b, off)
	must(errors.Join(err, f.Close()))
}

func create(dir, name, kind string) (*shmring.Ring, *shmring.Producer) {
	kinds := map[string]shmring.Kind{"spsc": shmring.SPSC, "spmc": shmring.SPMC, "mpsc": shmring.MPSC, "mpmc": shmring.MPMC}
	must(os.MkdirAll(dir, 0o700))
	r, err := shmring.Create(dir, name, shmring.Options{Kind: kinds[kind], Capacity: 64 << 10, Consumers: 8, Groups: 1})
	must(err)
	g, err := r.GrantProducer(0)
	must(err)
	p, err := r.Producer(g, filepath.Base(os.Args[0]))
	must(err)
	return r, p
}

func message(seq uint64, build func(*codec.Builder)) []byte {
	var b codec.Builder
	buf := make([]byte, 1024)
	b.Reset(buf, codec.Header{Domain: codec.DomainMarketData, Source: codec.SourcePolygonCollector, Sequence: seq, TimestampNs: 1704412800000000001})
	build(&b)
	n, err := b.Finish()
	must(err)
	return buf[:n]
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
