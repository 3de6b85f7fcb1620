package storm

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// history is a small storm on paper: two producers, the second one killed, a witness, a reader that joined later, and one that
// was killed. Each test changes one thing.
type history struct {
	ledgers  [2]ledger
	killed   [2]bool
	messages []step // of the topic
	end      uint64

	late       uint64                                  // where the late reader joined
	seen       map[string]func(messages []step) []step // what a reader saw otherwise, by name
	end1       map[string]uint64                       // where a reader ended otherwise
	noSummary  map[string]bool
	cellsOf    func(name string) // changes a file of cells
	lossyReads bool              // the late reader is lossy
}

func newHistory() *history {
	h := &history{killed: [2]bool{false, true}, late: first + cellSize, seen: map[string]func([]step) []step{}, end1: map[string]uint64{},
		noSummary: map[string]bool{"killed": true}}
	numbers := [2]uint64{}
	at := uint64(first)
	for i := range 400 {
		sender := i % 2
		if i > 300 {
			sender = 0
		}
		h.messages = append(h.messages, step{at, text(uint64(sender+1), numbers[sender])})
		numbers[sender]++
		at += textSize
	}
	h.end = at
	h.ledgers = [2]ledger{{numbers[0], numbers[0]}, {numbers[1] + 5, numbers[1] - 3}}
	return h
}

// account writes the evidence by the code that readers and producers use, and returns the verdict on it.
func (h *history) account(t *testing.T) (*account, error) {
	t.Helper()
	dir := t.TempDir()
	a := &account{report: &TopicReport{}, capacity: first, end: h.end}
	for i, l := range h.ledgers {
		a.producers = append(a.producers, &sent{name: []string{"one", "two"}[i], number: uint64(i + 1), killed: h.killed[i], ledger: l})
	}
	late := reader
	if h.lossyReads {
		late = lossy
	}
	for _, r := range []struct {
		name  string
		role  role
		start uint64
	}{{"witness", reader, first}, {"late", late, h.late}, {"killed", copier, first + 2*cellSize}} {
		s := &saw{name: r.name, place: place{role: r.role}, file: filepath.Join(dir, r.name)}
		cells, err := createTally(s.file)
		if err != nil {
			t.Fatal(err)
		}
		seq := newSequence(r.start, false, cells)
		messages := h.messages
		if change := h.seen[r.name]; change != nil {
			messages = change(messages)
		}
		for _, m := range messages {
			if m.position < r.start {
				continue
			}
			if err := seq.take(m.position, m.bytes); err != nil {
				t.Fatal(err)
			}
		}
		end := h.end
		if e, ok := h.end1[r.name]; ok {
			end = e
		}
		if err := errors.Join(seq.reach(max(end, seq.next)), cells.flush(), cells.file.Close()); err != nil {
			t.Fatal(err)
		}
		seq.End = end
		if h.cellsOf != nil {
			h.cellsOf(s.file)
		}
		if !h.noSummary[r.name] {
			s.summary = &seq.summary
		}
		if a.witness == nil {
			a.witness = s
			if s.cells, err = readCells(s.file); err != nil {
				return a, err
			}
		} else {
			a.others = append(a.others, s)
		}
	}
	return a, errors.Join(a.ledgers(), a.readers())
}

// without leaves out every message of a sender from a number on.
func without(sender, from uint64) func([]step) []step {
	return func(all []step) []step {
		var left []step
		for _, s := range all {
			if m, _ := parse(s.position, s.bytes); m.sender != sender || m.number < from {
				left = append(left, s)
			}
		}
		return left
	}
}

// TestTheAccount shows every fault that the comparison of ledgers and readers finds.
func TestTheAccount(t *testing.T) {
	tests := []struct {
		name   string
		change func(h *history)
		want   string
	}{
		{"all is in order", func(h *history) {}, ""},
		{"a committed message that the witness lacks", func(h *history) { h.ledgers[1].committed += 4 }, "lost"},
		{"a committed message that nobody has", func(h *history) {
			h.ledgers[1] = ledger{148, 148}
			for _, name := range []string{"witness", "late", "killed"} {
				h.seen[name] = without(2, 147)
			}
		}, "two committed 148 messages, witness saw 147: lost"},
		{"a message that was never attempted", func(h *history) { h.ledgers[1] = ledger{140, 130} }, "never sent"},
		{"a producer that ended in order without its last messages", func(h *history) { h.ledgers[0].attempted++ }, "ended in order"},
		{"a message of a process that is no producer", func(h *history) {
			h.messages = append(h.messages, step{h.end, text(9, 0)})
			h.end += textSize
		}, "process 9, which is no producer"},
		{"the witness did not read to the end", func(h *history) { h.end1["witness"] = h.end - 16 }, "witness read from"},
		{"no witness lived", func(h *history) { h.noSummary["witness"] = true }, "no witness lived"},
		{"a reader did not read to the end", func(h *history) { h.end1["late"] = h.end - 16 }, "read up to"},
		{"a reader lacks the last message", func(h *history) {
			h.seen["late"] = func(all []step) []step { return all[:len(all)-1] }
		}, "ended with message"},
		{"a reader lacks a whole sender", func(h *history) {
			h.late = first
			h.seen["late"] = without(2, 0)
		}, "has nothing of process 2"},
		{"a reader lacks a sender's first message", func(h *history) {
			h.late = first
			h.seen["late"] = func(all []step) []step { return append([]step{all[0]}, all[2:]...) }
		}, "has process 2 from message 1"},
		{"a killed reader lacked a sender", func(h *history) { h.seen["killed"] = without(2, 0) }, "killed saw"},
		{"a killed reader saw another order", func(h *history) {
			h.seen["killed"] = func(all []step) []step {
				all = append([]step(nil), all...)
				// Two neighbours of two senders: each sender's numbers are in order all the same.
				all[200].bytes, all[201].bytes = all[201].bytes, all[200].bytes
				return all
			}
		}, "killed saw"},
		{"a lossy reader has what was never sent", func(h *history) {
			h.lossyReads = true
			h.seen["late"] = func(all []step) []step {
				return append(append([]step(nil), all[:len(all)-1]...), step{all[len(all)-1].position, text(7, 0)})
			}
		}, "process 7, witness saw none"},
		{"a file of cells is damaged", func(h *history) {
			h.cellsOf = func(path string) {
				b, err := os.ReadFile(path)
				if err != nil || len(b) == 0 {
					return
				}
				b[8] ^= 1
				os.WriteFile(path, b, 0o600)
			}
		}, "is damaged"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHistory()
			test.change(h)
			a, err := h.account(t)
			wantFault(t, err, test.want)
			if test.want == "" && (a.report.Delivered != 400 || a.report.Cells == 0 || a.report.Lived != 2) {
				t.Errorf("the account is %+v", a.report)
			}
		})
	}
}

// TestLedger writes and reads one, and reads what a producer leaves that was killed early.
func TestLedger(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger")
	if l, err := readLedger(path); err != nil || l != (ledger{}) {
		t.Errorf("no ledger: %+v, %v", l, err)
	}
	f, err := createLedger(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.file.Close()
	for _, want := range []ledger{{0, 0}, {64, 0}, {64, 64}, {1 << 40, 70}} {
		if err := f.record(want); err != nil {
			t.Fatal(err)
		}
		if l, err := readLedger(path); err != nil || l != want {
			t.Errorf("%+v, %v, want %+v", l, err, want)
		}
	}
	if err := f.file.Truncate(7); err != nil {
		t.Fatal(err)
	}
	if _, err := readLedger(path); err == nil {
		t.Error("a ledger of 7 bytes passes")
	}
}
