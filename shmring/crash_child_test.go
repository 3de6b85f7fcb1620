//go:build linux && (amd64 || stepped)

package shmring

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"time"
)

// The child's side of the crash test: this test binary, started once more, attaches to the topic, performs its operation twice
// so that nothing lazy is left in it, then once between two marks, and there it is killed.
const (
	envCrashChild = "MYC_CRASH_CHILD" // name of the operation
	envCrashTopic = "MYC_CRASH_TOPIC" // directory of the topic
)

// init runs on the main thread, which is the one that the parent traces, and before anything of package testing.
func init() {
	if name := os.Getenv(envCrashChild); name != "" {
		if err := crashChildMain(name, os.Getenv(envCrashTopic)); err != nil {
			fmt.Fprintln(os.Stderr, "child:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
}

func crashChildMain(name, topic string) error {
	runtime.LockOSThread()
	runtime.MemProfileRate = 0 // samples by chance
	debug.SetGCPercent(-1)
	c := &crashChild{clock: time.Unix(1, 0)}
	now = func() time.Time { return c.clock }
	for _, op := range crashOperations {
		if op.name != name {
			continue
		}
		ring, err := Open(topic, Own)
		if err != nil {
			return err
		}
		c.ring = ring
		if op.crew != nil {
			if c.sheet, err = openSheet(topic); err != nil {
				return err
			}
		}
		return c.perform(op)
	}
	return fmt.Errorf("no operation %q", name)
}

type crashChild struct {
	ring   *Ring
	p      *Producer // attached by [crashChild.attach]
	rd     *Reader
	seq    int // of the next message
	clock  time.Time
	ghost  []byte // a whole message that is never committed
	staged [][]byte
	round  int // 0 and 1 warm up, in 2 it dies
	crashMember
}

func (c *crashChild) perform(op crashOperation) error {
	c.ghost = crashMessage(ghostly, 0, 500)
	for ; c.round < 2; c.round++ {
		err := op.ready(c)
		if err == nil {
			err = op.do(c)
		}
		if err != nil {
			return fmt.Errorf("warming up: %w", err)
		}
	}
	if err := op.ready(c); err != nil {
		return err
	}
	return betweenMarks(func() error { return op.do(c) })
}

// Who a message is from.
const (
	fromChild = iota
	fromOther // the parent's producer
	fromLater // producers that come after the death
	ghostly
)

// crashMessage makes message seq of producer n: both and its length, then bytes that follow from them. Length is at least 24.
func crashMessage(n, seq, length int) []byte {
	b := make([]byte, length)
	binary.LittleEndian.PutUint64(b, uint64(n))
	binary.LittleEndian.PutUint64(b[8:], uint64(seq))
	binary.LittleEndian.PutUint64(b[16:], uint64(length))
	for i := 24; i < length; i++ {
		b[i] = byte(seq*3 + n + i)
	}
	return b
}

// stage makes the next messages of the child, of these lengths, so that the operation only has to copy them.
func (c *crashChild) stage(lengths ...int) {
	c.staged = c.staged[:0]
	for i, n := range lengths {
		c.staged = append(c.staged, crashMessage(fromChild, c.seq+i, n))
	}
}

// sent counts n staged messages as committed.
func (c *crashChild) sent(n int) { c.seq += n }

// attach makes the child a producer unless it is one.
func (c *crashChild) attach() error {
	if c.p != nil && !c.p.done {
		return nil
	}
	g, err := c.ring.GrantProducer(0)
	if err != nil {
		return err
	}
	c.p, err = c.ring.Producer(g, "crash")
	return err
}

// victim makes another producer in this process, which will be as dead as one whose process was killed.
func (c *crashChild) victim() (*Producer, error) {
	g, err := c.ring.GrantProducer(0)
	if err != nil {
		return nil, err
	}
	return c.ring.Producer(g, "victim")
}

// bury lets a handle's lock fall, as the kernel does at its process's death, and leaves all its words as they are.
func bury(l *lease) { l.grant.Close() }

func (c *crashChild) publish(length int) error {
	c.stage(length)
	if err := c.p.Publish(c.staged[0]); err != nil {
		return err
	}
	c.sent(1)
	return nil
}

// to publishes until rest bytes are left of the segment that the next claim goes to; rest is a multiple of 32 up to the
// segment.
func (c *crashChild) to(rest uint64) error {
	if err := c.attach(); err != nil {
		return err
	}
	for range 1000 {
		pos := c.p.pos
		if !c.p.single {
			pos = c.ring.tail.Load()
		}
		left := c.ring.segment - pos%c.ring.segment
		if left == rest {
			return nil
		}
		size := left // to the segment's end
		if left > rest {
			size = left - rest
		}
		if size < 48 { // shorter than the shortest frame: round once more
			size = 64
		}
		if size > 512 {
			size = 256
		}
		if err := c.publish(int(size - frameHeaderSize)); err != nil {
			return err
		}
	}
	return fmt.Errorf("the tail does not come to %d bytes before a segment's end", rest)
}

// crowd publishes until there is no room.
func (c *crashChild) crowd() error {
	for {
		if err := c.publish(500); err != nil {
			if errors.Is(err, ErrBackPressure) {
				return nil
			}
			return err
		}
	}
}

// join makes the child a reader.
func (c *crashChild) join(p Policy, from From) error {
	g, err := c.ring.GrantConsumer(p)
	if err != nil {
		return err
	}
	c.rd, err = c.ring.Reader(g, ReaderOptions{Name: "crash", From: from})
	return err
}

func (c *crashChild) leave() error {
	if c.rd == nil {
		return nil
	}
	return c.rd.Close()
}

// poll reads n messages.
func (c *crashChild) poll(n int) error {
	for range n {
		if _, ok := c.rd.Next(); !ok {
			return fmt.Errorf("no message: %w", c.rd.Err())
		}
	}
	return nil
}
