package shmring

import (
	"os"
	"time"

	"github.com/mycelium-bus/mycelium/shmring/internal/shm"
)

// Lines are cache lines that two processes bounce between them: the least that any message through shared memory costs on
// a machine, and so the floor that measurements are compared with. A frame of two lines cannot arrive faster than two lines.
type Lines struct {
	mem  shm.Memory
	side [2][linesMax]*shm.Word
	bell *shm.Word32
}

const (
	linesMax  = 1024 // a frame of 64 KiB
	bellOff   = 2 * linesMax * lineSize
	linesSize = bellOff + 4096
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
	l := &Lines{mem: mem, bell: mem.Word32(bellOff)}
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

// Rouse writes x, which must differ from what was there, into the first line of a side, and wakes who dozes on it: a store and a futex's
// wake-up (a system call), the least that ends a sleep.
func (l *Lines) Rouse(side int, x uint64) {
	l.Send(side, 1, x)
	// order: sequentially consistent, pair [bell] with Lines.Doze: after the line, before the wake.
	l.bell.Store(l.bell.Load() + 1) // order: none, one process rouses
	shm.FutexWake(l.bell)
}

// Doze sleeps until the first line of a side holds something else than seen, and returns that, or seen after d.
func (l *Lines) Doze(side int, seen uint64, d time.Duration) (uint64, error) {
	for end := time.Now().Add(d); ; {
		// order: acquire (these two), pair [bell] with Lines.Rouse: the bell before the line, or a wake between them would be lost.
		was := l.bell.Load()
		if x := l.side[side&1][0].Load(); x != seen {
			return x, nil
		}
		if d = time.Until(end); d <= 0 {
			return seen, nil
		}
		if err := shm.FutexWait(l.bell, was, d); err != nil {
			return seen, err
		}
	}
}

// Close gives the mapping up.
func (l *Lines) Close() error { return l.mem.Retire() }
