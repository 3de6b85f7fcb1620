package bus

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"time"

	"github.com/mycelium-bus/mycelium/bus/internal/control"
	"github.com/mycelium-bus/mycelium/shmring"
	"github.com/mycelium-bus/mycelium/uds"
)

// How a connection looks for the next broker. A restart takes some 10 ms; a broker that stays away costs a connect(2) a second.
const (
	shortestPause = 10 * time.Millisecond
	longestPause  = time.Second

	// repairPause lies between two repairs while there is no broker.
	repairPause = 250 * time.Millisecond

	// patience is how long a broker may take to greet, and to answer for one slot, before the attempt is given up.
	patience = time.Second
)

// keep sees to it that the connection has a broker whenever there is one, and that it knows this process's slots. It runs until ctx
// ends.
func (b *broker) keep(ctx context.Context) {
	pause := shortestPause
	var last *control.Conn
	var since time.Time
	look := time.NewTicker(roundPause)
	defer look.Stop()
	for {
		conn := b.current()
		if conn != last {
			last, since = conn, time.Now()
		}
		select {
		case <-ctx.Done():
			return
		case <-look.C:
			b.rings.look()
			b.followAll(ctx)
			continue
		case <-b.unknown:
			if b.register(ctx, conn) != nil {
				_ = conn.Close() // it does not answer: find a broker that does
			}
			continue
		case <-conn.Done():
		}
		if time.Since(since) > pause {
			pause = shortestPause // it did stand; else one that hangs up at once is asked less and less often
		}
		if conn, pause = b.reconnect(ctx, pause); conn == nil {
			return
		}
		b.use(conn)
	}
}

// reconnect looks for a broker until there is one or ctx ends (then it returns nil), and repairs meanwhile. It returns the pause with
// which to begin the next time.
func (b *broker) reconnect(ctx context.Context, pause time.Duration) (*control.Conn, time.Duration) {
	repair := time.NewTicker(repairPause)
	defer repair.Stop()
	next := time.NewTimer(jitter(pause))
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil, pause
		case <-repair.C:
			b.rings.look()
			b.rings.repair()
			b.rings.stir()
		case <-next.C:
			conn := b.attempt(ctx)
			pause = min(2*pause, longestPause)
			if conn != nil {
				return conn, pause
			}
			next.Reset(jitter(pause))
		}
	}
}

// jitter spreads the clients of a broker that went away over the pause's second half.
func jitter(pause time.Duration) time.Duration { return pause/2 + rand.N(pause/2+1) }

// attempt returns a connection to a broker that knows this process's slots, or nil.
func (b *broker) attempt(ctx context.Context) *control.Conn {
	greeting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn, err := b.dial(greeting)
	if err != nil {
		return nil
	}
	if b.register(ctx, conn) != nil {
		_ = conn.Close()
		return nil
	}
	return conn
}

// register tells the broker of a connection the slots that it does not know.
func (b *broker) register(ctx context.Context, conn *control.Conn) error {
	if conn.Welcome().Features&control.FeatureRegister == 0 {
		return nil
	}
	b.mu.Lock()
	tenants := make([]*tenant, 0, len(b.tenants))
	for t := range b.tenants {
		tenants = append(tenants, t)
	}
	b.mu.Unlock()
	for _, t := range tenants {
		if err := t.register(ctx, conn); err != nil {
			return err
		}
	}
	return nil
}

// use makes a connection the one for requests.
func (b *broker) use(conn *control.Conn) {
	b.mu.Lock()
	b.conn = conn
	close(b.changed)
	b.changed = make(chan struct{})
	b.mu.Unlock()
	b.lookAgain() // for slots that were granted over the old connection and taken since register looked
}

// lookAgain has keep register what the present broker does not know.
func (b *broker) lookAgain() {
	select {
	case b.unknown <- struct{}{}:
	default: // it will look anyway
	}
}

func (b *broker) current() *control.Conn {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.conn
}

// connection returns a connection that stands, or the error of the last one. With wait it returns when there is one again, or with
// ctx's error.
func (b *broker) connection(ctx context.Context, wait bool) (*control.Conn, error) {
	for {
		b.mu.Lock()
		conn, changed := b.conn, b.changed
		b.mu.Unlock()
		err := conn.Err()
		if b.life.Err() != nil {
			err = control.ErrClosed
		}
		if err == nil {
			return conn, nil
		}
		if !wait || !b.away(err) {
			return nil, b.errorOf(err)
		}
		select {
		case <-changed:
		case <-b.life.Done():
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), b.errorOf(err))
		}
	}
}

// away tells an error of a broker that went away, of whom another one may take the place.
func (b *broker) away(err error) bool {
	return b.life.Err() == nil && (errors.Is(err, control.ErrDisconnected) || errors.Is(err, control.ErrClosed))
}

// errorOf makes an error of the control connection one of this package's. One that was closed though the program did not close it is
// one whose broker did not answer.
func (b *broker) errorOf(err error) error {
	if b.life.Err() == nil && errors.Is(err, control.ErrClosed) {
		return fmt.Errorf("%w: it does not answer", ErrNoBroker)
	}
	return brokerError(err)
}

// tenant is a slot that a handle of this process has, for brokers that did not grant it. It does not keep the handle from being
// collected.
type tenant struct {
	b *broker

	mu     sync.Mutex // held while the descriptor is sent, and so by who is about to close it
	slot   control.Register
	lock   int
	handle func() any    // nil once it was collected, and the descriptor closed
	on     *control.Conn // the last connection whose broker was told
}

// take is called when a handle has taken the slot that was granted over a connection.
func (t *tenant) take(is shmring.Tenancy, handle func() any) {
	t.slot.Generation, t.lock, t.handle = is.Generation, is.Lock, handle
	b := t.b
	b.mu.Lock()
	defer b.mu.Unlock()
	for other := range b.tenants {
		if other.handle() == nil {
			delete(b.tenants, other) // collected unclosed: its lock has fallen, which says it all
		}
	}
	b.tenants[t] = struct{}{}
	if t.on != b.conn {
		b.lookAgain()
	}
}

// leave is called before the handle is closed: once it has returned, nobody uses the descriptor any more.
func (t *tenant) leave() {
	t.b.mu.Lock()
	delete(t.b.tenants, t)
	t.b.mu.Unlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lock = -1
}

// register tells the broker of a connection. A refusal is no error: the handle goes on without being in the broker's lists, or finds
// out by itself that its topic was deleted.
func (t *tenant) register(ctx context.Context, conn *control.Conn) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	handle := t.handle()
	if t.lock < 0 || handle == nil || t.on == conn {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_, fds, err := conn.Request(ctx, &t.slot, t.lock)
	runtime.KeepAlive(handle) // a handle that is collected closes the descriptor
	uds.CloseFDs(fds)
	if _, refused := errors.AsType[*control.Error](err); refused && !errors.Is(err, control.ErrDisconnected) {
		err = nil
	}
	if err == nil {
		t.on = conn
	}
	return err
}
