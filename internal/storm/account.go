package storm

import (
	"errors"
	"fmt"

	"github.com/mycelium-bus/mycelium/shmring"
)

// account compares what producers say that they sent with what readers say that they saw. It returns every fault.
func (c *conductor) account() error {
	var errs []error
	for _, t := range topics() {
		a, err := c.gather(t.Name)
		if err == nil {
			err = errors.Join(a.ledgers(), a.readers(), a.groups())
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("topic %s: %w", t.Name, err))
		}
	}
	return errors.Join(errs...)
}

// account is the evidence on one topic.
type account struct {
	report    *TopicReport
	capacity  uint64
	end       uint64 // the ring's last position
	producers []*sent
	others    []*saw
	witness   *saw // the first of the witnesses
	members   []*hand
	seen      messages // of a topic with groups, what the witness saw
	losses    []shmring.Loss
}

// sent is a producer's ledger.
type sent struct {
	name   string
	number uint64
	killed bool
	ledger ledger
}

// saw is what a reader left; summary is nil where it was killed.
type saw struct {
	name    string
	place   place
	summary *summary
	file    string // of its cells
	cells   []cell // the witness's; the others' are read one after the other
}

// gather reads the evidence on a topic.
func (c *conductor) gather(topic string) (*account, error) {
	r := c.rings[topic]
	a := &account{report: c.report.Topics[topic], capacity: r.Capacity()}
	var err error
	if a.end, err = r.Tail(); err != nil {
		return nil, err
	}
	for _, p := range c.all {
		switch {
		case p.place.topic != topic:
		case p.place.role == producer:
			l, err := readLedger(c.ledger(p.name))
			if err != nil {
				return nil, err
			}
			a.producers = append(a.producers, &sent{p.name, p.number, p.killed, l})
		case p.place.role == member:
			h := &hand{name: p.name, group: p.place.group, killed: p.killed}
			if h.handled, err = readHandled(c.handled(p.name)); err != nil {
				return nil, err
			}
			a.members = append(a.members, h)
		default:
			s := &saw{name: p.name, place: p.place, file: c.cells(p.name)}
			if s.summary, err = readSummary(c.summary(p.name)); err != nil {
				return nil, err
			}
			if p.place.witness && a.witness == nil {
				a.witness = s
				if s.cells, err = readCells(s.file); err != nil {
					return nil, err
				}
				if err = a.seen.read(c.handled(p.name)); err != nil {
					return nil, err
				}
			} else {
				a.others = append(a.others, s)
			}
		}
	}
	for l := range c.losses {
		if topic == work {
			a.losses = append(a.losses, l)
		}
	}
	return a, nil
}

// ledgers holds what the witness saw against what the producers wrote down.
func (a *account) ledgers() error {
	w := a.witness
	if w == nil || w.summary == nil {
		return errors.New("no witness lived to the end")
	}
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if w.summary.Start != a.capacity || w.summary.End != a.end || w.summary.Laps != 0 {
		fault("%s read from %d to %d with %d laps, want %d to %d", w.name, w.summary.Start, w.summary.End, w.summary.Laps, a.capacity, a.end)
	}
	known := map[uint64]bool{}
	total := uint64(0)
	for _, p := range a.producers {
		known[p.number] = true
		got := uint64(0)
		if h := w.summary.Senders[p.number]; h != nil {
			got = h.Next
		}
		total += got
		a.report.Senders++
		a.report.Certain += p.ledger.committed
		a.report.Possible += p.ledger.attempted - p.ledger.committed
		switch {
		case got < p.ledger.committed:
			fault("%s committed %d messages, %s saw %d: lost", p.name, p.ledger.committed, w.name, got)
		case got > p.ledger.attempted:
			fault("%s attempted %d messages, %s saw %d: never sent", p.name, p.ledger.attempted, w.name, got)
		case !p.killed && p.ledger.attempted != p.ledger.committed:
			fault("%s ended in order, but its ledger says %+v", p.name, p.ledger)
		}
	}
	for number := range w.summary.Senders {
		if !known[number] {
			fault("%s saw messages of process %d, which is no producer of this topic", w.name, number)
		}
	}
	if w.summary.Messages != total {
		fault("%s saw %d messages, and %d by their numbers", w.name, w.summary.Messages, total)
	}
	a.report.Delivered = w.summary.Messages
	return errors.Join(errs...)
}

// readers holds what every other reader saw against what the witness saw.
func (a *account) readers() error {
	if a.witness == nil || a.witness.summary == nil {
		return nil // ledgers has said so
	}
	var errs []error
	for i, c := range a.witness.cells {
		if want := a.capacity/cellSize + uint64(i); c.index != want {
			errs = append(errs, fmt.Errorf("%s: cell %d where %d belongs", a.witness.name, c.index, want))
			return errors.Join(errs...)
		}
	}
	a.report.Readers, a.report.Lived = 1, 1
	for _, s := range a.others {
		a.report.Readers++
		errs = append(errs, a.compareCells(s))
		if s.summary == nil {
			continue
		}
		a.report.Lived++
		a.report.Evictions += s.summary.Evictions
		if s.place.role.misses() {
			a.report.Laps += s.summary.Laps
			a.report.MissedBytes += s.summary.MissedBytes
		}
		errs = append(errs, a.compareSenders(s))
	}
	return errors.Join(errs...)
}

// compareCells holds whatever a reader saw whole, killed or not, against the same part of the ring at the witness: the same
// messages in the same places.
func (a *account) compareCells(s *saw) error {
	all := a.witness.cells
	last := uint64(0)
	cells, err := readCells(s.file)
	if err != nil {
		return err
	}
	for _, got := range cells {
		i := got.index - a.capacity/cellSize
		if i >= uint64(len(all)) || got.index <= last {
			return fmt.Errorf("%s saw cell %d after cell %d, of %d", s.name, got.index, last, len(all))
		}
		last = got.index
		if want := all[i]; got != want {
			return fmt.Errorf("%s saw %d messages (sum %#x) from %d to %d, %s saw %d (sum %#x)",
				s.name, got.count, got.sum, got.index*cellSize, (got.index+1)*cellSize, a.witness.name, want.count, want.sum)
		}
		a.report.Cells++
	}
	return nil
}

// compareSenders holds what a reader that lived has of each sender against what the witness has.
func (a *account) compareSenders(s *saw) error {
	var errs []error
	fault := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: %w", s.name, fmt.Errorf(format, args...)))
	}
	if s.summary.End != a.end {
		fault("read up to %d, the ring ends at %d", s.summary.End, a.end)
	}
	if s.place.role.reliable() && s.summary.Laps != 0 {
		fault("missed %d bytes, and is reliable", s.summary.MissedBytes)
	}
	for number, want := range a.witness.summary.Senders {
		h := s.summary.Senders[number]
		switch {
		case s.summary.Laps != 0 || s.summary.Evictions != 0:
			if h != nil && h.Next > want.Next {
				fault("saw message %d of process %d, which sent %d", h.Next-1, number, want.Next)
			}
		case h == nil && want.LastAt >= s.summary.Start:
			fault("joined at %d and has nothing of process %d, whose last message is at %d", s.summary.Start, number, want.LastAt)
		case h == nil:
		case h.Next != want.Next || h.LastAt != want.LastAt:
			fault("ended with message %d of process %d at %d, want %d at %d", h.Next-1, number, h.LastAt, want.Next-1, want.LastAt)
		case want.FirstAt >= s.summary.Start && (h.First != 0 || h.FirstAt != want.FirstAt):
			fault("joined at %d and has process %d from message %d at %d on, want 0 at %d", s.summary.Start, number, h.First, h.FirstAt, want.FirstAt)
		}
	}
	for number := range s.summary.Senders {
		if a.witness.summary.Senders[number] == nil {
			fault("saw messages of process %d, %s saw none", number, a.witness.name)
		}
	}
	return errors.Join(errs...)
}
