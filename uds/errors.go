package uds

import (
	"errors"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// Errors of this package, for errors.Is. They come wrapped with the sizes, numbers or paths that they are about.
var (
	// ErrClosed: this side was closed by its own Close.
	ErrClosed = errors.New("connection closed")
	// ErrPeerClosed: a message could not be sent, because nobody is at the other end.
	ErrPeerClosed = errors.New("closed by the peer")
	// ErrWouldBlock: TrySend found no room in the socket, or another Send under way; nothing was sent.
	ErrWouldBlock = errors.New("would block")
	// ErrEmpty: a message of no bytes, which cannot be told from the end of the connection.
	ErrEmpty = errors.New("empty message")
	// ErrTooLarge: a message over MaxMessage. Received on a stream it is final: every later Recv returns it again.
	ErrTooLarge = errors.New("message too large")
	// ErrTruncated: a message was larger than the buffer it was received into, and is lost; the next one is not.
	ErrTruncated = errors.New("message truncated")
	// ErrTooManyFDs: more descriptors with one message than MaxFDs.
	ErrTooManyFDs = errors.New("too many descriptors")
	// ErrControlTruncated: descriptors were lost on the way in, as when this process has no free descriptor number
	// left. The message and the descriptors that did arrive are dropped.
	ErrControlTruncated = errors.New("control data truncated")
	// ErrNoFDs: descriptors were to go through a stream, whose framing cannot say which message they belong to.
	ErrNoFDs = errors.New("descriptors need the packet framing")
	// ErrBroken: an earlier message went out in part only; the stream takes no more.
	ErrBroken = errors.New("stream cut amid a message")
	// ErrInUse: a live process listens at the path.
	ErrInUse = errors.New("in use by a live process")
	// ErrPath: a path that no socket can have.
	ErrPath = errors.New("unusable socket path")
)

// Error is a failed Listen or Dial: what was tried, at which path, what was wrong, and what to do about it.
type Error struct {
	Op   string // "listen" or "dial"
	Path string
	Err  error // for errors.Is and errors.As: a sentinel, a syscall.Errno, or a context's error

	hint string
}

// Error names operation, path and cause, in one line without the hint.
func (e *Error) Error() string { return e.Op + " " + e.Path + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Hint says what the user can do about it; it is empty where there is nothing to say. Programs print it as a
// "hint:" line.
func (e *Error) Hint() string { return e.hint }

// cause turns what the runtime poller and the kernel report into this package's words. A deadline stays
// os.ErrDeadlineExceeded: only contexts set deadlines here, and who set one puts the context's error in its place.
func cause(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, net.ErrClosed):
		return ErrClosed
	case errors.Is(err, os.ErrDeadlineExceeded):
		return os.ErrDeadlineExceeded
	case errors.Is(err, unix.EPIPE), errors.Is(err, unix.ECONNRESET), errors.Is(err, unix.ENOTCONN):
		return ErrPeerClosed
	}
	return err
}
