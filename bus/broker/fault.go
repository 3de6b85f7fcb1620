package broker

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"

	"golang.org/x/sys/unix"

	"github.com/mycelium-bus/mycelium/bus/internal/control"
	"github.com/mycelium-bus/mycelium/shmring"
)

var (
	// errFault says that a topic's file was truncated while the broker had it mapped.
	errFault = errors.New("a file was truncated")
	// errGone says that a topic's file is no longer where it was: somebody removed or replaced it.
	errGone = errors.New("a file was removed while in use: who is attached goes on, nobody else can attach")
)

// guarded runs f, which looks at a topic's mapped files. Who may write a file may truncate it, and a look at what is gone
// is a SIGBUS: it becomes an error here. (With debug.SetPanicOnFault a fault at an address is a panic whose value has that
// address; a nil pointer of our own has none, and stays a panic. go1.26 runtime/signal_unix.go, sigpanic.)
func guarded(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		fault, ok := p.(interface{ Addr() uintptr })
		if !ok {
			panic(p)
		}
		err = fmt.Errorf("%w: %w (fault at %#x)", shmring.ErrCorrupt, errFault, fault.Addr())
	}()
	return f()
}

// identity is what a topic's file is known by as long as it is there.
type identity struct {
	device, inode uint64
	size          int64
}

// fileNames are a topic's files in the order of control.Attached; the first sized ones have a size that is fixed.
var fileNames = [...]string{"ring", "cursors", "control", "locks.p", "locks.c"}

const sized = 3

func identify(stat func(*unix.Stat_t) error) (identity, error) {
	var st unix.Stat_t
	err := stat(&st)
	return identity{st.Dev, st.Ino, st.Size}, err
}

func identifyFD(fd int) (identity, error) {
	id, err := identify(func(st *unix.Stat_t) error { return unix.Fstat(fd, st) })
	return id, os.NewSyscallError("fstat", err)
}

func identifyPath(path string) (identity, error) {
	id, err := identify(func(st *unix.Stat_t) error { return unix.Lstat(path, st) })
	if err != nil {
		return id, &os.PathError{Op: "lstat", Path: path, Err: err}
	}
	return id, nil
}

// noteFiles keeps what checkSizes and checkThere compare with. The files have just been opened, which checks their sizes.
func (e *entry) noteFiles() error {
	files, err := e.ring.Reopen(shmring.Inspect)
	if err != nil {
		return err
	}
	defer files.Close()
	for i, fd := range []int{files.Ring, files.Cursors, files.Control, files.LocksP, files.LocksC} {
		if e.files[i], err = identifyFD(fd); err != nil {
			return err
		}
	}
	return nil
}

// checkSizes refuses a topic whose files are no longer as long as they were, before a fault can show it.
func (e *entry) checkSizes(files shmring.Files) error {
	for i, fd := range [sized]int{files.Ring, files.Cursors, files.Control} {
		is, err := identifyFD(fd)
		if err != nil {
			return err
		}
		if err := e.checkSize(i, is); err != nil {
			return err
		}
	}
	return nil
}

func (e *entry) checkSize(i int, is identity) error {
	if was := e.files[i].size; i < sized && is.size != was {
		return fmt.Errorf("%w: %w: %s has %d bytes, it was made with %d", shmring.ErrCorrupt, errFault, fileNames[i], is.size, was)
	}
	return nil
}

// checkThere refuses a topic whose files are no longer those that the broker and its clients have mapped.
func (e *entry) checkThere(dir string) error {
	for i, was := range e.files {
		is, err := identifyPath(filepath.Join(dir, fileNames[i]))
		if errors.Is(err, fs.ErrNotExist) || err == nil && (is.device != was.device || is.inode != was.inode) {
			return fmt.Errorf("%w: %s", errGone, fileNames[i])
		}
		if err != nil {
			return err
		}
		if err := e.checkSize(i, is); err != nil {
			return err
		}
	}
	return nil
}

// openForRepair replaces the producers' lock file by a description open for writing, through which a producer repairs the topic
// while there is no broker. It could through the one that keeps its slot; but that one the producer repairs through itself.
func openForRepair(dir string, files *shmring.Files) error {
	fd, err := unix.Open(filepath.Join(dir, "locks.p"), unix.O_RDWR|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: "locks.p", Err: err}
	}
	want, err := identifyFD(files.LocksP)
	var got identity
	if err == nil {
		got, err = identifyFD(fd)
	}
	if err == nil && (got.device != want.device || got.inode != want.inode) {
		err = fmt.Errorf("%w: locks.p", errGone)
	}
	if err != nil {
		unix.Close(fd)
		return err
	}
	unix.Close(files.LocksP)
	files.LocksP = fd
	return nil
}

// look is guarded for an active topic: one that faults is damaged from then on, so that nobody attaches to it any more.
func (b *Broker) look(e *entry, f func() error) error {
	err := guarded(f)
	if !errors.Is(err, errFault) && !errors.Is(err, errGone) && !errors.Is(err, shmring.ErrCorrupt) {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if e.state == control.TopicActive {
		e.state, e.fault = control.TopicDamaged, control.CutText(err.Error(), control.MaxText)
		b.log.Error("topic is damaged: left as it is, nobody can attach any more", "topic", e.name, "error", err)
	}
	return err
}
