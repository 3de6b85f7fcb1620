package bus_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/bus/bustest"
	"github.com/mycelium-bus/mycelium/bus/topic"
	"github.com/mycelium-bus/mycelium/codec"
)

var (
	btc  = codec.Instrument{AssetID: codec.SymbolAsset("BTC"), VenueID: codec.VenueKraken, AssetType: codec.AssetCoin}
	eth  = codec.Instrument{AssetID: codec.SymbolAsset("ETH"), VenueID: codec.VenueKraken, AssetType: codec.AssetCoin}
	pool = codec.Address{1, 2, 3}
)

// message builds a message of TLVs; each part appends one.
func message(t testing.TB, source codec.Source, parts ...interface{ AppendTo(*codec.Builder) }) []byte {
	t.Helper()
	buf := make([]byte, 4096)
	var b codec.Builder
	b.Reset(buf, codec.Header{Source: source})
	for _, p := range parts {
		p.AppendTo(&b)
	}
	n, err := b.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return buf[:n]
}

func TestFilter(t *testing.T) {
	const kraken, polygon = codec.SourceKrakenCollector, codec.SourcePolygonCollector
	invalidated := &codec.StateInvalidation{Count: 2}
	invalidated.Instruments[1] = btc
	messages := map[string][]byte{
		"btc trade":               message(t, kraken, &codec.Trade{Instrument: btc}),
		"eth trade":               message(t, kraken, &codec.Trade{Instrument: eth}),
		"btc quote":               message(t, kraken, &codec.Quote{Instrument: btc}),
		"eth trade and btc quote": message(t, kraken, &codec.Trade{Instrument: eth}, &codec.Quote{Instrument: btc}),
		"book":                    message(t, kraken, &codec.OrderBook{Instrument: btc}),
		"invalidation":            message(t, kraken, invalidated),
		"swap":                    message(t, polygon, &codec.PoolSwap{PoolAddress: pool}, &codec.EventPosition{}),
		"other pool":              message(t, polygon, &codec.PoolSync{PoolAddress: codec.Address{9}}),
		"signal":                  message(t, codec.SourceArbitrageStrategy, &codec.ArbitrageSignal{TargetPool: pool}),
		"empty":                   message(t, kraken),
		"text":                    []byte("no message"),
		"short and magic":         {0xef, 0xbe, 0xad, 0xde},
	}
	var names []string
	for name := range messages {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, tt := range []struct {
		name       string
		conditions []bus.Condition
		want       []string // sorted
	}{
		{"a type", []bus.Condition{bus.Types(codec.TypeTrade)}, []string{"btc trade", "eth trade", "eth trade and btc quote"}},
		{"types", []bus.Condition{bus.Types(codec.TypeQuote, codec.TypeEventPosition)}, []string{"btc quote", "eth trade and btc quote", "swap"}},
		{"types twice", []bus.Condition{bus.Types(codec.TypePoolSync), bus.Types(codec.TypePoolSwap)}, []string{"other pool", "swap"}},
		{"a source", []bus.Condition{bus.Sources(polygon)}, []string{"other pool", "swap"}},
		{"sources", []bus.Condition{bus.Sources(polygon, codec.SourceArbitrageStrategy)}, []string{"other pool", "signal", "swap"}},
		{"an instrument", []bus.Condition{bus.Instruments(btc)}, []string{"book", "btc quote", "btc trade", "eth trade and btc quote", "invalidation"}},
		{"a pool", []bus.Condition{bus.Pools(pool)}, []string{"signal", "swap"}},
		{"an instrument or a pool", []bus.Condition{bus.Instruments(eth), bus.Pools(pool)}, []string{"eth trade", "eth trade and btc quote", "signal", "swap"}},
		{"a trade of it, in one TLV", []bus.Condition{bus.Types(codec.TypeTrade), bus.Instruments(btc)}, []string{"btc trade"}},
		{"a pool and a source", []bus.Condition{bus.Pools(pool), bus.Sources(polygon)}, []string{"swap"}},
		{"nothing that there is", []bus.Condition{bus.Types(codec.TypeGasPrice)}, nil},
	} {
		for mode, options := range map[string][]bus.SubscribeOption{"block": nil, "lossy": {bus.Lossy()}, "in place": {bus.Lossy(), bus.InPlace()}} {
			t.Run(tt.name+"/"+mode, func(t *testing.T) {
				c := newBus(t, topic.Config{Name: "t", Size: topic.MiB})
				pub, sub := publisher(t, c, "t"), subscribe(t, c, "t", append(options, bus.Filter(tt.conditions...))...)
				all := 0
				for _, name := range names {
					if err := pub.Publish(messages[name]); err != nil {
						t.Fatal(err)
					}
					all += len(messages[name])
				}
				var got []string
				bytes := 0
				n, err := sub.Poll(1<<20, func(m bus.Message) error {
					bytes += len(m.Bytes())
					for name, b := range messages {
						if slices.Equal(b, m.Bytes()) {
							got = append(got, name)
						}
					}
					return nil
				})
				slices.Sort(got)
				if err != nil || n != len(tt.want) || !slices.Equal(got, tt.want) {
					t.Errorf("%d %v: %q, want %q", n, err, got, tt.want)
				}
				stats, err := sub.Stats()
				if err != nil || stats.Messages != uint64(len(got)) || stats.Bytes != uint64(bytes) || stats.Skipped != uint64(len(names)-len(got)) || stats.LagBytes != 0 {
					t.Errorf("%+v %v", stats, err)
				}
			})
		}
	}
}

// What is passed over is given back to publishers, also by a poll that hands out nothing, and by Wait.
func TestFilteredMessagesHoldNobodyUp(t *testing.T) {
	c := newBus(t, topic.Config{Name: "t", Size: topic.MiB})
	pub, sub := publisher(t, c, "t"), subscribe(t, c, "t", bus.Filter(bus.Types(codec.TypeTrade)))
	quote := message(t, codec.SourceKrakenCollector, &codec.Quote{Instrument: btc})
	n := fill(t, pub, quote)
	looks := 0
	eventually(t, "all of them are passed over", func() bool {
		looks++
		if got := poll(t, sub); got != nil {
			t.Fatalf("handed out %q", got)
		}
		stats, err := sub.Stats()
		return err == nil && stats.Skipped == uint64(n)
	})
	if looks < 2 {
		t.Errorf("%d messages at one look", n)
	}
	n += fill(t, pub, quote)
	eventually(t, "a wait passes over the others", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		wantIs(t, sub.Wait(ctx), context.DeadlineExceeded)
		stats, err := sub.Stats()
		return err == nil && stats.Skipped == uint64(n)
	})
	fill(t, pub, quote)
	done := make(chan error)
	go func() {
		var err error
		for _, err = range sub.Messages(t.Context()) {
			break
		}
		done <- err
	}()
	if err := pub.PublishWait(t.Context(), message(t, 0, &codec.Trade{})); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A filter's refusals, with and without a broker.
func TestFiltersThatAreRefused(t *testing.T) {
	config := []topic.Config{{Name: "t", Size: topic.MiB}, {Name: "q", Size: topic.MiB, Routing: topic.Queue}}
	b := bustest.New(t, config...)
	for name, c := range map[string]*bus.Conn{"dir": newBus(t, config...), "broker": b.Dial("test")} {
		for what, try := range map[string]func() (*bus.Subscription, error){
			"no condition":      func() (*bus.Subscription, error) { return c.Subscribe("t", bus.Filter()) },
			"an empty one":      func() (*bus.Subscription, error) { return c.Subscribe("t", bus.Filter(bus.Types(), bus.Condition{})) },
			"a group":           func() (*bus.Subscription, error) { return c.Subscribe("t", bus.Group("g"), bus.Filter(bus.Sources(1))) },
			"a queue":           func() (*bus.Subscription, error) { return c.Subscribe("q", bus.Filter(bus.Sources(1))) },
			"latest and group":  func() (*bus.Subscription, error) { return c.Subscribe("t", bus.Group("g"), bus.Latest()) },
			"latest and block":  func() (*bus.Subscription, error) { return c.Subscribe("t", bus.Latest(), bus.Slow(bus.Block)) },
			"latest and credit": func() (*bus.Subscription, error) { return c.Subscribe("t", bus.Latest(), bus.Credit(1<<17)) },
		} {
			t.Run(name+"/"+what, func(t *testing.T) {
				s, err := try()
				wantIs(t, err, bus.ErrInvalid)
				if err == nil {
					s.Close()
				}
			})
		}
		// Nothing is left of those who were refused, and observers of a queue may filter.
		s, err := c.Subscribe("q", bus.Fanout(), bus.Filter(bus.Sources(1)))
		if err != nil {
			t.Fatal(err)
		}
		if info, err := c.Inspect(t.Context(), "q"); err != nil || len(info.Consumers) != 1 {
			t.Errorf("%s: %d consumers %v", name, len(info.Consumers), err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// BenchmarkFilter polls messages of which none is wanted: what the look at a message costs, beside none.
func BenchmarkFilter(b *testing.B) {
	quote := message(b, codec.SourceKrakenCollector, &codec.Quote{Instrument: eth})
	swap := message(b, codec.SourcePolygonCollector, &codec.EventPosition{}, &codec.PoolSwap{PoolAddress: codec.Address{9}})
	many := make([]codec.Instrument, 1000)
	for i := range many {
		many[i].AssetID = uint64(i)
	}
	for _, bench := range []struct {
		name      string
		message   []byte
		condition bus.Condition
	}{
		{"none", quote, bus.Condition{}}, {"source", quote, bus.Sources(codec.SourcePolygonCollector)}, {"type", quote, bus.Types(codec.TypeTrade)},
		{"instrument", quote, bus.Instruments(many...)}, {"pool", swap, bus.Pools(pool)},
	} {
		b.Run("by="+bench.name, func(b *testing.B) {
			c := newBus(b, topic.Config{Name: "t", Size: topic.MiB})
			var options []bus.SubscribeOption
			if bench.name != "none" {
				options = append(options, bus.Filter(bench.condition))
			}
			pub, sub := publisher(b, c, "t"), subscribe(b, c, "t", options...)
			handle := func(bus.Message) error { return nil }
			left := 0
			for b.Loop() {
				if left == 0 {
					b.StopTimer()
					for ; left < 1000; left++ {
						if err := pub.Publish(bench.message); err != nil {
							b.Fatal(err)
						}
					}
					b.StartTimer()
					if n, err := sub.Poll(left, handle); err != nil || bench.name != "none" && n != 0 {
						b.Fatal(n, err)
					}
				}
				left--
			}
		})
	}
}
