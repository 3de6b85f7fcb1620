package uds

import (
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// Peer is who is at the other end, as the kernel wrote it down when the connection was made (SO_PEERCRED, unix(7)):
// for an accepted connection the process that connected, for a dialled one the process that listened. The ids are
// as this process sees them; a pid of another pid namespace is 0. A pid is for people to read: it may have been
// reused since.
type Peer struct {
	PID int
	UID uint32
	GID uint32
}

// String returns "pid 1 uid 2 gid 3".
func (p Peer) String() string { return fmt.Sprintf("pid %d uid %d gid %d", p.PID, p.UID, p.GID) }

func peerOf(raw syscall.RawConn) (Peer, error) {
	var cred *unix.Ucred
	var err error
	if e := raw.Control(func(fd uintptr) {
		cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); e != nil {
		return Peer{}, cause(e)
	}
	if err != nil {
		return Peer{}, fmt.Errorf("peer credentials: %w", err)
	}
	return Peer{PID: int(cred.Pid), UID: cred.Uid, GID: cred.Gid}, nil
}

func peerPIDFD(raw syscall.RawConn) (int, error) {
	pidfd := -1
	var err error
	if e := raw.Control(func(fd uintptr) {
		pidfd, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PEERPIDFD)
	}); e != nil {
		return -1, cause(e)
	}
	if errors.Is(err, unix.ENOPROTOOPT) {
		return -1, fmt.Errorf("peer pidfd: %w (Linux 6.5 has it)", errors.ErrUnsupported)
	}
	if err != nil {
		return -1, fmt.Errorf("peer pidfd: %w", err)
	}
	return pidfd, nil
}
