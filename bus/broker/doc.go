// Package broker answers the question who makes topics, hands out their files and slots, and cleans up: the broker as a
// library; myc-broker is its program. It serves package control's messages on a socket and never touches a message of a
// topic: while it is dead, attached clients go on.
//
//	New   lock the directory, adopt the topics that are there, create the configured ones that are missing, listen
//	Run   serve until the context ends, then hang up; the topics stay for the next broker
//
// One goroutine serves each client's requests, one after the other, and another one sends to it; what they share (topics,
// sessions, slots) stands under one mutex that nobody holds over a system call that may take long. So the creation of a
// large topic, a client that does not read, or a slow look-up of groups holds up that client alone.
//
// Who gets what: docs/reference/config.md has the configuration, docs/reference/control-messages.md the messages.
//
// Read in this order: broker.go, adopt.go, topics.go, session.go, requests.go, attach.go, reaper.go, rights.go; the configuration apart from it:
// config.go, parse.go, lines.go.
package broker
