package uds

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Framing says how messages are told apart on a socket. Both sides must use the same.
type Framing uint8

const (
	// Packet is SOCK_SEQPACKET: one message a packet, with descriptors.
	Packet Framing = iota
	// Stream is SOCK_STREAM: each message behind its length, u32 little-endian; no descriptors.
	Stream
)

// String returns "packet" or "stream".
func (f Framing) String() string {
	switch f {
	case Packet:
		return "packet"
	case Stream:
		return "stream"
	}
	return fmt.Sprintf("framing(%d)", uint8(f))
}

func (f Framing) network() string {
	if f == Stream {
		return "unix"
	}
	return "unixpacket"
}

func (f Framing) sockType() int {
	if f == Stream {
		return unix.SOCK_STREAM
	}
	return unix.SOCK_SEQPACKET
}

// Limits and defaults of [Options].
const (
	DefaultMaxMessage = 64 << 10

	// MaxPacket is the most that MaxMessage can be for packets. A packet must fit the socket's send buffer as a whole
	// (212,992 bytes unless the host says otherwise; Linux v6.5 net/unix/af_unix.c, unix_dgram_sendmsg).
	MaxPacket = 128 << 10
	// MaxStreamMessage is the most that MaxMessage can be for streams.
	MaxStreamMessage = 16 << 20

	DefaultMaxFDs = 16
	// MaxFDs is what the kernel lets one message carry (SCM_MAX_FD).
	MaxFDs = 253
)

// Options of a connection or listener. The zero value is good: packets of up to 64 KiB with up to 16 descriptors,
// and for listeners mode 0660.
type Options struct {
	Framing Framing

	// MaxMessage is the largest message sent or received, in bytes: 1 to MaxPacket or MaxStreamMessage.
	// 0 means DefaultMaxMessage.
	MaxMessage int

	// MaxFDs is the most descriptors sent or received with one message: 1 to 253. 0 means DefaultMaxFDs, a negative
	// number means none. Streams carry none.
	MaxFDs int

	// Mode is the permission of a listener's socket file; whoever may write it may connect. 0 means 0660.
	Mode fs.FileMode

	// Group is the group of a listener's socket file, by name or number. "" leaves the group that the file system
	// gives it.
	Group string

	// Replace lets Listen take a path at which a live process listens: that one keeps its socket and its connections,
	// and new ones come here. The path is never absent meanwhile.
	Replace bool
}

// Validate reports every field that is out of its range at once, nil when there is none.
func (o Options) Validate() error {
	_, err := o.resolve()
	return err
}

// resolve fills in the defaults and checks the rest.
func (o Options) resolve() (Options, error) {
	var errs []error
	largest := MaxPacket
	switch o.Framing {
	case Packet:
	case Stream:
		largest, o.MaxFDs = MaxStreamMessage, -1
	default:
		errs = append(errs, fmt.Errorf("unknown framing %d", o.Framing))
	}
	if o.MaxMessage == 0 {
		o.MaxMessage = DefaultMaxMessage
	}
	if o.MaxMessage < 1 || o.MaxMessage > largest {
		errs = append(errs, fmt.Errorf("MaxMessage %d is not between 1 and %d (%s framing)", o.MaxMessage, largest, o.Framing))
	}
	if o.MaxFDs == 0 {
		o.MaxFDs = DefaultMaxFDs
	}
	if o.MaxFDs > MaxFDs {
		errs = append(errs, fmt.Errorf("MaxFDs %d is over %d", o.MaxFDs, MaxFDs))
	}
	o.MaxFDs = max(o.MaxFDs, 0)
	if o.Mode == 0 {
		o.Mode = 0o660
	}
	if o.Mode&^fs.ModePerm != 0 {
		errs = append(errs, fmt.Errorf("file mode %v has more than permission bits", o.Mode))
	}
	return o, errors.Join(errs...)
}

// Conn is a connected unix socket that carries whole messages. All methods may be called by several goroutines at
// once: Sends go one after the other, and so do Recvs, whatever their order of arrival.
type Conn interface {
	// Send sends one message, of 1 to MaxMessage bytes, with the descriptors fds, which stay the caller's: the kernel
	// makes the peer its own. msg is not kept. It blocks while the peer's queue is full; Close ends that. It
	// allocates only for descriptors, and on a stream for a message that blocks half-way.
	//
	// Errors: [ErrEmpty], [ErrTooLarge], [ErrTooManyFDs], [ErrNoFDs], [ErrPeerClosed], [ErrClosed], [ErrBroken].
	Send(msg []byte, fds ...int) error

	// SendContext is Send that also ends when ctx does, with ctx.Err(). On a stream, a message whose first byte is on
	// the wire counts as sent: the rest follows in the background, and it returns nil.
	SendContext(ctx context.Context, msg []byte, fds ...int) error

	// TrySend is Send that returns [ErrWouldBlock] instead of waiting, for who keeps a queue for a peer that may not
	// read. On a stream, a message that fits in part counts as sent: the rest follows in the background, until then
	// TrySend returns ErrWouldBlock and Send waits; Close cuts it short.
	TrySend(msg []byte, fds ...int) error

	// Recv waits for the next message and puts it into buf, which should hold MaxMessage bytes. msg is a part of buf;
	// the descriptors fds, nil if none came, belong to the caller from here on. It blocks until a message comes, the
	// peer is gone, or Close. A packet costs one allocation of about 100 bytes whatever its size, a stream's message none.
	//
	// Errors: [ErrTruncated] (buf was too small), [ErrTooLarge], [ErrEmpty] (streams), [ErrTooManyFDs] and
	// [ErrControlTruncated] (packets) cost that message and its descriptors; io.EOF, io.ErrUnexpectedEOF, [ErrClosed],
	// and ErrTooLarge on a stream are final.
	Recv(buf []byte) (msg []byte, fds []int, err error)

	// RecvContext is Recv that also ends when ctx does, with ctx.Err(). Nothing is lost by that: what has arrived of
	// a message is kept for the next Recv.
	RecvContext(ctx context.Context, buf []byte) (msg []byte, fds []int, err error)

	// Peer says who connected, or who listened: as it was at that moment, not who holds the socket now.
	Peer() Peer

	// PeerPIDFD returns a new descriptor of the peer's process (pidfd_open(2)), close-on-exec, which polls readable
	// once the process has ended. The caller closes it. Before Linux 6.5 it returns errors.ErrUnsupported.
	PeerPIDFD() (int, error)

	// Framing says how messages are told apart.
	Framing() Framing

	// Close closes the connection and ends every call that waits in it. What was sent stays with the peer. Closing
	// again returns nil.
	Close() error
}

// Dial connects to the listener at path. While the listener's queue of connections is full it tries again, until ctx
// ends. Errors are an [*Error] with a hint, or those of [Options.Validate].
func Dial(ctx context.Context, path string, o Options) (Conn, error) {
	o, err := o.resolve()
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", path, err)
	}
	if err := checkPath("dial", path); err != nil {
		return nil, err
	}
	var d net.Dialer
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		c, err := d.DialContext(ctx, o.Framing.network(), path)
		if err == nil {
			return newConn(c.(*net.UnixConn), o)
		}
		// A full backlog is EAGAIN at once: a unix socket does not wait for it unless it is blocking (connect(2)).
		if !errors.Is(err, unix.EAGAIN) {
			return nil, dialError(path, err)
		}
		select {
		case <-ctx.Done():
			return nil, dialError(path, ctx.Err())
		case <-time.After(pause):
		}
	}
}

// Pair returns two connected ends, as of socketpair(2).
func Pair(o Options) (a, b Conn, err error) {
	o, err = o.resolve()
	if err != nil {
		return nil, nil, fmt.Errorf("pair: %w", err)
	}
	fds, err := unix.Socketpair(unix.AF_UNIX, o.Framing.sockType()|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("pair: %w", err)
	}
	var ends [2]Conn
	for i, fd := range fds {
		if ends[i], err = fromFD(fd, o); err != nil {
			if i == 0 {
				_ = unix.Close(fds[1])
			} else {
				_ = ends[0].Close()
			}
			return nil, nil, fmt.Errorf("pair: %w", err)
		}
	}
	return ends[0], ends[1], nil
}

// fromFD takes a connected socket over, also when it fails.
func fromFD(fd int, o Options) (Conn, error) {
	f := os.NewFile(uintptr(fd), "unix")
	nc, err := net.FileConn(f) // a duplicate: f goes either way
	_ = f.Close()
	if err != nil {
		return nil, err
	}
	return newConn(nc.(*net.UnixConn), o)
}

// framer is what the two framings do differently. Each method is called by one goroutine at a time.
type framer interface {
	// send puts msg on the wire. When the wait ended with a part of it sent, it returns what is left.
	send(msg []byte, fds []int, wait bool) (rest []byte, err error)
	// finish sends what send left, waiting.
	finish(rest []byte)
	recv(buf []byte) (msg []byte, fds []int, err error)
}

// conn is both kinds of Conn: checks, turns, contexts and closing; the framer does the rest.
type conn struct {
	uc      *net.UnixConn
	raw     syscall.RawConn
	options Options
	peer    Peer
	framer  framer

	sending, receiving side

	closing sync.Once
	closed  chan struct{}
}

// newConn takes uc over, also when it fails. o is resolved.
func newConn(uc *net.UnixConn, o Options) (Conn, error) {
	raw, err := uc.SyscallConn()
	if err != nil {
		_ = uc.Close()
		return nil, err
	}
	peer, err := peerOf(raw)
	if err != nil {
		_ = uc.Close()
		return nil, err
	}
	c := &conn{uc: uc, raw: raw, options: o, peer: peer, closed: make(chan struct{})}
	c.sending = side{turn: make(chan struct{}, 1), deadline: uc.SetWriteDeadline}
	c.receiving = side{turn: make(chan struct{}, 1), deadline: uc.SetReadDeadline}
	if o.Framing == Stream {
		c.framer = newStream(uc, raw, o)
	} else {
		c.framer = newPacket(raw, o)
	}
	return c, nil
}

func (c *conn) Send(msg []byte, fds ...int) error {
	return c.SendContext(context.Background(), msg, fds...)
}

func (c *conn) SendContext(ctx context.Context, msg []byte, fds ...int) error {
	if err := c.check(msg, fds); err != nil {
		return err
	}
	if err := c.sending.enter(ctx, c.closed); err != nil {
		return err
	}
	disarm := c.sending.arm(ctx)
	rest, err := c.framer.send(msg, fds, true)
	disarm()
	return c.sent(ctx, rest, err)
}

func (c *conn) TrySend(msg []byte, fds ...int) error {
	if err := c.check(msg, fds); err != nil {
		return err
	}
	select {
	case <-c.closed:
		return ErrClosed
	case c.sending.turn <- struct{}{}:
	default:
		return ErrWouldBlock
	}
	rest, err := c.framer.send(msg, fds, false)
	return c.sent(context.Background(), rest, err)
}

// sent ends this goroutine's turn, or leaves it to the one that sends the rest: the turn is what keeps other messages
// out of the middle of this one. That goroutine ends when all is sent, when the peer is gone, or at Close.
func (c *conn) sent(ctx context.Context, rest []byte, err error) error {
	if len(rest) > 0 {
		go func() {
			defer c.sending.leave()
			c.framer.finish(rest)
		}()
		return nil
	}
	c.sending.leave()
	return withoutDeadline(ctx, err)
}

func (c *conn) check(msg []byte, fds []int) error {
	switch {
	case len(msg) == 0:
		return ErrEmpty
	case len(msg) > c.options.MaxMessage:
		return fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(msg), c.options.MaxMessage)
	case len(fds) > 0 && c.options.Framing != Packet:
		return ErrNoFDs
	case len(fds) > c.options.MaxFDs:
		return fmt.Errorf("%w: %d, at most %d", ErrTooManyFDs, len(fds), c.options.MaxFDs)
	}
	return nil
}

func (c *conn) Recv(buf []byte) ([]byte, []int, error) {
	return c.RecvContext(context.Background(), buf)
}

func (c *conn) RecvContext(ctx context.Context, buf []byte) ([]byte, []int, error) {
	if len(buf) == 0 {
		return nil, nil, fmt.Errorf("%w: the buffer has no room at all", ErrTruncated)
	}
	if err := c.receiving.enter(ctx, c.closed); err != nil {
		return nil, nil, err
	}
	disarm := c.receiving.arm(ctx)
	msg, fds, err := c.framer.recv(buf)
	disarm()
	c.receiving.leave()
	return msg, fds, withoutDeadline(ctx, err)
}

func (c *conn) Peer() Peer { return c.peer }

func (c *conn) PeerPIDFD() (int, error) { return peerPIDFD(c.raw) }

func (c *conn) Framing() Framing { return c.options.Framing }

func (c *conn) Close() (err error) {
	c.closing.Do(func() {
		close(c.closed)
		err = c.uc.Close()
	})
	return err
}

// side is one direction of a connection.
type side struct {
	turn     chan struct{} // holds one element while a goroutine has its turn
	deadline func(time.Time) error
}

// enter waits for the turn. A mutex would do, if ctx and Close could end the wait for it.
func (s *side) enter(ctx context.Context, closed <-chan struct{}) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case <-closed:
		return ErrClosed
	default:
	}
	select {
	case s.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-closed:
		return ErrClosed
	}
}

func (s *side) leave() { <-s.turn }

// arm makes the end of ctx end what waits on this side, until disarm. Both belong to who has the turn, so one
// goroutine's context never ends another's wait.
func (s *side) arm(ctx context.Context) (disarm func()) {
	if ctx.Done() == nil {
		return func() {}
	}
	fired := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		_ = s.deadline(time.Unix(1, 0)) // fails only on a closed connection, which waits for nothing
		close(fired)
	})
	return func() {
		if !stop() {
			<-fired
			_ = s.deadline(time.Time{})
		}
	}
}

// withoutDeadline gives the context's error where its end was what ended the wait.
func withoutDeadline(ctx context.Context, err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}
