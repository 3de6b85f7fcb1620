package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/cmd/internal/cli"
	"github.com/mycelium-bus/mycelium/codec"
	"github.com/spf13/cobra"
)

func pubCommand(to *target) *cobra.Command {
	c := &cobra.Command{
		Use:   "pub NAME",
		Short: "Publish what comes on stdin",
		Long: `Publish what comes on stdin: each line as a message with one TLV of type 250, text. It waits where a subscriber leaves no
room, and ends with its input or Ctrl-C. What is no message (no header, TLVs that do not fill it, a wrong checksum) is
refused, and ends it.`,
		Example: "  echo hello | myc-ctl pub market_data\n" +
			"  myc-ctl sub market_data -o hex --count 10 | myc-ctl pub copy --hex\n" +
			"  myc-ctl pub market_data --raw < messages.bin",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: to.completeTopic,
	}
	inHex := c.Flags().Bool("hex", false, "each line is a whole message in hexadecimal")
	raw := c.Flags().Bool("raw", false, "stdin holds whole messages back to back")
	c.MarkFlagsMutuallyExclusive("hex", "raw")
	c.RunE = func(c *cobra.Command, args []string) error {
		conn, err := to.dial(c)
		return cli.Stream(c.Context(), with(conn, err, func(conn *bus.Conn) error {
			pub, err := conn.PublisherContext(c.Context(), args[0])
			if err != nil {
				return err
			}
			in := &input{from: interruptible(c.Context(), c.InOrStdin()), pub: pub,
				send: cli.PublishWait(c.Context(), pub, cli.Patience, func() { cli.Note(c, cli.WaitsForRoom, args[0]) })}
			switch {
			case *raw:
				err = in.raw()
			case *inHex:
				err = in.lines(in.hex)
			default:
				err = in.lines(in.text)
			}
			return ended(args[0], errors.Join(err, pub.Close()))
		}))
	}
	return c
}

// input publishes what it reads.
type input struct {
	from io.Reader
	pub  *bus.Publisher
	send func(message []byte) error // when there is room
	line uint64
	buf  []byte
}

// interruptible returns a reader of r whose reads end with ctx's error when ctx does; a read of a terminal or a pipe would wait
// for good. The goroutine that is left in it ends with the process.
func interruptible(ctx context.Context, r io.Reader) io.Reader {
	out, in := io.Pipe()
	go func() {
		_, err := io.Copy(in, r)
		in.CloseWithError(err) // nil is the end of the input
	}()
	context.AfterFunc(ctx, func() { in.CloseWithError(ctx.Err()) })
	return out
}

const tooLargeHint = "publish it in parts, or make a topic with a larger max_frame: it cannot change while a topic lives"

// publish publishes a message when there is room.
func (in *input) publish(message []byte) error {
	err := in.send(message)
	if errors.Is(err, bus.ErrTooLarge) {
		return cli.WithHint(fmt.Errorf("%w: %d bytes, the topic's messages have 1 to %d", err, len(message), in.pub.MaxFrame()), "%s", tooLargeHint)
	}
	return err
}

// lines publishes a message for each line, without its end.
func (in *input) lines(publish func(line []byte) error) error {
	// A line in hexadecimal is twice its message, and spaces between the bytes make it three times.
	r := bufio.NewReaderSize(in.from, 3*in.pub.MaxFrame()+2)
	for {
		line, err := r.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			return cli.WithHint(fmt.Errorf("line %d: %w: the topic's messages have at most %d bytes", in.line+1, bus.ErrTooLarge, in.pub.MaxFrame()), "%s", tooLargeHint)
		}
		if err == nil || err == io.EOF && len(line) > 0 { // what an interrupted read has of a line is none
			in.line++
			if err := publish(bytes.TrimSuffix(line, []byte("\n"))); err != nil {
				return fmt.Errorf("line %d: %w", in.line, err)
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read stdin: %w", err)
		}
	}
}

// text publishes a line as a message with one TLV.
func (in *input) text(line []byte) error {
	var b codec.Builder
	in.buf = append(in.buf[:0], make([]byte, codec.Size(len(line)))...)
	b.Reset(in.buf, codec.Header{Domain: codec.DomainSystem, Sequence: in.line, TimestampNs: uint64(time.Now().UnixNano())})
	b.Append(codec.TypeText, line)
	n, err := b.Finish()
	if errors.Is(err, codec.ErrTooLarge) {
		return cli.WithHint(fmt.Errorf("%w: %d bytes, a text has at most %d", err, len(line), codec.MaxValue), "publish it in parts")
	}
	if err != nil {
		return err
	}
	return in.publish(in.buf[:n])
}

// hex publishes a line's bytes.
func (in *input) hex(line []byte) error {
	digits := bytes.Join(bytes.Fields(line), nil)
	if len(digits) == 0 {
		return nil // an empty line is no message
	}
	message := make([]byte, hex.DecodedLen(len(digits)))
	if _, err := hex.Decode(message, digits); err != nil {
		return cli.WithHint(notHex(err), "a line is a whole message in hexadecimal, as `myc-ctl sub -o hex` prints it; without --hex it is text")
	}
	if err := valid(message); err != nil {
		return err
	}
	return in.publish(message)
}

func notHex(err error) error {
	if wrong, ok := errors.AsType[hex.InvalidByteError](err); ok {
		return fmt.Errorf("not hexadecimal: %q is no digit", rune(wrong))
	}
	return errors.New("not hexadecimal: the number of digits is odd")
}

// valid refuses what is no message: readers would have to guess.
func valid(message []byte) error {
	m, err := codec.Parse(message)
	if err == nil {
		err = m.VerifyChecksum()
	}
	if err != nil {
		return cli.WithHint(fmt.Errorf("no message: %w", err), "docs/reference/message-format.md says what a message is; plain text is published without --hex and --raw")
	}
	return nil
}

// raw publishes the messages that stdin holds, and nothing else: bytes between them are an error.
func (in *input) raw() error {
	limit := in.pub.MaxFrame()
	buf := make([]byte, 0, 2*limit+codec.HeaderSize)
	offset := 0 // of buf in the input
	for eof := false; ; {
		skip, size := codec.Split(buf, limit)
		if skip > 0 || eof && size == 0 && len(buf) > 0 {
			return cli.WithHint(fmt.Errorf("byte %d of stdin: no message of at most %d bytes begins there, or it is cut", offset, limit),
				"stdin holds whole messages back to back, as `myc-ctl sub -o raw` prints them; without --raw its lines are text")
		}
		if size > 0 {
			err := valid(buf[:size])
			if err == nil {
				err = in.publish(buf[:size])
			}
			if err != nil {
				return fmt.Errorf("message at byte %d of stdin: %w", offset, err)
			}
			offset += size
			buf = buf[:copy(buf, buf[size:])]
			continue
		}
		if eof {
			return nil
		}
		n, err := in.from.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if err != nil && err != io.EOF {
			return fmt.Errorf("read stdin: %w", err)
		}
		eof = err == io.EOF
	}
}
