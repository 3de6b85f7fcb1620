package shm

import (
	"os"

	"golang.org/x/sys/unix"
)

// LockByte takes the OFD write lock on byte off of the open file fd (fcntl(2), F_OFD_SETLK). It never waits: it returns
// false when another open file description holds the byte. The lock belongs to the description and falls when its last
// descriptor is closed, at the holder's death at the latest.
func LockByte(fd int, off int64) (bool, error) {
	lk := unix.Flock_t{Type: unix.F_WRLCK, Start: off, Len: 1}
	switch err := fcntlLock(fd, unix.F_OFD_SETLK, &lk); err {
	case nil:
		return true, nil
	case unix.EAGAIN, unix.EACCES:
		return false, nil
	default:
		return false, os.NewSyscallError("fcntl(F_OFD_SETLK)", err)
	}
}

// UnlockByte gives the lock on byte off back.
func UnlockByte(fd int, off int64) error {
	lk := unix.Flock_t{Type: unix.F_UNLCK, Start: off, Len: 1}
	return os.NewSyscallError("fcntl(F_OFD_SETLK)", fcntlLock(fd, unix.F_OFD_SETLK, &lk))
}

// ByteLocked reports whether another open file description than fd's holds the write lock on byte off (F_OFD_GETLK). A
// descriptor that is only readable will do.
func ByteLocked(fd int, off int64) (bool, error) {
	lk := unix.Flock_t{Type: unix.F_RDLCK, Start: off, Len: 1}
	if err := fcntlLock(fd, unix.F_OFD_GETLK, &lk); err != nil {
		return false, os.NewSyscallError("fcntl(F_OFD_GETLK)", err)
	}
	return lk.Type != unix.F_UNLCK, nil
}

func fcntlLock(fd, cmd int, lk *unix.Flock_t) error {
	for {
		err := unix.FcntlFlock(uintptr(fd), cmd, lk)
		if err != unix.EINTR {
			return err
		}
	}
}
