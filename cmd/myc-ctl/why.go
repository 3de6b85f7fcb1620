package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/cmd/internal/cli"
	"github.com/spf13/cobra"
)

// whyView is who waits for whom, as it is printed; its JSON keys are stable.
type whyView struct {
	Subject  string       `json:"subject"`
	Kind     string       `json:"kind"` // topic or client
	Sentence string       `json:"sentence"`
	Chains   [][]linkView `json:"chains"` // each begins at the subject; in a link, waiting waits for holder
}

// linkView is one wait. The holder of a link is who waits in the next one.
type linkView struct {
	Topic       string  `json:"topic"`
	Waiting     []party `json:"waiting"`
	Holder      party   `json:"holder"`
	Holds       string  `json:"holds"` // what of its own it holds others up by
	Position    uint64  `json:"position"`
	NoRoom      bool    `json:"no_room"` // publishers are held up; else readers before an open claim
	Moves       bool    `json:"moves"`   // it was somewhere else a moment ago
	ForNs       int64   `json:"for_ns"`  // at least; 0 if it moves
	OldestAgeNs *int64  `json:"oldest_age_ns"`
	Ends        string  `json:"ends"`   // what would end it
	Circle      bool    `json:"circle"` // its holder waits in an earlier link, or in this one: nobody of them will go on
}

func whyCommand(to *target) *cobra.Command {
	c := &cobra.Command{
		Use:   "why TOPIC|CLIENT",
		Short: "Tell who holds whom up, in one sentence, then the chain",
		Long: `Tell who holds a topic up, or whom a client (a name or a pid) waits for and holds up: in one sentence, then the chain of who
waits for whom, since when at least, and what would end it. Publishers wait for the slowest reader or group, and for a claim
that somebody holds open; readers wait before an open claim. Where the holder itself waits to publish to another topic, the
chain goes on there; processes that wait for each other are told as a circle.

Where somebody holds others up it looks twice, --apart from each other: what passes in between is no answer. Processes are told
apart by the pids that they wrote down, which mean nothing across pid namespaces.`,
		Example: "  myc-ctl why market_data\n  myc-ctl why flash-arbitrage -o json",
		Args:    cobra.ExactArgs(1),
	}
	apart := c.Flags().Duration("apart", 500*time.Millisecond, "`TIME` between the two looks")
	output := cli.OutputFlag(c)
	c.ValidArgsFunction = to.completeTopic
	c.RunE = func(c *cobra.Command, args []string) error {
		conn, err := to.read(c)
		return with(conn, err, func(conn *bus.Conn) error {
			var itself error // why the topic that is asked about cannot be looked at
			scenes, err := lookAtAll(c.Context(), conn, *apart, func(topic string, err error) {
				if topic == args[0] {
					itself = err
					return
				}
				cli.Note(c, "whether somebody holds up topic %s cannot be told: %v", topic, err)
			})
			if err = errors.Join(err, itself); err != nil {
				return err
			}
			v, err := why(scenes, args[0])
			if err == nil {
				err = v.tellAges(c.Context(), conn, *apart)
			}
			if err != nil {
				return err
			}
			if output.String() == "json" {
				return cli.PrintJSON(c.OutOrStdout(), v)
			}
			return v.print(c.OutOrStdout())
		})
	}
	return c
}

// why finds the chains that begin at a topic, or else at a client.
func why(scenes []scene, subject string) (whyView, error) {
	v := whyView{Subject: subject, Kind: "topic", Chains: [][]linkView{}}
	for _, s := range scenes {
		if s.name != subject {
			continue
		}
		for _, h := range s.holds {
			v.Chains = append(v.Chains, follow(scenes, h))
		}
		v.Sentence = v.sentence(fmt.Sprintf("nobody holds up %s: %s", subject, s.calm()))
		return v, nil
	}
	v.Kind = "client"
	is := func(p party) bool {
		pid, err := strconv.Atoi(subject)
		return p.PID != os.Getpid() && (p.Client == subject || err == nil && p.PID == pid && pid != 0)
	}
	found := false
	var held [][]linkView
	for _, s := range scenes {
		for _, p := range s.info.Producers {
			found = found || is(party{Client: p.Name, PID: p.PID})
		}
		for _, p := range s.info.Consumers {
			found = found || is(party{Client: p.Name, PID: p.PID})
		}
		for _, h := range s.holds {
			switch {
			case slices.ContainsFunc(h.waiting, is):
				v.Chains = append(v.Chains, follow(scenes, h))
			case is(h.by):
				held = append(held, follow(scenes, h))
			}
		}
	}
	if !found {
		return v, cli.WithHint(fmt.Errorf("no topic and no client with a handle is named %q", subject), "`myc-ctl topic list` and `myc-ctl clients` show those that there are")
	}
	v.Chains = append(v.Chains, held...) // whom it waits for comes first
	v.Sentence = v.sentence(fmt.Sprintf("%s waits for nobody, and holds nobody up", subject))
	return v, nil
}

// follow goes from a hold to whom its holder waits for, until somebody does not, or has been there before.
func follow(scenes []scene, h hold) []linkView {
	var chain []linkView
	seen := map[int]bool{}
	for {
		l := linkView{Topic: h.topic, Waiting: h.waiting, Holder: h.by, Holds: h.what, Position: h.at, NoRoom: h.full, Moves: h.moves, Ends: h.ends}
		if l.Waiting == nil {
			l.Waiting = []party{}
		}
		pid := h.by.PID
		for _, w := range h.waiting {
			seen[w.PID] = true
		}
		stands := pid != 0 && h.by.Process == "" && !h.moves
		l.Circle = stands && seen[pid]
		if l.Circle {
			l.Ends = fmt.Sprintf("one of them gives way: it publishes without waiting, or from another goroutine than the one that reads; or `myc-ctl evict %d`", pid)
		}
		chain = append(chain, l)
		if !stands || l.Circle {
			return chain
		}
		next, ok := waitOf(scenes, pid, h)
		if !ok {
			return chain
		}
		h = next
	}
}

// waitOf finds what a process waits for in another topic than the one that it holds up.
func waitOf(scenes []scene, pid int, holds hold) (hold, bool) {
	for _, s := range scenes {
		for _, h := range s.holds {
			if h.topic != holds.topic && slices.ContainsFunc(h.waiting, func(p party) bool { return p.PID == pid }) {
				h.waiting = slices.DeleteFunc(slices.Clone(h.waiting), func(p party) bool { return p.PID != pid }) // of the chain
				return h, true
			}
		}
	}
	return hold{}, false
}

// calm says how a topic is that nobody holds up.
func (s scene) calm() string {
	if len(s.info.Producers) == 0 {
		return "it has no publisher"
	}
	return fmt.Sprintf("%s and %s, and there is room for %s", count(len(s.info.Producers), "publisher"), count(len(s.info.Consumers), "consumer"),
		cli.Size(s.info.Limit-s.info.Tail))
}

// sentence is the first chain in one sentence.
func (v whyView) sentence(none string) string {
	if len(v.Chains) == 0 {
		return none
	}
	chain := v.Chains[0]
	first, last := chain[0], chain[len(chain)-1]
	who := "publishers wait"
	if !first.NoRoom {
		who = fmt.Sprintf("%s waits", names(first.Waiting))
	}
	text := fmt.Sprintf("%s: %s for %s", first.Topic, who, first.Holder)
	switch {
	case last.Circle && len(chain) == 1:
		text += ", which waits for itself: it publishes to the topic that it holds up"
	case last.Circle:
		text += fmt.Sprintf(", in a circle by way of %s: nobody of them will go on", last.Topic)
	case len(chain) > 1:
		text += fmt.Sprintf(", and in the end for %s in %s", last.Holder, last.Topic)
	case last.Moves:
		text += ", which is slower than what is published"
	}
	if n := len(v.Chains) - 1; n > 0 {
		text += fmt.Sprintf("; and %s", count(n, "more"))
	}
	return text
}

func names(parties []party) string {
	var all []string
	for _, p := range parties {
		all = append(all, p.String())
	}
	if len(all) == 0 {
		return "nobody"
	}
	return strings.Join(all, ", ")
}

// tellAges fills in since when: for how long it was seen at one place, and how old the message is that a reader has not handled.
func (v *whyView) tellAges(ctx context.Context, conn *bus.Conn, apart time.Duration) error {
	for _, chain := range v.Chains {
		for i := range chain {
			l := &chain[i]
			if !l.Moves {
				l.ForNs = apart.Nanoseconds()
			}
			made, err := conn.Written(ctx, l.Topic, l.Position)
			if errors.Is(err, bus.ErrNoTopic) || errors.Is(err, bus.ErrClosed) {
				continue // deleted meanwhile
			}
			if err != nil {
				return err
			}
			if !made[0].IsZero() {
				age := max(time.Since(made[0]), 0).Nanoseconds()
				l.OldestAgeNs = &age
			}
		}
	}
	return nil
}

func (v whyView) print(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintln(&b, v.Sentence)
	for _, chain := range v.Chains {
		fmt.Fprintln(&b)
		for i, l := range chain {
			indent := strings.Repeat("  ", i)
			waiting := names(l.Waiting)
			if len(l.Waiting) == 0 {
				waiting = "whoever publishes"
			}
			fmt.Fprintf(&b, "%s%s: %s\n", indent, l.Topic, waiting)
			since := ""
			if l.ForNs > 0 {
				since = fmt.Sprintf(", for %s or longer", cli.Age(time.Duration(l.ForNs)))
			}
			if l.OldestAgeNs != nil {
				since += fmt.Sprintf("; the message there is %s old", cli.Age(time.Duration(*l.OldestAgeNs)))
			}
			fmt.Fprintf(&b, "%s  waits for  %s: %s%s\n", indent, l.Holder, l.Holds, since)
			fmt.Fprintf(&b, "%s  ends when  %s\n", indent, l.Ends)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
