package storm

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/mycelium-bus/mycelium/bus"
)

// sequence is what a reader checks with every message: it is whole and finished, lies behind the one before, and is the next
// of its sender; only where the reader was told that it missed something may numbers be missing.
type sequence struct {
	summary
	beginning bool   // nothing was sent before the reader joined: each sender begins with 0
	next      uint64 // the least position of the next message
	cells     *tally
	log       *handled              // of every message; nil: none is kept
	before    bus.SubscriptionStats // what subscriptions had counted that were evicted
}

// summary is what a reader tells at its end. Killed readers tell nothing; their cells remain.
type summary struct {
	Start, End     uint64 // positions
	Messages       uint64
	Laps           uint64
	MissedBytes    uint64 // of the ring, as it was told
	MissedMessages uint64 // by numbers that are missing: those of which a later one came
	Evictions      int
	Senders        map[uint64]*heard
}

// heard is what a reader has of one sender.
type heard struct {
	First, Next     uint64 // numbers
	FirstAt, LastAt uint64 // positions
	Gaps            uint64 // of the reader, when the last message came
}

func newSequence(start uint64, beginning bool, cells *tally) *sequence {
	cells.begin(start)
	return &sequence{summary: summary{Start: start, End: start, Senders: map[uint64]*heard{}}, beginning: beginning, next: start, cells: cells}
}

// take checks the next message.
func (s *sequence) take(position uint64, b []byte) error {
	m, err := parse(position, b)
	if err != nil {
		return err
	}
	if position < s.next {
		return fmt.Errorf("message %d of process %d at %d, but everything before %d was read", m.number, m.sender, position, s.next)
	}
	h := s.Senders[m.sender]
	switch {
	case h == nil:
		if m.number != 0 && s.beginning && s.gaps() == 0 {
			return fmt.Errorf("at %d: the first message of process %d has number %d, want 0", position, m.sender, m.number)
		}
		h = &heard{First: m.number, FirstAt: position}
		s.Senders[m.sender] = h
	case m.number == h.Next:
	case m.number > h.Next && s.gaps() > h.Gaps:
		s.MissedMessages += m.number - h.Next
	default:
		return fmt.Errorf("at %d: message %d of process %d, want %d (the one before is at %d)", position, m.number, m.sender, h.Next, h.LastAt)
	}
	h.Next, h.LastAt, h.Gaps = m.number+1, position, s.gaps()
	s.next = position + uint64(bus.FrameSize(m.length))
	s.Messages++
	if s.log != nil {
		if err := s.log.add(m, false); err != nil {
			return err
		}
	}
	return s.cells.add(m)
}

// gaps counts where messages may be missing.
func (s *sequence) gaps() uint64 { return s.Laps + uint64(s.Evictions) }

// evicted notes that the reader joined again, at a position, after what its last subscription counted.
func (s *sequence) evicted(stats bus.SubscriptionStats, position uint64) error {
	if position < s.next {
		return fmt.Errorf("joined again at %d, and had read up to %d", position, s.next)
	}
	s.Evictions++
	s.before.Messages += stats.Messages
	s.before.Laps += stats.Laps
	s.before.MissedBytes += stats.MissedBytes
	s.next, s.End = position, position
	s.cells.begin(position)
	return nil
}

// reach notes how far the reader has come, padding included.
func (s *sequence) reach(position uint64) error {
	if position < s.next {
		return fmt.Errorf("the reader is at %d, and has read up to %d", position, s.next)
	}
	s.next, s.End = position, position
	return s.cells.reach(position)
}

// missed notes what the reader was told that it missed.
func (s *sequence) missed(lap *bus.LappedError) error {
	if lap.From < s.next || lap.To <= lap.From {
		return fmt.Errorf("told that %d to %d was missed, when everything before %d was read", lap.From, lap.To, s.next)
	}
	s.Laps++
	s.MissedBytes += lap.Missed()
	s.next = lap.To
	s.cells.begin(lap.To)
	return nil
}

// agree compares with what the library counted.
func (s *sequence) agree(stats bus.SubscriptionStats) error {
	stats.Messages += s.before.Messages
	stats.Laps += s.before.Laps
	stats.MissedBytes += s.before.MissedBytes
	if stats.Messages != s.Messages || stats.Laps != s.Laps || stats.MissedBytes != s.MissedBytes {
		return fmt.Errorf("the subscription counts %d messages, %d laps, %d bytes missed; it handed out %d, and told of %d laps, %d bytes",
			stats.Messages, stats.Laps, stats.MissedBytes, s.Messages, s.Laps, s.MissedBytes)
	}
	if least := s.MissedMessages * uint64(bus.FrameSize(messageHeader)); s.MissedBytes < least && s.Evictions == 0 {
		return fmt.Errorf("told of %d bytes missed, but %d messages are missing, which take %d or more", s.MissedBytes, s.MissedMessages, least)
	}
	return nil
}

func (s *summary) save(path string) error {
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o600)
}

// readSummary returns nil where there is none: the reader was killed.
func readSummary(path string) (*summary, error) {
	b, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	s := new(summary)
	return s, json.Unmarshal(b, s)
}
