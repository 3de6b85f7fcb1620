package shmring

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// FuzzOpen changes bytes of a topic's files, then opens it, looks at everything as the tools do, and uses it as a client does.
// Whatever the files hold, it must end, touch nothing outside of them, and say what is wrong as an error.
//
// The input is the ring's kind, then changes of 14 bytes each: what to do, where, and a word to write there or to flip bits by.
func FuzzOpen(f *testing.F) {
	le := binary.LittleEndian
	change := func(what byte, where uint32, word uint64) []byte {
		b := make([]byte, 14)
		b[0] = what
		le.PutUint32(b[1:], where)
		le.PutUint64(b[5:], word)
		return b
	}
	const (
		ring, cursors, control    = 0, 1, 2
		inHeader, inWords, inData = 0 << 4, 1 << 4, 3 << 4
		seal, cut, flip           = 1 << 2, 1 << 3, 1 << 6
	)
	for k := range byte(4) {
		f.Add([]byte{k})
		f.Add(append([]byte{k}, change(ring|inWords, 0, 131072-4)...))               // a tail that is not aligned
		f.Add(append([]byte{k}, change(ring|inWords, lineSize, 1<<63)...))           // a limit far away
		f.Add(append([]byte{k}, change(ring|inWords, 5*lineSize, 1<<40)...))         // slots in use that are not there
		f.Add(append([]byte{k}, change(cursors|inWords, 3*lineSize, 1<<40)...))      // the same of consumers
		f.Add(append([]byte{k}, change(control|inWords, lineSize, 1<<40)...))        // a config of a terabyte
		f.Add(append([]byte{k}, change(ring|inHeader|seal, hCapacity, 128<<10)...))  // a header that lies
		f.Add(append([]byte{k}, change(ring|inHeader|seal, hMaxFrame, 1<<63)...))    // the same
		f.Add(append([]byte{k}, change(ring|inData, 8192+8, 0x0001ffffffffffff)...)) // a frame of 4 GiB
		f.Add(append([]byte{k}, change(ring|inHeader|seal, hInode, 0)...))           // a copy
		f.Add(append([]byte{k}, change(cursors|cut, 100, 0)...))
		f.Add(append([]byte{k}, change(ring|cut, 100<<10, 0)...))
		f.Add(append([]byte{k}, change(ring|inHeader|flip, hCapacity, 1<<20)...))      // a bit, which the checksum finds
		f.Add(append([]byte{k}, change(ring|inHeader|flip|seal, hCapacity, 1<<20)...)) // and one that it does not
		f.Add(append([]byte{k}, change(ring|inWords|flip, 0, 1<<40)...))
		f.Add(append([]byte{k}, change(ring|inData|flip, 4096, 1<<63)...))             // a stamp that is gone
		f.Add(append([]byte{k}, change(cursors|2<<4|flip, cCursor, 1<<62)...))         // a cursor in the next age
		f.Add(append([]byte{k}, change(ring|2<<4|flip, pPosition, 1<<62)...))          // an intent there
		f.Add(append([]byte{k}, change(control|2<<4, uint32(eCredit), ^uint64(0))...)) // a credit without end
		f.Add(append([]byte{k}, change(cursors|2<<4|flip, cState, ^uint64(0))...))     // a slot's state
		f.Add(append([]byte{k}, change(ring|2<<4|flip, pSize, 1<<63|1<<31|1<<15)...))  // a claim's length
	}
	originals := map[Kind]map[string][]byte{}
	for _, k := range kinds {
		originals[k] = filesOfUsedRing(f, k)
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		if len(input) == 0 {
			return
		}
		watchdog := time.AfterFunc(time.Minute, func() { panic("it does not end") })
		defer watchdog.Stop()
		files := map[string][]byte{}
		for name, b := range originals[kinds[input[0]%4]] {
			files[name] = append([]byte(nil), b...)
		}
		dir := filepath.Join(busDir(t), "test") // of each run: who ends a fuzzing process does not let it clean up
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		made, err := os.Create(filepath.Join(dir, nameRing))
		if err != nil {
			t.Fatal(err)
		}
		inode, err := inodeOf(int(made.Fd()))
		made.Close()
		if err != nil {
			t.Fatal(err)
		}
		le.PutUint64(files[nameRing][hInode:], inode) // no copy, unless the input makes it one
		sealed(files[nameRing])
		for input = input[1:]; len(input) >= 14; input = input[14:] {
			mutate(files, input)
		}
		for name, b := range files {
			if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chmod(made.Name(), 0o600); err != nil {
			t.Fatal(err)
		}
		if r, err := Open(dir, Inspect); err == nil {
			lookAtAll(t, r)
		}
		if r, err := OpenFile(filepath.Join(dir, nameRing)); err == nil {
			lookAtAll(t, r)
		}
		if r, err := Open(dir, Own); err == nil {
			useAll(r)
		}
	})
}

// filesOfUsedRing returns the files of a ring with a lap of history, a reader and an open claim.
func filesOfUsedRing(f *testing.F, k Kind) map[string][]byte {
	r := newHeapRing(f, small.of(k))
	p := newProducer(f, r)
	newReader(f, r, Policy{Slow: Block}, Newest())
	for range 400 {
		publish(f, p, "%50d", 1)
	}
	if _, err := p.Claim(100); err != nil {
		f.Fatal(err)
	}
	return map[string][]byte{nameRing: bytes.Clone(r.ring.Bytes(0, r.ringSize)), nameCursors: bytes.Clone(r.cursors.Bytes(0, r.cursorsSize)),
		nameControl: bytes.Clone(r.control.Bytes(0, r.controlSize)), nameLocksP: nil, nameLocksC: nil}
}

// mutate makes one change: bits 0 and 1 of its first byte are the file, bit 2 makes the header's checksum right afterwards, bit 3
// cuts the file, bits 4 and 5 are the part of the file that the place is counted in, bit 6 flips bits in place of writing a word.
func mutate(files map[string][]byte, c []byte) {
	le := binary.LittleEndian
	name := []string{nameRing, nameCursors, nameControl, nameRing}[c[0]&3]
	b := files[name]
	where, word := uint64(le.Uint32(c[1:])), le.Uint64(c[5:])
	if c[0]&8 != 0 {
		files[name] = b[:where%uint64(len(b)+1)]
		return
	}
	if len(b) < headerSize {
		return
	}
	part := b[:headerSize]
	switch c[0] >> 4 & 3 {
	case 1:
		part = b[min(wordsOff, len(b)):min(tablesOff, len(b))]
	case 2:
		part = b[min(tablesOff, len(b)):]
	case 3:
		part = b[max(0, len(b)-int(small.Capacity)):]
	}
	if len(part) >= 8 {
		at := part[where%uint64(len(part)-7):]
		if c[0]&64 != 0 {
			word ^= le.Uint64(at)
		}
		le.PutUint64(at, word)
	}
	if c[0]&4 != 0 {
		sealed(b)
	}
}

// lookAtAll does what tools do with a ring, and closes it.
func lookAtAll(t *testing.T, r *Ring) {
	defer r.Close()
	info, _ := r.Inspect()
	_, _ = r.Verify()
	_, _ = r.Config()
	for _, from := range []From{Oldest(), Newest(), At(info.Tail), At(info.Limit), At(1 << 17)} {
		rd, err := r.Observer(from)
		if err != nil {
			continue
		}
		for laps := 0; laps < 3; {
			frame, ok := rd.Next()
			if ok {
				if n := uint64(len(frame.Payload)); n < 1 || n > r.maxFrame || frame.Position&(r.segment-1)+frameHeaderSize+n > r.segment {
					t.Fatalf("a frame of %d bytes at %d", n, frame.Position)
				}
				continue
			}
			if !errors.Is(rd.Err(), ErrLapped) {
				break
			}
			laps++
		}
		rd.Close()
	}
}

// useAll does what clients and repairers do with a ring, and closes it. What they return depends on what is wrong.
func useAll(r *Ring) {
	defer r.Close()
	_, _ = r.Repair(true)
	_, _ = r.Repair(false)
	for _, policy := range []Slow{Block, Drop, Lossy} {
		g, err := r.GrantConsumer(Policy{Slow: policy})
		if err != nil {
			continue
		}
		rd, err := r.Reader(g, ReaderOptions{From: Oldest()})
		if err != nil {
			continue
		}
		for range 1000 {
			if _, ok := rd.Next(); !ok && rd.Err() != nil && !errors.Is(rd.Err(), ErrLapped) {
				break
			}
		}
		rd.Close()
	}
	g, err := r.GrantProducer(0)
	if err != nil {
		return
	}
	p, err := r.Producer(g, "")
	if err != nil {
		return
	}
	for range 100 {
		_ = p.Publish(make([]byte, 50))
	}
	if b, err := p.Batch(1000); err == nil {
		_, _ = b.Next(100)
		_ = b.Commit()
	}
	if c, err := p.Claim(500); err == nil {
		_ = c.Commit(100)
	}
	_, _ = r.Verify()
	p.Close()
}
