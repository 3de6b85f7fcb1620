//go:build linux && (amd64 || arm64)

package shmring

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Somebody cuts a topic's file short while others use it. Whoever comes upon what is gone gets an error that names the file; a process
// that dies of it ends the test.

// cutRing makes a topic whose files a test may cut short; it is not verified.
func cutRing(t *testing.T, o Options) *Ring {
	t.Helper()
	r, err := Create(busDir(t), "cut", o)
	must(t, err)
	t.Cleanup(func() { r.Close() })
	return r
}

// cut shortens a file of the topic to part of its size, in 64ths.
func cut(t testing.TB, r *Ring, file string, part int64) {
	t.Helper()
	st, err := os.Stat(ringFile(r, file))
	must(t, err)
	must(t, os.Truncate(ringFile(r, file), st.Size()*part/64&^4095))
}

func corruptOf(err error, file string) bool {
	var c *CorruptError
	return errors.As(err, &c) && c.File == file && strings.Contains(err.Error(), "cut short")
}

// ways to publish.
var ways = []struct {
	name string
	do   func(p *Producer, message []byte) error
}{
	{"publish", (*Producer).Publish},
	{"claim", func(p *Producer, message []byte) error {
		c, err := p.Claim(len(message))
		if err != nil {
			return err
		}
		copy(c.Bytes(), message)
		return c.Commit(len(message))
	}},
	{"batch", func(p *Producer, message []byte) error {
		b, err := p.Batch(3 * FrameSize(len(message)))
		if err != nil {
			return err
		}
		for range 3 {
			part, err := b.Next(len(message))
			if err != nil {
				return err
			}
			copy(part, message)
		}
		return b.Commit()
	}},
}

func TestCutFilesUnderAProducer(t *testing.T) {
	for _, kind := range []Kind{SPSC, SPMC, MPSC, MPMC} {
		for _, file := range []string{nameRing, nameCursors, nameControl} {
			for _, part := range []int64{0, 32} {
				for _, way := range ways {
					t.Run(fmt.Sprintf("%v %s to %d 64ths, %s", kind, file, part, way.name), func(t *testing.T) {
						r := cutRing(t, small.of(kind))
						p := newProducerOn(t, r, again(t, r, Produce))
						message := make([]byte, 200)
						var published atomic.Int64
						ended := make(chan error)
						go func() { // flat out; after some laps nothing of what is left was cut
							for range 20_000 {
								if err := way.do(p, message); err != nil {
									ended <- err
									return
								}
								published.Add(1)
							}
							ended <- nil
						}()
						eventually(t, "it publishes", func() bool { return published.Load() > 100 })
						cut(t, r, file, part)
						err := <-ended
						for i := 0; err == nil && i < 1000; i++ { // it may have been done before the cut
							err = way.do(p, message)
						}
						if err == nil && part != 0 && file != nameRing {
							return // the part that this producer needs is still there
						}
						if !corruptOf(err, file) {
							t.Fatalf("%v, want ErrCorrupt of %s", err, file)
						}
						isFinal(t, p, err)
					})
				}
			}
		}
	}
}

// isFinal tries everything with a producer that has failed.
func isFinal(t *testing.T, p *Producer, want error) {
	t.Helper()
	for range 3 {
		for _, way := range ways {
			if err := way.do(p, []byte("x")); err != want {
				t.Errorf("%s afterwards: %v, want the same as before, %v", way.name, err, want)
			}
		}
		if err := p.AwaitSpace(1, time.Hour, nil); !errors.Is(err, ErrCorrupt) {
			t.Errorf("AwaitSpace afterwards: %v", err)
		}
	}
	if _, err := p.Ring().Inspect(); !errors.Is(err, ErrCorrupt) {
		t.Errorf("Inspect afterwards: %v", err)
	}
	if _, err := p.Ring().Tail(); !errors.Is(err, ErrCorrupt) {
		t.Errorf("Tail afterwards: %v", err)
	}
	if err := p.Close(); !errors.Is(err, ErrCorrupt) {
		t.Errorf("Close: %v", err)
	}
}

// The program's own code writes to what it claimed when the file is cut short.
func TestCutFileUnderAClaim(t *testing.T) {
	for _, kind := range []Kind{SPSC, MPMC} {
		for _, end := range []string{"commit", "abort", "forget"} {
			r := cutRing(t, small.of(kind))
			p := newProducerOn(t, r, again(t, r, Produce))
			c, err := p.Claim(1000)
			must(t, err)
			b := c.Bytes()
			cut(t, r, nameRing, 0)
			for i := range b {
				b[i]++
			}
			switch end {
			case "commit":
				err = c.Commit(len(b))
			case "abort":
				c.Abort()
				err = p.Publish(b)
			case "forget":
				_, err = p.Claim(1)
			}
			if !corruptOf(err, nameRing) {
				t.Errorf("%v, %s: %v, want ErrCorrupt of ring", kind, end, err)
			}
			isFinal(t, p, p.final)
		}
	}
}

// A gate that is gone looks like none. The producer must not take it for none: the reader still reads the ring.
func TestTruncatedCursorsUngateNobody(t *testing.T) {
	for _, kind := range []Kind{SPSC, MPMC} {
		r := cutRing(t, small.of(kind))
		p := newProducerOn(t, r, again(t, r, Produce))
		rd := newReaderOn(t, r, again(t, r, Consume), Policy{Slow: Block}, Newest())
		var err error
		for err == nil {
			err = p.Publish(make([]byte, 100))
		}
		if err != ErrBackPressure {
			t.Fatal(err)
		}
		cut(t, r, nameCursors, 0)
		before := r.limit.Load()
		if err := p.Publish(make([]byte, 100)); !corruptOf(err, nameCursors) {
			t.Errorf("%v: %v, want ErrCorrupt of cursors", kind, err)
		}
		if got := r.limit.Load(); got != before {
			t.Errorf("%v: the limit went from %d to %d, past a reader at %d", kind, before, got, rd.Position())
		}
	}
}

// A cut amid a page makes zeros of its rest, and no fault: gates that read as zeros ungate nobody, and drop no group.
func TestTruncatedAmidAPageUngatesNobody(t *testing.T) {
	for _, kind := range []Kind{SPSC, MPMC} {
		for _, group := range []bool{false, true} {
			st, err := os.Stat(ringFile(cutRing(t, small.of(kind)), nameCursors))
			must(t, err)
			for size := int64(8); size < st.Size()-4096; size += 8 * (1 + st.Size()/8/300) {
				r := cutRing(t, small.of(kind))
				p := newProducerOn(t, r, again(t, r, Produce))
				consumers := again(t, r, Consume)
				if group {
					g, err := r.GrantMember("g", GroupPolicy{})
					must(t, err)
					_, err = consumers.Member(g, MemberOptions{})
					must(t, err)
				} else {
					newReaderOn(t, r, consumers, Policy{Slow: Block}, Newest())
				}
				for err = nil; err == nil; {
					err = p.Publish(make([]byte, 1000))
				}
				if err != ErrBackPressure {
					t.Fatal(err)
				}
				limit, dropped := r.limit.Load(), r.droppedWord(r.consumers).Load()
				must(t, os.Truncate(ringFile(r, nameCursors), size))
				if err := p.Publish(make([]byte, 1000)); !corruptOf(err, nameCursors) {
					t.Errorf("%v, cut to %d: %v, want ErrCorrupt of cursors", kind, size, err)
				}
				if got := r.limit.Load(); got != limit {
					t.Errorf("%v, cut to %d: the limit went from %d to %d", kind, size, limit, got)
				}
				if got := r.droppedWord(r.consumers).Load(); got != dropped {
					t.Errorf("%v, cut to %d: the group was dropped, %d", kind, size, got)
				}
				r.Close()
				p.Ring().Close()
				consumers.Close()
			}
		}
	}
}

// Of a message that a cut amid a page left half of, a copying reader hands nothing out, and a reader in place is told when its look ends.
func TestTruncatedAmidAMessage(t *testing.T) {
	for _, policy := range []Slow{Block, Drop, Lossy} {
		r := cutRing(t, small.of(MPMC))
		p := newProducerOn(t, r, again(t, r, Produce))
		rd := newReaderOn(t, r, again(t, r, Consume), Policy{Slow: policy, Patience: time.Hour}, Newest())
		publish(t, p, "%01000d", 7)
		must(t, os.Truncate(ringFile(r, nameRing), int64(r.offData+rd.Position()%r.capacity)+100))
		handed := false
		err := rd.Ring().Guard(func() { _, handed = rd.Next() })
		if !corruptOf(err, nameRing) || handed && policy != Block {
			t.Errorf("%v: %v, want ErrCorrupt of ring; a message: %v", policy, err, handed)
		}
	}
}

// A callback may close all that the guard watches over.
func TestARingClosedUnderItsGuard(t *testing.T) {
	r := newFileRing(t, small.of(MPMC))
	c := again(t, r, Consume)
	rd := newReaderOn(t, r, c, Policy{Slow: Block}, Newest())
	if err := c.Guard(func() {
		rd.Close()
		c.Close()
	}); err != nil {
		t.Error(err)
	}
}

// Readers go without a shield, so that a program never acts on zeros: the look that comes upon what is gone ends its callback.
func TestTruncatedRingHandsNoZerosToReaders(t *testing.T) {
	r := cutRing(t, small.of(MPMC))
	p := newProducerOn(t, r, again(t, r, Produce))
	rd := newReaderOn(t, r, again(t, r, Consume), Policy{Slow: Block}, Newest())
	publish(t, p, "%01000d", 7)
	sum, reached := 0, false
	err := rd.Ring().Guard(func() {
		f, ok := rd.Next()
		if !ok {
			t.Fatal("no message")
		}
		cut(t, r, nameRing, 0)
		for _, b := range f.Payload {
			sum += int(b)
		}
		reached = true
	})
	if !corruptOf(err, nameRing) || reached {
		t.Errorf("%v, want ErrCorrupt of ring; the callback went on with a sum of %d: %v", err, sum, reached)
	}
}

func TestAMappingForProducersHasNoReaders(t *testing.T) {
	r := newFileRing(t, small.of(MPMC))
	g, err := r.GrantConsumer(Policy{Slow: Block})
	must(t, err)
	if _, err := again(t, r, Produce).Reader(g, ReaderOptions{}); !errors.Is(err, ErrPermission) {
		t.Errorf("Reader: %v, want ErrPermission", err)
	}
}

// An observer in such a mapping copies, and looks at the shield afterwards.
func TestCutFileUnderAnObserver(t *testing.T) {
	r := cutRing(t, small.of(MPMC))
	p := newProducerOn(t, r, again(t, r, Produce))
	o, err := p.Ring().Observer(Newest())
	must(t, err)
	publish(t, p, "x")
	cut(t, r, nameRing, 0)
	if f, ok := o.Next(); ok || !corruptOf(o.Err(), nameRing) {
		t.Errorf("%v %v, want ErrCorrupt of ring", f, o.Err())
	}
	o.Close()
}

func TestTruncatedFilesUnderConsumers(t *testing.T) {
	for _, file := range []string{nameRing, nameCursors, nameControl} {
		t.Run(file, func(t *testing.T) {
			r := cutRing(t, Options{Kind: MPMC, Capacity: 64 << 10, Consumers: 8, Groups: 1})
			p := newProducerOn(t, r, again(t, r, Produce))
			g, err := r.GrantMember("g", GroupPolicy{})
			must(t, err)
			m, err := again(t, r, Consume).Member(g, MemberOptions{})
			must(t, err)
			workers := []worker{
				{"producer", func() error {
					if err := p.Publish([]byte("a message")); err != ErrBackPressure {
						return err
					}
					return nil
				}, p.Close},
				{"member", func() error { return poll(m.Ring(), m.Next, m.Release, m.Err) }, m.Close},
			}
			for name, policy := range map[string]Slow{"block": Block, "drop": Drop, "lossy": Lossy, "sleeper": Block} {
				rd := newReaderOn(t, r, again(t, r, Consume), Policy{Slow: policy, Patience: time.Hour}, Newest())
				workers = append(workers, worker{name, func() error {
					err := poll(rd.Ring(), rd.Next, rd.Release, rd.Err)
					if errors.Is(err, ErrLapped) {
						err = nil
					}
					if err == nil && name == "sleeper" {
						err = Sleep(time.Millisecond, nil, rd)
					}
					return err
				}, rd.Close})
			}
			var rounds atomic.Int64
			var quit atomic.Bool
			results := make(chan result)
			for _, w := range workers {
				go w.run(&rounds, &quit, results)
			}
			eventually(t, "all work", func() bool { return rounds.Load() > 2000 })
			cut(t, r, file, 0)
			told := map[string]bool{}
			for range workers {
				select {
				case got := <-results:
					if told[got.who] = true; !corruptOf(got.err, file) {
						t.Errorf("%s: %v, want ErrCorrupt of %s", got.who, got.err, file)
					}
				case <-time.After(time.Minute):
					t.Fatalf("watchdog: only %v were told", told)
				}
				// Who has nothing to read has nothing to write in cursors either, but when it closes.
				quit.Store(file == nameCursors && told["producer"] && told["sleeper"])
			}
		})
	}
}

// worker uses a topic until that fails, or until it is to quit, and then closes its handle.
type worker struct {
	who   string
	once  func() error
	close func() error
}

type result struct {
	who string
	err error
}

func (w worker) run(rounds *atomic.Int64, quit *atomic.Bool, results chan<- result) {
	var err error
	for err == nil && !quit.Load() {
		err = w.once()
		rounds.Add(1)
	}
	if closed := w.close(); err == nil {
		err = closed
	}
	results <- result{w.who, err}
}

func poll(r *Ring, next func() (Frame, bool), release func(), why func() error) (err error) {
	if fault := r.Guard(func() {
		for range 10 {
			if _, ok := next(); !ok {
				err = why()
				break
			}
		}
		release()
	}); fault != nil {
		return fault
	}
	return err
}

// The calls that look by themselves, for a broker or an opener.
func TestTruncatedFilesUnderEveryCall(t *testing.T) {
	for _, file := range []string{nameRing, nameCursors, nameControl} {
		for _, kind := range []Kind{SPSC, MPMC} {
			r := cutRing(t, Options{Kind: kind, Capacity: 64 << 10, Consumers: 8, Groups: 2})
			newProducer(t, r)
			consumer, err := r.GrantConsumer(Policy{Slow: Lossy})
			must(t, err)
			calls := map[string]func() error{
				"Tail":          func() error { _, err := r.Tail(); return err },
				"Config":        func() error { _, err := r.Config(); return err },
				"SetConfig":     func() error { return r.SetConfig([]byte("x")) },
				"Inspect":       func() error { _, err := r.Inspect(); return err },
				"Verify":        func() error { _, err := r.Verify(); return err },
				"Repair":        func() error { _, err := r.Repair(false); return err },
				"Repairer":      func() error { r.Repairer(); return nil },
				"Closing":       func() error { r.Closing(); return nil },
				"Observer":      func() error { _, err := r.Observer(Oldest()); return err },
				"GrantProducer": func() error { _, err := r.GrantProducer(0); return err },
				"GrantConsumer": func() error { _, err := r.GrantConsumer(Policy{Slow: Block}); return err },
				"GrantMember":   func() error { _, err := r.GrantMember("g", GroupPolicy{}); return err },
				"MakeGroup":     func() error { return r.MakeGroup("h", GroupPolicy{}) },
				"Groups":        func() error { _, err := r.Groups(); return err },
				"Losses":        func() error { _, _, err := r.Losses(); return err },
				"Parked":        func() error { _, _, err := r.Parked(); return err },
				"MarkClosing":   r.MarkClosing,
				"Reader":        func() error { _, err := r.Reader(consumer, ReaderOptions{}); return err },
				"Producer":      func() error { _, err := r.Producer(Grant{Slot: 0, Lock: -1}, ""); return err },
			}
			cut(t, r, file, 0)
			said := 0
			for what, call := range calls {
				if err := call(); corruptOf(err, file) {
					said++
				} else if errors.Is(err, ErrCorrupt) {
					t.Errorf("%v, %s cut short, %s: %v names another file", kind, file, what, err)
				}
			}
			if said < 4 {
				t.Errorf("%v, %s cut short: %d of %d calls say so", kind, file, said, len(calls))
			}
		}
	}
}

// What is no shield's is the runtime's as ever.
func TestOtherFaultsStayGos(t *testing.T) {
	r := newFileRing(t, small.of(MPMC))
	newProducerOn(t, r, again(t, r, Produce)) // with a shield

	var null *int
	if got := fmt.Sprint(recovered(func() { *null = 1 })); !strings.Contains(got, "nil pointer dereference") {
		t.Errorf("a nil pointer: %s", got)
	}
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGBUS)
	must(t, syscall.Kill(os.Getpid(), syscall.SIGBUS))
	select {
	case <-c:
	case <-time.After(time.Minute):
		t.Error("watchdog: kill -BUS did not come through")
	}
	signal.Stop(c)
	signal.Ignore(syscall.SIGBUS)
	signal.Reset(syscall.SIGBUS)

	// After all of that the shield holds.
	cutting := cutRing(t, small.of(MPMC))
	p := newProducerOn(t, cutting, again(t, cutting, Produce))
	cut(t, cutting, nameRing, 0)
	if err := p.Publish([]byte("x")); !corruptOf(err, nameRing) {
		t.Errorf("Publish: %v, want ErrCorrupt of ring", err)
	}
}

func recovered(f func()) (value any) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() { value = recover() }()
	f()
	return nil
}

// foreign is memory behind the end of a file that is no topic's.
func foreign(t testing.TB) []byte {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "foreign"))
	must(t, err)
	defer f.Close()
	must(t, f.Truncate(8192))
	b, err := unix.Mmap(int(f.Fd()), 0, 8192, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	must(t, err)
	t.Cleanup(func() { unix.Munmap(b) })
	must(t, f.Truncate(0))
	return b
}

// A program that recovers from its own faults gets them with their address.
func TestTruncatedForeignFileIsThePrograms(t *testing.T) {
	r := newFileRing(t, small.of(MPMC))
	newProducerOn(t, r, again(t, r, Produce))
	b := foreign(t)
	got := recovered(func() { b[5000] = 1 })
	if a, ok := got.(interface{ Addr() uintptr }); !ok || fmt.Sprintf("%#x", a.Addr()) != fmt.Sprintf("%p", &b[5000]) {
		t.Errorf("another mapping: %v, want a fault at %p", got, &b[5000])
	}
}

const envFaultTopic = "MYC_FAULT_TOPIC" // directory of a topic that the child of a test maps

// A program that does not recover ends as Go programs do, with a trace. Each case is a child process.
func TestTruncatedForeignFileEndsItsProgram(t *testing.T) {
	cases := []struct {
		name string
		do   func()
		want []string
	}{
		{"a fault", func() { foreign(t)[5000] = 1 }, []string{"unexpected fault address", "SIGBUS: bus error code=0x2", "TestTruncatedForeignFile"}},
		{"kill -BUS", func() { syscall.Kill(os.Getpid(), syscall.SIGBUS); select {} }, []string{"SIGBUS: bus error", "goroutine"}},
	}
	if topic := os.Getenv(envFaultTopic); topic != "" {
		_, err := Open(topic, Produce) // with a shield
		must(t, err)
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) { c.do() }) // the parent names one
		}
		return
	}
	r := newFileRing(t, small.of(MPMC))
	self, err := os.Executable()
	must(t, err)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			child := exec.Command(self, "-test.run=^TestTruncatedForeignFileEndsItsProgram$/^"+strings.ReplaceAll(c.name, " ", "_")+"$")
			child.Env = append(os.Environ(), envFaultTopic+"="+r.path, "TMPDIR="+t.TempDir())
			out, err := child.CombinedOutput()
			if err == nil || child.ProcessState.ExitCode() != 2 {
				t.Errorf("the child ended with %v", child.ProcessState)
			}
			for _, want := range c.want {
				if !strings.Contains(string(out), want) {
					t.Errorf("the child's words lack %q:\n%s", want, out)
				}
			}
		})
	}
}
