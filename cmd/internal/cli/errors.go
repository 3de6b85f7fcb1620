package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"time"

	"github.com/mycelium-bus/mycelium/bus"
)

// Exit codes of every program.
const (
	ExitOK     = 0 // it worked
	ExitFailed = 1 // it did not, and says why
	ExitUsage  = 2 // it was called wrongly: an unknown flag, a missing argument
)

// hinted is an error with a line that says what to do about it.
type hinted struct {
	err  error
	hint string
}

func (e *hinted) Error() string { return e.err.Error() }
func (e *hinted) Unwrap() error { return e.err }

// WithHint adds to err a line that tells the user what to do about it; the program prints it below the error.
// The outermost hint wins. It returns nil if err is nil.
func WithHint(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &hinted{err: err, hint: fmt.Sprintf(format, args...)}
}

// Hint returns the hint that err carries, or "".
func Hint(err error) string {
	if h, ok := errors.AsType[*hinted](err); ok {
		return h.hint
	}
	return ""
}

// usage marks an error as the caller's: the program exits with [ExitUsage].
type usage struct{ err error }

func (e *usage) Error() string { return e.err.Error() }
func (e *usage) Unwrap() error { return e.err }

// UsageError returns an error that makes the program exit with [ExitUsage]. Without a hint of its own it is printed
// with the one that names the command's --help. The format takes %w.
func UsageError(format string, args ...any) error {
	return &usage{err: fmt.Errorf(format, args...)}
}

// Stream is for a program that runs until it is told to stop: it returns nil if err says only that ctx was cancelled,
// which for such a program is the good end, and err otherwise.
func Stream(ctx context.Context, err error) error {
	if errors.Is(err, context.Canceled) && errors.Is(ctx.Err(), context.Canceled) {
		return nil
	}
	return err
}

// DeletedHint says what to do about a topic that ends while it is in use.
const DeletedHint = "somebody deleted the topic or its files: `myc-ctl topic list` shows when there is one of this name again"

// Patience is how long a program waits for others before it says what for, or does without them.
const Patience = 3 * time.Second

// What programs say that they wait for; the first takes the socket, the second the topic.
const (
	WaitsForBroker = "waiting for the broker at %s, which does not answer"
	WaitsForRoom   = "waiting: a subscriber, or another publisher's open claim, leaves no room; `myc-ctl topic inspect %s` names it"
)

// Waiting calls tell, once, from another goroutine, unless the function that it returns is called within a time.
func Waiting(after time.Duration, tell func()) (over func()) {
	t := time.AfterFunc(after, tell)
	return func() { t.Stop() }
}

// SocketHint adds to the error of a failed connection to the broker's socket what that failure means and what to do.
// Errors that already carry a hint, and those of other kinds, are returned as they are.
func SocketHint(err error, socket string) error {
	switch {
	case err == nil || Hint(err) != "":
		return err
	case errors.Is(err, fs.ErrNotExist):
		return WithHint(err, "no broker has made %s: start one with `myc-broker`, or name its socket with --socket or MYC_SOCKET", socket)
	case errors.Is(err, syscall.ECONNREFUSED):
		return WithHint(err, "the broker that made %s is gone: start it again with `myc-broker`", socket)
	case errors.Is(err, fs.ErrPermission):
		return WithHint(err, "only the broker's user, its group and root may connect to %s: see `group` in the broker's config", socket)
	}
	return err
}

// DamagedHint says what to do about a topic whose files hold what nobody of the bus writes.
const DamagedHint = "`myc-tools verify` shows the damage; delete the topic to create it anew"

// MadeAgain says what became of a topic that a program goes on reading.
func MadeAgain(e *bus.RecreatedError) string {
	s := fmt.Sprintf("topic %s was deleted and made again: what lay between is lost", e.Topic)
	if e.Missed > 0 {
		s += fmt.Sprintf(", %d bytes of the new one's ring at least", e.Missed)
	}
	return s
}
