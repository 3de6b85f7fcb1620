package bus_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/bus/topic"
)

// park fails what a member gets until n messages are parked.
func park(t testing.TB, c *bus.Conn, sub *bus.Subscription, name string, n int) []bus.Parked {
	t.Helper()
	failure := errors.New("no")
	var parked []bus.Parked
	eventually(t, "messages are parked", func() bool {
		if _, err := sub.Poll(1, func(bus.Message) error { return failure }); err != nil && !errors.Is(err, failure) {
			t.Fatal(err)
		}
		var err error
		if parked, _, err = c.Parked(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		return len(parked) >= n
	})
	return parked
}

func TestParkedMessagesAreRetried(t *testing.T) {
	withAndWithoutABroker(t, func(t *testing.T, c *bus.Conn) {
		pub, observer := publisher(t, c, "q"), subscribe(t, c, "q", bus.Fanout())
		other := subscribe(t, c, "q", bus.Group("other"))
		sub := subscribe(t, c, "q")
		publish(t, pub, "a", "b", "c")
		parked := park(t, c, sub, "q", 3)
		poll(t, observer)
		poll(t, other)

		got := make(chan string, 10)
		stop, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() {
			var why error
			for m, err := range sub.Messages(stop) {
				if why = err; err != nil {
					break
				}
				got <- fmt.Sprintf("%s %d %v", m.Bytes(), m.Delivery(), m.Redelivered())
			}
			ended <- why // the loop is over, and has let go of the subscription
		}()
		retried, err := c.RetryParked(t.Context(), "q", parked...)
		if err != nil || len(retried) != 3 {
			t.Fatalf("%+v, %v", retried, err)
		}
		for i, want := range []string{"a 2 true", "b 2 true", "c 2 true"} {
			if r := retried[i]; !r.Handled || r.Err != nil || r.Parked != parked[i] {
				t.Errorf("%+v", r)
			}
			select {
			case m := <-got:
				wantSame(t, "retried", m[:1], want[:1])
			case <-time.After(time.Minute):
				t.Fatal("watchdog: nothing comes")
			}
		}
		cancel()
		wantIs(t, <-ended, context.Canceled)
		wantSame(t, "the observer", len(poll(t, observer)), 0)
		wantSame(t, "another group", len(poll(t, other)), 0)
		if left, total, err := c.Parked(t.Context(), "q"); err != nil || len(left) != 0 || total != 3 {
			t.Errorf("still parked: %+v, %d, %v", left, total, err)
		}
		groups, err := c.Groups(t.Context(), "q")
		if err != nil || len(groups) != 2 || groups[0].Members+groups[1].Members != 2 || groups[0].Orphans+groups[1].Orphans != 0 {
			t.Errorf("groups afterwards: %+v, %v", groups, err)
		}
	}, queue("q", topic.Group{Name: "default", MaxDeliver: 2}))
}

// works handles what a member gets until the test ends, and returns where it says so.
func works(t testing.TB, c *bus.Conn, name string) chan string {
	t.Helper()
	sub := subscribe(t, c, name)
	got, ended := make(chan string, 1000), make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer close(ended)
		for m, err := range sub.Messages(ctx) {
			if err != nil {
				return
			}
			got <- string(m.Bytes())
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	return got
}

// Who retries what is listed no more retries nothing, and of several at once one does.
func TestAMessageIsRetriedOnce(t *testing.T) {
	withAndWithoutABroker(t, func(t *testing.T, c *bus.Conn) {
		pub, sub := publisher(t, c, "q"), subscribe(t, c, "q")
		publish(t, pub, "a", "b", "c", "d")
		parked := park(t, c, sub, "q", 4)
		sub.Close()
		got := works(t, c, "q")

		type outcome struct {
			list []bus.Retried
			err  error
		}
		const operators = 3
		ended := make(chan outcome)
		for range operators {
			go func() {
				list, err := c.RetryParked(t.Context(), "q", parked...)
				ended <- outcome{list, err}
			}()
		}
		handled := map[uint64]int{}
		for range operators {
			o := <-ended
			if o.err != nil {
				t.Error(o.err)
			}
			for _, r := range o.list {
				if r.Handled {
					handled[r.Parked.Number]++
				} else {
					wantIs(t, r.Err, bus.ErrNotParked)
				}
			}
		}
		for _, p := range parked {
			if handled[p.Number] != 1 {
				t.Errorf("message %d of the list was handed over %d times", p.Number, handled[p.Number])
			}
		}
		again, err := c.RetryParked(t.Context(), "q", parked[0])
		if err != nil || len(again) != 1 || again[0].Handled || !errors.Is(again[0].Err, bus.ErrNotParked) {
			t.Errorf("once more: %+v, %v", again, err)
		}
		publish(t, pub, "end")
		var all []string
		for m := ""; m != "end"; all = append(all, m) {
			select {
			case m = <-got:
			case <-time.After(time.Minute):
				t.Fatalf("watchdog: nothing comes after %q", all)
			}
		}
		slices.Sort(all)
		if want := []string{"a", "b", "c", "d", "end"}; !slices.Equal(all, want) {
			t.Errorf("delivered %q, want %q", all, want)
		}
	}, queue("q", topic.Group{Name: "default", MaxDeliver: 2}))
}

func TestWhatIsNotRetriedStaysParked(t *testing.T) {
	withAndWithoutABroker(t, func(t *testing.T, c *bus.Conn) {
		pub, sub := publisher(t, c, "q"), subscribe(t, c, "q")
		publish(t, pub, "a")
		parked := park(t, c, sub, "q", 1)
		still := func() {
			t.Helper()
			if left, _, err := c.Parked(t.Context(), "q"); err != nil || len(left) != 1 {
				t.Errorf("parked: %+v, %v", left, err)
			}
		}
		sub.Close()
		_, err := c.RetryParked(t.Context(), "q", parked...)
		wantIs(t, err, bus.ErrNoMember)
		still()

		// A member that does not look: the group has the message once the call ends, and the next member gets it.
		idle := subscribe(t, c, "q")
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		retried, err := c.RetryParked(ctx, "q", parked...)
		wantIs(t, err, context.DeadlineExceeded)
		if len(retried) != 1 || retried[0].Handled || retried[0].Err != nil {
			t.Errorf("%+v", retried)
		}
		if left, _, err := c.Parked(t.Context(), "q"); err != nil || len(left) != 0 {
			t.Errorf("the group has it, and it is parked: %+v, %v", left, err)
		}
		parked = park(t, c, idle, "q", 1) // it fails again

		for range 300 { // more than the ring
			publish(t, pub, string(make([]byte, 8<<10)))
			poll(t, idle)
		}
		retried, err = c.RetryParked(t.Context(), "q", parked...)
		if err != nil || len(retried) != 1 || !errors.Is(retried[0].Err, bus.ErrPosition) {
			t.Errorf("overwritten: %+v, %v", retried, err)
		}
		still()
		_, err = c.RetryParked(t.Context(), "none", parked...)
		wantIs(t, err, bus.ErrNoTopic)
	}, queue("q", topic.Group{Name: "default", MaxDeliver: 2}))
}

// While a message waits for a member that does not look, something happens that leaves nobody who could handle it.
func TestARetryEndsWhenNobodyIsLeft(t *testing.T) {
	for name, ends := range map[string]struct {
		how  func(t *testing.T, c *bus.Conn, worker *bus.Subscription) error
		want error
	}{
		"the last worker leaves": {func(t *testing.T, c *bus.Conn, worker *bus.Subscription) error { return worker.Close() }, bus.ErrNoMember},
		"the topic is deleted":   {func(t *testing.T, c *bus.Conn, _ *bus.Subscription) error { return c.DeleteTopic(t.Context(), "q") }, bus.ErrClosed},
		"its files are removed": {func(_ *testing.T, c *bus.Conn, _ *bus.Subscription) error {
			return os.RemoveAll(filepath.Join(c.Dir(), "q"))
		}, bus.ErrRemoved},
	} {
		t.Run(name, func(t *testing.T) {
			withAndWithoutABroker(t, func(t *testing.T, c *bus.Conn) {
				pub, sub := publisher(t, c, "q"), subscribe(t, c, "q")
				publish(t, pub, "a")
				parked := park(t, c, sub, "q", 1)
				ended := make(chan error)
				var list []bus.Retried
				go func() {
					var err error
					list, err = c.RetryParked(context.Background(), "q", parked...)
					ended <- err
				}()
				eventually(t, "the message is handed over", func() bool {
					left, _, err := c.Parked(t.Context(), "q")
					return err == nil && len(left) == 0
				})
				if err := ends.how(t, c, sub); err != nil {
					t.Fatal(err)
				}
				select {
				case err := <-ended:
					wantIs(t, err, ends.want)
				case <-time.After(time.Minute):
					t.Fatal("watchdog: it waits for nobody")
				}
				if len(list) != 1 || list[0].Handled || list[0].Err != nil {
					t.Errorf("%+v", list)
				}
				if ends.want == bus.ErrNoMember { // the group has it still
					next := subscribe(t, c, "q")
					var got []string
					eventually(t, "the next member gets it", func() bool {
						got = append(got, poll(t, next)...)
						return len(got) > 0
					})
				}
			}, queue("q", topic.Group{Name: "default", MaxDeliver: 2}))
		})
	}
}

// Who is in a group only to retry is nobody who could handle what another one retries.
func TestARetrierIsNoWorker(t *testing.T) {
	withAndWithoutABroker(t, func(t *testing.T, c *bus.Conn) {
		pub, sub := publisher(t, c, "q"), subscribe(t, c, "q")
		publish(t, pub, "a")
		parked := park(t, c, sub, "q", 1)
		leave, err := c.JoinToRetry(t.Context(), "q", "default")
		if err != nil {
			t.Fatal(err)
		}
		sub.Close()
		if groups, err := c.Groups(t.Context(), "q"); err != nil || groups[0].Members != 1 {
			t.Errorf("%+v, %v: the retrier is not in the group", groups, err)
		}
		watchdog, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err = c.RetryParked(watchdog, "q", parked...)
		wantIs(t, err, bus.ErrNoMember)
		if left, _, err := c.Parked(t.Context(), "q"); err != nil || len(left) != 1 {
			t.Errorf("parked: %+v, %v", left, err)
		}
		if err := leave(); err != nil {
			t.Error(err)
		}
	}, queue("q", topic.Group{Name: "default", MaxDeliver: 2}))
}
