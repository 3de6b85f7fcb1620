package storm

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// handled is the file in which a member writes down each message that it has handled, before it acknowledges it; a topic's witness keeps
// one of all that it saw. A record is two words: the sender, the number and whether the message was marked as delivered before; its
// position. It is written by one write(2), which a kill does not part, as 16 bytes lie in one page; the page outlives the process.
type handled struct{ w io.Writer }

const (
	handledRecord = 16
	senderShift   = 40 // of the first word: numbers below, one bit above the sender
	again         = 1 << 63
)

// createHandled makes the file; one that is buffered is for who is not killed.
func createHandled(path string, buffered bool) (h *handled, done func() error, err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("create a file of messages: %w", err)
	}
	if !buffered {
		return &handled{f}, f.Close, nil
	}
	b := bufio.NewWriterSize(f, 1<<16)
	return &handled{b}, func() error { return errors.Join(b.Flush(), f.Close()) }, nil
}

func (h *handled) add(m message, marked bool) error {
	var b [handledRecord]byte
	word := m.sender<<senderShift | m.number
	if marked {
		word |= again
	}
	binary.LittleEndian.PutUint64(b[:], word)
	binary.LittleEndian.PutUint64(b[8:], m.position)
	_, err := h.w.Write(b[:])
	return err
}

// delivery is a record as it is read.
type delivery struct {
	sender, number, position uint64
	marked                   bool
}

// readHandled reads what a process wrote; one that was killed early may have left nothing.
func readHandled(path string) ([]delivery, error) {
	b, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if len(b)%handledRecord != 0 {
		return nil, fmt.Errorf("%s has %d bytes, want records of %d", path, len(b), handledRecord)
	}
	all := make([]delivery, 0, len(b)/handledRecord)
	for ; len(b) > 0; b = b[handledRecord:] {
		word := binary.LittleEndian.Uint64(b)
		all = append(all, delivery{word &^ again >> senderShift, word & (1<<senderShift - 1), binary.LittleEndian.Uint64(b[8:]), word&again != 0})
	}
	return all, nil
}

// messages are the positions of all messages of a topic, by sender and number: numbers follow each other from 0 on.
type messages map[uint64][]uint64

// read fills in what a witness wrote down.
func (m *messages) read(path string) error {
	all, err := readHandled(path)
	*m = messages{}
	for _, d := range all {
		if n := uint64(len((*m)[d.sender])); d.number != n {
			return fmt.Errorf("%s has message %d of process %d where %d belongs", path, d.number, d.sender, n)
		}
		(*m)[d.sender] = append((*m)[d.sender], d.position)
	}
	return err
}
