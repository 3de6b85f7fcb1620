package bus_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/bus/bustest"
	"github.com/mycelium-bus/mycelium/bus/topic"
)

// evict has a client asked to leave.
func evict(t testing.TB, by *bus.Conn, name string, o bus.EvictOptions) {
	t.Helper()
	clients, err := by.Clients(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, cl := range clients {
		if cl.Name == name {
			if err := by.Evict(t.Context(), cl.Session, o); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatalf("no client %q among %v", name, clients)
}

// A subscription is told while it sleeps, and when it is just about to.
func TestASleeperIsAskedToLeave(t *testing.T) {
	bus.SleepUntilWoken(t)
	b := bustest.New(t, topic.Config{Name: "t", Size: topic.MiB})
	admin := b.Dial("admin")
	for i := range 50 {
		name := fmt.Sprint("victim", i)
		sub := subscribe(t, b.Dial(name), "t", bus.Idle(atOnce()))
		done := make(chan error, 1)
		go func() { done <- sub.Wait(t.Context()) }()
		evict(t, admin, name, bus.EvictOptions{})
		wantIs(t, within(t, "the sleep", done), bus.ErrEvicted)
	}
}

// Whatever a handle does next, it ends with ErrEvicted, gives its slot back, and says the same from then on.
func TestAClientThatIsAskedToLeave(t *testing.T) {
	b := bustest.New(t, topic.Config{Name: "t", Size: topic.MiB}, topic.Config{Name: "other", Size: topic.MiB})
	admin := b.Dial("admin")
	victim := b.Dial("victim")
	stays := subscribe(t, b.Dial("neighbour"), "t")
	for name, open := range map[string]func(t *testing.T, c *bus.Conn) (next func() error, close func() error){
		"a subscription that polls": func(t *testing.T, c *bus.Conn) (func() error, func() error) {
			s := subscribe(t, c, "t")
			return func() error {
				for {
					if _, err := s.Poll(1, func(bus.Message) error { return nil }); err != nil {
						return err
					}
				}
			}, s.Close
		},
		"a subscription that waits": func(t *testing.T, c *bus.Conn) (func() error, func() error) {
			s := subscribe(t, c, "t")
			return func() error { return s.Wait(t.Context()) }, s.Close
		},
		"a subscription that sleeps": func(t *testing.T, c *bus.Conn) (func() error, func() error) {
			s := subscribe(t, c, "t", bus.Idle(&bus.Sleep{Spins: -1, Yields: -1, Naps: -1}))
			return func() error { return s.Wait(t.Context()) }, s.Close
		},
		"one of several that wait": func(t *testing.T, c *bus.Conn) (func() error, func() error) {
			s, other := subscribe(t, c, "t"), subscribe(t, admin, "other")
			return func() error { _, err := bus.WaitAny(t.Context(), s, other); return err }, s.Close
		},
		"a loop over messages": func(t *testing.T, c *bus.Conn) (func() error, func() error) {
			s := subscribe(t, c, "t")
			return func() error {
				for _, err := range s.Messages(t.Context()) {
					if err != nil {
						return err
					}
				}
				return errors.New("the loop ended without a word")
			}, s.Close
		},
		"a member of a group": func(t *testing.T, c *bus.Conn) (func() error, func() error) {
			s := subscribe(t, c, "t", bus.Group("g"))
			return func() error { return s.Wait(t.Context()) }, s.Close
		},
		"a publisher": func(t *testing.T, c *bus.Conn) (func() error, func() error) {
			p := publisher(t, c, "t")
			return func() error {
				for {
					if err := p.Publish([]byte("x")); err != nil {
						return err
					}
					poll(t, stays)
				}
			}, p.Close
		},
		"a publisher that claims": func(t *testing.T, c *bus.Conn) (func() error, func() error) {
			p := publisher(t, c, "t")
			return func() error {
				for {
					claim, err := p.Claim(1)
					if err != nil {
						return err
					}
					claim.Abort()
					poll(t, stays) // what was aborted takes room
				}
			}, p.Close
		},
	} {
		t.Run(name, func(t *testing.T) {
			before := slotsOf(t, admin, "victim")
			next, end := open(t, victim)
			evict(t, admin, "victim", bus.EvictOptions{Topic: "t", Reason: "in the way"})
			err := next()
			wantIs(t, err, bus.ErrEvicted)
			eventually(t, "the broker lists its slot no more", func() bool { return slotsOf(t, admin, "victim") <= before })
			wantIs(t, next(), bus.ErrEvicted)
			if err := end(); err != nil {
				t.Errorf("close: %v", err)
			}
			// Who was asked to leave is not kept out.
			again := subscribe(t, victim, "t")
			poll(t, again)
			if err := again.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	poll(t, stays) // the neighbour notices nothing
}

// What a member has in its hands goes to another one; what its callback has handled does not.
func TestAMemberThatIsAskedToLeaveGivesBack(t *testing.T) {
	b := bustest.New(t, topic.Config{Name: "q", Size: topic.MiB, Routing: topic.Queue})
	admin, victim := b.Dial("admin"), b.Dial("victim")
	member := subscribe(t, victim, "q")
	publish(t, publisher(t, admin, "q"), "a", "b")
	var took []string
	handle := func(m bus.Message) error {
		took = append(took, string(m.Bytes()))
		if len(took) == 1 {
			evict(t, admin, "victim", bus.EvictOptions{})
			// Its library has heard of it once it has an answer to something later.
			if _, err := victim.Topics(t.Context()); err != nil {
				t.Error(err)
			}
		}
		return nil
	}
	n, err := member.Poll(10, handle)
	if err != nil || n != 1 {
		t.Fatalf("%d messages, %v: want the one that was at hand", n, err)
	}
	_, err = member.Poll(10, handle)
	wantIs(t, err, bus.ErrEvicted)
	next := subscribe(t, admin, "q")
	if got := poll(t, next); len(got) != 1 || got[0] != "b" || len(took) != 1 {
		t.Errorf("the next member got %q, the evicted one %q", got, took)
	}
}

// A handle of a topic that its client had to leave does not come back when the topic is made again.
func TestAnEvictedHandleDoesNotFollow(t *testing.T) {
	b := bustest.New(t, topic.Config{Name: "t", Size: topic.MiB})
	admin, victim := b.Dial("admin"), b.Dial("victim")
	s := subscribe(t, victim, "t")
	evict(t, admin, "victim", bus.EvictOptions{})
	wantIs(t, s.Wait(t.Context()), bus.ErrEvicted)
	if err := errors.Join(admin.DeleteTopic(t.Context(), "t"), admin.CreateTopic(t.Context(), topic.Config{Name: "t", Size: topic.MiB})); err != nil {
		t.Fatal(err)
	}
	other := subscribe(t, victim, "t") // the connection has looked at the new one
	defer other.Close()
	_, err := s.Poll(1, func(bus.Message) error { return nil })
	wantIs(t, err, bus.ErrEvicted)
	if n := slotsOf(t, admin, "victim"); n != 1 {
		t.Errorf("%d slots, want that of the new subscription", n)
	}
}

func TestNobodyIsEvictedWithoutABroker(t *testing.T) {
	wantIs(t, newBus(t).Evict(t.Context(), 1, bus.EvictOptions{}), bus.ErrNoBroker)
	b := bustest.New(t, topic.Config{Name: "t", Size: topic.MiB})
	admin := b.Dial("admin")
	wantIs(t, admin.Evict(t.Context(), 1<<40, bus.EvictOptions{}), bus.ErrNoClient)
	wantIs(t, admin.Evict(t.Context(), 1, bus.EvictOptions{Topic: "t", Kill: true}), bus.ErrInvalid)
	clients, err := admin.Clients(t.Context())
	if err != nil || len(clients) != 1 {
		t.Fatalf("%v, %v", clients, err)
	}
	// The broker does not end its own process.
	wantIs(t, admin.Evict(t.Context(), clients[0].Session, bus.EvictOptions{Kill: true}), bus.ErrInvalid)
}
