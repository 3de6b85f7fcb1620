package shmring

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestASlotIsProvenByItsLockAlone(t *testing.T) {
	r := newFileRing(t, Options{Capacity: 64 << 10})
	p, other := newProducer(t, r), newProducer(t, r)
	rd := newReader(t, r, Policy{Slow: Block}, Newest())
	lossy := newReader(t, r, Policy{Slow: Lossy}, Newest())
	open := func(path string, mode int) int {
		fd, err := unix.Open(path, mode|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(fd) })
		return fd
	}
	fresh := open(filepath.Join(r.path, nameLocksP), unix.O_RDWR)
	readable := open(filepath.Join(r.path, nameLocksP), unix.O_RDONLY)
	named := open(filepath.Join(r.path, nameLocksP), unix.O_PATH)
	elsewhere := open(os.DevNull, unix.O_RDWR)
	own := p.Tenancy()
	with := func(change func(*Tenancy)) Tenancy { n := own; change(&n); return n }

	broker := again(t, r, Own)
	for name, c := range map[string]struct {
		err  error
		want string // part of the refusal; "" where it is proven
	}{
		"a producer":                         {broker.ProveProducer(own), ""},
		"a producer, again":                  {broker.ProveProducer(own), ""},
		"another producer":                   {broker.ProveProducer(other.Tenancy()), ""},
		"a reader":                           {broker.ProveConsumer(rd.Tenancy()), ""},
		"a lossy reader":                     {broker.ProveConsumer(lossy.Tenancy()), ""},
		"another one's slot":                 {broker.ProveProducer(with(func(n *Tenancy) { n.Slot = other.Tenancy().Slot })), "another one holds its lock"},
		"a new description of the lock file": {broker.ProveProducer(with(func(n *Tenancy) { n.Lock = fresh })), "another one holds its lock"},
		"one that is only readable":          {broker.ProveProducer(with(func(n *Tenancy) { n.Lock = readable })), "another one holds its lock (fcntl"},
		"one that only names it":             {broker.ProveProducer(with(func(n *Tenancy) { n.Lock = named })), "another one holds its lock (fcntl"},
		"another file":                       {broker.ProveProducer(with(func(n *Tenancy) { n.Lock = elsewhere })), "not the topic's lock file"},
		"no descriptor":                      {broker.ProveProducer(with(func(n *Tenancy) { n.Lock = -1 })), "not the topic's lock file (statx"},
		"the readers' lock file":             {broker.ProveProducer(rd.Tenancy()), "not the topic's lock file"},
		"a generation that was":              {broker.ProveProducer(with(func(n *Tenancy) { n.Generation-- })), "is producer in generation 1"},
		"a generation to come":               {broker.ProveProducer(with(func(n *Tenancy) { n.Generation++ })), "generation 2 is named"},
		"a slot that nobody has":             {broker.ProveProducer(with(func(n *Tenancy) { n.Slot = 5 })), "nobody holds its lock"},
		"a slot that is not there":           {broker.ProveProducer(with(func(n *Tenancy) { n.Slot = 64 })), "there are 64"},
		"a negative slot":                    {broker.ProveProducer(with(func(n *Tenancy) { n.Slot = -1 })), "there are 64"},
	} {
		if c.want == "" && c.err != nil || c.want != "" && (!errors.Is(c.err, ErrUnproven) || !strings.Contains(c.err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", name, c.err, c.want)
		}
	}

	g, err := broker.GrantProducer(0)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if err := broker.ProveProducer(Tenancy{g.Slot, 0, g.Lock}); !errors.Is(err, ErrUnproven) || !strings.Contains(err.Error(), "is free") {
		t.Errorf("a slot that was granted and is not used: %v", err)
	}
	if err := broker.MarkClosing(); err != nil {
		t.Fatal(err)
	}
	if err := broker.ProveProducer(own); !errors.Is(err, ErrClosed) {
		t.Errorf("of a topic that is deleted: %v", err)
	}
}

func TestProvingIsForFiles(t *testing.T) {
	r := newHeapRing(t, Options{Capacity: 64 << 10})
	p := newProducer(t, r)
	if err := r.ProveProducer(p.Tenancy()); !errors.Is(err, ErrPermission) {
		t.Errorf("%v, want %v", err, ErrPermission)
	}
}

// Who attached by descriptors repairs through one of them, and only one at a time does.
func TestRepairThroughADescriptor(t *testing.T) {
	owner := newFileRing(t, Options{Capacity: 64 << 10})
	files, err := owner.Reopen(Produce)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Attach(files, Produce)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	lock, err := unix.Open(filepath.Join(owner.path, nameLocksP), unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(lock)

	dead := newProducer(t, owner)
	if _, err := dead.Claim(100); err != nil {
		t.Fatal(err)
	}
	rd := newReader(t, owner, Policy{Slow: Block}, Oldest())
	live := newProducer(t, owner)
	if err := live.Publish([]byte("behind the hole")); err != nil {
		t.Fatal(err)
	}
	dead.cleanup.Stop()
	dead.lease.abandon() // as its death does

	if _, err := r.Repair(false); !errors.Is(err, os.ErrPermission) {
		t.Errorf("Repair without the directory: %v", err)
	}
	if _, err := r.RepairThrough(0, false); !errors.Is(err, ErrPermission) {
		t.Errorf("through another file: %v", err)
	}
	h, err := owner.locks.open(producerLocks)
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := owner.locks.lock(producerLocks, h, repairByte); !ok || err != nil {
		t.Fatal(err)
	}
	if _, err := r.RepairThrough(lock, false); !errors.Is(err, ErrRepairing) {
		t.Errorf("beside another repairer: %v", err)
	}
	owner.locks.close(h)
	if done, err := r.RepairThrough(lock, true); err != nil || len(done) != 1 {
		t.Errorf("dry: %v, %v", done, err)
	}
	if f, ok := rd.Next(); ok {
		t.Errorf("a dry repair let the reader pass: %v", f)
	}
	if done, err := r.RepairThrough(lock, false); err != nil || len(done) != 1 || done[0].ID != dead.ID() {
		t.Errorf("mended %v, %v", done, err)
	}
	if f, ok := rd.Next(); !ok || string(f.Payload) != "behind the hole" {
		t.Errorf("got %q, %v, %v", f.Payload, ok, rd.Err())
	}
	if access, err := owner.Reopen(Consume); err != nil {
		t.Error(err)
	} else if reader, err := Attach(access, Consume); err != nil {
		t.Error(err)
	} else {
		defer reader.Close()
		if _, err := reader.RepairThrough(lock, false); !errors.Is(err, ErrPermission) {
			t.Errorf("with access to read: %v", err)
		}
	}
}
