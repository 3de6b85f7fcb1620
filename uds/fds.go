package uds

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// CloseFDs closes descriptors that were received and are not wanted. It skips negative numbers.
func CloseFDs(fds []int) {
	for _, fd := range fds {
		if fd >= 0 {
			_ = unix.Close(fd) // on Linux the number is free whatever close(2) returns
		}
	}
}

// parseRights returns the descriptors in control data; with an error, those that it found.
func parseRights(oob []byte) ([]int, error) {
	if len(oob) == 0 {
		return nil, nil
	}
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, fmt.Errorf("control data of %d bytes: %w", len(oob), err)
	}
	var fds []int
	for i := range messages {
		h := messages[i].Header
		if h.Level != unix.SOL_SOCKET || h.Type != unix.SCM_RIGHTS {
			continue // other kinds come only to who asked for them, and carry no descriptors
		}
		got, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			return fds, fmt.Errorf("control data of %d bytes: %w", len(oob), err)
		}
		fds = append(fds, got...)
	}
	return fds, nil
}
