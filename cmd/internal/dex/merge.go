package dex

import (
	"container/heap"
	"errors"
	"io"
)

// Merge plays sources as one, ordered by chain, block and log index; where those are equal, by the order of the
// sources. It holds one event a source, whatever their length, and remembers which the last ones were (about 10 MiB). Sources
// must be ordered themselves: a row that is not is passed on where it stands, and counted. It is for one goroutine.
type Merge struct {
	sources []Source
	report  func(*RowError)

	heads   heads
	started bool
	last    Position // of the event that Next returned last
	newest  Position // of all that it returned
	seen    recent
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
// An event that comes again comes once: two sources have it (a pool's raw and decoded file), or one has its row twice, at
// most rememberAtLeast events apart.
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
		id := identity{e.ChainID, e.LogIndex, e.Block, e.Pool, e.Kind}
		if e.Compare(m.newest) <= 0 && m.seen.has(id) { // what is newer than all cannot have been there
			m.duplicates++
			continue
		}
		m.seen.add(id)
		if e.Compare(m.last) < 0 {
			m.outOfOrder++
		}
		if m.last = e.Position; m.last.Compare(m.newest) > 0 {
			m.newest = m.last
		}
		return nil
	}
	return io.EOF
}

// identity is what two rows of one event have in common, whatever the form of their files.
type identity struct {
	chain, log uint32
	block      uint64
	pool       Address
	kind       Kind
}

// rememberAtLeast is how many events are remembered: several hours of a busy pool.
const rememberAtLeast = 1 << 16

// recent is a set of the last events, between one and two times rememberAtLeast of them.
type recent struct{ young, old map[identity]struct{} }

func (r *recent) has(id identity) bool {
	_, young := r.young[id]
	_, old := r.old[id]
	return young || old
}

func (r *recent) add(id identity) {
	if r.young == nil {
		r.young, r.old = map[identity]struct{}{}, map[identity]struct{}{}
	}
	if len(r.young) >= rememberAtLeast {
		r.young, r.old = r.old, r.young
		clear(r.young)
	}
	r.young[id] = struct{}{}
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

// Duplicates is how many events were left out because they had come before.
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
