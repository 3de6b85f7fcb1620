package bus_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/mycelium-bus/mycelium/bus"
)

func (s *stage) doesNotPoll() (publishers, subscription, others string) {
	sub := s.subscribe()
	s.other = s.subscribe()
	publishers = s.send(often, inVain)
	var its seen
	s.drain(sub, &its)
	subscription, others = s.verdict(its)
	return publishers, subscription, others
}

var errNo = errors.New("no")

// fail hands the subscription a message, and has it fail.
func (s *stage) fail(sub *bus.Subscription) (number uint64, marked bool) {
	s.t.Helper()
	number = ^uint64(0)
	_, err := sub.Poll(1, func(m bus.Message) error {
		number, marked = binary.LittleEndian.Uint64(m.Bytes()), m.Redelivered()
		return errNo
	})
	if number != ^uint64(0) {
		wantIs(s.t, err, errNo)
	}
	return number, marked
}

func (s *stage) failsOnce() (publishers, subscription, others string) {
	return s.fails(1)
}

func (s *stage) failsAlways() (publishers, subscription, others string) {
	return s.fails(10)
}

func (s *stage) fails(times int) (publishers, subscription, others string) {
	sub, other := s.subscribe(), s.subscribe()
	publishers = s.send(2, inVain)
	got := 0
	marks := 0
	for range times {
		n, marked := s.fail(sub)
		s.other = other
		s.look()
		if n != 0 {
			break
		}
		got++
		if marked {
			marks++
		}
	}
	its := seen{}
	if got == times {
		s.drain(sub, &its)
		if its.marked > 0 {
			marks++
		}
		got++
	}
	switch {
	case s.how.group && marks != got-1, !s.how.group && marks != 0:
		s.t.Errorf("%d of %d deliveries were marked", marks, got)
	case got <= times && s.how.group:
		subscription = "gets it again, marked, until it is parked"
		its.numbers = append(its.numbers, 0)
	case s.how.group:
		subscription = "gets it again, marked"
	default:
		subscription = "gets it again"
	}
	its.marked = 0
	_, others = s.verdict(its)
	return publishers, subscription, others
}

func (s *stage) isClosed() (publishers, subscription, others string) {
	sub, other := s.subscribe(), s.subscribe()
	s.send(2, inVain)
	s.fail(sub)
	if err := sub.Close(); err != nil {
		s.t.Fatal(err)
	}
	s.other = other
	publishers = s.send(often, inVain)
	its := seen{}
	if !s.how.group {
		its = s.its // nobody's concern
	}
	_, others = s.verdict(its)
	return publishers, "is gone", others
}

func (s *stage) isClosedAlone() (publishers, subscription, others string) {
	sub := s.subscribe()
	s.send(1, inVain)
	var its seen
	s.drain(sub, &its)
	if err := sub.Close(); err != nil || len(its.numbers) != 1 {
		s.t.Fatal(its, err)
	}
	publishers = s.send(2, inVain)
	next := s.subscribe()
	s.send(1, inVain)
	var later seen
	s.drain(next, &later)
	switch fmt.Sprint(later.numbers) {
	case "[3]":
		others = "the next one begins with the newest"
	case "[1 2 3]":
		others = "the next one gets what came meanwhile"
	default:
		s.t.Errorf("the next one got %v", later.numbers)
	}
	return publishers, "is gone", others
}

// subject starts the subscription as a process of its own, and lets it hold the first message.
func (s *stage) subject() *child {
	s.t.Helper()
	c := start(s.t, "subscriber "+s.b.Socket+" "+s.name)
	c.line("ready")
	s.send(1, inVain)
	c.line("got 0")
	s.other = s.subscribe()
	s.its.numbers = []uint64{0} // it came later
	if s.how.group {
		s.its.numbers = nil
	}
	return c
}

func (s *stage) isKilled() (publishers, subscription, others string) {
	c := s.subject()
	c.kill()
	s.send(often, s.patiently)
	publishers = "go on" // some may have waited for the repair
	if s.how.group {
		eventually(s.t, "what it had in hand comes", func() bool { s.look(); return s.its.marked > 0 })
		_, others = s.verdict(seen{})
		return publishers, "is gone", others
	}
	return publishers, "is gone", s.words(s.its)
}

func (s *stage) isStopped() (publishers, subscription, others string) {
	c := s.subject()
	if err := c.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		s.t.Fatal(err)
	}
	publishers = s.send(often, inVain)
	if err := c.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		s.t.Fatal(err)
	}
	c.tell("go on")
	its := seen{}
	last := s.sent // of what is sent from here on, to a reader
	if s.how.group {
		c.line("done 0")
		its.numbers = []uint64{0}
		s.send(1, s.patiently)
	} else {
		s.send(1, s.patiently)
		for its.err == nil && (len(its.numbers) == 0 || its.numbers[len(its.numbers)-1] != last) {
			c.take(c.line(""), &its)
		}
	}
	c.in.Close()
	for c.out.Scan() {
		c.take(c.out.Text(), &its)
	}
	if err := c.cmd.Wait(); err != nil {
		s.t.Errorf("the child ended with: %v", err)
	}
	s.look() // what it left
	subscription, others = s.verdict(its)
	if s.how.group && subscription == "gets the others" && s.its.marked == 0 {
		subscription = "goes on with it"
	}
	return publishers, subscription, others
}

// take takes a line of a subscriber.
func (c *child) take(line string, its *seen) {
	c.t.Helper()
	var n uint64
	switch {
	case strings.HasPrefix(line, "done "):
		fmt.Sscanf(line, "done %d", &n)
		its.numbers = append(its.numbers, n)
	case strings.HasPrefix(line, "missed "):
		fmt.Sscanf(line, "missed %d", &n)
		its.missed += n
	case line == "evicted":
		its.err = bus.ErrEvicted
	case line != "PASS" && !strings.HasPrefix(line, "got "):
		c.t.Fatalf("the child says %q", line)
	}
}

// sayWhatComes is the child's side. It holds the first message until it is told to go on.
func sayWhatComes(t *testing.T, sub *bus.Subscription) {
	fmt.Println("ready")
	in := bufio.NewScanner(os.Stdin)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	held := false
	for m, err := range sub.Messages(ctx) {
		var lap *bus.LappedError
		switch {
		case errors.As(err, &lap):
			fmt.Println("missed", lap.Missed())
			continue
		case errors.Is(err, bus.ErrEvicted):
			fmt.Println("evicted")
			return
		case errors.Is(err, context.Canceled):
			return
		case err != nil:
			t.Fatal(err)
		}
		number := binary.LittleEndian.Uint64(m.Bytes())
		fmt.Println("got", number)
		if !held {
			held = true
			if !in.Scan() {
				return
			}
			go func() {
				io.Copy(io.Discard, os.Stdin)
				stop()
			}()
		}
		fmt.Println("done", number)
	}
}

func (s *stage) publisherIsKilled() (publishers, subscription, others string) {
	sub := s.subscribe()
	s.other = s.subscribe()
	p := start(s.t, "claimer "+filepath.Dir(s.b.Dir))
	p.line("claimed")
	publishers = s.send(1, inVain)
	var its seen
	s.drain(sub, &its)
	if len(its.numbers)+len(s.its.numbers) != 0 {
		s.t.Errorf("it got %v, and another one %v, beyond an open claim", its.numbers, s.its.numbers)
	}
	p.kill()
	if err := sub.Wait(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	s.drain(sub, &its)
	s.look()
	subscription, others = s.verdict(its)
	return publishers, "waits for the repair, then " + subscription, others
}

func (s *stage) brokerIsGone() (publishers, subscription, others string) {
	sub := s.subscribe()
	s.other = s.subscribe()
	s.b.StopBroker()
	other := s.other
	s.other = nil
	publishers = s.send(2, inVain)
	var its seen
	if _, err := sub.Poll(1, its.take); err != nil {
		s.t.Fatal(err)
	}
	s.other = other
	s.look()
	s.drain(sub, &its)
	subscription, others = s.verdict(its)
	return publishers, subscription, others
}

func (s *stage) topicIsDeleted() (publishers, subscription, others string) {
	sub, other := s.subscribe(), s.subscribe()
	s.send(2, inVain)
	if err := s.b.Dial("admin").DeleteTopic(s.t.Context(), "t"); err != nil {
		s.t.Fatal(err)
	}
	eventually(s.t, "the publisher's end", func() bool {
		err := s.pub.Publish(binary.LittleEndian.AppendUint64(nil, s.sent))
		if err == nil {
			s.sent++ // it may be told at the second message
		}
		return errors.Is(err, bus.ErrClosed)
	})
	var its seen
	if _, err := sub.Poll(1, its.take); err != nil {
		s.t.Fatal(err)
	}
	s.other = other
	s.look()
	s.drain(sub, &its)
	subscription, others = s.verdict(its)
	return "get ErrClosed", subscription, others
}
