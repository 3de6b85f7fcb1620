package tools

import "errors"

var (
	// ErrNoTopic says that a name is neither a topic in the bus directory nor a file.
	ErrNoTopic = errors.New("no such topic or file")
	// ErrNotATopic says that a path is neither a topic's directory nor a ring file.
	ErrNotATopic = errors.New("neither a topic's directory nor a ring file")
	// ErrIncomplete says that a dump left a part of the ring out for another reason than that it was overwritten meanwhile.
	ErrIncomplete = errors.New("incomplete")
)
