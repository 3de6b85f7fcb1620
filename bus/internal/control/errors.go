package control

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

var (
	// ErrMessage says that bytes are not a message of this protocol, or that a value cannot be one's field.
	ErrMessage = errors.New("not a control message")
	// ErrClosed says that the connection was closed by this side.
	ErrClosed = errors.New("control connection closed")
	// ErrDisconnected says that the broker is gone, or hung up.
	ErrDisconnected = errors.New("broker disconnected")
	// ErrDescriptors says that a message came with another number of descriptors than it must have.
	ErrDescriptors = errors.New("wrong number of descriptors")
)

// A Code says what kind of error a broker answers with. Part of the format; the client turns it into the errors of
// package bus.
type Code uint16

const (
	CodeInternal   Code = 1  // the broker failed, as with a system call
	CodeProtocol   Code = 2  // the peer broke the protocol; the connection is closed
	CodeVersion    Code = 3  // protocol versions or features do not fit; the connection is closed
	CodeNoTopic    Code = 4  // no topic of that name
	CodeExists     Code = 5  // the topic exists
	CodeInUse      Code = 6  // a second single producer, a second gate
	CodeLimit      Code = 7  // a limit is reached; the text names it
	CodePermission Code = 8  // the topic's lists do not admit this user
	CodeTooLarge   Code = 9  // a size is beyond what is allowed
	CodeNoSpace    Code = 10 // the file system or a memory limit lacks room
	CodeInvalid    Code = 11 // a field's value makes no sense, as a credit beyond the ring
	CodeCorrupt    Code = 12 // the topic's files are damaged
	CodeClosed     Code = 13 // the topic was deleted meanwhile, or the broker shuts down
	CodeNotReady   Code = 14 // the topic is being created: try again
	CodeNoClient   Code = 15 // no client of that session is connected
)

var codeNames = map[Code]string{
	CodeInternal: "internal", CodeProtocol: "protocol", CodeVersion: "version", CodeNoTopic: "no topic", CodeExists: "exists",
	CodeInUse: "in use", CodeLimit: "limit", CodePermission: "permission", CodeTooLarge: "too large", CodeNoSpace: "no space",
	CodeInvalid: "invalid", CodeCorrupt: "corrupt", CodeClosed: "closed", CodeNotReady: "not ready", CodeNoClient: "no client",
}

// String returns the code's name.
func (c Code) String() string {
	if name, ok := codeNames[c]; ok {
		return name
	}
	return fmt.Sprintf("error code %d", uint16(c))
}

// Error is the broker's refusal of a request, or with id 0 what it says before it hangs up.
type Error struct {
	Code Code
	Text string // what was wrong with which value
	Hint string // what to do about it; may be empty
}

// Error returns the text.
func (e *Error) Error() string {
	if e.Text == "" {
		return e.Code.String()
	}
	return e.Text
}

// Errorf makes an Error without a hint.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Text: fmt.Sprintf(format, args...)}
}

// WithHint adds a hint.
func (e *Error) WithHint(format string, args ...any) *Error {
	return &Error{Code: e.Code, Text: e.Text, Hint: fmt.Sprintf(format, args...)}
}

// Cut returns the error with text and hint cut to what a message carries.
func (e *Error) Cut() *Error {
	return &Error{e.Code, CutText(e.Text, MaxText), CutText(e.Hint, MaxText)}
}

// CutText returns s as text that fits limit bytes: cut between characters, with what is not UTF-8 replaced.
func CutText(s string, limit int) string {
	s = strings.ToValidUTF8(s, "?")
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}
