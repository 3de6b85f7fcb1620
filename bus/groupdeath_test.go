package bus_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/bus/bustest"
	"github.com/mycelium-bus/mycelium/bus/topic"
)

// again marks the number of a message that was delivered before, in a record.
const again = 1 << 63

// record handles messages by writing them down, each by a write(2) that outlives the process, until stdin ends.
func record(t *testing.T, sub *bus.Subscription, path string) {
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ctx, stop := context.WithCancel(t.Context())
	go func() {
		io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	for m, err := range sub.Messages(ctx) {
		if err != nil {
			if !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			return
		}
		number := binary.LittleEndian.Uint64(m.Bytes())
		if m.Redelivered() {
			number |= again
		}
		if _, err := f.Write(binary.LittleEndian.AppendUint64(nil, number)); err != nil {
			t.Fatal(err)
		}
	}
}

// worker is a member in a process of its own.
type worker struct {
	*child
	path   string
	killed bool
}

// handled returns what the worker wrote down.
func (w *worker) handled(t *testing.T) (numbers []uint64) {
	t.Helper()
	b, err := os.ReadFile(w.path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	for ; len(b) >= 8; b = b[8:] {
		numbers = append(numbers, binary.LittleEndian.Uint64(b))
	}
	return numbers
}

// cameAgain reports whether a member has handled a message that was marked as delivered before.
func cameAgain(t *testing.T, all []*worker) bool {
	return slices.ContainsFunc(all, func(w *worker) bool {
		return slices.ContainsFunc(w.handled(t), func(number uint64) bool { return number&again != 0 })
	})
}

// TestMembersAreKilled kills a working member every 50 ms while messages flow. Each message is handled, and more than once only if it was
// in the hands of a member when that died: what it had written down last. What comes again is marked.
func TestMembersAreKilled(t *testing.T) {
	const members, kills = 8, 30
	b := bustest.New(t, topic.Config{Name: "t", Size: topic.MiB})
	dir := t.TempDir()
	var all, alive []*worker
	hire := func() {
		path := filepath.Join(dir, fmt.Sprint(len(all)))
		w := &worker{child: start(t, "member "+b.Socket+" "+path), path: path}
		all, alive = append(all, w), append(alive, w)
	}
	for range members {
		hire()
	}

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	pub := publisher(t, b.Dial("publisher"), "t")
	keeper := subscribe(t, b.Dial("keeper"), "t", bus.Group("g")) // the group lives while all the others may be dead
	published := make(chan uint64, 1)
	go func() {
		n := uint64(0)
		for ; pub.PublishWait(ctx, binary.LittleEndian.AppendUint64(nil, n)) == nil; n++ {
		}
		published <- n
	}()

	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for killed := 0; killed < kills || !cameAgain(t, all); { // else it shows nothing
		select {
		case <-tick.C:
		case <-time.After(time.Minute):
			t.Fatal("watchdog")
		}
		for i, w := range alive { // the oldest of those that work; one that does not yet says nothing about groups
			if info, err := os.Stat(w.path); err == nil && info.Size() > 0 {
				w.kill()
				w.killed = true
				alive = append(alive[:i:i], alive[i+1:]...)
				killed++
				hire()
				break
			}
		}
	}
	stop()
	n := <-published
	group := func() bus.GroupInfo {
		groups, err := b.OpenDir("observer").Groups(t.Context(), "t")
		if err != nil || len(groups) != 1 {
			t.Fatalf("groups: %+v, %v", groups, err)
		}
		return groups[0]
	}
	eventually(t, "all messages are handled", func() bool { return group().LagBytes == 0 })
	for _, w := range alive {
		w.end()
	}
	if got := poll(t, keeper); len(got) != 0 {
		t.Errorf("%d messages are left", len(got))
	}
	judge(t, all, n)
}

// judge looks at what the workers wrote down of n messages.
func judge(t *testing.T, all []*worker, n uint64) {
	t.Helper()
	times, unmarked, inHands, repeated := make([]int, n), make([]int, n), make([]int, n), 0
	for _, w := range all {
		handled := w.handled(t)
		for i, number := range handled {
			m := number &^ again
			if m >= n {
				t.Fatalf("message %d of %d was handled", m, n)
			}
			if times[m]++; number&again != 0 {
				repeated++
			} else {
				unmarked[m]++
			}
			if w.killed && i == len(handled)-1 {
				inHands[m]++
			}
		}
	}
	for m, k := range times {
		if k == 0 || k > 1+inHands[m] {
			t.Errorf("message %d was handled %d times, and was in the hands of %d that were killed", m, k, inHands[m])
		}
		if unmarked[m] > 1 {
			t.Errorf("message %d came %d times as if it were the first time", m, unmarked[m])
		}
	}
	t.Logf("%d messages, %d workers, %d came again", n, len(all), repeated)
}
