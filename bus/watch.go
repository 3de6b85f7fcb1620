package bus

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/mycelium-bus/mycelium/shmring"
	"golang.org/x/sys/unix"
)

// ErrRemoved says that a topic's files were removed while they were in use: by rm, or by systemd for a user who logged out (RemoveIPC).
// It comes with ErrClosed.
var ErrRemoved = errors.New("files removed under us")

// watched is a topic's file as it was when it was mapped. The descriptor is for fstat alone: it tells whether the file still has a name,
// whatever stands at its path by now.
type watched struct {
	name string
	fd   int
	size int64
}

var topicFiles = [...]string{"ring", "cursors", "control", "locks.p", "locks.c"}

// watchFDs watches the files of a topic by descriptors in the order of topicFiles, which stay the caller's.
func watchFDs(files shmring.Files) ([]watched, error) {
	return watchAll(func(i int) (int, error) {
		from := [...]int{files.Ring, files.Cursors, files.Control, files.LocksP, files.LocksC}[i]
		fd, err := unix.FcntlInt(uintptr(from), unix.F_DUPFD_CLOEXEC, 0)
		return fd, os.NewSyscallError("fcntl(F_DUPFD_CLOEXEC)", err)
	})
}

// watchPaths watches the files in a topic's directory.
func watchPaths(dir string) ([]watched, error) {
	return watchAll(func(i int) (int, error) {
		path := filepath.Join(dir, topicFiles[i])
		fd, err := unix.Open(path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return -1, &os.PathError{Op: "open", Path: path, Err: err}
		}
		return fd, nil
	})
}

func watchAll(open func(i int) (int, error)) (all []watched, err error) {
	for i, name := range topicFiles {
		fd, err := open(i)
		if err != nil {
			unwatch(all)
			return nil, err
		}
		all = append(all, watched{name, fd, 0})
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			unwatch(all)
			return nil, os.NewSyscallError("fstat", err)
		}
		all[i].size = st.Size
	}
	return all, nil
}

func unwatch(all []watched) {
	for _, f := range all {
		unix.Close(f.fd)
	}
}

// look finds out whether the topic was deleted, or its files removed or cut short. Rounds call it: handles look at what it found.
func (m *mapping) look() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lookLocked()
}

func (m *mapping) lookLocked() {
	if m.ended() != nil {
		return
	}
	if m.ring.Closing() {
		m.finish(&ending{err: fmt.Errorf("%w: topic %q was deleted", ErrClosed, m.ring.Name())})
		return
	}
	for _, f := range m.files {
		var st unix.Stat_t
		switch err := unix.Fstat(f.fd, &st); {
		case err != nil: // of an open descriptor: no answer is no bad news
		case st.Nlink == 0:
			m.finish(&ending{err: fmt.Errorf("%w: topic %q: %w: %s", ErrClosed, m.ring.Name(), ErrRemoved, f.name)})
			return
		case st.Size < f.size:
			m.finish(&ending{err: fmt.Errorf("topic %q: %w", m.ring.Name(), &shmring.CorruptError{File: f.name, Field: "file size",
				Got: strconv.FormatInt(st.Size, 10), Want: strconv.FormatInt(f.size, 10)})})
			return
		}
	}
}
