package shmring

import (
	"os"
	"sync"

	"github.com/mycelium-bus/mycelium/shmring/internal/shm"
	"golang.org/x/sys/unix"
)

// A slot's tenant holds the lock on the slot's byte of a lock file through an open file description of its own, so that the
// kernel lets it go at the tenant's death, SIGKILL and zombie included. Nothing else proves anybody dead: pids mean nothing
// in another namespace and are reused, and no time-out tells a dead process from a stopped one.
type lockFile uint8

const (
	producerLocks lockFile = iota // locks.p
	consumerLocks                 // locks.c
)

// locker is where locks live: files, or a table for rings on the heap.
type locker interface {
	// open makes a new description, which holds nothing yet.
	open(f lockFile) (handle int, err error)
	// lock takes a byte for the description and says whether it could; it never waits.
	lock(f lockFile, handle int, off int64) (bool, error)
	unlock(f lockFile, handle int, off int64) error
	// held says whether some description holds the byte. [known] is false where it cannot be told.
	held(f lockFile, off int64) (held, known bool)
	// close gives up everything the description holds.
	close(handle int)
}

// fileLocks are OFD locks on a topic's lock files.
type fileLocks struct {
	dir   int    // to open them anew, -1 without
	probe [2]int // read-only descriptors, -1 without
}

func (l *fileLocks) open(f lockFile) (int, error) {
	if l.dir < 0 {
		return -1, os.ErrPermission
	}
	var st unix.Stat_t
	if err := unix.Fstat(l.dir, &st); err != nil {
		return -1, os.NewSyscallError("fstat", err)
	}
	return openPrivate(l.dir, [2]string{nameLocksP, nameLocksC}[f], unix.O_RDWR, st.Uid)
}

func (l *fileLocks) lock(_ lockFile, handle int, off int64) (bool, error) {
	return shm.LockByte(handle, off)
}
func (l *fileLocks) unlock(_ lockFile, handle int, off int64) error {
	return shm.UnlockByte(handle, off)
}
func (l *fileLocks) close(handle int) { closeFD(&handle) }

func (l *fileLocks) held(f lockFile, off int64) (held, known bool) {
	if l.probe[f] < 0 {
		return false, false
	}
	locked, err := shm.ByteLocked(l.probe[f], off)
	return locked, err == nil
}

// heapLocks stand in for the files of a ring on the heap: who holds which byte.
type heapLocks struct {
	mu   sync.Mutex
	last int
	of   map[heapLock]int
}

type heapLock struct {
	file lockFile
	off  int64
}

func newHeapLocks() *heapLocks { return &heapLocks{of: map[heapLock]int{}} }

func (l *heapLocks) open(lockFile) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last++
	return l.last, nil
}

func (l *heapLocks) lock(f lockFile, handle int, off int64) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := heapLock{f, off}
	if h, taken := l.of[k]; taken {
		return h == handle, nil
	}
	l.of[k] = handle
	return true, nil
}

func (l *heapLocks) unlock(f lockFile, handle int, off int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if k := (heapLock{f, off}); l.of[k] == handle {
		delete(l.of, k)
	}
	return nil
}

func (l *heapLocks) held(f lockFile, off int64) (held, known bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, held = l.of[heapLock{f, off}]
	return held, true
}

func (l *heapLocks) close(handle int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for k, h := range l.of {
		if h == handle {
			delete(l.of, k)
		}
	}
}
