package broker

import (
	"errors"
	"fmt"

	"github.com/mycelium-bus/mycelium/bus/internal/control"
	"github.com/mycelium-bus/mycelium/bus/topic"
	"github.com/mycelium-bus/mycelium/shmring"
)

var (
	// ErrRunning says that another broker has the directory.
	ErrRunning = errors.New("another broker has the directory")
	// ErrAttached says that clients are attached to a topic that was to be removed.
	ErrAttached = errors.New("clients are attached")
	// ErrDirectory says that the bus directory is not what one has to be: a directory, the broker's own, mode 0700.
	ErrDirectory = errors.New("unusable bus directory")
	// ErrLimit says that the configured topics exceed a limit of the configuration; the error names it.
	ErrLimit = errors.New("limit reached")
	// ErrClosed says that the broker was closed before Run.
	ErrClosed = errors.New("broker closed")
)

// hinted is an error that says what to do about it; programs print that as a "hint:" line.
type hinted struct {
	err  error
	hint string
}

func (e *hinted) Error() string { return e.err.Error() }
func (e *hinted) Unwrap() error { return e.err }
func (e *hinted) Hint() string  { return e.hint }

func withHint(err error, format string, args ...any) error {
	return &hinted{err, fmt.Sprintf(format, args...)}
}

// codes maps what the layers below return to what clients are told.
var codes = []struct {
	err  error
	code control.Code
	hint string
}{
	{shmring.ErrInUse, control.CodeInUse, "`myc-ctl topic inspect` names who has it"},
	{shmring.ErrLimit, control.CodeLimit, "close handles that are not needed, or create the topic with more slots"},
	{shmring.ErrExists, control.CodeExists, "choose another name, or delete the topic first"},
	{shmring.ErrNoSpace, control.CodeNoSpace, "choose a smaller size, delete topics, or give /dev/shm or the memory limit more room"},
	{shmring.ErrUnproven, control.CodePermission, "only who was granted a slot can register it"},
	{errGone, control.CodeCorrupt, "delete the topic to end its handles and to create it anew"},
	{shmring.ErrCorrupt, control.CodeCorrupt, "`myc-tools verify` shows the damage; delete the topic to create it anew"},
	{shmring.ErrVersion, control.CodeVersion, "the topic was made by another release: delete it to create it anew"},
	{shmring.ErrClosed, control.CodeClosed, "the topic was deleted; create it again"},
	{shmring.ErrTooLarge, control.CodeTooLarge, ""},
	{topic.ErrInvalid, control.CodeInvalid, ""},
}

// refusal turns any error into what a client is told.
func refusal(err error) *control.Error {
	if e, ok := errors.AsType[*control.Error](err); ok {
		return e.Cut()
	}
	for _, c := range codes {
		if errors.Is(err, c.err) {
			return (&control.Error{Code: c.code, Text: err.Error(), Hint: c.hint}).Cut()
		}
	}
	return (&control.Error{Code: control.CodeInternal, Text: err.Error(), Hint: "the broker's log may say more"}).Cut()
}
