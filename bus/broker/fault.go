package broker

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"

	"golang.org/x/sys/unix"

	"github.com/mycelium-bus/mycelium/bus/internal/control"
	"github.com/mycelium-bus/mycelium/shmring"
)

// errFault says that a topic's file was truncated while the broker had it mapped.
var errFault = errors.New("a file was truncated")

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

// checkSizes refuses a topic whose files are no longer as long as they were, before a fault can show it.
func (e *entry) checkSizes(files shmring.Files) error {
	for i, fd := range []int{files.Ring, files.Cursors} {
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return os.NewSyscallError("fstat", err)
		}
		if st.Size != e.sizes[i] {
			return fmt.Errorf("%w: %w: %s has %d bytes, it was made with %d", shmring.ErrCorrupt, errFault, []string{"ring", "cursors"}[i], st.Size, e.sizes[i])
		}
	}
	return nil
}

// noteSizes keeps what checkSizes compares with. The files have just been opened, which checks their sizes.
func (e *entry) noteSizes() error {
	files, err := e.ring.Reopen(shmring.Inspect)
	if err != nil {
		return err
	}
	defer files.Close()
	for i, fd := range []int{files.Ring, files.Cursors} {
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return os.NewSyscallError("fstat", err)
		}
		e.sizes[i] = st.Size
	}
	return nil
}

// look is guarded for an active topic: one that faults is damaged from then on, so that nobody attaches to it any more.
func (b *Broker) look(e *entry, f func() error) error {
	err := guarded(f)
	if !errors.Is(err, errFault) && !errors.Is(err, shmring.ErrCorrupt) {
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
