package bus

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/mycelium-bus/mycelium/bus/internal/control"
	"github.com/mycelium-bus/mycelium/internal/leak"
	"github.com/mycelium-bus/mycelium/shmring"
	"github.com/mycelium-bus/mycelium/uds"
)

func watchdog(t testing.TB) context.Context {
	ctx, stop := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(stop)
	return ctx
}

// peer is the broker's end of a connection, played by a test.
type peer struct {
	uds.Conn
	t *testing.T
}

// greeted returns a connection and its broker's end, after the greeting.
func greeted(t *testing.T, features uint64) (*control.Conn, peer) {
	t.Helper()
	a, b, err := uds.Pair(control.SocketOptions())
	if err != nil {
		t.Fatal(err)
	}
	p := peer{b, t}
	t.Cleanup(func() { b.Close() })
	greeting := make(chan struct{})
	go func() {
		defer close(greeting)
		id, _, fds := p.hear()
		uds.CloseFDs(fds)
		p.say(id, &control.Welcome{MinVersion: control.MinProtocol, MaxVersion: control.MaxProtocol, Features: features})
	}()
	c, err := control.Start(watchdog(t), a, control.Options{})
	<-greeting
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c, p
}

func (p peer) hear() (uint64, control.Message, []int) {
	p.t.Helper()
	b, fds, err := p.RecvContext(watchdog(p.t), make([]byte, control.MaxMessage))
	if err != nil {
		p.t.Errorf("the broker's end: %v", err)
		return 0, nil, nil
	}
	id, m, err := control.Decode(b)
	if err != nil {
		p.t.Error(err)
	}
	return id, m, fds
}

func (p peer) say(id uint64, m control.Message) {
	b, err := control.Encode(id, m)
	if err == nil {
		err = p.Send(b)
	}
	if err != nil {
		p.t.Errorf("the broker's end: %v", err)
	}
}

// registered answers one Register with m, and returns it.
func (p peer) registered(m control.Message) *control.Register {
	p.t.Helper()
	id, got, fds := p.hear()
	defer uds.CloseFDs(fds)
	r, ok := got.(*control.Register)
	if !ok || len(fds) != 1 {
		p.t.Fatalf("%+v came with %d descriptors, want Register", got, len(fds))
	}
	p.say(id, m)
	return r
}

// kept returns a broker whose keeper runs on a connection, until the test ends.
func kept(t *testing.T, conn *control.Conn) *broker {
	t.Helper()
	b := &broker{socket: "/nowhere", conn: conn, tenants: map[*tenant]struct{}{}, changed: make(chan struct{}), unknown: make(chan struct{}, 1)}
	b.life, b.end = context.WithCancel(context.Background())
	b.keeper.Go(func() { b.keep(b.life) })
	t.Cleanup(func() { b.close() })
	return b
}

func newTenant(b *broker, slot uint32, on *control.Conn) *tenant {
	return &tenant{b: b, slot: control.Register{Topic: "t", Role: control.RoleProducer, Slot: slot}, on: on}
}

func openNull(t *testing.T) int {
	t.Helper()
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return int(f.Fd())
}

// A slot that was granted by one broker and is taken when the next one is there already would otherwise be on nobody's list.
func TestASlotThatIsTakenWhenItsBrokerIsGoneIsRegistered(t *testing.T) {
	old, _ := greeted(t, control.FeatureRegister)
	now, p := greeted(t, control.FeatureRegister)
	b := kept(t, now)
	handle := new(int)
	newTenant(b, 1, now).take(shmring.Tenancy{Slot: 1, Generation: 1, Lock: openNull(t)}, weakly(handle)) // known: not told
	newTenant(b, 2, old).take(shmring.Tenancy{Slot: 2, Generation: 7, Lock: openNull(t)}, weakly(handle))
	if r := p.registered(&control.OK{}); r.Slot != 2 || r.Generation != 7 {
		t.Errorf("%+v was registered, want slot 2 in generation 7", r)
	}
	*handle = 1 // it lives until here
}

func TestWhatARegistrationMayMeet(t *testing.T) {
	handle := new(int)
	null := openNull(t)
	with := func(t *testing.T, features uint64) (*tenant, *control.Conn, peer) {
		conn, p := greeted(t, features)
		n := newTenant(kept(t, conn), 3, nil)
		n.lock, n.handle = null, weakly(handle)
		return n, conn, p
	}
	t.Run("a refusal leaves the handle as it is", func(t *testing.T) {
		n, conn, p := with(t, control.FeatureRegister)
		ended := make(chan error, 1)
		go func() { ended <- n.register(watchdog(t), conn) }()
		p.registered(control.Errorf(control.CodeClosed, "deleted"))
		if err := <-ended; err != nil || n.on != conn {
			t.Errorf("%v, told: %v", err, n.on == conn)
		}
		if err := n.register(watchdog(t), conn); err != nil { // it is not asked again
			t.Error(err)
		}
	})
	t.Run("a broker that hangs up over it", func(t *testing.T) {
		n, conn, p := with(t, control.FeatureRegister)
		ended := make(chan error, 1)
		go func() { ended <- n.register(watchdog(t), conn) }()
		_, _, fds := p.hear()
		uds.CloseFDs(fds)
		p.say(0, control.Errorf(control.CodeProtocol, "what is this"))
		p.Close()
		if err := <-ended; !errors.Is(err, control.ErrDisconnected) || n.on == conn {
			t.Errorf("%v", err)
		}
	})
	t.Run("a broker that does not answer", func(t *testing.T) {
		n, conn, _ := with(t, control.FeatureRegister)
		if err := n.register(watchdog(t), conn); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, want %v", err, context.DeadlineExceeded)
		}
	})
	t.Run("a broker that does not know Register", func(t *testing.T) {
		n, conn, _ := with(t, 0)
		n.b.tenants[n] = struct{}{}
		if err := n.b.register(watchdog(t), conn); err != nil || n.on == conn {
			t.Errorf("%v", err)
		}
	})
	t.Run("a handle that is being closed waits for it, and is not told again", func(t *testing.T) {
		n, conn, p := with(t, control.FeatureRegister)
		ended, left := make(chan error, 1), make(chan struct{})
		go func() { ended <- n.register(watchdog(t), conn) }()
		id, _, fds := p.hear() // the descriptor is on its way
		uds.CloseFDs(fds)
		go func() { n.leave(); close(left) }()
		select {
		case <-left:
			t.Error("it did not wait")
		case <-time.After(20 * time.Millisecond): // what goes wrong shows within it on most runs
		}
		p.say(id, &control.OK{})
		<-left
		if err := <-ended; err != nil {
			t.Error(err)
		}
		n.on = nil
		if err := n.register(watchdog(t), conn); err != nil || n.on != nil {
			t.Errorf("told again: %v", err)
		}
	})
	*handle = 1
}

// A broker that takes connections and hangs up at once is asked less and less often.
func TestPausesGrow(t *testing.T) {
	for _, pause := range []time.Duration{shortestPause, longestPause} {
		for range 1000 {
			if d := jitter(pause); d < pause/2 || d > pause {
				t.Fatalf("%v for %v", d, pause)
			}
		}
	}
	conn, _ := greeted(t, 0)
	b := kept(t, conn)
	b.end() // here the test is the keeper
	b.keeper.Wait()
	b.socket = filepath.Join(leak.ShmDir(t), "s")
	l, err := uds.Listen(b.socket, control.SocketOptions())
	if err != nil {
		t.Fatal(err)
	}
	var broker sync.WaitGroup
	defer broker.Wait()
	defer l.Close()
	broker.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p := peer{c, t}
			id, _, fds := p.hear()
			uds.CloseFDs(fds)
			p.say(id, &control.Welcome{MinVersion: control.MinProtocol, MaxVersion: control.MaxProtocol})
			p.Close()
		}
	})
	pause := shortestPause
	for _, want := range []time.Duration{2 * shortestPause, 4 * shortestPause, 8 * shortestPause} {
		var next *control.Conn
		if next, pause = b.reconnect(watchdog(t), pause); next == nil || pause != want {
			t.Fatalf("%v, %v, want a connection, %v", next, pause, want)
		}
		<-next.Done()
		next.Close()
	}
	if next, pause := b.reconnect(watchdog(t), longestPause); next == nil || pause != longestPause {
		t.Errorf("%v, %v, want a connection, %v", next, pause, longestPause)
	} else {
		next.Close()
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if got, pause := b.reconnect(ctx, shortestPause); got != nil || pause != shortestPause {
		t.Errorf("%v, %v after the end", got, pause)
	}
}
