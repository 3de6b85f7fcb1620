// Package tools answers the question "what is in this topic, and is it whole?": it is the library behind myc-tools.
//
// It opens a topic's directory, or a copy of its files, for reading only ([Open]); it needs no broker, takes no slot and no
// lock, and producers never wait for it. So a topic that is in use may move on under its eyes: what was overwritten before
// it could be read is told to the caller as a [Gap], to the byte.
//
// Read in this order: open.go (topic, directory or single file), walk.go (every frame once, in order, with the gaps),
// record.go (what a frame means), dump.go, verify.go.
package tools
