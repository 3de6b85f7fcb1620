package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/bus/topic"
	"github.com/mycelium-bus/mycelium/cmd/internal/cli"
	"github.com/mycelium-bus/mycelium/codec"
	"github.com/mycelium-bus/mycelium/shmring"
	"github.com/mycelium-bus/mycelium/tools"
	"github.com/spf13/cobra"
)

func subCommand(to *target) *cobra.Command {
	c := &cobra.Command{
		Use:   "sub NAME",
		Short: "Print a topic's messages as they come",
		Long: `Print a topic's messages as they come: the text of text messages (TLV type 250), others decoded, a line each. It holds no
publisher up, and says on stderr what it missed, unless --reliable or --slow is given. Of a queue it takes nothing away, unless
--group makes it a member: then what it prints is handled. It ends when the topic is deleted; one that was made again before it had
read all of the old one is gone on with.`,
		Example: "  myc-ctl sub market_data\n" +
			"  myc-ctl sub signals --from oldest --count 10 -o json\n" +
			"  myc-ctl sub execution --reliable -o raw > messages.bin\n" +
			"  myc-ctl sub execution --group default --count 1",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: to.completeTopic,
	}
	from := c.Flags().String("from", "newest", "where to begin: `oldest|newest|POS`")
	cli.CompleteFlag(c, "from", "oldest", "newest")
	count := c.Flags().Int("count", 0, "end after `N` messages; 0 is without end")
	reliable := c.Flags().Bool("reliable", false, "miss nothing: publishers wait for this subscriber, as with --slow block")
	slow := cli.ChoiceFlag(c, c.Flags(), "slow", "", "hold up nobody, or publishers: for as long as it takes, or for the topic's patience, "+
		"and then miss some or end", "lossy", "block", "drop", "evict")
	group := c.Flags().String("group", "", "join the queue group `NAME`, and take from it what is printed")
	c.MarkFlagsMutuallyExclusive("reliable", "slow", "group")
	output := cli.OutputFlag(c, "text", "json", "hex", "raw")
	c.RunE = func(c *cobra.Command, args []string) error {
		start, err := parseStart(*from)
		if err != nil {
			return err
		}
		if *count < 0 {
			return cli.WithHint(cli.UsageError("--count %d is negative", *count), "--count 0, the default, is without end")
		}
		options := []bus.SubscribeOption{bus.From(start)}
		switch {
		case c.Flags().Changed("group"):
			for _, fault := range topic.Faults(topic.CheckGroupName(*group)) {
				return cli.WithHint(cli.UsageError("--group %s: %s", fault.Value, fault.Problem), "%s", fault.Advice)
			}
			options = append(options, bus.Group(*group))
		case *reliable:
			options = append(options, bus.Fanout(), slowModes["block"])
		default:
			options = append(options, bus.Fanout(), slowModes[slow.String()])
		}
		conn, err := to.read(c)
		return cli.Stream(c.Context(), with(conn, err, func(conn *bus.Conn) error {
			sub, err := conn.SubscribeContext(c.Context(), args[0], options...)
			if err != nil {
				return err
			}
			out := bufio.NewWriterSize(c.OutOrStdout(), 64<<10)
			p := printer{sub: sub, out: out, terminal: cli.IsTerminal(c.OutOrStdout()), format: output.String(), member: *group != ""}
			err = p.run(c.Context(), *count, func(gap error) { cli.Note(c, "%s", whatWasMissed(gap)) })
			closed := sub.Close()
			if errors.Is(err, bus.ErrCorrupt) {
				closed = nil // it says the same again
			}
			return ended(args[0], errors.Join(err, closed))
		}))
	}
	return c
}

var slowModes = map[string]bus.SubscribeOption{
	"lossy": bus.Lossy(), "block": bus.Slow(bus.Block), "drop": bus.Slow(bus.Drop), "evict": bus.Slow(bus.Evict),
}

func parseStart(s string) (bus.Start, error) {
	switch s {
	case "oldest":
		return bus.Oldest, nil
	case "newest":
		return bus.Newest, nil
	}
	pos, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return bus.Start{}, cli.WithHint(cli.UsageError("--from %q is not oldest, newest or a position in bytes", s),
			"`-o json` and `myc-tools dump` print the position of each message")
	}
	return bus.Position(pos), nil
}

// printer prints the messages of a subscription.
type printer struct {
	sub      *bus.Subscription
	out      *bufio.Writer
	terminal bool
	format   string
	member   bool // of a group: what was printed is out before it counts as handled
}

// whatWasMissed says what an error that is bus.ErrLapped does.
func whatWasMissed(gap error) string {
	if again, ok := errors.AsType[*bus.RecreatedError](gap); ok {
		return cli.MadeAgain(again)
	}
	if l, ok := errors.AsType[*bus.LappedError](gap); ok {
		return fmt.Sprintf("missed %d bytes of the ring, position %d to %d", l.Missed(), l.From, l.To)
	}
	return gap.Error()
}

// run prints count messages, or without end if it is 0. What was printed is flushed whenever it has to wait.
func (p *printer) run(ctx context.Context, count int, missed func(gap error)) error {
	const burst = 256
	for printed := 0; count == 0 || printed < count; {
		limit := burst
		if count != 0 {
			limit = min(burst, count-printed)
		}
		n, err := p.sub.Poll(limit, p.print)
		printed += n
		gap := errors.Is(err, bus.ErrLapped)
		if n < limit || err != nil {
			if flushErr := p.out.Flush(); err == nil {
				err = flushErr
			}
		}
		switch {
		case gap:
			missed(err)
		case err != nil:
			return err
		case n < limit:
			err = p.sub.Wait(ctx)
		default:
			err = ctx.Err()
		}
		if err != nil && !gap {
			return errors.Join(err, p.out.Flush())
		}
	}
	return p.out.Flush()
}

func (p *printer) print(m bus.Message) error {
	var err error
	switch p.format {
	case "raw":
		_, err = p.out.Write(m.Bytes())
	case "hex":
		_, err = fmt.Fprintln(p.out, hex.EncodeToString(m.Bytes()))
	case "json":
		err = cli.PrintJSONLine(p.out, p.record(m))
	default:
		err = p.text(m)
	}
	if err == nil && p.member {
		err = p.out.Flush()
	}
	return err
}

func (p *printer) record(m bus.Message) tools.Record {
	return tools.NewRecord(shmring.Frame{Payload: m.Bytes(), Position: m.Position()}, p.sub.Producer())
}

// text prints a text message's text, and others decoded.
func (p *printer) text(m bus.Message) error {
	line, ok := textOf(m)
	if !ok {
		line = p.record(m).String()
	}
	if p.terminal {
		line = strings.Map(printable, line) // a message must not steer somebody's terminal
	}
	_, err := fmt.Fprintln(p.out, line)
	return err
}

func textOf(m bus.Message) (string, bool) {
	view, err := m.TLV()
	if err != nil {
		return "", false
	}
	text, ok := view.Find(codec.TypeText)
	return string(text), ok
}

func printable(r rune) rune {
	if unicode.IsControl(r) && r != '\t' {
		return unicode.ReplacementChar
	}
	return r
}
