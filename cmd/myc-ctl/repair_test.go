package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/mycelium-bus/mycelium/cmd/internal/cli"
	"github.com/mycelium-bus/mycelium/internal/leak"
	"github.com/mycelium-bus/mycelium/shmring"
	"golang.org/x/sys/unix"
)

func TestARepairByAnotherProcessIsNotWaitedFor(t *testing.T) {
	dir := leak.ShmDir(t)
	ring, err := shmring.Create(dir, "t", shmring.Options{Capacity: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	defer ring.Close()
	locks, err := os.OpenFile(filepath.Join(dir, "t", "locks.p"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer locks.Close()
	// All of the file, and so the byte that a repairer holds.
	if err := unix.FcntlFlock(locks.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK}); err != nil {
		t.Fatal(err)
	}
	if _, err := repairTopic(filepath.Join(dir, "t"), false); !errors.Is(err, shmring.ErrRepairing) || cli.Hint(err) == "" {
		t.Errorf("%v, hint %q, want %v", err, cli.Hint(err), shmring.ErrRepairing)
	}
	v, err := repairAll(t.Context(), dir, nil, false)
	if !errors.Is(err, shmring.ErrRepairing) || cli.Hint(err) == "" || len(v.Topics) != 0 {
		t.Errorf("%+v, %v", v, err)
	}
	locks.Close()
	if v, err := repairAll(t.Context(), dir, nil, false); err != nil || len(v.Topics) != 1 || len(v.Repairs) != 0 {
		t.Errorf("%+v, %v", v, err)
	}
}
