package uds

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// FrameHeaderSize is the size in bytes of the length in front of each message of a stream.
const FrameHeaderSize = 4

// readAhead is how much a stream reads at once where messages are small; each connection that receives holds it.
const readAhead = 16 << 10

// AppendFrame appends msg as the stream framing sends it: its length, then itself.
func AppendFrame(dst, msg []byte) []byte {
	return append(binary.LittleEndian.AppendUint32(dst, uint32(len(msg))), msg...)
}

// stream is the framing of SOCK_STREAM.
type stream struct {
	out    *sender
	head   [FrameHeaderSize]byte
	broken error // why nothing can be sent any more
	in     *FrameReader
}

func newStream(uc *net.UnixConn, raw syscall.RawConn, o Options) *stream {
	return &stream{out: newSender(raw), in: NewFrameReader(resetReader{uc}, o.MaxMessage)}
}

func (s *stream) send(msg []byte, _ []int, wait bool) (rest []byte, err error) {
	if s.broken != nil {
		return nil, s.broken
	}
	binary.LittleEndian.PutUint32(s.head[:], uint32(len(msg)))
	head, body, err := s.push(wait, s.head[:], msg)
	switch {
	case err == nil, len(head) == len(s.head):
		return nil, err // all of it is sent, or nothing is
	case errors.Is(err, ErrWouldBlock), errors.Is(err, os.ErrDeadlineExceeded):
		return append(append(make([]byte, 0, len(head)+len(body)), head...), body...), nil
	}
	s.broken = fmt.Errorf("%w: %w", ErrBroken, err)
	return nil, s.broken
}

func (s *stream) finish(rest []byte) {
	if _, _, err := s.push(true, rest, nil); err != nil {
		s.broken = fmt.Errorf("%w: %w", ErrBroken, err)
	}
}

// push sends head and body and returns what is left of them when it cannot go on.
func (s *stream) push(wait bool, head, body []byte) ([]byte, []byte, error) {
	for len(head)+len(body) > 0 {
		n, err := s.out.sendmsg(wait, nil, head, body)
		if err != nil {
			return head, body, err
		}
		h := min(n, len(head))
		head, body = head[h:], body[n-h:]
	}
	return nil, nil, nil
}

func (s *stream) recv(buf []byte) ([]byte, []int, error) {
	msg, err := s.in.Next(buf)
	return msg, nil, err
}

// resetReader reads what a peer sent before the reset that it left by closing with messages of ours unread; the
// kernel reports a reset once. Descriptors that a peer attaches are dropped by the kernel: read(2) takes none.
type resetReader struct{ uc *net.UnixConn }

func (r resetReader) Read(p []byte) (int, error) {
	n, err := r.uc.Read(p)
	if errors.Is(err, unix.ECONNRESET) {
		n, err = r.uc.Read(p)
	}
	if err == io.EOF {
		return n, err
	}
	return n, cause(err)
}

// FrameReader takes the messages out of a framed stream. It never allocates by what a length says: messages go into
// the caller's buffer. For one goroutine at a time.
type FrameReader struct {
	src   io.Reader
	limit int

	ahead    []byte // what was read ahead is ahead[from:to]
	from, to int

	// A message in progress, whose header is behind us: its length, and what earlier calls received of it before
	// src's error ended them.
	length int
	part   []byte

	skip int   // bytes still to come of a message that was refused
	err  error // final
}

// NewFrameReader reads from src messages of up to limit bytes.
func NewFrameReader(src io.Reader, limit int) *FrameReader {
	return &FrameReader{src: src, limit: limit}
}

// Next reads the next message into buf and returns the part of buf that holds it. It blocks as src does. An error of
// src, as a timeout, loses nothing: the next call goes on where this one stopped, into whichever buffer.
//
// It returns [ErrTooLarge] for a length over the limit, now and ever after, for the stream is out of step;
// [ErrTruncated] for a message larger than buf, and [ErrEmpty] for one of length 0, which are passed over; io.EOF
// at the end of src between messages and io.ErrUnexpectedEOF amid one.
func (r *FrameReader) Next(buf []byte) ([]byte, error) {
	if r.err != nil {
		return nil, r.err
	}
	if err := r.discard(); err != nil {
		return nil, err
	}
	if r.length == 0 {
		if err := r.header(); err != nil {
			return nil, err
		}
	}
	if r.length > len(buf) {
		err := fmt.Errorf("%w: a message of %d bytes, a buffer of %d", ErrTruncated, r.length, len(buf))
		r.skip = r.length - len(r.part)
		r.length, r.part = 0, nil
		return nil, err
	}
	return r.body(buf[:r.length])
}

// header reads the length of the next message and checks it.
func (r *FrameReader) header() error {
	for r.to-r.from < FrameHeaderSize {
		if err := r.fill(); err != nil {
			if err == io.EOF && r.to > r.from {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
	}
	n := binary.LittleEndian.Uint32(r.ahead[r.from:])
	if uint64(n) > uint64(r.limit) {
		r.err = fmt.Errorf("%w: a length of %d bytes, at most %d", ErrTooLarge, n, r.limit)
		return r.err
	}
	r.from += FrameHeaderSize
	if n == 0 {
		return ErrEmpty
	}
	r.length = int(n)
	return nil
}

// body fills dst, which is as long as the message.
func (r *FrameReader) body(dst []byte) ([]byte, error) {
	have := copy(dst, r.part)
	for {
		n := copy(dst[have:], r.ahead[r.from:r.to])
		r.from += n
		have += n
		if have == len(dst) {
			r.length, r.part = 0, nil
			return dst, nil
		}
		var err error
		if len(dst)-have >= readAhead {
			// Large messages skip the copy.
			n, err = r.read(dst[have:])
			have += n
		} else {
			err = r.fill()
		}
		if err != nil {
			r.part = append(r.part, dst[len(r.part):have]...)
			return nil, unexpected(err)
		}
	}
}

// discard passes over the rest of a message that was refused.
func (r *FrameReader) discard() error {
	for r.skip > 0 {
		n := min(r.skip, r.to-r.from)
		r.from += n
		r.skip -= n
		if r.skip == 0 {
			break
		}
		if err := r.fill(); err != nil {
			return unexpected(err)
		}
	}
	return nil
}

// fill reads ahead at least one byte.
func (r *FrameReader) fill() error {
	if r.ahead == nil {
		r.ahead = make([]byte, readAhead)
	}
	// At most a header's first bytes are left over, so this moves next to nothing.
	r.to = copy(r.ahead, r.ahead[r.from:r.to])
	r.from = 0
	n, err := r.read(r.ahead[r.to:])
	r.to += n
	return err
}

// read returns at least one byte or an error, never both: an error that comes with bytes comes again.
func (r *FrameReader) read(p []byte) (int, error) {
	for range 100 {
		if n, err := r.src.Read(p); n > 0 {
			return n, nil
		} else if err != nil {
			return 0, err
		}
	}
	return 0, io.ErrNoProgress
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
