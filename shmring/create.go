package shmring

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/mycelium-bus/mycelium/shmring/internal/shm"
	"golang.org/x/sys/unix"
)

// Options are a ring's sizes, fixed at creation. The zero value is a 16 MiB mpmc ring.
type Options struct {
	Kind      Kind   // default MPMC
	Routing   uint8  // told to tools; 0 fanout, 1 queue
	Sleep     uint8  // 0 auto, 1 fence: producers fence each commit and nobody executes membarrier
	Capacity  uint64 // bytes of frames, a power of two, 64 KiB to 32 GiB; default 16 MiB
	MaxFrame  uint64 // payload bytes of a message; default the smaller of 64 KiB and Capacity/32 - 16; at most Capacity/32 - 16
	MaxClaim  uint64 // bytes of a batch, headers included; default Capacity/32; from one largest frame to Capacity/16
	Producers int    // slots; default 64 (one in the single-producer kinds), at most 1,024
	Consumers int    // slots; default 1,000, at most 1,023
	Groups    int    // default 32, at most 256
	Config    []byte // kept in control for the next broker and for tools; at most 16 KiB
}

func (o *Options) header(name string) (*header, error) {
	g := geometry{
		kind: o.Kind, routing: o.Routing, sleep: o.Sleep, capacity: o.Capacity, maxFrame: o.MaxFrame, maxClaim: o.MaxClaim,
		producers: uint64(o.Producers), consumers: uint64(o.Consumers), groups: uint64(o.Groups),
	}
	setDefault(&g.kind, MPMC)
	setDefault(&g.capacity, 16<<20)
	setDefault(&g.maxFrame, min(64<<10, g.capacity/32-frameHeaderSize))
	setDefault(&g.maxClaim, max(g.capacity/32, align16(frameHeaderSize+g.maxFrame)))
	if g.kind.singleProducer() {
		setDefault(&g.producers, 1)
	}
	setDefault(&g.producers, 64)
	setDefault(&g.consumers, 1000)
	setDefault(&g.groups, 32)
	if field, err := g.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", field, err)
	}
	if len(o.Config) > configSize {
		return nil, fmt.Errorf("config: %d bytes, at most %d", len(o.Config), configSize)
	}
	if len(name) > hNameSize {
		return nil, fmt.Errorf("name: %d bytes, at most %d", len(name), hNameSize)
	}
	g.place()
	var nonce [8]byte
	rand.Read(nonce[:]) // never fails: crypto/rand.Read, since go1.24
	return &header{geometry: g, name: name, writable: true, createdNs: uint64(time.Now().UnixNano()),
		nonce: binary.LittleEndian.Uint64(nonce[:]) | 1<<63}, nil
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// FilesSize returns how many bytes a topic with these options takes in the bus directory.
func (o Options) FilesSize() (uint64, error) {
	h, err := o.header("")
	if err != nil {
		return 0, err
	}
	return h.ringSize + h.cursorsSize + h.controlSize, nil
}

// Create makes the topic name in the bus directory busDir, which exists, and opens it with access [Own]. Creation is atomic
// and complete: files are allocated whole in a temporary directory (room is checked first: [ErrNoSpace] names the missing
// bytes), written, and renamed into place; [ErrExists] if the name is taken. It takes about a millisecond per 4 MiB, most of
// it zeroing.
func Create(busDir, name string, o Options) (*Ring, error) {
	h, err := o.header(name)
	if err != nil {
		return nil, fmt.Errorf("create topic %q: %w", name, err)
	}
	final := filepath.Join(busDir, name)
	if _, err := os.Lstat(final); err == nil {
		return nil, fmt.Errorf("create topic %q: %w", name, ErrExists)
	}
	if err := checkHeadroom(busDir, h.ringSize+h.cursorsSize+h.controlSize); err != nil {
		return nil, fmt.Errorf("create topic %q: %w", name, err)
	}
	tmp, err := os.MkdirTemp(busDir, ".new-"+name+"-")
	if err != nil {
		return nil, fmt.Errorf("create topic %q: %w", name, err)
	}
	r, err := createIn(tmp, h, o.Config)
	if err == nil {
		// RENAME_NOREPLACE: two creators, one wins.
		err = unix.Renameat2(unix.AT_FDCWD, tmp, unix.AT_FDCWD, final, unix.RENAME_NOREPLACE)
		if errors.Is(err, unix.EEXIST) {
			err = ErrExists
		}
		if err == nil {
			r.path = final
			return r, nil
		}
		r.Close()
	}
	return nil, errors.Join(fmt.Errorf("create topic %q: %w", name, err), os.RemoveAll(tmp))
}

// createIn writes the files into the directory at path and maps them.
func createIn(path string, h *header, config []byte) (*Ring, error) {
	dir, err := openDir(path)
	if err != nil {
		return nil, err
	}
	defer unix.Close(dir)
	sizes := map[string]uint64{nameRing: h.ringSize, nameCursors: h.cursorsSize, nameControl: h.controlSize, nameLocksP: 0, nameLocksC: 0}
	for name, size := range sizes {
		fd, err := unix.Openat(dir, name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
		if err != nil {
			return nil, &os.PathError{Op: "create", Path: name, Err: err}
		}
		if err = unix.Fchmod(fd, 0o600); err == nil && size > 0 {
			// Whole files now: a page that cannot be had later would be a SIGBUS in the middle of a message.
			err = allocate(fd, int64(size))
		}
		unix.Close(fd)
		if err != nil {
			return nil, fmt.Errorf("allocate %d bytes for %s: %w", size, name, err)
		}
	}
	if err := writeFiles(dir, h, config); err != nil {
		return nil, err
	}
	return Open(path, Own)
}

func allocate(fd int, size int64) error {
	for {
		switch err := unix.Fallocate(fd, 0, 0, size); err {
		case unix.EINTR:
		case unix.ENOSPC, unix.ENOMEM:
			return fmt.Errorf("%w: %w", ErrNoSpace, err)
		default:
			return err
		}
	}
}

// writeFiles fills new files: words first, headers last.
func writeFiles(dir int, h *header, config []byte) (err error) {
	r := &Ring{header: *h, access: Own, dir: -1}
	defer func() { err = errors.Join(err, r.ring.Retire(), r.cursors.Retire(), r.control.Retire()) }()
	for _, m := range []struct {
		name string
		size uint64
		mem  *shm.Memory
	}{{nameRing, h.ringSize, &r.ring}, {nameCursors, h.cursorsSize, &r.cursors}, {nameControl, h.controlSize, &r.control}} {
		fd, err := unix.Openat(dir, m.name, unix.O_RDWR|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return &os.PathError{Op: "open", Path: m.name, Err: err}
		}
		if m.name == nameRing {
			r.inode, _ = inodeOf(fd) // unknown: the topic passes for a copy, which only makes verify more lenient
		}
		*m.mem, err = shm.Map(fd, int64(m.size), true)
		unix.Close(fd)
		if err != nil {
			return err
		}
		m.mem.Populate(0, m.size, true)
	}
	r.initialize(config)
	return nil
}

// initialize writes the words of a new ring, whose memory is zero, then its headers. Nobody else sees the memory yet.
func (r *Ring) initialize(config []byte) {
	r.bind()
	// order: none, nobody has the file yet (all stores of this function).
	r.tail.StoreRelaxed(r.capacity)
	r.limit.StoreRelaxed(r.capacity)                    // order: none, see above
	r.ring.Word32(offWake).Store(1)                     // order: none, see above; asleep = fenced = wake - 1
	r.cursors.Word32(offSpace).Store(1)                 // order: none, see above; blocked = space - 1
	r.control.Word(offTopicState).Store(topicActive)    // order: none, see above
	r.control.Word(offConfigLength).Store(lenU(config)) // order: none, see above
	copy(r.control.Bytes(r.offConfig, configSize), config)
	for i := range r.groups {
		// order: none, see above, pair [head] with Ring.verifyGroups: a new group's head names nobody, at the first position.
		r.groupWord(i, gHead).StoreRelaxed(pack(r.capacity, groupNobody))
	}
	if r.routing == routingQueue {
		r.initializeGroup(0, DefaultGroup)
	}
	for _, f := range []struct {
		mem shm.Memory
		id  fileID
	}{{r.ring, fileRing}, {r.cursors, fileCursors}, {r.control, fileControl}} {
		page := r.header.encode(f.id)
		copy(f.mem.Bytes(8, headerSize-8), page[8:])
		// order: release, pair [magic] with decodeHeader: who sees the magic sees the header.
		f.mem.Word(hMagic).StoreRelease(magic)
	}
}

func lenU(b []byte) uint64 { return uint64(len(b)) }

// NewHeap makes a ring in ordinary Go memory, without files and locks: for tests under the race detector and for
// benchmarks inside one process. It is the same code on other memory.
func NewHeap(name string, o Options) (*Ring, error) {
	h, err := o.header(name)
	if err != nil {
		return nil, err
	}
	r := &Ring{header: *h, access: Own, dir: -1, locks: newHeapLocks(),
		ring: shm.Heap(int(h.ringSize)), cursors: shm.Heap(int(h.cursorsSize)), control: shm.Heap(int(h.controlSize))}
	r.initialize(o.Config)
	return r, nil
}

// Config returns the configuration bytes that the topic was created with, or that [Ring.SetConfig] wrote last.
func (r *Ring) Config() (config []byte, err error) {
	if r.control.Len() == 0 {
		return nil, fmt.Errorf("%w: a single ring file has no configuration", ErrPermission)
	}
	err = r.look(func() error {
		config, err = r.readConfig()
		return err
	})
	return config, err
}

func (r *Ring) readConfig() ([]byte, error) {
	// order: acquire, pair [config] with Ring.SetConfig.
	n := r.control.Word(offConfigLength).Load()
	if n > configSize {
		return nil, &CorruptError{File: "control", Field: "config length", Position: offConfigLength, Got: fmt.Sprint(n), Want: fmt.Sprintf("at most %d", configSize)}
	}
	b := make([]byte, n)
	shm.Copy(b, r.control.Bytes(r.offConfig, n))
	return b, nil
}

// SetConfig replaces the configuration bytes. Only the broker calls it; a reader may see a mixture while it runs, and
// decodes again.
func (r *Ring) SetConfig(b []byte) error {
	if r.access < Own {
		return fmt.Errorf("%w: the control file is the broker's", ErrPermission)
	}
	if len(b) > configSize {
		return fmt.Errorf("config: %d bytes, at most %d", len(b), configSize)
	}
	return r.look(func() error {
		copy(r.control.Bytes(r.offConfig, configSize), b)
		// order: release, pair [config] with Ring.Config.
		r.control.Word(offConfigLength).StoreRelease(lenU(b))
		return nil
	})
}
