package broker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/mycelium-bus/mycelium/bus/internal/control"
	"github.com/mycelium-bus/mycelium/uds"
)

// queueLength bounds what a client has not taken yet, beyond what its socket holds.
const queueLength = 64

// session is one connected client. One goroutine (serve) receives and handles its requests in turn, another one (send)
// sends to it. Answers wait for room in the queue, so that who does not read is not read from either; what is unsolicited
// does not wait, and finding no room it ends the connection, but for what another client's request has it told (tell).
type session struct {
	b     *Broker
	conn  uds.Conn
	peer  uds.Peer
	since time.Time
	id    uint64

	name, software string // under Broker.mu: empty until Hello

	out      chan outgoing
	finished chan struct{} // closed when serve adds nothing more
}

// outgoing is a message to send, and the descriptors that go with it, which are closed once it is sent or given up.
type outgoing struct {
	id  uint64
	msg control.Message
	fds []int
}

func newSession(b *Broker, conn uds.Conn) *session {
	return &session{b: b, conn: conn, peer: b.rights.peer(conn), since: time.Now(),
		out: make(chan outgoing, queueLength), finished: make(chan struct{})}
}

// serve runs the session until the client hangs up, breaks the protocol, or ctx ends.
func (s *session) serve(ctx context.Context) {
	sent := make(chan struct{})
	go func() { s.send(ctx); close(sent) }()
	err := s.talk(ctx)
	if ctx.Err() != nil {
		s.reply(0, &control.ShuttingDown{Reason: "the broker ends; its topics stay"})
	} else if refused, ok := errors.AsType[*control.Error](err); ok {
		s.b.log.Warn("client refused: connection closed", "session", s.id, "peer", s.peer.String(), "error", err)
		s.reply(0, refused.Cut())
	}
	close(s.finished)
	<-sent
	s.b.leave(s)
	s.b.log.Debug("session ended", "session", s.id, "peer", s.peer.String(), "error", err)
}

// talk receives until the connection ends. An error that is a [control.Error] is what the client is told before the
// connection is closed.
func (s *session) talk(ctx context.Context) error {
	buf := make([]byte, control.MaxMessage)
	greeting, stop := context.WithTimeout(ctx, s.b.helloPatience)
	defer stop()
	id, m, _, err := s.recv(greeting, buf)
	if errors.Is(err, context.DeadlineExceeded) {
		return control.Errorf(control.CodeProtocol, "no Hello came in %v", s.b.helloPatience)
	}
	if err != nil {
		return err
	}
	if err := s.greet(id, m); err != nil {
		return err
	}
	for {
		id, m, fds, err := s.recv(ctx, buf)
		if err != nil {
			return err
		}
		if err := s.handle(id, m, fds); err != nil {
			return err
		}
	}
}

// recv receives one request, with the descriptors that belong to it. Nonsense is a [control.Error].
func (s *session) recv(ctx context.Context, buf []byte) (uint64, control.Message, []int, error) {
	b, fds, err := s.conn.RecvContext(ctx, buf)
	if err != nil {
		return 0, nil, nil, protocolError(err)
	}
	id, m, err := control.Decode(b)
	if err == nil {
		err = control.CheckFDs(m, len(fds))
	}
	if err == nil && id == 0 {
		err = fmt.Errorf("%s has id 0, which no request has", m.Type())
	}
	if err != nil {
		uds.CloseFDs(fds)
		return 0, nil, nil, control.Errorf(control.CodeProtocol, "%v", err)
	}
	return id, m, fds, nil
}

// protocolError tells a message that was refused from a connection that has ended.
func protocolError(err error) error {
	for _, theirs := range []error{uds.ErrTooManyFDs, uds.ErrTooLarge, uds.ErrTruncated, uds.ErrEmpty} {
		if errors.Is(err, theirs) {
			return control.Errorf(control.CodeProtocol, "%v", err)
		}
	}
	if errors.Is(err, uds.ErrControlTruncated) {
		return control.Errorf(control.CodeInternal, "the broker could not receive: %v", err)
	}
	return err
}

// greet answers Hello.
func (s *session) greet(id uint64, m control.Message) error {
	hello, ok := m.(*control.Hello)
	if !ok {
		return control.Errorf(control.CodeProtocol, "%s came first; want Hello", m.Type())
	}
	err := control.CheckVersions("the broker", hello.MinVersion, hello.MaxVersion, hello.Features, hello.Required, "the client")
	if err != nil {
		return err
	}
	s.b.mu.Lock()
	s.name, s.software = hello.Name, hello.Software
	s.b.mu.Unlock()
	s.reply(id, s.b.greeting(s.id))
	s.b.log.Debug("session", "session", s.id, "name", hello.Name, "software", hello.Software, "peer", s.peer.String())
	return nil
}

// reply queues an answer. It waits for room, which the sender makes, or the end of its patience with the client.
func (s *session) reply(id uint64, m control.Message, fds ...int) {
	s.out <- outgoing{id, m, fds}
}

// notify queues what is unsolicited, without waiting: it is called by other goroutines than the session's, with the broker's
// mutex held.
func (s *session) notify(m control.Message) {
	select {
	case s.out <- outgoing{0, m, nil}:
	default:
		_ = s.conn.Close() // it does not read; serve finds out and ends
	}
}

// tell queues what is unsolicited, and waits for room as reply does. Other goroutines than the session's call it, without the broker's mutex.
// It reports whether the session goes on.
func (s *session) tell(m control.Message) bool {
	select {
	case s.out <- outgoing{0, m, nil}:
		return true
	case <-s.finished:
		return false
	}
}

// send sends what is queued, until serve has finished and the queue is empty. Once the client is gone, or has not read for
// as long as patience, it only empties the queue.
func (s *session) send(ctx context.Context) {
	gone := false
	transmit := func(o outgoing) {
		if err := s.transmit(ctx, o, gone); err != nil && !gone {
			gone = true
			_ = s.conn.Close()
			s.b.log.Debug("client does not take messages: connection closed", "session", s.id, "error", err)
		}
	}
	defer s.conn.Close()
	for {
		select {
		case o := <-s.out:
			transmit(o)
			continue
		case <-s.finished:
		}
		for {
			select {
			case o := <-s.out:
				transmit(o)
				continue
			default:
			}
			return
		}
	}
}

// transmit sends one message, or gives it up, and closes its descriptors: from here on the client alone holds what they
// stand for, the lock of its slot above all.
func (s *session) transmit(ctx context.Context, o outgoing, gone bool) error {
	defer uds.CloseFDs(o.fds)
	if gone {
		return uds.ErrPeerClosed
	}
	b, err := control.Encode(o.id, o.msg)
	if err != nil {
		// An answer of ours that no message can carry: say so instead.
		s.b.log.Error("answer cannot be sent", "session", s.id, "error", err)
		o.fds = nil
		if b, err = control.Encode(o.id, refusal(err)); err != nil {
			return err
		}
	}
	return s.transmitBytes(ctx, b, o.fds)
}

func (s *session) transmitBytes(ctx context.Context, b []byte, fds []int) error {
	// At first without a deadline to be set up: there nearly always is room.
	err := s.conn.TrySend(b, fds...)
	if !errors.Is(err, uds.ErrWouldBlock) {
		return err
	}
	wait := s.b.readPatience
	if ctx.Err() != nil {
		wait = min(wait, farewell)
	}
	limited, stop := context.WithTimeout(context.WithoutCancel(ctx), wait)
	defer stop()
	// The end of the broker cuts a long wait short.
	unhook := context.AfterFunc(ctx, func() {
		select {
		case <-limited.Done():
		case <-time.After(min(wait, farewell)):
			stop()
		}
	})
	defer unhook()
	return s.conn.SendContext(limited, b, fds...)
}

// leave takes the session off the books; the slots that it was granted are freed if their locks have fallen.
func (b *Broker) leave(s *session) {
	had := map[*holding]bool{}
	b.mu.Lock()
	delete(b.connected, s.id)
	for _, h := range b.slots {
		if h.session == s {
			h.session = nil
			had[h] = true
		}
	}
	closing := b.closing
	b.mu.Unlock()
	if len(had) > 0 && !closing {
		b.reap(func(h *holding) bool { return had[h] })
	}
}

func (b *Broker) greeting(session uint64) *control.Welcome {
	return &control.Welcome{
		MinVersion: control.MinProtocol, MaxVersion: control.MaxProtocol,
		Features: control.KnownFeatures, Required: control.RequiredFeatures, Session: session, PID: uint32(os.Getpid()),
		Software: control.CutText(b.config.Software, control.MaxName), Dir: control.CutText(b.config.Dir, control.MaxPath),
	}
}
