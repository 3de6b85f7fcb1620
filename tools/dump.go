package tools

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/mycelium-bus/mycelium/shmring"
)

// Format is how a dump is printed.
type Format string

const (
	Text Format = "text" // one line a message
	JSON Format = "json" // one [Record] a line
	Hex  Format = "hex"  // a line with position, length and producer, then the payload's bytes, 16 a line, each line with its position
)

// Start says where a dump begins.
type Start struct {
	kind startKind
	pos  uint64
}

type startKind uint8

const (
	startOldest startKind = iota
	startNewest
	startAt
)

// ParseStart reads "oldest", "newest" or a position.
func ParseStart(s string) (Start, error) {
	switch s {
	case "oldest":
		return Start{}, nil
	case "newest":
		return Start{kind: startNewest}, nil
	}
	pos, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return Start{}, fmt.Errorf("%q is neither oldest, newest nor a position (a number of bytes, as dump prints it)", s)
	}
	return Start{startAt, pos}, nil
}

// DumpOptions say what to dump. The zero value is everything as text.
type DumpOptions struct {
	From   Start  // the oldest message; the newest means the last Count ones
	Count  uint64 // most messages; 0 means all, and one from the newest
	Format Format // default Text
	Gap    func(Gap)
}

// Dump writes the messages that were in the ring when it was called, in order, and returns how many. It never waits for one
// that comes later. What could not be read is told to o.Gap; if a part is left out because it is damaged, the rest is
// dumped all the same and the error is that part's. Errors are those of w, of ctx, shmring.ErrPosition for a position
// where no frame begins, and shmring.ErrCorrupt.
func Dump(ctx context.Context, r *shmring.Ring, w io.Writer, o DumpOptions) (written uint64, err error) {
	end, err := endOf(r)
	if err != nil {
		return 0, err
	}
	from := shmring.Oldest()
	if o.From.kind == startAt {
		from = shmring.At(o.From.pos)
	}
	out := bufio.NewWriterSize(w, 64<<10)
	print := printer(o.Format, out)
	var damage error
	pass := walk{ring: r, from: from, end: end,
		visit: func(f shmring.Frame, producer int) error {
			if err := print(f, producer); err != nil {
				return err
			}
			if written++; written == o.Count {
				return errStop
			}
			return nil
		},
		gap: func(g Gap) {
			if damage == nil && isDamage(g.Err) {
				damage = g.Err
			}
			if o.Gap != nil {
				out.Flush() // where both go to one terminal, the gap stands where it belongs; an error stays in out
				o.Gap(g)
			}
		}}
	if o.From.kind == startNewest {
		err = newest(ctx, pass, max(o.Count, 1))
	} else {
		err = pass.run(ctx)
	}
	if flushErr := out.Flush(); err == nil {
		err = flushErr
	}
	if err == nil {
		err = damage
	}
	return written, err
}

// endOf returns the position after the newest message that is there now.
func endOf(r *shmring.Ring) (uint64, error) {
	info, err := r.Inspect()
	return info.Tail, err
}

// newest makes the pass, but visits only its last n frames. They are copied on the way: a position to come back to could be
// overwritten before, in a topic that is in use. Of the gaps, only those between the n frames, or at the end, are told.
func newest(ctx context.Context, pass walk, n uint64) error {
	type copied struct {
		frame    shmring.Frame
		producer int
	}
	var frames []copied // the last n seen, as a ring
	var seen uint64
	var gaps []Gap
	visit, gap := pass.visit, pass.gap
	pass.gap = func(g Gap) { gaps = append(gaps, g) }
	pass.visit = func(f shmring.Frame, producer int) error {
		if uint64(len(frames)) < n {
			frames = append(frames, copied{})
		}
		kept := &frames[seen%n]
		kept.frame.Position, kept.producer = f.Position, producer
		kept.frame.Payload = append(kept.frame.Payload[:0], f.Payload...)
		seen++
		return nil
	}
	if err := pass.run(ctx); err != nil {
		return err
	}
	if seen > n { // the first n-th of the ring is no longer the oldest
		frames = append(frames[seen%n:], frames[:seen%n]...)
		gaps = slices.DeleteFunc(gaps, func(g Gap) bool { return before(g.From, frames[0].frame.Position) })
	}
	for _, f := range frames {
		for len(gaps) > 0 && before(gaps[0].From, f.frame.Position) {
			gap(gaps[0])
			gaps = gaps[1:]
		}
		if err := visit(f.frame, f.producer); err == errStop {
			break
		} else if err != nil {
			return err
		}
	}
	for _, g := range gaps {
		gap(g)
	}
	return nil
}

// printer returns what prints one frame.
func printer(format Format, w *bufio.Writer) func(shmring.Frame, int) error {
	switch format {
	case JSON:
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		return func(f shmring.Frame, producer int) error { return enc.Encode(NewRecord(f, producer)) }
	case Hex:
		return func(f shmring.Frame, producer int) error { return hexDump(w, f, producer) }
	}
	return func(f shmring.Frame, producer int) error {
		_, err := fmt.Fprintln(w, NewRecord(f, producer))
		return err
	}
}

// hexDump prints a frame's payload as hexdump -C does, with positions in the ring in place of offsets.
func hexDump(w io.Writer, f shmring.Frame, producer int) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "position %d length %d producer %d\n", f.Position, len(f.Payload), producer)
	for at := 0; at < len(f.Payload); at += 16 {
		row := f.Payload[at:min(at+16, len(f.Payload))]
		fmt.Fprintf(&b, "%016x ", f.Position+frameHeader+uint64(at))
		for i := range 16 {
			if i%8 == 0 {
				b.WriteByte(' ')
			}
			if i < len(row) {
				fmt.Fprintf(&b, "%02x ", row[i])
			} else {
				b.WriteString("   ")
			}
		}
		b.WriteString(" |")
		for _, c := range row {
			if c < ' ' || c > '~' {
				c = '.'
			}
			b.WriteByte(c)
		}
		b.WriteString("|\n")
	}
	_, err := w.Write(b.Bytes())
	return err
}

// frameHeader is the size of a frame's header, before its payload. Part of the format.
const frameHeader = 16
