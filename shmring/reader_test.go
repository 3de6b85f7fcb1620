package shmring

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

// A reader that may be overtaken hands out a copy: what it lent stays as it was though the ring was overwritten meanwhile.
func TestReadersThatMayBeOvertakenAreLentCopies(t *testing.T) {
	for _, policy := range []Slow{Drop, Evict, Lossy} {
		t.Run(policy.String(), func(t *testing.T) {
			r := newHeapRing(t, small.of(MPMC))
			p := newProducer(t, r)
			rd := newReader(t, r, Policy{Slow: policy}, Newest())
			publish(t, p, "first")
			f, ok := rd.Next()
			if !ok {
				t.Fatal(rd.Err())
			}
			copy(r.data.Bytes(f.Position+frameHeaderSize, 5), "XXXXX")
			if string(f.Payload) != "first" {
				t.Errorf("the lent bytes changed with the ring: %q", f.Payload)
			}
		})
	}
}

func TestUnreadMessageComesAgain(t *testing.T) {
	for _, policy := range []Slow{Block, Drop, Lossy} {
		t.Run(policy.String(), func(t *testing.T) {
			r := newHeapRing(t, small.of(SPSC))
			p := newProducer(t, r)
			rd := newReader(t, r, Policy{Slow: policy}, Newest())
			publish(t, p, "a")
			publish(t, p, "b")
			rd.Next()
			rd.Unread()
			rd.Unread() // once is enough
			if got := fmt.Sprint(readAll(t, rd)); got != "[a b]" {
				t.Errorf("read %s after Unread, want [a b]", got)
			}
			if rd.nMessages != 2 || rd.nBytes != 2 {
				t.Errorf("counted %d messages and %d bytes, want 2 and 2", rd.nMessages, rd.nBytes)
			}
		})
	}
}

// The cursor moves when a batch ends, when a look finds nothing, and within a batch every min(C/16, credit/4) bytes.
func TestCursorIsPublished(t *testing.T) {
	r := newHeapRing(t, small.of(SPSC))
	p := newProducer(t, r)
	rd := newReader(t, r, Policy{Slow: Block}, Newest())
	begin := rd.Position()
	for range 100 {
		if err := p.Publish(make([]byte, 112)); err != nil {
			t.Fatal(err)
		}
	}
	for range 33 {
		rd.Next()
	}
	if got := rd.cursor.Load() - begin; got != 32*128 {
		t.Errorf("after 33 messages of 128 bytes the cursor moved by %d, want 4096 (a sixteenth of the ring)", got)
	}
	rd.Release()
	if got := rd.cursor.Load() - begin; got != 33*128 {
		t.Errorf("after Release the cursor moved by %d, want %d", got, 33*128)
	}
	readAll(t, rd)
	if got := rd.cursor.Load() - begin; got != 100*128 {
		t.Errorf("after a look that found nothing the cursor moved by %d, want %d", got, 100*128)
	}
}

func TestClosedHandlesSaySo(t *testing.T) {
	for _, k := range []Kind{SPSC, MPMC} {
		for _, policy := range []Slow{Block, Lossy} {
			r := newFileRing(t, small.of(k))
			m := again(t, r, Produce)
			g, _ := r.GrantProducer(0)
			p, err := m.Producer(g, "")
			if err != nil {
				t.Fatal(err)
			}
			rd := newReaderOn(t, r, again(t, r, Consume), Policy{Slow: policy}, Newest())
			publish(t, p, "a")
			rd.Next()
			p.Close()
			rd.Close()
			m.Close() // its memory is gone now: a look at it would fault
			rd.ring.Close()
			if err := p.Publish([]byte("x")); !errors.Is(err, ErrClosed) {
				t.Errorf("Publish: %v", err)
			}
			if _, err := p.Claim(1); !errors.Is(err, ErrClosed) {
				t.Errorf("Claim: %v", err)
			}
			if _, err := p.Batch(64); !errors.Is(err, ErrClosed) {
				t.Errorf("Batch: %v", err)
			}
			if _, ok := rd.Next(); ok || !errors.Is(rd.Err(), ErrClosed) {
				t.Errorf("Next: %v %v", ok, rd.Err())
			}
			rd.Release()
			if err := errors.Join(p.Close(), rd.Close()); err != nil {
				t.Errorf("closing twice: %v", err)
			}
		}
	}
}

func TestDeletedTopicEndsHandlesAfterTheLastMessage(t *testing.T) {
	r := newFileRing(t, small.of(SPSC))
	p := newProducer(t, r)
	rd := newReader(t, r, Policy{Slow: Block}, Newest())
	publish(t, p, "last")
	if err := r.MarkClosing(); err != nil {
		t.Fatal(err)
	}
	if f, ok := rd.Next(); !ok || string(f.Payload) != "last" {
		t.Fatalf("got %q, %v", f.Payload, rd.Err())
	}
	eventually(t, "the reader's end", func() bool { _, ok := rd.Next(); return !ok && errors.Is(rd.Err(), ErrClosed) })
	eventually(t, "the producer's end", func() bool { return errors.Is(p.Publish(make([]byte, 100)), ErrClosed) })
}

// A claim that its owner forgot must not stop the readers for ever.
func TestForgottenClaimIsAbortedByTheNextCall(t *testing.T) {
	for _, k := range []Kind{SPSC, MPMC} {
		r := newHeapRing(t, small.of(k))
		p := newProducer(t, r)
		rd := newReader(t, r, Policy{Slow: Block}, Newest())
		c, err := p.Claim(10)
		if err != nil {
			t.Fatal(err)
		}
		copy(c.Bytes(), "forgotten!")
		publish(t, p, "next")
		if got := fmt.Sprint(readAll(t, rd)); got != "[next]" {
			t.Errorf("%v: read %s, want [next]", k, got)
		}
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%v: the forgotten claim could still be committed", k)
				}
			}()
			c.Commit(10)
		}()
		if _, err := p.Claim(10); err != nil {
			t.Fatal(err)
		}
		p.Close()
		p = newProducer(t, r)
		publish(t, p, "successor")
		if got := fmt.Sprint(readAll(t, rd)); got != "[successor]" {
			t.Errorf("%v: read %s, want [successor]", k, got)
		}
	}
}

func TestWrongLengthsAreRefused(t *testing.T) {
	for _, k := range []Kind{SPSC, MPMC} {
		r := newHeapRing(t, small.of(k))
		p := newProducer(t, r)
		for _, n := range []int{0, -1, r.MaxFrame() + 1} {
			if _, err := p.Claim(n); !errors.Is(err, ErrTooLarge) {
				t.Errorf("%v: Claim(%d): %v", k, n, err)
			}
		}
		for _, n := range []int{0, r.MaxFrame() + 1} {
			if err := p.Publish(make([]byte, n)); !errors.Is(err, ErrTooLarge) {
				t.Errorf("%v: Publish of %d bytes: %v", k, n, err)
			}
		}
		for _, n := range []int{0, 16, -5, r.MaxClaim() + 1} {
			if _, err := p.Batch(n); !errors.Is(err, ErrTooLarge) {
				t.Errorf("%v: Batch(%d): %v", k, n, err)
			}
		}
		c, err := p.Claim(5)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Commit(6); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%v: commit of more than was claimed: %v", k, err)
		}
		publish(t, p, "%0*d", r.MaxFrame(), 1)
	}
}

func TestSingleKindsAdmitOne(t *testing.T) {
	r := newFileRing(t, small.of(SPSC))
	p := newProducer(t, r)
	if _, err := r.GrantProducer(0); !errors.Is(err, ErrInUse) {
		t.Errorf("a second producer: %v", err)
	}
	rd := newReader(t, r, Policy{Slow: Block}, Newest())
	if _, err := r.GrantConsumer(Policy{Slow: Drop}); !errors.Is(err, ErrInUse) {
		t.Errorf("a second gate: %v", err)
	}
	newReader(t, r, Policy{Slow: Lossy}, Newest())
	p.Close()
	rd.Close()
	newProducer(t, r)
	newReader(t, r, Policy{Slow: Evict}, Newest())
}

func TestHotPathsDoNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for _, k := range []Kind{SPSC, MPMC} {
		for _, policy := range []Slow{Block, Lossy} {
			r := newHeapRing(t, small.of(k))
			p := newProducer(t, r)
			rd := newReader(t, r, Policy{Slow: policy}, Newest())
			msg := make([]byte, 100)
			for what, f := range map[string]func(){
				"Publish": func() { must(t, p.Publish(msg)) },
				"Claim and Commit": func() {
					c, err := p.Claim(100)
					must(t, err)
					must(t, c.Commit(50))
				},
				"Batch": func() {
					b, err := p.Batch(300)
					must(t, err)
					_, err = b.Next(100)
					must(t, err)
					must(t, b.Commit())
				},
			} {
				n := testing.AllocsPerRun(1000, func() {
					f()
					for ok := true; ok; _, ok = rd.Next() {
					}
				})
				if n != 0 {
					t.Errorf("%v %v: %s and Next allocate %v times", k, policy, what, n)
				}
			}
		}
	}
}

func must(t testing.TB, err error) {
	if err != nil {
		t.Helper()
		t.Fatal(err)
	}
}

// On amd64 the stamp is an ordinary store that inlines, and Go's memory model does not promise that the compiler keeps it
// behind the others: this looks at what the compiler made of the commit.
func TestStampIsTheLastStore(t *testing.T) {
	if runtime.GOARCH != "amd64" || raceEnabled {
		t.Skip("elsewhere the stamp is an atomic store")
	}
	exe := filepath.Join(t.TempDir(), "shmring.test") // go test links its own binary without symbols
	if out, err := exec.Command("go", "test", "-c", "-o", exe, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	intentsStayWhole(t, exe)
	out, err := exec.Command("go", "tool", "objdump", "-s", `shmring\.\(\*Producer\)\.Publish$`, exe).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	// file:line address bytes INSTRUCTION operands
	line := regexp.MustCompile(`^\s*\S+:\d+\s+0x[0-9a-f]+\s+[0-9a-f]+\s+(\S+)\s*(.*?)\s*$`)
	store := regexp.MustCompile(`^(\S+), -?(?:0x)?[0-9a-f]*\((\w+)\)(?:\(\w+\*\d\))?$`)
	var stores []string // of the common path: from the copy of the payload to the return
	inPath, xored := false, ""
	stampReg := ""
	for _, l := range strings.Split(string(out), "\n") {
		m := line.FindStringSubmatch(l)
		if m == nil {
			continue
		}
		op, args := m[1], m[2]
		if strings.Contains(args, "memmove") {
			inPath = true
		}
		if !inPath {
			continue
		}
		if op == "RET" {
			break
		}
		if op == "XORQ" {
			_, xored, _ = strings.Cut(args, ", ") // position ^ nonce is being made here
		}
		if s := store.FindStringSubmatch(args); s != nil && s[2] != "SP" && strings.HasPrefix(op, "MOV") {
			stores = append(stores, l)
			stampReg = s[1]
		}
	}
	if len(stores) < 4 {
		t.Fatalf("found only %d stores in Publish; has its shape changed?\n%s", len(stores), out)
	}
	if xored == "" || stampReg != xored {
		t.Errorf("the last store of Publish is not the stamp (position ^ nonce, in %s):\n%s", xored, strings.Join(stores, "\n"))
	}
}
