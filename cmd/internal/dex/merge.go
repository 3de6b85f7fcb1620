package dex

import (
	"container/heap"
	"errors"
	"io"
)

// Merge plays sources as one, ordered by chain, block and log index; where those are equal, by the order of the
// sources. It holds one event a source, whatever their length. Sources must be ordered themselves: a row that is not is
// passed on where it stands, and counted. It is for one goroutine.
type Merge struct {
	sources []Source
	report  func(*RowError)

	heads   heads
	started bool
	last    Event
	some    bool
	from    Source // of last
	line    int
	broken  []error

	duplicates, outOfOrder uint64
}

// head is the next event of a source that has one.
type head struct {
	event Event
	from  int
	line  int
}

type heads []*head

func (h heads) Len() int { return len(h) }
func (h heads) Less(i, j int) bool {
	if c := h[i].event.Compare(h[j].event.Position); c != 0 {
		return c < 0
	}
	return h[i].from < h[j].from
}
func (h heads) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *heads) Push(x any)   { *h = append(*h, x.(*head)) }
func (h *heads) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}

// NewMerge takes the sources over; report is called for each malformed row, and may be nil.
func NewMerge(sources []Source, report func(*RowError)) *Merge {
	if report == nil {
		report = func(*RowError) {}
	}
	return &Merge{sources: sources, report: report}
}

// Next overwrites *e with the next event, or returns io.EOF, and nothing else, when all sources have ended.
// An event that two sources have (a pool's raw and decoded file) comes once.
func (m *Merge) Next(e *Event) error {
	if !m.started {
		m.started = true
		for i := range m.sources {
			if h := (&head{from: i}); m.fill(h) {
				m.heads = append(m.heads, h)
			}
		}
		heap.Init(&m.heads)
	}
	for len(m.heads) > 0 {
		h := m.heads[0]
		*e = h.event
		m.from, m.line = m.sources[h.from], h.line
		if m.fill(h) {
			heap.Fix(&m.heads, 0)
		} else {
			heap.Pop(&m.heads)
		}
		if m.some {
			switch c := e.Compare(m.last.Position); {
			case c == 0 && e.Pool == m.last.Pool && e.Kind == m.last.Kind:
				m.duplicates++
				continue
			case c < 0:
				m.outOfOrder++
			}
		}
		m.last, m.some = *e, true
		return nil
	}
	return io.EOF
}

// fill reads the head's next event; false at the end of its source.
func (m *Merge) fill(h *head) bool {
	for {
		err := m.sources[h.from].Next(&h.event)
		if err == nil {
			h.line = m.sources[h.from].Line()
			return true
		}
		var row *RowError
		if errors.As(err, &row) {
			m.report(row)
			continue
		}
		if err != io.EOF {
			m.broken = append(m.broken, err)
		}
		return false
	}
}

// Fault says of the event that Next returned last what is wrong with it, with its file and line.
func (m *Merge) Fault(err error) *RowError {
	return &RowError{File: m.from.Name(), Line: m.line, Err: err}
}

// Counts is the sum over the sources, so far.
func (m *Merge) Counts() Counts {
	var sum Counts
	for _, s := range m.sources {
		c := s.Counts()
		sum.Rows += c.Rows
		sum.Malformed += c.Malformed
		sum.Other += c.Other
	}
	return sum
}

// Duplicates is how many events were left out because the one before said the same.
func (m *Merge) Duplicates() uint64 { return m.duplicates }

// OutOfOrder is how many events came after one that they should have preceded.
func (m *Merge) OutOfOrder() uint64 { return m.outOfOrder }

// Err joins what ended sources before their end, such as a truncated file; nil if all were read whole.
func (m *Merge) Err() error { return errors.Join(m.broken...) }

// Close closes the sources.
func (m *Merge) Close() error {
	var errs []error
	for _, s := range m.sources {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}
