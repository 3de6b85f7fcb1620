package uds

import (
	"fmt"
	"io"
	"syscall"

	"golang.org/x/sys/unix"
)

// packet is the framing of SOCK_SEQPACKET: the kernel keeps the boundaries, a message goes whole or not at all.
type packet struct {
	options Options
	out     *sender
	in      *receiver
	oob     []byte // room for the control data of MaxFDs descriptors
	maxFit  int    // how many descriptors fit in there, the alignment's spare room included
}

func newPacket(raw syscall.RawConn, o Options) *packet {
	p := &packet{options: o, out: newSender(raw), in: newReceiver(raw)}
	// With MaxFDs 0 there is no room at all: the kernel drops what comes and says so.
	if o.MaxFDs > 0 {
		p.oob = make([]byte, unix.CmsgSpace(4*o.MaxFDs))
		p.maxFit = (len(p.oob) - unix.CmsgLen(0)) / 4
	}
	return p
}

func (p *packet) send(msg []byte, fds []int, wait bool) ([]byte, error) {
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	_, err := p.out.sendmsg(wait, oob, msg, nil)
	return nil, err
}

// finish has nothing to do: a packet never leaves a rest.
func (p *packet) finish([]byte) {}

func (p *packet) recv(buf []byte) ([]byte, []int, error) {
	room := buf[:min(len(buf), p.options.MaxMessage)]
	n, oobn, flags, err := p.in.recvmsg(room, p.oob)
	if err != nil {
		return nil, nil, err
	}
	// From here every descriptor that came is open in this process: returned below, or closed.
	fds, err := parseRights(p.oob[:oobn])
	if err == nil {
		err = p.checkReceived(n, len(room), len(fds), flags)
	}
	if err != nil {
		CloseFDs(fds)
		return nil, nil, err
	}
	return room[:n], fds, nil
}

func (p *packet) checkReceived(n, room, fds, flags int) error {
	switch {
	case n == 0:
		return io.EOF
	case n > p.options.MaxMessage:
		return fmt.Errorf("%w: a packet of %d bytes, at most %d", ErrTooLarge, n, p.options.MaxMessage)
	case n > room:
		return fmt.Errorf("%w: a packet of %d bytes, a buffer of %d", ErrTruncated, n, room)
	case fds > p.options.MaxFDs, flags&unix.MSG_CTRUNC != 0 && fds == p.maxFit:
		return fmt.Errorf("%w: more than %d with one packet", ErrTooManyFDs, p.options.MaxFDs)
	case flags&unix.MSG_CTRUNC != 0:
		return fmt.Errorf("%w: %d descriptors arrived, the others did not (is the limit of open files reached?)",
			ErrControlTruncated, fds)
	}
	return nil
}

// sender runs sendmsg(2) under the runtime poller. Its fields are the arguments and results of call, which is made
// once, so that a send allocates nothing. One goroutine at a time.
type sender struct {
	raw  syscall.RawConn
	call func(fd uintptr) (done bool)

	parts [2][]byte
	oob   []byte
	wait  bool
	n     int
	err   error
}

func newSender(raw syscall.RawConn) *sender {
	s := &sender{raw: raw}
	s.call = func(fd uintptr) bool {
		for {
			if s.n, s.err = s.once(int(fd)); s.err != unix.EINTR {
				break
			}
		}
		return s.err != unix.EAGAIN || !s.wait // false: the poller waits for room and calls again
	}
	return s
}

func (s *sender) once(fd int) (int, error) {
	const flags = unix.MSG_DONTWAIT | unix.MSG_NOSIGNAL
	if len(s.parts[1]) == 0 {
		return unix.SendmsgN(fd, s.parts[0], s.oob, nil, flags)
	}
	return unix.SendmsgBuffers(fd, s.parts[:], s.oob, nil, flags)
}

// sendmsg sends head and body as one and returns how many bytes of them went. When wait is false and there is no
// room, it returns ErrWouldBlock.
func (s *sender) sendmsg(wait bool, oob, head, body []byte) (int, error) {
	s.parts, s.oob, s.wait = [2][]byte{head, body}, oob, wait
	s.n, s.err = 0, nil
	err := s.raw.Write(s.call)
	s.parts, s.oob = [2][]byte{}, nil // the caller's memory is not kept
	if err == nil {
		err = s.err
	}
	switch err {
	case nil:
		return s.n, nil
	case unix.EAGAIN:
		return 0, ErrWouldBlock
	case unix.EMSGSIZE:
		return 0, fmt.Errorf("%w: %d bytes do not fit the socket's send buffer", ErrTooLarge, len(head)+len(body))
	}
	return 0, cause(err)
}

// receiver runs recvmsg(2) under the runtime poller, as sender does sendmsg.
type receiver struct {
	raw  syscall.RawConn
	call func(fd uintptr) (done bool)

	buf, oob []byte
	n, oobn  int
	flags    int
	err      error
}

func newReceiver(raw syscall.RawConn) *receiver {
	r := &receiver{raw: raw}
	r.call = func(fd uintptr) bool {
		// MSG_TRUNC asks for the packet's real length, so that an error can name it (recv(2)).
		const flags = unix.MSG_DONTWAIT | unix.MSG_CMSG_CLOEXEC | unix.MSG_TRUNC
		for {
			r.n, r.oobn, r.flags, _, r.err = unix.Recvmsg(int(fd), r.buf, r.oob, flags)
			if r.err != unix.EINTR {
				break
			}
		}
		return r.err != unix.EAGAIN
	}
	return r
}

// recvmsg waits for a packet; n is its real length, which may be more than len(buf). n = 0 is the peer's end.
func (r *receiver) recvmsg(buf, oob []byte) (n, oobn, flags int, err error) {
	r.buf, r.oob = buf, oob
	defer func() { r.buf, r.oob = nil, nil }()
	for reset := false; ; reset = true {
		r.n, r.oobn, r.flags, r.err = 0, 0, 0, nil
		err = r.raw.Read(r.call)
		if err == nil {
			err = r.err
		}
		// A peer that closed with packets of ours unread leaves a reset, which the kernel reports once, and in front of
		// what the peer had sent us before (unix_release_sock and __skb_try_recv_datagram, Linux v6.5).
		if err == unix.ECONNRESET && !reset {
			continue
		}
		if err != nil {
			return 0, 0, 0, cause(err)
		}
		return r.n, r.oobn, r.flags, nil
	}
}
