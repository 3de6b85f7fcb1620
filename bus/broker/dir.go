package broker

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mycelium-bus/mycelium/bus/internal/control"
	"github.com/mycelium-bus/mycelium/shmring"
)

// lockName is the file in the bus directory that a broker holds flock(2) on; it says who.
const lockName = ".lock"

// Prefixes of what creation and deletion leave behind when their process dies.
const (
	newPrefix     = ".new-"
	deletedPrefix = ".del-"
)

// prepareDir makes the bus directory if it is missing, and refuses one that others could write or that is a symbolic link.
func prepareDir(dir string) error {
	err := os.Mkdir(dir, 0o700)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return withHint(fmt.Errorf("create the bus directory: %w", err), "choose another one with --dir, or create its parent")
	}
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		return &os.PathError{Op: "lstat", Path: dir, Err: err}
	}
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFDIR:
		return withHint(fmt.Errorf("%w: %s is not a directory", ErrDirectory, dir), "choose another path with --dir")
	case int(st.Uid) != os.Geteuid():
		return withHint(fmt.Errorf("%w: %s belongs to user %d, this is user %d", ErrDirectory, dir, st.Uid, os.Geteuid()),
			"run the broker as user %d, or choose another path with --dir", st.Uid)
	case st.Mode&0o077 != 0:
		return withHint(fmt.Errorf("%w: %s has mode %#o, want 0700", ErrDirectory, dir, st.Mode&0o777), "choose another path with --dir; if nothing but topics is in it, `chmod 0700 %s`", dir)
	}
	return nil
}

// lockDir takes the directory for this broker. The lock is the open file: it falls when that is closed, at the latest with
// the process.
func lockDir(dir, socket string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the bus directory: %w", err)
	}
	err = flockAlone(int(f.Fd()))
	if errors.Is(err, unix.EWOULDBLOCK) {
		defer f.Close()
		return nil, withHint(fmt.Errorf("%w: %s is locked by %s", ErrRunning, dir, holderOf(f)),
			"stop that broker, or choose another directory with --dir")
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock the bus directory %s: %w", dir, err)
	}
	if !standsAt(f) {
		f.Close()
		return nil, withHint(fmt.Errorf("lock the bus directory: %s was removed meanwhile", dir), "start again")
	}
	// Information for whoever is refused.
	note := fmt.Sprintf("pid %d, socket %s\n", os.Getpid(), socket)
	if err := errors.Join(f.Truncate(0), second(f.WriteAt([]byte(note), 0))); err != nil {
		f.Close()
		return nil, fmt.Errorf("write %s: %w", f.Name(), err)
	}
	return f, nil
}

// flockAlone takes the lock that keeps everybody else out. A process that uses the directory without a broker shares it for
// the moment of a creation or deletion, and is waited for; a broker holds it alone, and is not.
func flockAlone(fd int) error {
	for end := time.Now().Add(openersPatience); ; time.Sleep(time.Millisecond) {
		err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return err
		}
		if unix.Flock(fd, unix.LOCK_SH|unix.LOCK_NB) != nil || time.Now().After(end) {
			return err
		}
		_ = unix.Flock(fd, unix.LOCK_UN) // it was free for sharing: so it was no broker
	}
}

// openersPatience bounds the wait for processes that create or delete a topic without a broker.
const openersPatience = 5 * time.Second

// standsAt reports whether the open file is still the one at its path: a purge removes the lock file with the directory, and
// a lock on a removed file keeps nobody out.
func standsAt(f *os.File) bool {
	open, err1 := f.Stat()
	there, err2 := os.Lstat(f.Name())
	return err1 == nil && err2 == nil && os.SameFile(open, there)
}

func second[T any](_ T, err error) error { return err }

// holderOf reads who wrote itself into the lock file.
func holderOf(f *os.File) string {
	note, err := io.ReadAll(io.NewSectionReader(f, 0, 4096))
	if who := strings.TrimSpace(string(note)); err == nil && who != "" {
		return who
	}
	return "a process that has not said which"
}

// removeLeftovers removes what a process left that died while it created or deleted a topic: directories of the names that they are
// given then, with nothing but topics' files in them. It returns their names, and those of others that look so but hold something else,
// which stay. Under the directory's lock nobody else creates or deletes.
func removeLeftovers(dir string) (removed, strange []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil, fmt.Errorf("look for topics: %w", err)
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		switch {
		case !e.IsDir():
			continue
		case strings.HasPrefix(e.Name(), newPrefix):
			err = shmring.RemoveDir(path)
		case strings.HasPrefix(e.Name(), deletedPrefix):
			err = removeDeleted(path)
		default:
			continue
		}
		if errors.Is(err, shmring.ErrNotATopic) {
			strange = append(strange, e.Name())
			continue
		}
		if err != nil {
			return removed, strange, fmt.Errorf("remove what an interrupted process left: %w", err)
		}
		removed = append(removed, e.Name())
	}
	return removed, strange, nil
}

// removeDeleted removes a directory that topics were moved into to be deleted, unless it holds anything else.
func removeDeleted(path string) error {
	topics, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	for _, e := range topics {
		if !e.IsDir() {
			return fmt.Errorf("%w: %s holds %q, which is a file", shmring.ErrNotATopic, path, e.Name())
		}
		if err := shmring.RemoveDir(filepath.Join(path, e.Name())); err != nil {
			return err
		}
	}
	return os.Remove(path)
}

// checkRemovable refuses to remove a topic in whose directory there is something else than its files. One that is gone is fine.
func checkRemovable(dir, name string) error {
	err := shmring.CheckTopicDir(filepath.Join(dir, name))
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// removeTopic takes the topic's directory out of sight in one step, then removes it. One that is gone is removed.
func removeTopic(dir, name string) error {
	if err := checkRemovable(dir, name); err != nil {
		return err // somebody else's files
	}
	gone, err := os.MkdirTemp(dir, deletedPrefix)
	if err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(dir, name), filepath.Join(gone, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(err, os.Remove(gone))
	}
	if err := shmring.RemoveDir(filepath.Join(gone, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Remove(gone)
}

// lockProbe looks at a topic's file whose bytes are locked by who holds the slot of that number (shmring, layout.go). It only
// looks: the kernel says who lives, also when the topic's other files are damaged.
type lockProbe struct{ f *os.File }

// openLocks opens the lock file for a role's slots. Where there is none, nothing is held.
func openLocks(topicDir string, role control.Role) (lockProbe, error) {
	name := "locks.c"
	if role == control.RoleProducer {
		name = "locks.p"
	}
	f, err := os.OpenFile(filepath.Join(topicDir, name), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return lockProbe{}, nil
	}
	return lockProbe{f}, err
}

func (p lockProbe) close() { _ = p.f.Close() }

// held reports whether a process holds a slot, or any slot for anySlot.
func (p lockProbe) held(slot int64) (bool, error) {
	if p.f == nil {
		return false, nil
	}
	lk := unix.Flock_t{Type: unix.F_RDLCK, Start: slot, Len: 1}
	if slot == anySlot {
		lk.Start, lk.Len = 0, 0 // up to the end of all files
	}
	for {
		err := unix.FcntlFlock(p.f.Fd(), unix.F_OFD_GETLK, &lk)
		if err == nil {
			return lk.Type != unix.F_UNLCK, nil
		}
		if !errors.Is(err, unix.EINTR) {
			return false, os.NewSyscallError("fcntl(F_OFD_GETLK)", err)
		}
	}
}

const anySlot = -1
