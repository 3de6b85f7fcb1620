package shmring

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// page returns the header page of one of a ring's files.
func page(t testing.TB, r *Ring, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(ringFile(r, file))
	if err != nil {
		t.Fatal(err)
	}
	return b[:headerSize]
}

func setPage(t testing.TB, r *Ring, file string, b []byte) {
	t.Helper()
	f, err := os.OpenFile(ringFile(r, file), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(b, 0); err != nil {
		t.Fatal(err)
	}
}

// sealed makes the page's checksum right.
func sealed(b []byte) []byte {
	binary.LittleEndian.PutUint32(b[hCRC:], crc32.Checksum(b[:hCRC], castagnoli))
	return b
}

var files = map[string]fileID{nameRing: fileRing, nameCursors: fileCursors, nameControl: fileControl}

// newTopic makes a topic's files and closes them.
func newTopic(t testing.TB) *Ring {
	r, err := Create(busDir(t), "test", small)
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	return r
}

// openFails opens the topic and returns the error there must be.
func openFails(t testing.TB, path string) error {
	t.Helper()
	r, err := Open(path, Inspect)
	if err == nil {
		r.Close()
		t.Error("it was opened")
	}
	return err
}

func TestOpenNamesTheWrongField(t *testing.T) {
	u32 := func(off int, v uint32) func([]byte) {
		return func(b []byte) { binary.LittleEndian.PutUint32(b[off:], v) }
	}
	u64 := func(off int, v uint64) func([]byte) {
		return func(b []byte) { binary.LittleEndian.PutUint64(b[off:], v) }
	}
	const unsealed = true
	for _, c := range []struct {
		name     string
		change   func([]byte)
		want     error
		says     string
		unsealed bool
	}{
		{"another magic", u64(hMagic, 0x0102030405060708), ErrCorrupt, "magic at 0 is 0x102030405060708", false},
		{"a newer layout", u32(hVersion, layoutVersion+1), ErrVersion, fmt.Sprintf("has layout %d, this build reads layout %d", layoutVersion+1, layoutVersion), false},
		{"a feature that nobody may ignore", u64(hIncompat, 1<<63), ErrVersion, "needs features 0x8000000000000000", false},
		{"a wrong checksum", u32(hCRC, 1), ErrCorrupt, "header checksum at 4088", unsealed},
		{"a changed byte in the spare part", func(b []byte) { b[2000]++ }, ErrCorrupt, "header checksum", unsealed},
		{"a nonce without its top bit", u64(hNonce, 5), ErrCorrupt, "nonce at 40 is 0x5", false},
		{"no kind", u32(hKind, 0), ErrCorrupt, ": kind at", false},
		{"a kind that is none", u32(hKind, 5), ErrCorrupt, ": kind at", false},
		{"a kind that is one only in its low byte", u32(hKind, 0x104), ErrCorrupt, ": kind at", false},
		{"a routing that is none", u32(hRouting, 2), ErrCorrupt, ": routing at", false},
		{"a sleep that is none", u32(hSleep, 0x100), ErrCorrupt, ": sleep at", false},
		{"a capacity of 0", u64(hCapacity, 0), ErrCorrupt, ": capacity at", false},
		{"a capacity that is no power of two", u64(hCapacity, 65<<10), ErrCorrupt, ": capacity at", false},
		{"a capacity beyond the most", u64(hCapacity, 1<<63), ErrCorrupt, ": capacity at", false},
		{"another capacity", u64(hCapacity, 128<<10), ErrCorrupt, ": ring size at", false},
		{"a max_frame of 0", u64(hMaxFrame, 0), ErrCorrupt, ": max_frame at", false},
		{"a max_frame beyond a quarter of a segment", u64(hMaxFrame, 2048), ErrCorrupt, ": max_frame at", false},
		{"a max_frame that overflows", u64(hMaxFrame, 1<<64-1), ErrCorrupt, ": max_frame at", false},
		{"a max_claim below a frame", u64(hMaxClaim, 16), ErrCorrupt, ": max_claim at", false},
		{"a max_claim beyond half a segment", u64(hMaxClaim, 4096+16), ErrCorrupt, ": max_claim at", false},
		{"a max_claim that is not aligned", u64(hMaxClaim, 2049), ErrCorrupt, ": max_claim at", false},
		{"no producers", u64(hProducers, 0), ErrCorrupt, ": producers at", false},
		{"too many producers", u64(hProducers, maxProducers+1), ErrCorrupt, ": producers at", false},
		{"another number of producers", u64(hProducers, 900), ErrCorrupt, ": data offset at", false},
		{"no consumers", u64(hConsumers, 0), ErrCorrupt, ": consumers at", false},
		{"too many consumers", u64(hConsumers, 1<<40), ErrCorrupt, ": consumers at", false},
		{"no groups", u64(hGroups, 0), ErrCorrupt, ": groups at", false},
		{"too many groups", u64(hGroups, maxGroups+1), ErrCorrupt, ": groups at", false},
	} {
		for file, id := range files {
			t.Run(c.name+"/"+file, func(t *testing.T) {
				r := newTopic(t)
				b := page(t, r, file)
				c.change(b)
				if !c.unsealed {
					sealed(b)
				}
				setPage(t, r, file, b)
				err := openFails(t, r.path)
				if !errors.Is(err, c.want) || !strings.Contains(fmt.Sprint(err), c.says) || !strings.Contains(fmt.Sprint(err), id.String()) {
					t.Errorf("got %v\nwant %v of %s with %q", err, c.want, id, c.says)
				}
			})
		}
	}
}

// TestOpenChecksEveryOffset moves each of the tables that the header places.
func TestOpenChecksEveryOffset(t *testing.T) {
	r := newTopic(t)
	for i, o := range r.offsets() {
		b := page(t, r, nameRing)
		binary.LittleEndian.PutUint64(b[hOffsets+8*i:], o.value+8)
		_, err := decodeHeader(sealed(b), fileRing)
		var corrupt *CorruptError
		if !errors.As(err, &corrupt) || corrupt.Field != o.name || corrupt.Position != uint64(hOffsets+8*i) {
			t.Errorf("%s: %v", o.name, err)
		}
	}
}

func TestAFeatureThatReadersMayIgnoreOnlyAllowsToRead(t *testing.T) {
	r := newTopic(t)
	b := page(t, r, nameRing)
	binary.LittleEndian.PutUint64(b[hROCompat:], 4)
	binary.LittleEndian.PutUint64(b[hCompat:], 1<<40) // one that everybody may ignore
	setPage(t, r, nameRing, sealed(b))
	if _, err := again(t, r, Inspect).Verify(); err != nil {
		t.Error(err)
	}
	for _, a := range []Access{Consume, Produce, Own} {
		if r, err := Open(r.path, a); !errors.Is(err, ErrVersion) {
			t.Errorf("%s: %v", a, err)
			r.Close()
		}
	}
}

// TestEveryHeaderByteIsChecked flips one bit after another of what the header holds, with the old checksum.
func TestEveryHeaderByteIsChecked(t *testing.T) {
	r := newTopic(t)
	good := page(t, r, nameCursors)
	for bit := range 8 * (hCRC + 4) {
		b := bytes.Clone(good)
		b[bit/8] ^= 1 << (bit % 8)
		if _, err := decodeHeader(b, fileCursors); err == nil {
			t.Errorf("bit %d of byte %d may be anything", bit%8, bit/8)
		}
	}
}

func TestHeadersOfTwoTopicsDoNotMix(t *testing.T) {
	b := newTopic(t)
	for _, file := range []string{nameCursors, nameControl} {
		a := newTopic(t)
		setPage(t, a, file, page(t, b, file))
		if err := openFails(t, a.path); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "nonce") {
			t.Errorf("%s: %v", file, err)
		}
		setPage(t, a, file, page(t, b, nameRing))
		if err := openFails(t, a.path); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "file id") {
			t.Errorf("%s: %v", file, err)
		}
	}
}

func TestOpenRefusesWhatIsNotATopic(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("not root: wrong owners are not tried")
	}
	must := func(t *testing.T, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name  string
		files []string
		spoil func(t *testing.T, path string)
		want  error
		says  string
	}{
		{"an empty file", []string{nameRing, nameCursors, nameControl}, func(t *testing.T, p string) { must(t, os.Truncate(p, 0)) }, ErrCorrupt, "file size"},
		{"a file cut in its header", []string{nameRing, nameCursors, nameControl}, func(t *testing.T, p string) { must(t, os.Truncate(p, 100)) }, ErrCorrupt, "file size"},
		{"a file cut behind its header", []string{nameRing, nameCursors, nameControl}, func(t *testing.T, p string) { must(t, os.Truncate(p, headerSize)) }, ErrCorrupt, "file size"},
		{"a file that lacks a byte", []string{nameRing, nameCursors, nameControl}, func(t *testing.T, p string) {
			st, err := os.Stat(p)
			must(t, err)
			must(t, os.Truncate(p, st.Size()-1))
		}, ErrCorrupt, "file size"},
		{"a file that is too long", []string{nameRing, nameCursors, nameControl}, func(t *testing.T, p string) { must(t, os.Truncate(p, 64<<20)) }, ErrCorrupt, "file size"},
		{"random bytes", []string{nameRing, nameCursors, nameControl}, func(t *testing.T, p string) {
			b := make([]byte, 200<<10)
			rand.NewChaCha8([32]byte{1}).Read(b)
			must(t, os.WriteFile(p, b, 0o600))
		}, ErrCorrupt, "magic"},
		{"zeros", []string{nameRing, nameCursors, nameControl}, func(t *testing.T, p string) { must(t, os.WriteFile(p, make([]byte, 200<<10), 0o600)) }, ErrCorrupt, "magic"},
		{"a directory in a file's place", []string{nameRing, nameCursors, nameControl, nameLocksP, nameLocksC}, func(t *testing.T, p string) {
			must(t, os.Remove(p))
			must(t, os.Mkdir(p, 0o700))
		}, ErrPermission, "regular file"},
		{"a symbolic link in a file's place", []string{nameRing, nameCursors, nameControl, nameLocksP, nameLocksC}, func(t *testing.T, p string) {
			must(t, os.Rename(p, p+".real"))
			must(t, os.Symlink(filepath.Base(p)+".real", p))
		}, unix.ELOOP, ""},
		{"a FIFO in a file's place", []string{nameRing, nameCursors, nameControl, nameLocksP, nameLocksC}, func(t *testing.T, p string) {
			must(t, os.Remove(p))
			must(t, unix.Mkfifo(p, 0o600))
		}, ErrPermission, "regular file"},
		{"a file that is missing", []string{nameRing, nameCursors, nameControl, nameLocksP, nameLocksC}, func(t *testing.T, p string) { must(t, os.Remove(p)) }, os.ErrNotExist, ""},
		{"a file that others may read", []string{nameRing, nameCursors, nameControl, nameLocksP, nameLocksC}, func(t *testing.T, p string) { must(t, os.Chmod(p, 0o604)) }, ErrPermission, "want a regular file of mode 0600"},
		{"a file of another owner", []string{nameRing, nameCursors, nameControl, nameLocksP, nameLocksC}, func(t *testing.T, p string) {
			if os.Geteuid() != 0 {
				t.Skip("only root can give a file away")
			}
			must(t, os.Lchown(p, 12345, 12345))
		}, ErrPermission, "owner"},
	} {
		for _, file := range c.files {
			t.Run(c.name+"/"+file, func(t *testing.T) {
				r := newTopic(t)
				c.spoil(t, ringFile(r, file))
				err := openFails(t, r.path)
				if !errors.Is(err, c.want) || !strings.Contains(fmt.Sprint(err), c.says) || !strings.Contains(fmt.Sprint(err), file) {
					t.Errorf("got %v\nwant %v of %s with %q", err, c.want, file, c.says)
				}
			})
		}
	}
}

func TestOpenRefusesTheDirectory(t *testing.T) {
	t.Run("that others may look into", func(t *testing.T) {
		r := newTopic(t)
		if err := os.Chmod(r.path, 0o750); err != nil {
			t.Fatal(err)
		}
		if err := openFails(t, r.path); !errors.Is(err, ErrPermission) || !strings.Contains(err.Error(), "0750") {
			t.Error(err)
		}
	})
	t.Run("that is a symbolic link", func(t *testing.T) {
		r := newTopic(t)
		link := r.path + ".link"
		if err := os.Symlink(r.path, link); err != nil {
			t.Fatal(err)
		}
		if err := openFails(t, link); !errors.Is(err, unix.ENOTDIR) && !errors.Is(err, unix.ELOOP) {
			t.Error(err)
		}
	})
	t.Run("that is a file", func(t *testing.T) {
		r := newTopic(t)
		if err := openFails(t, ringFile(r, nameRing)); !errors.Is(err, unix.ENOTDIR) {
			t.Error(err)
		}
	})
	t.Run("that is a FIFO", func(t *testing.T) {
		p := filepath.Join(t.TempDir(), "fifo")
		if err := unix.Mkfifo(p, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := openFails(t, p); !errors.Is(err, unix.ENOTDIR) {
			t.Error(err)
		}
	})
}

func TestOpenFileRefusesWhatIsNotARing(t *testing.T) {
	r := newTopic(t)
	for path, says := range map[string]string{
		r.path:                           "not a regular file",
		ringFile(r, nameLocksC):          "file size",
		ringFile(r, nameCursors):         "file id",
		"/dev/zero":                      "not a regular file",
		filepath.Join(r.path, "nothing"): "no such file",
	} {
		o, err := OpenFile(path)
		if err == nil {
			o.Close()
		}
		if !strings.Contains(fmt.Sprint(err), says) {
			t.Errorf("%s: got %v, want %q", path, err, says)
		}
	}
}

func TestOpenFileDoesNotWaitForAWriter(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	opened := make(chan error)
	go func() {
		_, err := OpenFile(fifo)
		opened <- err
	}()
	select {
	case err := <-opened:
		if !strings.Contains(fmt.Sprint(err), "not a regular file") {
			t.Error(err)
		}
	case <-time.After(10 * time.Second): // watchdog
		t.Error("it waits for somebody who writes")
		fd, err := unix.Open(fifo, unix.O_WRONLY|unix.O_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		<-opened
		unix.Close(fd)
	}
}

// TestATruncatedFileIsAnError cuts a topic's files while they are mapped.
func TestATruncatedFileIsAnError(t *testing.T) {
	for _, file := range []string{nameRing, nameCursors, nameControl} {
		t.Run(file, func(t *testing.T) {
			s := newScene(t, MPMC)
			r := again(t, s.Ring, Inspect)
			if err := os.Truncate(ringFile(r, file), headerSize); err != nil {
				t.Fatal(err)
			}
			if _, err := r.Inspect(); !errors.Is(err, ErrCorrupt) {
				t.Errorf("inspect: %v", err)
			}
			if _, err := r.Verify(); file != nameControl && !errors.Is(err, ErrCorrupt) {
				t.Errorf("verify: %v", err)
			}
			if err := os.Truncate(ringFile(r, file), int64(map[string]uint64{
				nameRing: r.ringSize, nameCursors: r.cursorsSize, nameControl: r.controlSize}[file])); err != nil {
				t.Fatal(err) // what is closed at the end of the test looks at its slot
			}
		})
	}
}

// TestRingFormatDocument holds the tables of the reference to what a fresh ring's files hold: a row of the form
//
//	| offset | size | `name` | ...
//
// under a heading that names the table.
func TestRingFormatDocument(t *testing.T) {
	b, err := os.ReadFile("../docs/reference/ring-format.md")
	if err != nil {
		t.Fatal(err)
	}
	got := documentTables(b)
	for table, want := range formatTables() {
		rows := got[table]
		for name, place := range want {
			if rows[name] != place {
				t.Errorf("table %q: %s is at %d with %d bytes, the document says %d with %d", table, name, place.off, place.size, rows[name].off, rows[name].size)
			}
			delete(rows, name)
		}
		for name := range rows {
			t.Errorf("table %q: %s is in the document and not in the code", table, name)
		}
		delete(got, table)
	}
	for table := range got {
		t.Errorf("table %q is in the document and not in the code", table)
	}
}

// TestRingFormatExample holds the document's worked example, the default sizes, to the code.
func TestRingFormatExample(t *testing.T) {
	b, err := os.ReadFile("../docs/reference/ring-format.md")
	if err != nil {
		t.Fatal(err)
	}
	h, err := (&Options{}).header("")
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range h.offsets() {
		if want := fmt.Sprintf("| %s | %d |", o.name, o.value); !strings.Contains(string(b), want) {
			t.Errorf("the document lacks %q", want)
		}
	}
}

type place struct{ off, size uint64 }

var documentRow = regexp.MustCompile("^\\| (\\d+) \\| (\\d+) \\| `([^`]+)` \\|")

func documentTables(b []byte) map[string]map[string]place {
	tables := map[string]map[string]place{}
	heading := ""
	for lines := bufio.NewScanner(bytes.NewReader(b)); lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), "## "); ok {
			heading = text
		}
		if text, ok := strings.CutPrefix(lines.Text(), "### "); ok {
			heading = text
		}
		m := documentRow.FindStringSubmatch(lines.Text())
		if m == nil {
			continue
		}
		off, _ := strconv.ParseUint(m[1], 10, 64)
		size, _ := strconv.ParseUint(m[2], 10, 64)
		if tables[heading] == nil {
			tables[heading] = map[string]place{}
		}
		tables[heading][m[3]] = place{off, size}
	}
	return tables
}

// formatTables is what the code lays out, by the document's headings and names.
func formatTables() map[string]map[string]place {
	w := func(off uint64) place { return place{off, 8} }
	header := map[string]place{
		"magic": w(hMagic), "version": {hVersion, 4}, "file id": {hFileID, 4}, "compatible features": w(hCompat),
		"read-only compatible features": w(hROCompat), "incompatible features": w(hIncompat), "nonce": w(hNonce),
		"kind": {hKind, 4}, "routing": {hRouting, 4}, "sleep": {hSleep, 4}, "capacity": w(hCapacity), "max_frame": w(hMaxFrame),
		"max_claim": w(hMaxClaim), "producers": w(hProducers), "consumers": w(hConsumers), "groups": w(hGroups),
		"created": w(hCreatedNs), "inode": w(hInode), "name": {hName, hNameSize}, "header checksum": {hCRC, 4},
	}
	for i, o := range (&geometry{}).offsets() {
		header[o.name] = w(uint64(hOffsets + 8*i))
	}
	return map[string]map[string]place{
		"The header": header,
		"Words of ring": {"tail": w(offTail), "limit": w(offLimit), "wake": {offWake, 4}, "blocked": {offBlocked, 4},
			"repairer": {offRepairer, 24}, "used producers": w(offUsedProducers)},
		"Producer slot": {"state": w(pState), "position": w(pPosition), "size": w(pSize), "won": w(pWon), "messages": w(pMessages),
			"bytes": w(pBytes), "back_pressured_ns": w(pBackPressuredNs), "aborted": w(pAborted), "name": {pName, nameSize},
			"started": w(pStartedNs), "pid": w(pPid), "messages at start": w(pStartMessages), "bytes at start": w(pStartBytes),
			"back pressure at start": w(pStartBackPressure)},
		"Frame": {"stamp": w(0), "length": {8, 4}, "slot": {12, 2}, "kind": {14, 1}, "flags": {15, 1}},
		"Words of cursors": {"asleep": {offAsleep, 4}, "fenced": {offFenced, 4}, "space": {offSpace, 4}, "used consumers": w(offUsedConsumers),
			"group starts": w(offGroupStarts), "losses next": w(offLossesNext), "parked next": w(offParkedNext), "errors next": w(offErrorsNext)},
		"Consumer slot": {"state": w(cState), "cursor": w(cCursor), "from": w(cFrom), "end": w(cEnd), "won": w(cWon), "messages": w(cMessages),
			"bytes": w(cBytes), "missed_bytes": w(cMissedBytes), "laps": w(cLaps), "name": {cName, nameSize}, "started": w(cStartedNs), "pid": w(cPid)},
		"Group": {"head": w(gHead), "state": w(gState), "orphans": w(gOrphans), "start": w(gStart), "joined": w(gJoined), "joiner": w(gJoiner),
			"name": {gName, nameSize}, "messages": w(gMessages)},
		"Words of control": {"topic state": w(offTopicState), "config length": w(offConfigLength)},
		"Control entry": {"credit": w(eCredit), "policy": w(ePolicy), "patience": w(ePatienceNs), "generation": w(eGeneration),
			"uid": w(eUID), "group": w(eGroup)},
		"Group entry": {"credit": w(eCredit), "durable": w(eDurable), "keep": w(eKeep), "generation": w(eGeneration), "uid": w(eUID),
			"max_deliver": w(eMaxDeliver)},
	}
}
