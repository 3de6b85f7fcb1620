package tools

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
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
	switch o.From.kind {
	case startAt:
		from = shmring.At(o.From.pos)
	case startNewest:
		o.Count = max(o.Count, 1)
		if from, err = last(ctx, r, end, o.Count); err != nil {
			return 0, err
		}
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
	err = pass.run(ctx)
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

// last finds where the last n messages before end begin, by a walk over all of them.
func last(ctx context.Context, r *shmring.Ring, end, n uint64) (shmring.From, error) {
	var positions []uint64 // the last n seen, as a ring
	var seen uint64
	pass := walk{ring: r, from: shmring.Oldest(), end: end, gap: func(Gap) {}, visit: func(f shmring.Frame, _ int) error {
		if uint64(len(positions)) < n {
			positions = append(positions, f.Position)
		} else {
			positions[seen%n] = f.Position
		}
		seen++
		return nil
	}}
	if err := pass.run(ctx); err != nil {
		return shmring.From{}, err
	}
	if seen <= n {
		return shmring.Oldest(), nil
	}
	return shmring.At(positions[seen%n]), nil
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
