package tools

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/mycelium-bus/mycelium/shmring"
)

// Gap is a part of the ring, from position From up to To, whose messages were not seen. Headers and padding count.
type Gap struct {
	From, To uint64
	Err      error // [shmring.ErrLapped]: overwritten before it was read; [shmring.ErrCorrupt]; [ErrIncomplete]: nothing is committed there
}

// Bytes is how many bytes of the ring the gap holds.
func (g Gap) Bytes() uint64 { return g.To - g.From }

func (g Gap) String() string {
	return fmt.Sprintf("missed %d bytes of the ring, position %d to %d: %v", g.Bytes(), g.From, g.To, g.Err)
}

// walk is one pass over the frames that were in a ring when it began.
type walk struct {
	ring  *shmring.Ring
	from  shmring.From
	end   uint64
	visit func(f shmring.Frame, producer int) error // the frame is lent until it returns
	gap   func(Gap)
}

// errStop, returned by visit, ends a walk early and well.
var errStop = errors.New("stop")

// run visits every frame from the start up to the end once, in the order of their positions, and tells every gap between
// them. Nobody waits for it, and it waits for nobody. Where a segment cannot be read on, it goes on with the next one, which
// begins with a frame. It returns what visit returned, ctx's error, or why the ring cannot be looked at.
func (w *walk) run(ctx context.Context) error {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true)) // see fault
	resume, err := w.pass(ctx, w.from)
	for err == nil && resume != 0 {
		at := resume
		resume, err = w.pass(ctx, shmring.At(at))
		if errors.Is(err, shmring.ErrPosition) { // producers were faster than we
			resume, err = w.overtaken(at)
		}
	}
	if err == errStop {
		return nil
	}
	return err
}

// pass reads with one observer until the end, or until its segment cannot be read on: then it returns where to resume.
func (w *walk) pass(ctx context.Context, from shmring.From) (resume uint64, err error) {
	defer w.fault(&err)
	rd, err := w.ring.Observer(from)
	if err != nil {
		return 0, err
	}
	defer rd.Close()
	for n := 0; ; n++ {
		if n&0xfff == 0 && ctx.Err() != nil {
			return 0, ctx.Err()
		}
		if f, ok := rd.Next(); ok {
			if !before(f.Position, w.end) {
				return 0, nil
			}
			if err := w.visit(f, rd.Producer()); err != nil {
				return 0, err
			}
			continue
		}
		pos, why := rd.Position(), rd.Err()
		lapped, isLapped := errors.AsType[*shmring.LappedError](why)
		if isLapped {
			pos = lapped.From
		}
		switch {
		case !before(pos, w.end):
			return 0, nil
		case isLapped:
			w.gap(Gap{lapped.From, earlier(lapped.To, w.end), shmring.ErrLapped})
		case errors.Is(why, shmring.ErrCorrupt):
			return w.skip(pos, why), nil
		default: // a claim that is open, in a ring that may be closing
			return w.skip(pos, fmt.Errorf("%w: no message is committed at %d", ErrIncomplete, pos)), nil
		}
	}
}

// skip tells the gap up to the segment's end, and returns where to go on: 0 for nowhere.
func (w *walk) skip(pos uint64, why error) uint64 {
	segment := w.ring.Capacity() / segments
	to := (pos/segment + 1) * segment
	w.gap(Gap{pos, earlier(to, w.end), why})
	if !before(to, w.end) {
		return 0
	}
	return to
}

// segments is how many the data area has. Part of the format.
const segments = 8

// overtaken tells the gap from at to the oldest message that is left, and returns where to go on.
func (w *walk) overtaken(at uint64) (resume uint64, err error) {
	rd, err := w.ring.Observer(shmring.Oldest())
	if err != nil {
		return 0, err
	}
	defer rd.Close()
	to := rd.Position()
	if !before(at, to) {
		return 0, fmt.Errorf("%w: no frame begins at the segment boundary %d", shmring.ErrCorrupt, at)
	}
	w.gap(Gap{at, earlier(to, w.end), shmring.ErrLapped})
	if !before(to, w.end) {
		return 0, nil
	}
	return to, nil
}

// fault turns a memory fault into an error, if the ring can say what happened: a file that somebody cuts under us faults where
// its pages were. Everything else goes on as the panic that it is.
func (w *walk) fault(err *error) {
	r := recover()
	if r == nil {
		return
	}
	if e, ok := r.(runtime.Error); ok {
		if _, ok := e.(interface{ Addr() uintptr }); ok { // runtime/debug.SetPanicOnFault documents Addr
			if _, *err = w.ring.Verify(); *err != nil {
				return
			}
		}
	}
	panic(r)
}

// before reports whether position a lies before b: positions are compared as signed differences.
func before(a, b uint64) bool { return int64(a-b) < 0 }

func earlier(a, b uint64) uint64 {
	if before(a, b) {
		return a
	}
	return b
}
