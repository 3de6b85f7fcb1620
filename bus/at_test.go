package bus_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/bus/topic"
	"github.com/mycelium-bus/mycelium/codec"
)

// stamped returns a message of a time in nanoseconds, with one TLV of vendor type 250.
func stamped(t testing.TB, ns uint64, text string) []byte {
	t.Helper()
	var b codec.Builder
	message := make([]byte, codec.Size(len(text)))
	b.Reset(message, codec.Header{TimestampNs: ns})
	b.Append(250, []byte(text))
	n, err := b.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return message[:n]
}

// times returns the times of the messages that are there, 0 for those that have none.
func times(t testing.TB, s *bus.Subscription) (all []uint64) {
	t.Helper()
	if _, err := s.Poll(1<<20, func(m bus.Message) error {
		v, err := m.TLV()
		if err != nil {
			all = append(all, 0)
			return nil
		}
		all = append(all, v.TimestampNs())
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestAtATime(t *testing.T) {
	for _, mode := range []struct {
		name    string
		options []bus.SubscribeOption
	}{{"block", nil}, {"drop", []bus.SubscribeOption{bus.Slow(bus.Drop)}}, {"lossy", []bus.SubscribeOption{bus.Lossy()}}, {"group", []bus.SubscribeOption{bus.Group("g")}}} {
		for _, tt := range []struct {
			name      string
			published []uint64 // 0: no message of the codec's
			at        time.Time
			want      []uint64
		}{
			{"the message of that very time", []uint64{10, 20, 30}, time.Unix(0, 20), []uint64{20, 30}},
			{"between two", []uint64{10, 20, 30}, time.Unix(0, 11), []uint64{20, 30}},
			{"before all", []uint64{10, 20, 30}, time.Unix(0, 1), []uint64{10, 20, 30}},
			{"before 1970", []uint64{10, 20, 30}, time.Unix(-100, 0), []uint64{10, 20, 30}},
			{"the zero time", []uint64{10, 20}, time.Time{}, []uint64{10, 20}},
			{"after all", []uint64{10, 20, 30}, time.Unix(0, 31), nil},
			{"the first of equals", []uint64{10, 20, 20, 30}, time.Unix(0, 20), []uint64{20, 20, 30}},
			{"the first in order, what follows may be older", []uint64{30, 10, 20}, time.Unix(0, 20), []uint64{30, 10, 20}},
			{"not one without a time, but after it", []uint64{0, 10, 0, 20}, time.Unix(0, 5), []uint64{10, 0, 20}},
			{"an empty topic", nil, time.Unix(0, 5), nil},
		} {
			t.Run(mode.name+"/"+tt.name, func(t *testing.T) {
				c := newBus(t, topic.Config{Name: "t", Size: topic.MiB})
				pub := publisher(t, c, "t")
				for _, ns := range tt.published {
					m := []byte("no message")
					if ns != 0 {
						m = stamped(t, ns, "text")
					}
					if err := pub.Publish(m); err != nil {
						t.Fatal(err)
					}
				}
				sub := subscribe(t, c, "t", append(mode.options, bus.From(bus.At(tt.at)))...)
				if got := times(t, sub); !slices.Equal(got, tt.want) {
					t.Errorf("%v, want %v", got, tt.want)
				}
				// What comes after is read, whatever its time.
				if err := pub.Publish(stamped(t, 1, "later")); err != nil {
					t.Fatal(err)
				}
				if got := times(t, sub); !slices.Equal(got, []uint64{1}) {
					t.Errorf("%v after that", got)
				}
			})
		}
	}
}

// In a ring that went round some times the scan begins with what is left, and what it finds is where it says.
func TestAtATimeAfterLaps(t *testing.T) {
	c := newBus(t, topic.Config{Name: "t", Size: topic.MiB})
	pub := publisher(t, c, "t")
	const n = 30_000 // of some 100 bytes
	for i := range uint64(n) {
		if err := pub.Publish(stamped(t, 1000+2*i, fmt.Sprintf("%*d", 40+i%50, i))); err != nil {
			t.Fatal(err)
		}
	}
	sub := subscribe(t, c, "t", bus.At(time.Unix(0, 1000+2*(n-3000)-1))) // an option by itself, too
	if got := times(t, sub); len(got) != 3000 || got[0] != 1000+2*(n-3000) {
		t.Errorf("%d messages", len(got))
	}
	all, old := subscribe(t, c, "t", bus.From(bus.Oldest)), subscribe(t, c, "t", bus.From(bus.At(time.Unix(0, 1000))))
	if want, got := times(t, all), times(t, old); !slices.Equal(got, want) {
		t.Errorf("%d messages from before the ring's memory, %d from the oldest", len(got), len(want))
	}
}

// A scan beside publishers that come round under it finds a message of the time or later, or goes on with the newest ones.
func TestAtATimeBesidePublishers(t *testing.T) {
	c := newBus(t, topic.Config{Name: "t", Size: topic.MiB})
	pub := publisher(t, c, "t")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		for i := uint64(1); ; i++ {
			if err := pub.PublishWait(ctx, stamped(t, i, "text")); err != nil {
				done <- err
				return
			}
			if ctx.Err() != nil {
				done <- ctx.Err()
				return
			}
		}
	}()
	for i := range 20 {
		options := []bus.SubscribeOption{bus.Lossy(), bus.Slow(bus.Block), bus.Slow(bus.Drop)}[i%3]
		first := func(sub *bus.Subscription, from uint64) (found uint64) {
			defer sub.Close()
			eventually(t, "a message", func() bool {
				_, err := sub.Poll(1000, func(m bus.Message) error {
					v, err := m.TLV()
					if at := v.TimestampNs(); found == 0 && at >= from {
						found = at
					} else if found == 0 && from != 1 {
						return fmt.Errorf("message of %d, want %d or later", at, from)
					}
					return err
				})
				if err != nil && !errors.Is(err, bus.ErrLapped) {
					t.Fatal(err)
				}
				return found != 0
			})
			return found
		}
		old := first(subscribe(t, c, "t", bus.Oldest, options), 1)
		eventually(t, "younger messages", func() bool { // so that there is something to find
			return first(subscribe(t, c, "t", bus.Newest, bus.Lossy()), 1) >= old+500
		})
		first(subscribe(t, c, "t", bus.At(time.Unix(0, int64(old)+500)), options), old+500)
	}
	cancel()
	wantIs(t, <-done, context.Canceled)
}
