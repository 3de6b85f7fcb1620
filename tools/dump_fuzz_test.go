package tools

import (
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/mycelium-bus/mycelium/shmring"
)

// FuzzDump changes a copy of a topic's directory, and then dumps and verifies it. Whatever the files hold, that ends, and says what is
// wrong as an error.
//
// The input is changes of 13 bytes each: the file and what to do there (write a word, flip its bits, cut the file), where, the word.
func FuzzDump(f *testing.F) {
	names := []string{"ring", "cursors", "control"}
	original := map[string][]byte{}
	dir := f.TempDir()
	r, p := newRing(f, dir, shmring.MPMC)
	publish(f, p, 3000, "a message that goes round the ring, number %d")
	if _, err := p.Claim(100); err != nil {
		f.Fatal(err)
	}
	for _, name := range names {
		b, err := os.ReadFile(filepath.Join(dir, r.Name(), name))
		if err != nil {
			f.Fatal(err)
		}
		original[name] = b
	}
	const write, flip, cut = 0, 4, 8
	change := func(what byte, where int, word uint64) []byte {
		b := binary.LittleEndian.AppendUint32([]byte{what}, uint32(where))
		return binary.LittleEndian.AppendUint64(b, word)
	}
	size := len(original["ring"])
	f.Add([]byte{})
	f.Add(change(0|cut, size/2, 0))
	f.Add(change(1|cut, 0, 0))
	for back := 16; back < 400; back += 32 { // headers of the ring's last frames: lengths that are hostile, stamps that are gone
		f.Add(change(0|write, size-back+8, 0x0001_0000_ffff_ffff))
		f.Add(change(0|flip, size-back, 1<<40))
	}
	for word := 4096; word < 4096+12*64; word += 64 { // the words that processes share
		f.Add(change(0|flip, word, 1<<50|1))
		f.Add(change(1|write, word, ^uint64(0)))
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		watchdog := time.AfterFunc(time.Minute, func() { panic("it does not end") })
		defer watchdog.Stop()
		files := map[string][]byte{"locks.p": nil, "locks.c": nil}
		for name, b := range original {
			files[name] = append([]byte(nil), b...)
		}
		untouched := len(input) < 13
		for ; len(input) >= 13; input = input[13:] {
			name := names[input[0]&3%3]
			b, where, word := files[name], int(binary.LittleEndian.Uint32(input[1:])), binary.LittleEndian.Uint64(input[5:])
			switch {
			case input[0]&cut != 0:
				files[name] = b[:where%(len(b)+1)]
			case len(b) >= 8:
				at := b[where%(len(b)-7):]
				if input[0]&flip != 0 {
					word ^= binary.LittleEndian.Uint64(at)
				}
				binary.LittleEndian.PutUint64(at, word)
			}
		}
		dir := t.TempDir()
		for name, b := range files {
			if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for _, path := range []string{dir, filepath.Join(dir, "ring")} {
			target, err := Open(t.TempDir(), path)
			if err != nil {
				continue
			}
			for _, o := range []DumpOptions{{}, {Format: JSON}, {From: Start{kind: startNewest}, Count: 10}} {
				if n, err := Dump(t.Context(), target.Ring, io.Discard, o); untouched && (n == 0 || err != nil) {
					t.Errorf("dumped %d messages of files as they were: %v", n, err)
				}
			}
			_, _ = Verify(t.Context(), target, VerifyOptions{Messages: true})
			target.Close()
		}
	})
}
