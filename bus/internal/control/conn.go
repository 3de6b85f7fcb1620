package control

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/mycelium-bus/mycelium/uds"
)

// Options of a client's connection.
type Options struct {
	Name     string // for people, at most 64 bytes of UTF-8; longer names are cut
	Software string // program and version, likewise

	// Notice is called with each unsolicited message (TopicDeleted, Detached, ShuttingDown), in order, from the goroutine
	// that receives: it must return soon, and must not call Request. Nil drops them.
	Notice func(Message)
}

// Conn is a client's connection to a broker. All methods may be called by several goroutines at once.
type Conn struct {
	socket  uds.Conn
	welcome Welcome
	notice  func(Message)
	ended   chan struct{} // closed once the receiver is gone and err is set

	mu      sync.Mutex
	lastID  uint64
	waiting map[uint64]chan answer // each has room for its one answer
	closed  bool
	err     error
}

type answer struct {
	message Message
	fds     []int
}

// SocketOptions are those of both ends' sockets.
func SocketOptions() uds.Options {
	return uds.Options{Framing: uds.Packet, MaxMessage: MaxMessage, MaxFDs: MaxFDs}
}

// Dial connects to the broker at the socket path and exchanges Hello and Welcome. It blocks until that is done or ctx ends.
// Errors are a *uds.Error with a hint when nobody is there, an [*Error] when the broker refuses (CodeVersion names both
// sides' versions), [ErrDisconnected] when it hangs up, [ErrMessage] when it speaks something else.
func Dial(ctx context.Context, path string, o Options) (*Conn, error) {
	socket, err := uds.Dial(ctx, path, SocketOptions())
	if err != nil {
		return nil, err
	}
	c, err := Start(ctx, socket, o)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", path, err)
	}
	return c, nil
}

// Start is Dial on a connected socket, which it takes over, also on error.
func Start(ctx context.Context, socket uds.Conn, o Options) (*Conn, error) {
	c := &Conn{socket: socket, notice: o.Notice, ended: make(chan struct{}), waiting: map[uint64]chan answer{}}
	if c.notice == nil {
		c.notice = func(Message) {}
	}
	if err := c.greet(ctx, o); err != nil {
		_ = socket.Close()
		return nil, err
	}
	go c.receive()
	return c, nil
}

// greetingID is the id of Hello and of its answer.
const greetingID = 1

func (c *Conn) greet(ctx context.Context, o Options) error {
	hello, err := Encode(greetingID, &Hello{
		MinVersion: MinProtocol, MaxVersion: MaxProtocol, Features: KnownFeatures, Required: RequiredFeatures,
		Name: CutText(o.Name, MaxName), Software: CutText(o.Software, MaxName),
	})
	if err != nil {
		return err
	}
	// A broker that refuses at once, as at its limit of clients, hangs up before it has read this; what it said is still
	// there to be received.
	if err := c.socket.SendContext(ctx, hello); err != nil && !errors.Is(err, uds.ErrPeerClosed) {
		return err
	}
	buf := make([]byte, MaxMessage)
	b, fds, err := c.socket.RecvContext(ctx, buf)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("%w: %w", ErrDisconnected, err)
	}
	uds.CloseFDs(fds)
	_, m, err := Decode(b)
	if err != nil {
		return err
	}
	switch m := m.(type) {
	case *Welcome:
		c.welcome, c.lastID = *m, greetingID
		return CheckVersions("this program", m.MinVersion, m.MaxVersion, m.Features, m.Required, "the broker")
	case *Error:
		return m
	}
	return fmt.Errorf("%w: %s instead of Welcome", ErrMessage, m.Type())
}

// CheckVersions tells whether this build can talk to a peer with the given versions and features; the refusal names both
// sides' values, with us and them as names.
func CheckVersions(us string, minVersion, maxVersion uint16, features, required uint64, them string) error {
	switch {
	case minVersion > MaxProtocol || maxVersion < MinProtocol || minVersion > maxVersion:
		return Errorf(CodeVersion, "protocol versions do not fit: %s speaks %d to %d, %s %d to %d",
			us, MinProtocol, MaxProtocol, them, minVersion, maxVersion).WithHint("use programs of the same release")
	case required&^KnownFeatures != 0:
		return Errorf(CodeVersion, "features do not fit: %s requires %#x, %s has %#x", them, required, us, KnownFeatures).
			WithHint("use programs of the same release")
	case RequiredFeatures&^features != 0:
		return Errorf(CodeVersion, "features do not fit: %s requires %#x, %s has %#x", us, RequiredFeatures, them, features).
			WithHint("use programs of the same release")
	}
	return nil
}

// Welcome returns the broker's greeting.
func (c *Conn) Welcome() Welcome { return c.welcome }

// Done is closed when the connection has ended, by Close or because the broker is gone; Err then tells why.
func (c *Conn) Done() <-chan struct{} { return c.ended }

// Err returns nil while the connection stands, then [ErrClosed], [ErrDisconnected], or what the broker said before it hung
// up.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Close ends the connection and every Request under way. Closing again returns nil.
func (c *Conn) Close() error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	err := c.socket.Close()
	<-c.ended
	return err
}

// Request sends a message, with the descriptors that go with it, which stay the caller's, and waits for its answer, until ctx ends. The
// descriptors that come with the answer belong to the caller. A refusal is returned as an [*Error]. If the answer comes after ctx has ended, its descriptors are closed, and
// with them the lock of a slot that was granted.
func (c *Conn) Request(ctx context.Context, m Message, with ...int) (Message, []int, error) {
	if err := CheckFDs(m, len(with)); err != nil {
		return nil, nil, err
	}
	id, ch, err := c.expect()
	if err != nil {
		return nil, nil, err
	}
	defer c.forget(id, ch)
	b, err := Encode(id, m)
	if err != nil {
		return nil, nil, err
	}
	if err := c.socket.SendContext(ctx, b, with...); err != nil && ctx.Err() != nil {
		return nil, nil, fmt.Errorf("%s: %w", m.Type(), ctx.Err())
	} else if err != nil && !errors.Is(err, uds.ErrPeerClosed) && !errors.Is(err, uds.ErrClosed) {
		return nil, nil, fmt.Errorf("%s: %w", m.Type(), err)
	}
	// Where the peer is gone the receiver knows why, and ends.
	select {
	case a := <-ch:
		return a.take()
	case <-ctx.Done():
		return nil, nil, fmt.Errorf("%s: %w", m.Type(), ctx.Err())
	case <-c.ended:
	}
	select {
	case a := <-ch: // it came before the end
		return a.take()
	default:
		return nil, nil, fmt.Errorf("%s: %w", m.Type(), c.Err())
	}
}

func (a answer) take() (Message, []int, error) {
	if refusal, ok := a.message.(*Error); ok {
		return nil, nil, refusal // CheckFDs saw to it that there are no descriptors
	}
	return a.message, a.fds, nil
}

func (c *Conn) expect() (uint64, chan answer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.err != nil:
		return 0, nil, c.err
	case c.closed:
		return 0, nil, ErrClosed
	}
	c.lastID++
	ch := make(chan answer, 1)
	c.waiting[c.lastID] = ch
	return c.lastID, ch, nil
}

// forget ends the wait for an answer and closes the descriptors of one that nobody took.
func (c *Conn) forget(id uint64, ch chan answer) {
	c.mu.Lock()
	delete(c.waiting, id)
	c.mu.Unlock()
	select {
	case a := <-ch:
		uds.CloseFDs(a.fds)
	default:
	}
}

// receive hands out what comes, until the connection ends.
func (c *Conn) receive() {
	buf := make([]byte, MaxMessage)
	var err error
	for err == nil {
		var b []byte
		var fds []int
		if b, fds, err = c.socket.Recv(buf); err == nil {
			err = c.handle(b, fds)
		}
	}
	_ = c.socket.Close()
	c.mu.Lock()
	if c.err = fmt.Errorf("%w: %w", ErrDisconnected, err); c.closed {
		c.err = ErrClosed
	}
	c.mu.Unlock()
	close(c.ended)
}

// handle takes one message. An error ends the connection: the broker speaks something that this client does not.
func (c *Conn) handle(b []byte, fds []int) error {
	id, m, err := Decode(b)
	if err == nil && id == 0 {
		uds.CloseFDs(fds)
		if refusal, ok := m.(*Error); ok {
			return refusal // what the broker says before it hangs up
		}
		c.notice(m)
		return nil
	}
	if err == nil {
		err = CheckFDs(m, len(fds))
	}
	if err != nil {
		uds.CloseFDs(fds)
		return err
	}
	c.mu.Lock()
	ch := c.waiting[id]
	delete(c.waiting, id)
	if ch != nil {
		ch <- answer{m, fds} // under the mutex, so that forget finds it
	}
	c.mu.Unlock()
	if ch == nil {
		uds.CloseFDs(fds)
	}
	return nil
}

// FDs is how many descriptors come with a message.
func FDs(m Message) int {
	switch m := m.(type) {
	case *Register:
		return 1
	case *Attached:
		if m.Role == RoleInspect {
			return 5
		}
		return 6
	}
	return 0
}

// CheckFDs returns an [ErrDescriptors] unless exactly as many descriptors came with a message as belong to it.
func CheckFDs(m Message, got int) error {
	if want := FDs(m); got != want {
		return fmt.Errorf("%w: %d came with %s, want %d", ErrDescriptors, got, m.Type(), want)
	}
	return nil
}
