package shmring

import (
	"os"

	"github.com/mycelium-bus/mycelium/shmring/internal/shm"
)

// Lines are cache lines that two processes bounce between them: the least that any message through shared memory costs on
// a machine, and so the floor that measurements are compared with. A frame of two lines cannot arrive faster than two lines.
type Lines struct {
	mem  shm.Memory
	side [2][linesMax]*shm.Word
}

const (
	linesMax  = 1024 // a frame of 64 KiB
	linesSize = 2 * linesMax * lineSize
)

// NewLines maps lines in the file, which both processes have open; it makes the file large enough. Every line starts as zero in
// a new file.
func NewLines(f *os.File) (*Lines, error) {
	if err := f.Truncate(linesSize); err != nil {
		return nil, err
	}
	mem, err := shm.Map(int(f.Fd()), linesSize, true)
	if err != nil {
		return nil, err
	}
	mem.Populate(0, linesSize, true)
	l := &Lines{mem: mem}
	for side := range l.side {
		for i := range l.side[side] {
			// Neighbouring 64-byte lines, as a frame has them; the two sides are apart.
			l.side[side][i] = mem.Word(uint64(side*linesMax*lineSize + i*64))
		}
	}
	return l, nil
}

// Send writes seq into the first n lines (1 to 1,024) of a side (0 or 1), the first one last.
func (l *Lines) Send(side, n int, seq uint64) {
	words := &l.side[side&1]
	for i := n - 1; i > 0; i-- {
		words[i].StoreRelaxed(seq) // order: none, the first line's store releases it.
	}
	// order: release, pair [floor] with Lines.Await.
	words[0].StoreRelease(seq)
}

// Await polls the first line of a side until it holds seq, executing pause PAUSE instructions between looks, and then looks at
// the other n-1 lines. It returns false after spins looks without success; zero spins means no bound.
func (l *Lines) Await(side, n int, seq uint64, pause uint32, spins int) bool {
	words := &l.side[side&1]
	// order: acquire, pair [floor] with Lines.Send.
	for i := 1; words[0].Load() != seq; i++ {
		if i == spins {
			return false
		}
		shm.Pause(pause)
	}
	ok := true
	for i := 1; i < n; i++ {
		ok = words[i].Load() == seq && ok // order: none, the first line's acquire covers it.
	}
	return ok
}

// Close gives the mapping up.
func (l *Lines) Close() error { return l.mem.Retire() }
