package dex

import (
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func mergeAll(t testing.TB, m *Merge) []Event {
	t.Helper()
	var events []Event
	for {
		var e Event
		switch err := m.Next(&e); err {
		case nil:
			events = append(events, e)
		case io.EOF:
			return events
		default:
			t.Fatal(err)
		}
	}
}

// list is a Source of events that are given.
type list struct {
	events []Event
	end    error
	counts Counts
}

func (l *list) Next(e *Event) error {
	if len(l.events) == 0 {
		if l.end != nil {
			return l.end
		}
		return io.EOF
	}
	*e, l.events = l.events[0], l.events[1:]
	l.counts.Rows++
	return nil
}
func (l *list) Name() string   { return "list" }
func (l *list) Line() int      { return int(l.counts.Rows) }
func (l *list) Counts() Counts { return l.counts }
func (l *list) Close() error   { return nil }

func at(chain uint32, block uint64, log uint32, pool byte) Event {
	return Event{Position: Position{ChainID: chain, Block: block, LogIndex: log}, Pool: Address{pool}, Kind: Swap, Version: V3}
}

func TestMergeOrdersByChainBlockAndLogIndex(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	var want []Event
	for chain := range uint32(3) {
		for block := range uint64(20) {
			for log := range uint32(10) {
				want = append(want, at(chain, block*block, log*3, 1))
			}
		}
	}
	parts := make([]*list, 5)
	var sources []Source
	for i := range parts {
		parts[i] = &list{}
		sources = append(sources, parts[i])
	}
	for _, e := range want {
		p := parts[rng.IntN(4)] // the fifth stays empty
		p.events = append(p.events, e)
	}
	m := NewMerge(sources, nil)
	var got []Event
	var e Event
	seen := map[string]bool{}
	for m.Next(&e) == nil {
		got = append(got, e)
		place := m.Fault(io.EOF)
		if seen[place.Error()] = true; place.Line < 1 || place.Line > 600 {
			t.Fatalf("event %d is said to stand at %v", len(got), place)
		}
	}
	if len(seen) < 100 {
		t.Errorf("600 events stand in %d places", len(seen))
	}
	compare(t, got, want)
	if m.Counts().Rows != 600 || m.Duplicates() != 0 || m.OutOfOrder() != 0 {
		t.Errorf("%+v, %d duplicates, %d out of order", m.Counts(), m.Duplicates(), m.OutOfOrder())
	}
}

func TestMergeKeepsOneOfAnEventThatSeveralFilesHave(t *testing.T) {
	events := market(t, 2, 500)
	m := NewMerge([]Source{&list{events: events}, &list{events: slices.Clone(events)}, &list{events: slices.Clone(events[:100])}}, nil)
	compare(t, mergeAll(t, m), events)
	if m.Duplicates() != 600 {
		t.Errorf("%d duplicates, want 600", m.Duplicates())
	}
}

func TestMergeKeepsOneOfARowThatAFileHasTwice(t *testing.T) {
	events := market(t, 2, 500)
	doubled := slices.Concat(events[:10], events[3:4], events[10:], events[250:251], events, events[:1])
	m := NewMerge([]Source{&list{events: doubled}}, nil)
	compare(t, mergeAll(t, m), events)
	if want := uint64(len(doubled) - len(events)); m.Duplicates() != want || m.OutOfOrder() != 0 {
		t.Errorf("%d duplicates, want %d; %d out of order, want 0", m.Duplicates(), want, m.OutOfOrder())
	}
}

// blocks is a Source of an event in each of the blocks from 1 to n, and then of those from again to n once more.
type blocks struct {
	list
	n, again, next uint64
}

func (b *blocks) Next(e *Event) error {
	if b.next++; b.next > b.n {
		if b.again == 0 {
			return io.EOF
		}
		b.next, b.again = b.again, 0
	}
	*e = at(1, b.next, 0, 1)
	return nil
}

func TestMergeForgetsWhatIsLongAgo(t *testing.T) {
	const n = 5 * rememberAtLeast
	m := NewMerge([]Source{&blocks{n: n, again: n - rememberAtLeast + 1}}, nil)
	var e Event
	events := 0
	for m.Next(&e) == nil {
		events++
	}
	if events != n || m.Duplicates() != rememberAtLeast {
		t.Errorf("%d events and %d duplicates, want %d and %d", events, m.Duplicates(), n, rememberAtLeast)
	}
	if n := len(m.seen.young) + len(m.seen.old); n < rememberAtLeast || n > 2*rememberAtLeast {
		t.Errorf("%d events are remembered, want %d to %d", n, rememberAtLeast, 2*rememberAtLeast)
	}
}

func TestMergePassesOnWhatIsOutOfOrder(t *testing.T) {
	m := NewMerge([]Source{&list{events: []Event{at(1, 5, 0, 1), at(1, 3, 0, 1), at(1, 6, 0, 1)}}}, nil)
	if got := mergeAll(t, m); len(got) != 3 || m.OutOfOrder() != 1 {
		t.Errorf("%d events, %d out of order", len(got), m.OutOfOrder())
	}
}

func TestMergeReportsRowsAndGoesOnWhenASourceBreaks(t *testing.T) {
	broken := &list{events: []Event{at(1, 1, 0, 1)}, end: errors.New("broken off")}
	pools := SyntheticPools()
	rows := open(t, write(t, "5e000000000000000000000000000000000000a1.raw.csv", rawHeader, swapRow(), "nonsense", swapRow()), OpenOptions{Pools: pools})
	var reported []string
	m := NewMerge([]Source{broken, rows}, func(e *RowError) { reported = append(reported, e.Error()) })
	var e Event
	for _, want := range []RowError{{File: "list", Line: 1}, {File: rows.Name(), Line: 2}} {
		if err := m.Next(&e); err != nil || m.Fault(nil).Line != want.Line || m.Fault(nil).File != want.File {
			t.Errorf("an event is said to stand at %s:%d, %v; want %s:%d", m.Fault(nil).File, m.Fault(nil).Line, err, want.File, want.Line)
		}
	}
	if got := mergeAll(t, m); len(got) != 0 { // the second row says the same as the first
		t.Errorf("%d events more", len(got))
	}
	if len(reported) != 1 || !strings.Contains(reported[0], ":3: ") {
		t.Errorf("reported %q", reported)
	}
	if err := m.Err(); err == nil || !strings.Contains(err.Error(), "broken off") {
		t.Errorf("Err is %v", err)
	}
	if c := m.Counts(); c.Malformed != 1 || c.Rows != 4 {
		t.Errorf("counts %+v", c)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
}
