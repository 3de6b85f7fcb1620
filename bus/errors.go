package bus

import (
	"errors"
	"fmt"

	"github.com/mycelium-bus/mycelium/bus/internal/control"
	"github.com/mycelium-bus/mycelium/bus/topic"
	"github.com/mycelium-bus/mycelium/shmring"
	"github.com/mycelium-bus/mycelium/uds"
)

// What can go wrong, to be tested with errors.Is; the errors that carry them name what was wrong with which value. They mean
// the same whether the broker said so or this process found out.
var (
	// ErrBackPressure says that a slow subscriber, or another publisher's open claim, leaves no room for the message now.
	ErrBackPressure = shmring.ErrBackPressure
	// ErrTooLarge says that a message is empty or longer than the topic's max_frame, or that a batch is too long.
	ErrTooLarge = shmring.ErrTooLarge
	// ErrClosed says that the handle or the connection was closed, or the topic deleted.
	ErrClosed = shmring.ErrClosed
	// ErrEvicted says that the subscription was evicted: it held publishers up for longer than its patience, or an operator asked this
	// client to leave ([Conn.Evict]).
	ErrEvicted = shmring.ErrEvicted
	// ErrLapped says that messages were overwritten before the subscription came to them; [LappedError] tells how much.
	ErrLapped = shmring.ErrLapped
	// ErrInUse says that a single-producer topic has a publisher, that a single-gate topic has a reliable subscription, or
	// that a live broker has the directory.
	ErrInUse = shmring.ErrInUse
	// ErrLimit says that a limit is reached; the error names it.
	ErrLimit = shmring.ErrLimit
	// ErrExists says that there is a topic of this name.
	ErrExists = shmring.ErrExists
	// ErrNoSpace says that the file system or a memory limit lacks room for a topic.
	ErrNoSpace = shmring.ErrNoSpace
	// ErrPosition says that a position asked for is not a message's, or was overwritten.
	ErrPosition = shmring.ErrPosition
	// ErrNotParked says that a message is not in the list of parked messages any more: somebody has retried it, or newer ones took its place.
	ErrNotParked = shmring.ErrNotParked
	// ErrPermission says that the topic's lists, or the files' owners and modes, do not let this user in.
	ErrPermission = shmring.ErrPermission
	// ErrCorrupt says that a topic's files hold what no publisher or subscriber writes.
	ErrCorrupt = shmring.ErrCorrupt
	// ErrVersion says that the broker, or a topic's files, have another version than this library.
	ErrVersion = shmring.ErrVersion

	// ErrInvalid says that a topic's configuration, or a subscription's credit, makes no sense.
	ErrInvalid = topic.ErrInvalid

	// ErrNoTopic says that there is no topic of this name.
	ErrNoTopic = errors.New("no such topic")
	// ErrNoClient says that no client of that session is connected to the broker.
	ErrNoClient = errors.New("no such client")
	// ErrNoBroker says that no broker answers: there is none at the socket, or it went away. Handles that are open go on.
	ErrNoBroker = errors.New("no broker")
	// ErrRefused says that a message holds what the topic does not take: it is no TLV message, has a type that is not among
	// the topic's tlv_types, or lacks the checksum that it requires.
	ErrRefused = errors.New("refused by the topic")
)

// LappedError says which part of the ring a subscription missed, in bytes of the ring: Missed() of them, headers and
// padding included, from position From up to To, where it goes on.
type LappedError = shmring.LappedError

// Hint returns what a user can do about an error, or "" where nobody knows: brokers say so, and where none answers the
// socket tells why.
func Hint(err error) string {
	if refused, ok := errors.AsType[*control.Error](err); ok {
		return refused.Hint
	}
	if socket, ok := errors.AsType[*uds.Error](err); ok {
		return socket.Hint()
	}
	if own, ok := errors.AsType[*hinted](err); ok {
		return own.hint
	}
	return ""
}

// hinted is an error of this package that knows what to do about it.
type hinted struct {
	error
	hint string
}

func (e *hinted) Unwrap() error { return e.error }

// refusal is what the broker refused, as one of this package's errors.
type refusal struct {
	said     *control.Error
	sentinel error
}

func (r *refusal) Error() string   { return r.said.Error() }
func (r *refusal) Unwrap() []error { return []error{r.sentinel, r.said} }

var sentinels = map[control.Code]error{
	control.CodeVersion: ErrVersion, control.CodeNoTopic: ErrNoTopic, control.CodeExists: ErrExists, control.CodeInUse: ErrInUse,
	control.CodeLimit: ErrLimit, control.CodePermission: ErrPermission, control.CodeTooLarge: ErrTooLarge,
	control.CodeNoSpace: ErrNoSpace, control.CodeInvalid: ErrInvalid, control.CodeCorrupt: ErrCorrupt, control.CodeClosed: ErrClosed,
	control.CodeNoClient: ErrNoClient,
}

// brokerError makes an error of the control connection one of this package's.
func brokerError(err error) error {
	said, refused := errors.AsType[*control.Error](err)
	switch {
	case refused && sentinels[said.Code] != nil:
		return &refusal{said, sentinels[said.Code]}
	case errors.Is(err, control.ErrClosed):
		return fmt.Errorf("%w: the connection was closed", ErrClosed)
	case errors.Is(err, control.ErrDisconnected):
		return fmt.Errorf("%w: %w", ErrNoBroker, err)
	}
	return err
}
