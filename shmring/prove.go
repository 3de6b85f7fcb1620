package shmring

import (
	"errors"
	"fmt"
	"os"

	"github.com/mycelium-bus/mycelium/shmring/internal/shm"
	"golang.org/x/sys/unix"
)

// ErrUnproven says that a descriptor does not prove that who sent it holds a slot.
var ErrUnproven = errors.New("the descriptor does not prove the slot")

// Tenancy names a handle's hold on its slot, for who has to prove it to a broker that did not grant it.
type Tenancy struct {
	Slot       int
	Generation uint32 // of the slot, when this tenant took it
	Lock       int    // the descriptor that keeps the slot; it stays the handle's and is closed with it
}

// Tenancy returns what names the producer's slot. The producer's goroutine calls it; the result stays true until Close.
func (p *Producer) Tenancy() Tenancy { return Tenancy{int(p.slot), p.lease.state.gen(), p.grant.Lock} }

// Tenancy returns what names the reader's slot. The reader's goroutine calls it; the result stays true until Close.
func (r *Reader) Tenancy() Tenancy { return Tenancy{int(r.slot), r.tenant, r.grant.Lock} }

// ProveProducer returns nil if t names a producer slot in use, and t.Lock is a descriptor of the very description that keeps it:
// what only the slot's tenant can have, and whom it gave it to. Else the error is an [ErrUnproven] that says what is wrong, or
// [ErrClosed]. It neither blocks nor keeps the descriptor; while a copy is open, the slot counts as alive. It needs a ring that was
// opened by directory, or attached to.
func (r *Ring) ProveProducer(t Tenancy) error {
	return r.look(func() error {
		return r.prove(producerLocks, t, r.producers, r.producerWord, func(_ uint64, s state) uint32 { return s.gen() }, slotProducer)
	})
}

// ProveConsumer is ProveProducer for a consumer slot.
func (r *Ring) ProveConsumer(t Tenancy) error {
	return r.look(func() error {
		return r.prove(consumerLocks, t, r.consumers, r.consumerWord, r.tenantOf, slotReader, slotLossy, slotMember)
	})
}

func (r *Ring) prove(f lockFile, t Tenancy, n uint64, word func(slot, off uint64) *shm.Word, tenant func(uint64, state) uint32,
	kinds ...slotKind) error {
	unproven := func(format string, args ...any) error {
		return fmt.Errorf("%w %d of topic %s: %s", ErrUnproven, t.Slot, r.name, fmt.Sprintf(format, args...))
	}
	if r.closing() {
		return ErrClosed
	}
	if t.Slot < 0 || uint64(t.Slot) >= n {
		return unproven("there are %d", n)
	}
	probe, err := r.probeOf(f)
	if err != nil {
		return err
	}
	if same, err := sameFile(probe, t.Lock); err != nil || !same {
		return unproven("the descriptor is not the topic's lock file (%v)", err)
	}
	// Held by somebody, and not by another description than this one: so by this one.
	if held, err := shm.ByteLocked(probe, int64(t.Slot)); err != nil || !held {
		return unproven("nobody holds its lock (%v)", err)
	}
	if mine, err := shm.LockByte(t.Lock, int64(t.Slot)); err != nil || !mine {
		return unproven("another one holds its lock (%v)", err)
	}
	// order: acquire, pair [state] with Ring.activate: after the lock, which keeps everybody else from becoming the tenant.
	s := state(word(uint64(t.Slot), 0).Load())
	for _, k := range kinds {
		if s.kind() == k && tenant(uint64(t.Slot), s) == t.Generation {
			return nil
		}
	}
	return unproven("generation %d is named, the slot is %s in generation %d", t.Generation, s.kind(), tenant(uint64(t.Slot), s))
}

// RepairThrough is [Ring.Repair] for a process that cannot open the topic's directory, as who attached by descriptors: lock is a
// descriptor of the producers' lock file, open for writing, whose description nobody else repairs through meanwhile. It returns
// [ErrPermission] for another file, and needs access [Produce].
func (r *Ring) RepairThrough(lock int, dry bool) (done []Mended, err error) {
	if r.access < Produce {
		return nil, fmt.Errorf("%w: repairing needs access produce, this mapping has %s", ErrPermission, r.access)
	}
	if err := r.hold(); err != nil {
		return nil, err
	}
	defer r.release()
	probe, err := r.probeOf(producerLocks)
	if err != nil {
		return nil, err
	}
	if same, err := sameFile(probe, lock); err != nil || !same {
		return nil, fmt.Errorf("%w: the descriptor is not the lock file of topic %s (%v)", ErrPermission, r.name, err)
	}
	err = r.guarded(func() error {
		done, err = r.repairUnder(lock, repairer{}, dry)
		return err
	})
	return done, err
}

func (r *Ring) probeOf(f lockFile) (int, error) {
	if files, ok := r.locks.(*fileLocks); ok && files.probe[f] >= 0 {
		return files.probe[f], nil
	}
	return -1, fmt.Errorf("%w: topic %s has no lock files here", ErrPermission, r.name)
}

// sameFile compares device and inode.
func sameFile(a, b int) (bool, error) {
	var of [2]unix.Statx_t
	for i, fd := range []int{a, b} {
		// What the kernel knows already: a descriptor from elsewhere may be of a file system that answers when it likes.
		err := unix.Statx(fd, "", unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, unix.STATX_INO, &of[i])
		if err != nil {
			return false, os.NewSyscallError("statx", err)
		}
	}
	return of[0].Dev_major == of[1].Dev_major && of[0].Dev_minor == of[1].Dev_minor && of[0].Ino == of[1].Ino, nil
}
