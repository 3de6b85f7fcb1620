package shmring

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/mycelium-bus/mycelium/shmring/internal/shm"
	"golang.org/x/sys/unix"
)

// Kind says how many producers and how many gates a ring admits.
type Kind uint8

const (
	SPSC Kind = iota + 1 // one producer, one gate
	SPMC                 // one producer, many gates
	MPSC                 // many producers, one gate
	MPMC                 // many producers, many gates
)

func (k Kind) singleProducer() bool { return k == SPSC || k == SPMC }
func (k Kind) singleGate() bool     { return k == SPSC || k == MPSC }

func (k Kind) String() string {
	switch k {
	case SPSC:
		return "spsc"
	case SPMC:
		return "spmc"
	case MPSC:
		return "mpsc"
	case MPMC:
		return "mpmc"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Access says what a process may do with a topic's files; a mapping grants no more than its descriptors.
type Access uint8

const (
	Inspect Access = iota // everything read-only: tools
	Consume               // cursors writable
	Produce               // ring and cursors writable; for producers and looks, not for readers (shm.Shield)
	Own                   // all writable, slots can be granted: the broker, a direct opener
)

func (a Access) String() string {
	return [...]string{"inspect", "consume", "produce", "own"}[a&3]
}

// Ring is one topic's mapped files. Its methods may be called by several goroutines at once; the handles it gives
// ([Producer], [Reader]) are for one goroutine each.
type Ring struct {
	header
	access Access
	copied bool   // the ring file is a copy: its files, and parts of them, may be of different moments
	path   string // of the directory; "" when attached by descriptors

	ring, cursors, control shm.Memory
	shield                 *shm.Shield // of a mapping for producers; another's keeps nothing off
	data                   shm.Area
	dir                    int // descriptor of the directory, -1 without
	locks                  locker

	tail, limit, usedProducers, usedConsumers *shm.Word

	mu      sync.Mutex
	users   int         // handles and inspections under way
	retired atomic.Bool // the memory is given back: Guard looks at it no more
	closed  bool

	populateOnce sync.Once
}

// Files are a topic's open descriptors, as a broker hands them out: ring, cursors and control with the access mode that the
// attaching process is to have, the lock files readable.
type Files struct{ Ring, Cursors, Control, LocksP, LocksC int }

const (
	nameRing, nameCursors, nameControl = "ring", "cursors", "control"
	nameLocksP, nameLocksC             = "locks.p", "locks.c"
)

// Open maps the topic in the directory at path with the given access. It checks owner, mode and every field of the
// headers, follows no symbolic link, and returns [ErrCorrupt], [ErrVersion] or [ErrPermission] with the field that is wrong.
func Open(path string, access Access) (*Ring, error) {
	dir, err := openDir(path)
	if err != nil {
		return nil, err
	}
	r, err := openAt(dir, access)
	if err != nil {
		unix.Close(dir)
		return nil, fmt.Errorf("open topic %s: %w", path, err)
	}
	r.path = path
	return r, nil
}

// openAt maps the topic in the open directory dir, which the ring then owns.
func openAt(dir int, access Access) (*Ring, error) {
	var st unix.Stat_t
	if err := unix.Fstat(dir, &st); err != nil {
		return nil, os.NewSyscallError("fstat", err)
	}
	mode := func(write bool) int {
		if write {
			return unix.O_RDWR
		}
		return unix.O_RDONLY
	}
	f := Files{-1, -1, -1, -1, -1}
	for _, o := range []struct {
		fd   *int
		name string
		mode int
	}{
		{&f.Ring, nameRing, mode(access >= Produce)},
		{&f.Cursors, nameCursors, mode(access >= Consume)},
		{&f.Control, nameControl, mode(access >= Own)},
		{&f.LocksP, nameLocksP, unix.O_RDONLY},
		{&f.LocksC, nameLocksC, unix.O_RDONLY},
	} {
		fd, err := openPrivate(dir, o.name, o.mode, st.Uid)
		if err != nil {
			f.Close()
			return nil, err
		}
		*o.fd = fd
	}
	r, err := Attach(f, access)
	if err != nil {
		return nil, err
	}
	r.dir, r.locks.(*fileLocks).dir = dir, dir
	return r, nil
}

// Attach maps a topic by descriptors. It takes them over: ring, cursors and control are closed, the lock files are kept for
// probing, also on error.
func Attach(f Files, access Access) (*Ring, error) {
	r := &Ring{access: access, dir: -1, locks: &fileLocks{dir: -1, probe: [2]int{f.LocksP, f.LocksC}}}
	f.LocksP, f.LocksC = -1, -1
	defer f.Close()
	headers := [3]*header{}
	inode, err := inodeOf(f.Ring)
	if err != nil {
		r.dispose()
		return nil, err
	}
	for i, m := range []struct {
		mem   *shm.Memory
		fd    int
		id    fileID
		write bool
	}{
		{&r.ring, f.Ring, fileRing, access >= Produce},
		{&r.cursors, f.Cursors, fileCursors, access >= Consume},
		{&r.control, f.Control, fileControl, access >= Own},
	} {
		h, mem, err := mapFile(m.fd, m.id, m.write)
		if err != nil {
			r.dispose()
			return nil, err
		}
		*m.mem, headers[i] = mem, h
	}
	for i, h := range headers[1:] {
		id := fileID(i + 2)
		if h.nonce != headers[0].nonce || h.geometry != headers[0].geometry {
			r.dispose()
			return nil, &CorruptError{File: id.String(), Field: "nonce and geometry", Position: hNonce,
				Got: fmt.Sprintf("%#x", h.nonce), Want: fmt.Sprintf("%#x, as in ring", headers[0].nonce)}
		}
	}
	r.header = *headers[0]
	r.copied = r.inode != inode
	if access >= Consume && !r.writable {
		r.dispose()
		return nil, fmt.Errorf("%w: ring has features that allow this build only to read it", ErrVersion)
	}
	if access == Produce {
		r.shield = shm.Raise(r.ring, r.cursors, r.control)
	}
	r.bind()
	return r, nil
}

// OpenCopy maps the files of the directory at path read-only, for tools: a copy of a topic's directory, whoever owns it and
// whatever its mode, or the directory itself. Otherwise as [Open] with access [Inspect].
func OpenCopy(path string) (*Ring, error) {
	f := Files{-1, -1, -1, -1, -1}
	for _, o := range []struct {
		fd   *int
		name string
	}{{&f.Ring, nameRing}, {&f.Cursors, nameCursors}, {&f.Control, nameControl}, {&f.LocksP, nameLocksP}, {&f.LocksC, nameLocksC}} {
		fd, err := unix.Open(filepath.Join(path, o.name), unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0) // a FIFO would hang
		if err != nil {
			f.Close()
			return nil, &os.PathError{Op: "open", Path: filepath.Join(path, o.name), Err: err}
		}
		*o.fd = fd
	}
	r, err := Attach(f, Inspect)
	if err != nil {
		return nil, fmt.Errorf("open copy %s: %w", path, err)
	}
	r.path = path
	return r, nil
}

// OpenFile maps a single ring file read-only, for tools: a copy, or the ring of a topic whose other files are gone. Only
// its frames can be looked at.
func OpenFile(path string) (*Ring, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0) // a FIFO would hang
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	h, mem, err := mapFile(fd, fileRing, false)
	if err != nil {
		return nil, fmt.Errorf("open ring file %s: %w", path, err)
	}
	inode, err := inodeOf(fd)
	if err != nil {
		return nil, err
	}
	r := &Ring{header: *h, ring: mem, access: Inspect, path: path, copied: h.inode != inode, dir: -1, locks: &fileLocks{-1, [2]int{-1, -1}}}
	r.bind()
	return r, nil
}

// mapFile checks a file's size against its header, then maps it whole.
func mapFile(fd int, id fileID, write bool) (*header, shm.Memory, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, shm.Memory{}, os.NewSyscallError("fstat "+id.String(), err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, shm.Memory{}, fmt.Errorf("%w: %s is not a regular file", ErrPermission, id)
	}
	page := make([]byte, headerSize)
	n, err := unix.Pread(fd, page, 0) // not through a mapping: a file that is cut meanwhile gives a short read, no SIGBUS
	if err != nil {
		return nil, shm.Memory{}, os.NewSyscallError("read "+id.String(), err)
	}
	h, err := decodeHeader(page[:n], id)
	if err != nil {
		return nil, shm.Memory{}, err
	}
	want := map[fileID]uint64{fileRing: h.ringSize, fileCursors: h.cursorsSize, fileControl: h.controlSize}[id]
	if uint64(st.Size) != want {
		return nil, shm.Memory{}, &CorruptError{File: id.String(), Field: "file size", Got: fmt.Sprint(st.Size), Want: fmt.Sprint(want)}
	}
	mem, err := shm.Map(fd, st.Size, write)
	return h, mem, err
}

func inodeOf(fd int) (uint64, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return 0, os.NewSyscallError("fstat", err)
	}
	return st.Ino, nil
}

// bind finds the words that the hot paths use.
func (r *Ring) bind() {
	if r.shield == nil {
		r.shield = new(shm.Shield)
	}
	r.data = r.ring.Area(r.offData, r.capacity)
	r.tail = r.ring.Word(offTail)
	r.limit = r.ring.Word(offLimit)
	r.usedProducers = r.ring.Word(offUsedProducers)
	if r.cursors.Len() != 0 {
		r.usedConsumers = r.cursors.Word(offUsedConsumers)
	}
}

// Kind, Capacity (bytes), MaxFrame (most payload bytes of a message), MaxClaim (most bytes of a batch, headers included) and
// Name are fixed at creation.
func (r *Ring) Kind() Kind        { return r.kind }
func (r *Ring) Capacity() uint64  { return r.capacity }
func (r *Ring) MaxFrame() int     { return int(r.maxFrame) }
func (r *Ring) MaxClaim() int     { return int(r.maxClaim) }
func (r *Ring) Name() string      { return r.name }
func (r *Ring) Access() Access    { return r.access }
func (r *Ring) CreatedNs() uint64 { return r.createdNs }

// Nonce tells this incarnation of the topic from every other one.
func (r *Ring) Nonce() uint64 { return r.nonce }

// Closing reports whether the topic was deleted.
func (r *Ring) Closing() bool {
	if r.control.Len() == 0 || r.hold() != nil {
		return false
	}
	defer r.release()
	closing := false
	r.Guard(func() { closing = r.closing() }) // a control file that was cut short says nothing
	return closing
}

// closing is Closing for who holds the mapping.
func (r *Ring) closing() bool {
	// order: acquire, pair [closing] with Ring.MarkClosing.
	return r.control.Len() != 0 && r.control.Word(offTopicState).Load() == topicClosing
}

// MarkClosing tells every handle that the topic is deleted. It needs access [Own].
func (r *Ring) MarkClosing() error {
	if r.access < Own {
		return fmt.Errorf("%w: closing a topic needs its control file", ErrPermission)
	}
	return r.look(func() error {
		// order: sequentially consistent, pair [closing] with Ring.Closing.
		r.control.Word(offTopicState).Store(topicClosing)
		r.wakeAll()
		// As a sleeper does: the next commit of each producer finds somebody to wake, looks at the topic's state as well, and is the
		// last one. So no commit needs to look.
		r.fallAsleep()
		return nil
	})
}

// Guard runs f, which looks at the ring through handles, and returns [ErrCorrupt] if a look faulted because somebody cut a
// file short (SIGBUS); handles that f used must be closed then. Every other panic of f goes on. It costs a few nanoseconds;
// calls may be nested.
func (r *Ring) Guard(f func()) error {
	faulted := 0
	if !shm.Guard(f, &faulted, &r.retired, r.ring, r.cursors, r.control) {
		return r.cut()
	}
	return r.cutShort(faulted)
}

// guarded is Guard for what can fail.
func (r *Ring) guarded(f func() error) (err error) {
	if fault := r.Guard(func() { err = f() }); fault != nil {
		return fault
	}
	return err
}

// look holds the mapping while f looks at it, under the guard.
func (r *Ring) look(f func() error) error {
	if err := r.hold(); err != nil {
		return err
	}
	defer r.release()
	return r.guarded(f)
}

// cut returns [ErrCorrupt] once somebody of this process has come upon a page that is gone, in a mapping with a shield: what was loaded
// before may have been zeros that nobody wrote, and what was stored may have reached nobody.
func (r *Ring) cut() error {
	if !r.shield.Cut() {
		return nil
	}
	return r.cutShort(r.shield.Which())
}

// cutShort names the file of the memory that is the i-th of ring, cursors and control.
func (r *Ring) cutShort(i int) error {
	return fmt.Errorf("topic %s: %w", r.name, &CorruptError{File: fileID(i + 1).String(), Field: "file size", Got: "cut short", Want: "as created"})
}

// hold keeps the mapping for a handle or a look; release gives it back, and the last one after Close retires it.
func (r *Ring) hold() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return ErrClosed
	}
	r.users++
	return nil
}

func (r *Ring) release() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.users--
	if r.closed && r.users == 0 {
		r.dispose()
	}
}

// Close gives the mapping up. Handles that are still open keep it until they are closed; the memory then goes back to the
// system. It may be called more than once.
func (r *Ring) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil
	}
	r.closed = true
	if r.users == 0 {
		return r.dispose()
	}
	return nil
}

func (r *Ring) dispose() error {
	r.retired.Store(true)
	err := errors.Join(r.ring.Retire(), r.cursors.Retire(), r.control.Retire())
	if r.shield != nil { // nil if the ring could not be opened
		r.shield.Lower()
	}
	closeFD(&r.dir)
	if l, ok := r.locks.(*fileLocks); ok {
		closeFD(&l.probe[producerLocks])
		closeFD(&l.probe[consumerLocks])
		l.dir = -1
	}
	return err
}

// Close closes all the descriptors.
func (f *Files) Close() {
	for _, fd := range []*int{&f.Ring, &f.Cursors, &f.Control, &f.LocksP, &f.LocksC} {
		closeFD(fd)
	}
}

func closeFD(fd *int) {
	if *fd >= 0 {
		unix.Close(*fd)
		*fd = -1
	}
}

// Reopen opens the topic's files anew with the access mode that the right to attach with asks for; the caller owns the
// descriptors. It is how a broker hands a topic out. It needs a ring opened by directory.
func (r *Ring) Reopen(access Access) (Files, error) {
	f := Files{-1, -1, -1, -1, -1}
	if r.dir < 0 {
		return f, fmt.Errorf("%w: the ring was not opened by directory", ErrPermission)
	}
	var st unix.Stat_t
	if err := unix.Fstat(r.dir, &st); err != nil {
		return f, os.NewSyscallError("fstat", err)
	}
	for _, o := range []struct {
		fd    *int
		name  string
		write bool
	}{
		{&f.Ring, nameRing, access >= Produce}, {&f.Cursors, nameCursors, access >= Consume},
		{&f.Control, nameControl, access >= Own}, {&f.LocksP, nameLocksP, false}, {&f.LocksC, nameLocksC, false},
	} {
		mode := unix.O_RDONLY
		if o.write {
			mode = unix.O_RDWR
		}
		fd, err := openPrivate(r.dir, o.name, mode, st.Uid)
		if err != nil {
			f.Close()
			return f, err
		}
		*o.fd = fd
	}
	return f, nil
}

// openDir opens a topic's directory, which must be its owner's alone.
func openDir(path string) (int, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: path, Err: err}
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return -1, os.NewSyscallError("fstat", err)
	}
	if euid := uint32(os.Geteuid()); st.Uid != euid && euid != 0 || st.Mode&0o077 != 0 {
		unix.Close(fd)
		return -1, fmt.Errorf("%w: directory %s has mode %#o and owner %d, want 0700 and owner %d",
			ErrPermission, path, st.Mode&0o777, st.Uid, euid)
	}
	return fd, nil
}

// openPrivate opens a file of a topic's directory: a regular one, the directory's owner's alone, no symbolic link.
func openPrivate(dir int, name string, mode int, owner uint32) (int, error) {
	fd, err := unix.Openat(dir, name, mode|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: filepath.Join("topic", name), Err: err}
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return -1, os.NewSyscallError("fstat", err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG || st.Uid != owner || st.Mode&0o077 != 0 {
		unix.Close(fd)
		return -1, fmt.Errorf("%w: file %s has mode %#o and owner %d, want a regular file of mode 0600 and owner %d",
			ErrPermission, name, st.Mode, st.Uid, owner)
	}
	return fd, nil
}
