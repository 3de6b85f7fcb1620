package tools

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mycelium-bus/mycelium/codec"
	"github.com/mycelium-bus/mycelium/internal/leak"
	"github.com/mycelium-bus/mycelium/shmring"
)

func TestMain(m *testing.M) { leak.Main(m) }

const capacity = 64 << 10

func newRing(t testing.TB, dir string, k shmring.Kind) (*shmring.Ring, *shmring.Producer) {
	t.Helper()
	r, err := shmring.Create(dir, "topic", shmring.Options{Kind: k, Capacity: capacity, Producers: 2, Consumers: 4, Groups: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r, newProducer(t, r)
}

func newProducer(t testing.TB, r *shmring.Ring) *shmring.Producer {
	t.Helper()
	g, err := r.GrantProducer(0)
	if err != nil {
		t.Fatal(err)
	}
	p, err := r.Producer(g, "test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func publish(t testing.TB, p *shmring.Producer, n int, format string) {
	t.Helper()
	for i := range n {
		if err := p.Publish(fmt.Appendf(nil, format, i)); err != nil {
			t.Fatal(err)
		}
	}
}

var kinds = []shmring.Kind{shmring.SPSC, shmring.SPMC, shmring.MPSC, shmring.MPMC}

// TestWhatIsMissedIsToldToTheByte has producers go round while a walk is on its way: what it saw, and the gaps that it told,
// must together be the ring from its start to its end.
func TestWhatIsMissedIsToldToTheByte(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.String(), func(t *testing.T) {
			r, p := newRing(t, leak.ShmDir(t), k)
			publish(t, p, 900, "%092d") // 108 bytes of 112 each
			end, err := endOf(r)
			if err != nil {
				t.Fatal(err)
			}
			var at, missed uint64
			seen := 0
			w := walk{ring: r, from: shmring.Oldest(), end: end,
				visit: func(f shmring.Frame, _ int) error {
					if f.Position < at {
						t.Fatalf("frame at %d after one that ended at %d", f.Position, at)
					}
					if pad := f.Position - at; at != 0 && pad != 0 && f.Position%(capacity/8) != 0 {
						t.Errorf("nothing was told of the %d bytes from %d on", pad, at)
					}
					at = f.Position + uint64(shmring.FrameSize(len(f.Payload)))
					if seen++; seen == 100 || seen == 200 {
						publish(t, p, 200, "%092d") // over a third of the ring
					}
					return nil
				},
				gap: func(g Gap) {
					if !errors.Is(g.Err, shmring.ErrLapped) || g.From < at || g.To <= g.From || g.To > end {
						t.Errorf("%v, after %d, before %d", g, at, end)
					}
					at = g.To
					missed += g.Bytes()
				}}
			if err := w.run(t.Context()); err != nil {
				t.Fatal(err)
			}
			if missed == 0 || at != end {
				t.Errorf("missed %d, ended at %d, want %d", missed, at, end)
			}
		})
	}
}

func TestADumpGoesOnBehindAnOpenClaim(t *testing.T) {
	r, p := newRing(t, leak.ShmDir(t), shmring.MPMC)
	stuck := newProducer(t, r)
	publish(t, p, 3, "before %d")
	c, err := stuck.Claim(50)
	if err != nil {
		t.Fatal(err)
	}
	publish(t, p, 200, "%092d")
	var out bytes.Buffer
	var gaps []Gap
	n, err := Dump(t.Context(), r, &out, DumpOptions{Format: JSON, Gap: func(g Gap) { gaps = append(gaps, g) }})
	if err != nil {
		t.Fatal(err)
	}
	first := uint64(capacity + capacity/8)
	if len(gaps) != 1 || gaps[0].From != c.Position() || gaps[0].To != first || !errors.Is(gaps[0].Err, ErrIncomplete) {
		t.Errorf("%v, want one from %d to %d", gaps, c.Position(), first)
	}
	if lines := strings.Count(out.String(), "\n"); uint64(lines) != n || n < 100 {
		t.Errorf("%d messages, %d lines", n, lines)
	}
	c.Abort()
}

func TestDumpBeginsAndEndsWhereItIsTold(t *testing.T) {
	r, p := newRing(t, leak.ShmDir(t), shmring.SPMC)
	publish(t, p, 10, "%d")
	positions := func(o DumpOptions) (all []uint64) {
		var out bytes.Buffer
		o.Format = JSON
		if _, err := Dump(t.Context(), r, &out, o); err != nil {
			t.Fatal(err)
		}
		for d := json.NewDecoder(&out); d.More(); {
			var rec Record
			if err := d.Decode(&rec); err != nil {
				t.Fatal(err)
			}
			all = append(all, rec.Position)
		}
		return all
	}
	at := func(first, n int) (want []uint64) {
		for i := range n {
			want = append(want, capacity+32*uint64(first+i))
		}
		return want
	}
	for _, c := range []struct {
		from  string
		count uint64
		want  []uint64
	}{
		{"oldest", 0, at(0, 10)}, {"oldest", 3, at(0, 3)}, {"oldest", 99, at(0, 10)},
		{"newest", 0, at(9, 1)}, {"newest", 4, at(6, 4)}, {"newest", 10, at(0, 10)}, {"newest", 11, at(0, 10)},
		{fmt.Sprint(capacity + 32*7), 0, at(7, 3)}, {fmt.Sprint(capacity + 32*7), 1, at(7, 1)},
		{fmt.Sprint(capacity + 32*10), 0, nil},
	} {
		start, err := ParseStart(c.from)
		if err != nil {
			t.Fatal(err)
		}
		if got := positions(DumpOptions{From: start, Count: c.count}); !slices.Equal(got, c.want) {
			t.Errorf("from %s, %d: got %v, want %v", c.from, c.count, got, c.want)
		}
	}
	start, _ := ParseStart(fmt.Sprint(capacity + 16))
	if _, err := Dump(t.Context(), r, &bytes.Buffer{}, DumpOptions{From: start}); !errors.Is(err, shmring.ErrPosition) {
		t.Errorf("from the middle of a frame: %v", err)
	}
}

func TestAFileThatIsCutMeanwhileIsAnError(t *testing.T) {
	dir := leak.ShmDir(t)
	r, p := newRing(t, dir, shmring.MPMC)
	publish(t, p, 400, "%092d")
	if err := errors.Join(p.Close(), r.Close()); err != nil {
		t.Fatal(err)
	}
	target, err := Open(dir, "topic")
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	end, err := endOf(target.Ring)
	if err != nil {
		t.Fatal(err)
	}
	w := walk{ring: target.Ring, from: shmring.Oldest(), end: end, gap: func(g Gap) { t.Error(g) },
		visit: func(shmring.Frame, int) error { return os.Truncate(filepath.Join(dir, "topic", "ring"), 12<<10) }}
	if err := w.run(t.Context()); !errors.Is(err, shmring.ErrCorrupt) || !strings.Contains(err.Error(), "file size") {
		t.Error(err)
	}
}

// TestAnotherFaultIsNotTakenForATruncatedFile: what the ring cannot explain goes on as a panic.
func TestAnotherFaultIsNotTakenForATruncatedFile(t *testing.T) {
	r, p := newRing(t, leak.ShmDir(t), shmring.MPMC)
	publish(t, p, 1, "%d")
	defer func() {
		if recover() == nil {
			t.Error("the fault was swallowed")
		}
	}()
	end, _ := endOf(r)
	w := walk{ring: r, from: shmring.Oldest(), end: end, visit: func(shmring.Frame, int) error {
		var nowhere *int
		*nowhere = 1
		return nil
	}}
	w.run(t.Context())
}

func TestACancelledDumpEnds(t *testing.T) {
	r, p := newRing(t, leak.ShmDir(t), shmring.MPMC)
	publish(t, p, 1, "%d")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Dump(ctx, r, &bytes.Buffer{}, DumpOptions{}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestVerifyChecksMessagesOnRequest(t *testing.T) {
	dir := leak.ShmDir(t)
	_, p := newRing(t, dir, shmring.MPMC)
	buf := make([]byte, 256)
	var b codec.Builder
	for i := range 3 {
		b.Reset(buf, codec.Header{})
		b.Append(codec.TypeText, []byte("x"))
		n, err := b.Finish()
		if i == 1 {
			n, err = b.FinishUnchecked()
		}
		if err = errors.Join(err, p.Publish(buf[:n])); err != nil {
			t.Fatal(err)
		}
	}
	target, err := Open(dir, "topic")
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	rep, err := Verify(t.Context(), target, VerifyOptions{Messages: true})
	if err != nil || !rep.OK || rep.Frames != 3 || *rep.Messages != (Messages{Checked: 3, WithChecksum: 2}) {
		t.Errorf("%+v, %+v, %v", rep, rep.Messages, err)
	}
	buf[codec.HeaderSize+2]++ // the text, under the old checksum
	n, err := b.Len(), p.Publish(buf[:b.Len()])
	if err != nil {
		t.Fatal(err)
	}
	if rep, err = Verify(t.Context(), target, VerifyOptions{}); err != nil || rep.Frames != 4 {
		t.Errorf("the ring alone: %+v, %v", rep, err)
	}
	rep, err = Verify(t.Context(), target, VerifyOptions{Messages: true})
	if !errors.Is(err, codec.ErrChecksum) || rep.OK || rep.Fault == nil || rep.Fault.Position != rep.To-uint64(shmring.FrameSize(n)) {
		t.Errorf("%+v, %v", rep.Fault, err)
	}
}

func TestOpenFindsTopicsBeforeFiles(t *testing.T) {
	dir := leak.ShmDir(t)
	newRing(t, dir, shmring.SPSC)
	t.Chdir(t.TempDir())
	if err := os.Mkdir("topic", 0o700); err != nil {
		t.Fatal(err)
	}
	target, err := Open(dir, "topic")
	if err != nil {
		t.Fatal(err)
	}
	target.Close()
	if _, err := Open(dir, "./topic"); !errors.Is(err, ErrNotATopic) {
		t.Errorf("a path: %v", err)
	}
	for _, name := range []string{"other", "../topic", "Topic", "", "no/such/file"} {
		if _, err := Open(dir, name); !errors.Is(err, ErrNoTopic) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if got := Topics(dir); !slices.Equal(got, []string{"topic"}) {
		t.Errorf("%v", got)
	}
}

// People copy with cp FILES, with their own umask: what is looked at as a path may have any mode.
func TestACopyMayHaveAnyMode(t *testing.T) {
	dir := leak.ShmDir(t)
	r, err := shmring.Create(dir, "topic", shmring.Options{Capacity: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	to := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(to, os.DirFS(filepath.Join(dir, "topic"))); err != nil {
		t.Fatal(err)
	}
	link := to + ".link"
	if err := errors.Join(os.Chmod(to, 0o755), os.Chmod(filepath.Join(to, "ring"), 0o644), os.Symlink(to, link)); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{to, link} {
		target, err := Open(dir, path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := target.Ring.Verify(); err != nil {
			t.Error(err)
		}
		target.Close()
	}
	if err := os.Remove(filepath.Join(to, "control")); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, to); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), filepath.Join(to, "control")) {
		t.Errorf("a copy without control: %v", err)
	}
}

// TestTheNewestOfATopicInUse has producers overwrite the ring as soon as the dump has walked it: what was found is printed all
// the same.
func TestTheNewestOfATopicInUse(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.String(), func(t *testing.T) {
			r, p := newRing(t, leak.ShmDir(t), k)
			publish(t, p, 900, "old %088d")
			calls := 0
			ctx := asked{context.Background(), func() {
				if calls++; calls == 2 { // the first is the one before the walk
					publish(t, p, 900, "new %088d")
				}
			}}
			var out bytes.Buffer
			n, err := Dump(ctx, r, &out, DumpOptions{From: Start{kind: startNewest}, Count: 3, Format: Hex, Gap: func(g Gap) { t.Error(g) }})
			if err != nil || n != 3 || strings.Count(out.String(), "old ") != 3 {
				t.Errorf("%d messages, %v:\n%s", n, err, out.String())
			}
		})
	}
}

// asked is a context that tells whenever it is asked whether it is done.
type asked struct {
	context.Context
	tell func()
}

func (a asked) Err() error {
	a.tell()
	return a.Context.Err()
}
