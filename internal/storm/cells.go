package storm

import (
	"encoding/binary"
	"fmt"
	"os"
)

// cellSize divides the positions of a ring into cells. It divides every segment of the storm's topics, so that a reader that
// starts at a segment's begin, or was lapped to one, starts with a whole cell.
const cellSize = 8 << 10

// cell is what a reader saw in a part of the ring that it read whole: how many messages begin there, and a sum over them that
// depends on what and where they are. Two readers that read a cell must agree, whenever they joined and whether they lived.
type cell struct {
	index uint64 // position / cellSize
	count uint64
	sum   uint64
}

// cellRecord is a cell in a file: three words and their check. It divides a page, so that a kill parts no record.
const cellRecord = 32

const cellCheck = 0x6d79632073746f72

func (c cell) append(b []byte) []byte {
	for _, w := range [...]uint64{c.index, c.count, c.sum, c.index ^ c.count ^ c.sum ^ cellCheck} {
		b = binary.LittleEndian.AppendUint64(b, w)
	}
	return b
}

// tally sums up the cells as a reader goes along.
type tally struct {
	file  *os.File
	buf   []byte
	at    cell
	whole bool // at was read from its beginning
}

func createTally(path string) (*tally, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create a file of cells: %w", err)
	}
	return &tally{file: f}, nil
}

// begin starts anew at a position.
func (t *tally) begin(position uint64) {
	t.at = cell{index: position / cellSize}
	t.whole = position%cellSize == 0
}

// reach closes the cells before a position that the reader has come to.
func (t *tally) reach(position uint64) error {
	for t.at.index < position/cellSize {
		if t.whole {
			t.buf = t.at.append(t.buf)
		}
		t.at, t.whole = cell{index: t.at.index + 1}, true
		if len(t.buf) >= 128*cellRecord {
			if err := t.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *tally) add(m message) error {
	err := t.reach(m.position)
	t.at.count++
	t.at.sum += m.mix()
	return err
}

// flush writes what is summed up; what a killed reader has not written is lost evidence, no more.
func (t *tally) flush() error {
	if len(t.buf) == 0 {
		return nil
	}
	_, err := t.file.Write(t.buf)
	t.buf = t.buf[:0]
	return err
}

// readCells reads a file of cells as far as it goes; a reader that was killed may have left none.
func readCells(path string) ([]cell, error) {
	b, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	cells := make([]cell, 0, len(b)/cellRecord)
	for ; len(b) >= cellRecord; b = b[cellRecord:] {
		w := func(i int) uint64 { return binary.LittleEndian.Uint64(b[8*i:]) }
		c := cell{w(0), w(1), w(2)}
		if w(3) != c.index^c.count^c.sum^cellCheck {
			return nil, fmt.Errorf("%s: record %d is damaged", path, len(cells))
		}
		cells = append(cells, c)
	}
	return cells, nil
}
