package perf

import (
	"encoding/binary"
	"fmt"
)

// A payload is 8-byte words, little-endian: word i of message seq holds seq + i. One way, words 1 and 2 hold the time of
// sending instead: as it is, and XOR seq.

// filler writes payloads.
type filler struct {
	timed  bool
	sentNs int64
}

// fill writes message seq into b, whose length is a multiple of 8.
func (f *filler) fill(b []byte, seq uint64) {
	whole, v := b, seq
	for ; len(b) >= 64; b = b[64:] {
		c := b[:64]
		binary.LittleEndian.PutUint64(c[0:], v)
		binary.LittleEndian.PutUint64(c[8:], v+1)
		binary.LittleEndian.PutUint64(c[16:], v+2)
		binary.LittleEndian.PutUint64(c[24:], v+3)
		binary.LittleEndian.PutUint64(c[32:], v+4)
		binary.LittleEndian.PutUint64(c[40:], v+5)
		binary.LittleEndian.PutUint64(c[48:], v+6)
		binary.LittleEndian.PutUint64(c[56:], v+7)
		v += 8
	}
	for ; len(b) >= 8; b = b[8:] {
		binary.LittleEndian.PutUint64(b, v)
		v++
	}
	if f.timed {
		binary.LittleEndian.PutUint64(whole[8:], uint64(f.sentNs))
		binary.LittleEndian.PutUint64(whole[16:], uint64(f.sentNs)^seq)
	}
}

// checker checks payloads in the order of their sequence numbers.
type checker struct {
	next   uint64 // the number that must come next
	size   int
	sum    uint64 // of the words' distances from the first one
	timed  bool
	sentNs int64        // of the last message
	then   func() error // what to do with each good message while it is there; nil: nothing
	err    error
}

func newChecker(size int, timed bool) *checker {
	words := uint64(size / 8)
	c := &checker{size: size, timed: timed, sum: words * (words - 1) / 2}
	return c
}

// take checks one message, then does with it what is to be done. What is wrong, with the message or with that, stays in c.err.
func (c *checker) take(b []byte) bool {
	if len(b) != c.size || len(b) < 8 {
		return c.fail("%d bytes, want %d", len(b), c.size)
	}
	seq := c.next
	if got := binary.LittleEndian.Uint64(b); got != seq {
		return c.fail("sequence number %d", got)
	}
	want := seq*uint64(c.size/8) + c.sum
	if c.timed {
		sent, again := binary.LittleEndian.Uint64(b[8:]), binary.LittleEndian.Uint64(b[16:])
		if sent != again^seq {
			return c.fail("times of sending %d and %d", sent, again^seq)
		}
		c.sentNs = int64(sent)
		want += sent + again - (2*seq + 3)
	}
	if got := sumWords(b); got != want {
		return c.fail("words that sum up to %d, want %d", got, want)
	}
	c.next = seq + 1
	if c.then != nil {
		if err := c.then(); err != nil {
			c.err = err
			return false
		}
	}
	return true
}

func (c *checker) fail(format string, args ...any) bool {
	if c.err == nil {
		c.err = fmt.Errorf("%w: message %d has %s", ErrPayload, c.next, fmt.Sprintf(format, args...))
	}
	return false
}

// sumWords adds the words of b up, in four rows that do not wait for each other.
func sumWords(b []byte) uint64 {
	var s0, s1, s2, s3 uint64
	for ; len(b) >= 64; b = b[64:] {
		c := b[:64]
		s0 += binary.LittleEndian.Uint64(c[0:]) + binary.LittleEndian.Uint64(c[32:])
		s1 += binary.LittleEndian.Uint64(c[8:]) + binary.LittleEndian.Uint64(c[40:])
		s2 += binary.LittleEndian.Uint64(c[16:]) + binary.LittleEndian.Uint64(c[48:])
		s3 += binary.LittleEndian.Uint64(c[24:]) + binary.LittleEndian.Uint64(c[56:])
	}
	for ; len(b) >= 8; b = b[8:] {
		s0 += binary.LittleEndian.Uint64(b)
	}
	return s0 + s1 + s2 + s3
}
