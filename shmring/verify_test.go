package shmring

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var kinds = []Kind{SPSC, SPMC, MPSC, MPMC}

func TestAFreshRingVerifies(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.String(), func(t *testing.T) {
			for where, r := range map[string]*Ring{
				"in files": newFileRing(t, small.of(k)), "on the heap": newHeapRing(t, small.of(k)),
			} {
				rep, err := r.Verify()
				if err != nil {
					t.Errorf("%s: %v", where, err)
				}
				if want := (Report{From: r.capacity, To: r.capacity}); rep != want {
					t.Errorf("%s: %+v, want %+v", where, rep, want)
				}
			}
		})
	}
}

func TestVerifyCountsWhatIsThere(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.String(), func(t *testing.T) {
			r := newFileRing(t, small.of(k))
			p := newProducer(t, r)
			for range 300 { // 300 * 112 bytes: half the ring, with padding in each segment of 8 KiB
				if err := p.Publish(make([]byte, 96)); err != nil {
					t.Fatal(err)
				}
			}
			c, err := p.Claim(50)
			if err != nil {
				t.Fatal(err)
			}
			rep, err := again(t, r, Inspect).Verify()
			if err != nil {
				t.Fatal(err)
			}
			if rep.Frames != 300 || rep.Bytes != 300*96 || rep.Pads != 4 || rep.OpenClaims != 1 || rep.Overwritten != 0 {
				t.Errorf("%+v", rep)
			}
			c.Abort()
		})
	}
}

// scene is a ring in the middle of its work: messages, a PAD, more than one lap of history, a reader and a claim that is open.
type scene struct {
	*Ring
	t      *testing.T
	p      *Producer
	rd     *Reader
	frames []uint64 // positions
	claim  uint64   // position of the open one
}

func newScene(t *testing.T, k Kind) *scene {
	r, err := Create(busDir(t), "test", small.of(k))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	s := &scene{Ring: r, t: t, p: newProducer(t, r)}
	s.rd = newReader(t, r, Policy{Slow: Block, Credit: 32 << 10}, Newest())
	for range 900 {
		c, err := s.p.Claim(96)
		if err != nil {
			t.Fatal(err)
		}
		s.frames = append(s.frames, c.Position())
		if err := c.Commit(96); err != nil {
			t.Fatal(err)
		}
		readAll(t, s.rd)
	}
	c, err := s.p.Claim(64)
	if err != nil {
		t.Fatal(err)
	}
	s.claim = c.Position()
	if _, err := r.Verify(); err != nil {
		t.Fatalf("before anything is broken: %v", err)
	}
	return s
}

// put writes a little-endian word into one of the ring's files, as a stranger would.
func (s *scene) put(file string, off, value uint64) {
	s.t.Helper()
	f, err := os.OpenFile(ringFile(s.Ring, file), os.O_WRONLY, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	defer f.Close()
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], value)
	if _, err := f.WriteAt(b[:], int64(off)); err != nil {
		s.t.Fatal(err)
	}
}

// at is where in the file ring the frame at a position stands.
func (s *scene) at(pos uint64) uint64 { return s.offData + pos&(s.capacity-1) }

func TestVerifyNamesWhatIsBroken(t *testing.T) {
	const reader = 0
	last := func(s *scene) uint64 { return s.frames[len(s.frames)-1] }
	ringPut := func(off func(s *scene) uint64, value func(s *scene) uint64) func(*scene) {
		return func(s *scene) { s.put(nameRing, off(s), value(s)) }
	}
	cursorsPut := func(off func(s *scene) uint64, value func(s *scene) uint64) func(*scene) {
		return func(s *scene) { s.put(nameCursors, off(s), value(s)) }
	}
	is := func(v uint64) func(*scene) uint64 { return func(*scene) uint64 { return v } }
	slot := func(off uint64) func(*scene) uint64 { return func(s *scene) uint64 { return s.offProducers + off } }
	consumer := func(off uint64) func(*scene) uint64 {
		return func(s *scene) uint64 { return s.offConsumers + consumerSlotSize*reader + off }
	}
	limit := func(s *scene) uint64 { return s.limit.Load() }
	shared := []Kind{MPSC, MPMC}
	for _, c := range []struct {
		name        string
		kinds       []Kind
		break_      func(*scene)
		file, field string
	}{
		{"a tail that is not aligned", kinds, ringPut(is(offTail), func(s *scene) uint64 { return s.tail.Load() + 8 }), "ring", "tail"},
		{"a tail before the beginning", kinds, ringPut(is(offTail), is(0)), "ring", "tail"},
		{"a tail beyond the limit", kinds, ringPut(is(offTail), func(s *scene) uint64 { return limit(s) + 16 }), "ring", "tail"},
		{"a limit that is not aligned", kinds, ringPut(is(offLimit), func(s *scene) uint64 { return limit(s) + 4 }), "ring", "limit"},
		{"a limit before the beginning", kinds, ringPut(is(offLimit), is(64)), "ring", "limit"},
		{"a limit far beyond the tail", kinds, ringPut(is(offLimit), func(s *scene) uint64 { return limit(s) + 3*s.segment }), "ring", "limit"},
		{"more producers in use than there are", kinds, ringPut(is(offUsedProducers), is(5)), "ring", "used producers"},
		{"a producer slot that is a reader's", kinds, ringPut(slot(pState), is(uint64(makeState(1, slotReader, 0, groupNobody)))), "ring", "state of producer 0"},
		{"a producer slot of no kind", kinds, ringPut(slot(pState), is(77<<32|1)), "ring", "state of producer 0"},
		{"a claim that is not aligned", kinds, ringPut(slot(pPosition), func(s *scene) uint64 { return s.claim + 1 }), "ring", "claim of producer 0"},
		{"a claim before the beginning", kinds, ringPut(slot(pPosition), is(16)), "ring", "claim of producer 0"},
		{"a claim that was won, and that the limit has passed", shared, func(s *scene) {
			s.put(nameRing, s.offProducers+pWon, limit(s)-s.capacity-16)
			s.put(nameRing, s.offProducers+pPosition, limit(s)-s.capacity-16)
		}, "ring", "claim of producer 0"},
		{"more consumers in use than there are", kinds, cursorsPut(is(offUsedConsumers), is(9)), "cursors", "used consumers"},
		{"a consumer slot that is a producer's", kinds, cursorsPut(consumer(cState), is(uint64(makeState(1, slotProducer, 0, groupNobody)))), "cursors", "state of consumer 0"},
		{"a consumer slot of no kind", kinds, cursorsPut(consumer(cState), is(6<<32|1)), "cursors", "state of consumer 0"},
		{"a drop of a generation that never was", kinds, ringPut(func(s *scene) uint64 { return s.offDropped }, is(2)), "ring", "dropped of consumer 0"},
		{"a drop of no generation", kinds, ringPut(func(s *scene) uint64 { return s.offDropped }, is(1<<40)), "ring", "dropped of consumer 0"},
		{"a cursor beyond the tail", kinds, cursorsPut(consumer(cCursor), func(s *scene) uint64 { return limit(s) + 16 }), "cursors", "cursor of consumer 0"},
		{"a cursor that the limit has passed", kinds, cursorsPut(consumer(cCursor), func(s *scene) uint64 { return limit(s) - s.capacity - 16 }), "cursors", "cursor of consumer 0"},
		{"a group's head beyond the tail", kinds, cursorsPut(func(s *scene) uint64 { return s.offGroups + gHead },
			func(s *scene) uint64 { return pack(limit(s)+16, groupNobody) }), "cursors", "head of group 0"},
		{"a frame without a stamp", shared, ringPut(func(s *scene) uint64 { return s.at(last(s)) }, is(1)), "ring", "stamp"},
		{"an old frame without a stamp", kinds, ringPut(func(s *scene) uint64 { return s.at(s.frames[len(s.frames)-200]) }, is(0)), "ring", "stamp"},
		{"a frame with the next lap's stamp", kinds, ringPut(func(s *scene) uint64 { return s.at(s.frames[len(s.frames)-200]) },
			func(s *scene) uint64 { return (s.frames[len(s.frames)-200] + s.capacity) ^ s.nonce }), "ring", "stamp"},
		{"a frame that is too long", kinds, ringPut(func(s *scene) uint64 { return s.at(last(s)) + 8 }, is(frameWord(4096, 0, kindData))), "ring", "length and kind"},
		{"a frame without payload", kinds, ringPut(func(s *scene) uint64 { return s.at(last(s)) + 8 }, is(frameWord(0, 0, kindData))), "ring", "length and kind"},
		{"padding that crosses its segment's end", kinds, ringPut(func(s *scene) uint64 { return s.at(last(s)) + 8 }, is(frameWord(8<<10, 0, kindPad))), "ring", "length and kind"},
		{"a frame of no kind", kinds, ringPut(func(s *scene) uint64 { return s.at(last(s)) + 8 }, is(frameWord(96, 0, 3))), "ring", "length and kind"},
	} {
		for _, k := range c.kinds {
			t.Run(c.name+"/"+k.String(), func(t *testing.T) {
				s := newScene(t, k)
				c.break_(s)
				_, err := again(t, s.Ring, Inspect).Verify()
				var corrupt *CorruptError
				if !errors.As(err, &corrupt) || corrupt.File != c.file || corrupt.Field != c.field {
					t.Errorf("got %v\nwant %s: %s", err, c.file, c.field)
				}
			})
		}
	}
}

// TestVerifyOfARingThatDied checks one whose processes are gone: nobody holds a lock, and all that is left must still be told
// from damage.
func TestVerifyOfARingThatDied(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.String(), func(t *testing.T) {
			s := newScene(t, k)
			dir := filepath.Join(busDir(t), "dead")
			copyDir(t, s.path, dir, rand.New(rand.NewPCG(1, 2)), nil)
			r := open(t, dir)
			rep, err := r.Verify()
			if err != nil {
				t.Fatal(err)
			}
			if rep.OpenClaims != 1 || rep.Frames == 0 {
				t.Errorf("%+v", rep)
			}
			// A bit of a stamp in the middle of the history.
			d := &scene{Ring: r, t: t}
			pos := s.frames[len(s.frames)-100]
			d.put(nameRing, d.at(pos), pos^d.nonce^1<<20)
			if _, err := r.Verify(); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "stamp") {
				t.Errorf("a broken stamp: %v", err)
			}
		})
	}
}

// TestACopyIsCheckedFromItsBeginning: before the producers have come round, no byte of a copy can be a later lap's.
func TestACopyIsCheckedFromItsBeginning(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.String(), func(t *testing.T) {
			r := newFileRing(t, small.of(k))
			p := newProducer(t, r)
			for range 3 {
				publish(t, p, "a message")
			}
			dir := filepath.Join(busDir(t), "copy")
			copyDir(t, r.path, dir, rand.New(rand.NewPCG(1, 2)), nil)
			c := open(t, dir)
			if rep, err := c.Verify(); err != nil || rep.Frames != 3 {
				t.Errorf("%+v, %v", rep, err)
			}
			(&scene{Ring: c, t: t}).put(nameRing, c.offData+8, frameWord(9, 0, 3))
			if _, err := c.Verify(); !errors.Is(err, ErrCorrupt) {
				t.Errorf("a frame of no kind: %v", err)
			}
		})
	}
}
