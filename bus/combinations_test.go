package bus_test

import (
	"encoding/binary"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/bus/bustest"
	"github.com/mycelium-bus/mycelium/bus/topic"
)

// The rows of docs/combinations.md: how a subscription subscribes, and what happens. Each is acted out, and what is seen, in words, must be
// what the table says.

type combination struct {
	routing topic.Routing
	options []bus.SubscribeOption
	group   bool
}

// soon is a patience that is over before a test has tried often.
const soon = time.Millisecond

var combined = map[string]combination{
	"block":                   {topic.Fanout, []bus.SubscribeOption{bus.Slow(bus.Block)}, false},
	"drop":                    {topic.Fanout, []bus.SubscribeOption{bus.Slow(bus.Drop), bus.Patience(soon)}, false},
	"evict":                   {topic.Fanout, []bus.SubscribeOption{bus.Slow(bus.Evict), bus.Patience(soon)}, false},
	"lossy":                   {topic.Fanout, []bus.SubscribeOption{bus.Lossy()}, false},
	"member":                  {topic.Fanout, []bus.SubscribeOption{bus.Group("g")}, true},
	"queue: member":           {topic.Queue, nil, true},
	"queue: fanout, block":    {topic.Queue, []bus.SubscribeOption{bus.Fanout(), bus.Slow(bus.Block)}, false},
	"queue: fanout, drop":     {topic.Queue, []bus.SubscribeOption{bus.Fanout(), bus.Slow(bus.Drop), bus.Patience(soon)}, false},
	"queue: lossy":            {topic.Queue, []bus.SubscribeOption{bus.Lossy()}, false},
	"queue: of another group": {topic.Queue, []bus.SubscribeOption{bus.Group("g")}, true},
}

// happenings are what happens to the subscription, or around it. Each returns what is seen of it: by the publishers, by the subscription,
// and by another one like it.
var happenings = map[string]func(s *stage) (publishers, subscription, others string){
	"does not poll":                     (*stage).doesNotPoll,
	"fails with a message":              (*stage).failsOnce,
	"fails with it every time":          (*stage).failsAlways,
	"is closed with a message in hand":  (*stage).isClosed,
	"is closed, and there is no other":  (*stage).isClosedAlone,
	"is killed with a message in hand":  (*stage).isKilled,
	"is stopped with a message in hand": (*stage).isStopped,
	"a publisher dies with a claim":     (*stage).publisherIsKilled,
	"the broker is gone":                (*stage).brokerIsGone,
	"the topic is deleted":              (*stage).topicIsDeleted,
}

func TestCombinations(t *testing.T) {
	table := combinationsTable(t)
	for _, how := range slices.Sorted(maps.Keys(combined)) {
		for _, what := range slices.Sorted(maps.Keys(happenings)) {
			t.Run(how+"/"+what, func(t *testing.T) {
				c := combined[how]
				s := &stage{t: t, name: how, how: c, b: bustest.New(t, topic.Config{Name: "t", Size: topic.MinSize, Routing: c.routing})}
				s.pub = publisher(t, s.b.Dial("publisher"), "t")
				publishers, subscription, others := happenings[what](s)
				got := strings.Join([]string{publishers, subscription, others}, " | ")
				if want := table[how+" | "+what]; got != want {
					t.Errorf("it is\n| %s | %s | %s |\nand docs/combinations.md has %q", how, what, got, want)
				}
			})
		}
	}
}

// combinationsTable reads the document: what is seen, by the first two columns.
func combinationsTable(t *testing.T) map[string]string {
	text, err := os.ReadFile(filepath.Join("..", "docs", "combinations.md"))
	if err != nil {
		t.Fatal(err)
	}
	table := map[string]string{}
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.Trim(line, "| \n"), " | ")
		if len(cells) != 5 || cells[0] == "subscription" {
			continue
		}
		row := cells[0] + " | " + cells[1]
		if _, ok := combined[cells[0]]; !ok || happenings[cells[1]] == nil || table[row] != "" {
			t.Errorf("docs/combinations.md: row %q is nobody's, or there twice", row)
		}
		table[row] = strings.Join(cells[2:], " | ")
	}
	if want := len(combined) * len(happenings); len(table) != want {
		t.Errorf("docs/combinations.md has %d rows, want %d", len(table), want)
	}
	return table
}

// stage is a bus with a publisher, and what was sent on it.
type stage struct {
	t    *testing.T
	name string
	how  combination
	b    *bustest.Bus
	pub  *bus.Publisher
	sent uint64

	other *bus.Subscription // one like the subject, in this process; nil at first
	its   seen
}

func (s *stage) subscribe() *bus.Subscription {
	s.t.Helper()
	return subscribe(s.t, s.b.Dial("subscription"), "t", s.how.options...)
}

// seen is what came to a subscription.
type seen struct {
	numbers []uint64
	marked  int // how many of them were delivered before
	missed  uint64
	err     error
}

// drain polls until there is nothing, or no more.
func (s *stage) drain(sub *bus.Subscription, its *seen) {
	s.t.Helper()
	for its.err == nil {
		n, err := sub.Poll(1, its.take)
		var lap *bus.LappedError
		switch {
		case errors.As(err, &lap):
			its.missed += lap.Missed()
		case errors.Is(err, bus.ErrEvicted) || errors.Is(err, bus.ErrClosed):
			its.err = err
		case err != nil:
			s.t.Fatal(err)
		case n == 0:
			return
		}
	}
}

func (its *seen) take(m bus.Message) error {
	its.numbers = append(its.numbers, binary.LittleEndian.Uint64(m.Bytes()))
	if m.Redelivered() {
		its.marked++
	}
	return nil
}

const (
	messageSize = 1000
	frameSize   = 1024                               // with its header, and rounded up
	often       = 2 * int(topic.MinSize) / frameSize // messages: twice round
)

// words say what a reader got that should have had every message.
func (s *stage) words(its seen) string {
	s.t.Helper()
	if its.missed%frameSize != 0 || its.err == nil && uint64(len(its.numbers))+its.missed/frameSize != s.sent || !slices.IsSorted(its.numbers) ||
		len(slices.Compact(slices.Clone(its.numbers))) != len(its.numbers) {
		s.t.Errorf("of %d messages it got %d and missed %d bytes: %v", s.sent, len(its.numbers), its.missed, its.numbers)
	}
	switch {
	case errors.Is(its.err, bus.ErrEvicted):
		return "gets what is still there, then ErrEvicted"
	case its.err != nil && len(its.numbers) == 0:
		return "gets ErrClosed"
	case its.err != nil:
		return "gets what is there, then ErrClosed"
	case its.missed > 0:
		return "is told what it missed, and goes on"
	}
	return "gets every message"
}

// shared says what two members got between them: each message one of them, or that which the subject had in hand both.
func (s *stage) shared(subject seen) (subjects, others string) {
	s.t.Helper()
	times := map[uint64]int{}
	for _, n := range slices.Concat(subject.numbers, s.its.numbers) {
		times[n]++
	}
	for n := range s.sent {
		if times[n] != 1 && (times[n] != 2 || s.its.marked == 0) {
			s.t.Errorf("message %d was handled %d times", n, times[n])
		}
	}
	say := func(one, both seen) string {
		switch {
		case one.err != nil && len(one.numbers) == 0:
			return "gets ErrClosed"
		case one.err != nil:
			return "gets what is there, then ErrClosed"
		case one.marked > 0:
			return "gets what it had in hand, marked, and the others"
		case len(one.numbers) == 0:
			return "gets nothing"
		case uint64(len(one.numbers)) == s.sent:
			return "gets every message"
		}
		return "gets the others"
	}
	return say(subject, s.its), say(s.its, subject)
}

// verdict says what the subject and the other one got.
func (s *stage) verdict(subject seen) (subjects, others string) {
	s.t.Helper()
	if s.how.group {
		return s.shared(subject)
	}
	return s.words(subject), s.words(s.its)
}

// send publishes n messages, polls the other subscription after each, and says whether there was room.
func (s *stage) send(n int, tries func(since time.Time) bool) string {
	s.t.Helper()
	message := make([]byte, messageSize)
	how := "go on"
	for range n {
		binary.LittleEndian.PutUint64(message, s.sent)
		err := s.pub.Publish(message)
		for since := time.Now(); errors.Is(err, bus.ErrBackPressure); err = s.pub.Publish(message) {
			how = "wait for its patience"
			if !tries(since) {
				return "wait for it"
			}
			s.look()
			time.Sleep(soon / 10)
		}
		if err != nil {
			s.t.Fatal(err)
		}
		s.sent++
		s.look()
	}
	return how
}

func (s *stage) look() {
	if s.other != nil {
		s.drain(s.other, &s.its)
	}
}

// patiently is for what nobody may hold up for good.
func (s *stage) patiently(since time.Time) bool {
	if time.Since(since) > time.Minute {
		s.t.Fatal("watchdog: still no room")
	}
	return true
}

// inVain is for what may be held up for good: for much longer than the patience of those who have one.
func inVain(since time.Time) bool { return time.Since(since) < 50*soon }
