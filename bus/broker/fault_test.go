package broker

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/mycelium-bus/mycelium/bus/internal/control"
	"github.com/mycelium-bus/mycelium/shmring"
)

func TestATruncatedTopicIsDamagedAndTheBrokerLives(t *testing.T) {
	for name, truncate := range map[string]func(*attached) int{
		"ring":    func(a *attached) int { return a.files.Ring },
		"cursors": func(a *attached) int { return a.files.Cursors },
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t, testConfig(t))
			one := b.client("one")
			a := one.attach(&control.AttachProducer{Topic: "a"})
			if err := unix.Ftruncate(truncate(a), 0); err != nil {
				t.Fatal(err)
			}
			var m control.Message = &control.AttachProducer{Topic: "a"}
			if name == "cursors" {
				m = &control.AttachConsumer{Topic: "a"}
			}
			one.refused(m, control.CodeCorrupt)
			contains(t, "the topic's fault", one.topics()[0].State.String()+one.topics()[0].Fault, "damaged", "truncated")
			one.refused(&control.AttachConsumer{Topic: "a"}, control.CodeCorrupt)
			one.attach(&control.AttachProducer{Topic: "b"})
			one.ask(&control.DeleteTopic{Topic: "a"})
			one.ask(&control.CreateTopic{Config: jsonOf(small("a"))})
			one.attach(&control.AttachProducer{Topic: "a"})
		})
	}
}

// Whoever may can remove files under those who use them: that is noticed without anybody asking, and told.
func TestRemovedAndTruncatedFilesAreNoticed(t *testing.T) {
	for name, c := range map[string]struct {
		harm func(dir string) error
		want string
	}{
		"the whole topic":  {os.RemoveAll, "removed while in use: who is attached goes on, nobody else can attach: ring"},
		"one file":         {func(dir string) error { return os.Remove(filepath.Join(dir, "locks.c")) }, "removed while in use: who is attached goes on, nobody else can attach: locks.c"},
		"a file, replaced": {func(dir string) error { return replace(filepath.Join(dir, "cursors")) }, "nobody else can attach: cursors"},
		"cut short":        {func(dir string) error { return os.Truncate(filepath.Join(dir, "control"), 4096) }, "truncated: control has 4096 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t, testConfig(t))
			one := b.client("one")
			p, r := one.producer("a"), one.reader(&control.AttachConsumer{Topic: "a", Slow: control.SlowLossy})
			if err := c.harm(b.topicDir("a")); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the topic is damaged", func() bool { return one.topics()[0].State == control.TopicDamaged })
			contains(t, "the topic's fault", one.topics()[0].Fault, c.want)
			contains(t, "the broker's log", b.log.String(), "level=ERROR msg=\"topic is damaged", c.want)
			one.refused(&control.AttachProducer{Topic: "a"}, control.CodeCorrupt)
			one.refused(&control.CreateTopic{Config: jsonOf(small("a"))}, control.CodeExists)
			if !strings.Contains(c.want, "truncated") {
				if err := p.Publish([]byte("on")); err != nil {
					t.Error(err)
				}
				if f, ok := r.Next(); !ok || string(f.Payload) != "on" {
					t.Errorf("got %q, %v", f.Payload, r.Err())
				}
				r.Next()
			}
			one.ask(&control.DeleteTopic{Topic: "a"})
			if !strings.Contains(c.want, "truncated") {
				if _, ok := r.Next(); ok || !errors.Is(r.Err(), shmring.ErrClosed) {
					t.Errorf("the reader of a topic that was deleted: %v", r.Err())
				}
			}
			one.ask(&control.CreateTopic{Config: jsonOf(small("a"))})
			one.attach(&control.AttachProducer{Topic: "a"})
		})
	}
}

func replace(path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return errors.Join(os.Remove(path), os.WriteFile(path, b, 0o600))
}

func TestALostLockFileIsTold(t *testing.T) {
	b := start(t, testConfig(t))
	if err := os.Remove(filepath.Join(b.Dir(), lockName)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the broker says so", func() bool { return strings.Contains(b.log.String(), "nothing keeps a second broker out") })
}

func TestOwnMistakesStayPanics(t *testing.T) {
	for name, f := range map[string]func(){
		"a nil pointer": func() { var e *entry; _ = e.name },
		"a panic":       func() { panic("shmring: a mistake") },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("swallowed")
				}
			}()
			_ = guarded(func() error { f(); return nil })
		})
	}
}

// A topic whose control file was harmed cannot be marked as deleted: it is deleted all the same.
func TestATopicWithADamagedControlFileCanBeDeleted(t *testing.T) {
	for name, harm := range map[string]func(path string) error{
		"cut short": func(path string) error { return os.Truncate(path, 0) },
		"removed":   os.Remove,
		"scribbled": func(path string) error { return os.WriteFile(path, make([]byte, 100), 0) },
	} {
		t.Run(name, func(t *testing.T) {
			c := testConfig(t)
			b := start(t, c)
			for _, when := range []string{"in use", "at the start"} {
				if when == "at the start" {
					b.stop()
				}
				if err := harm(filepath.Join(b.topicDir("a"), "control")); err != nil {
					t.Fatal(err)
				}
				if when == "at the start" {
					b = start(t, c)
				}
				one := b.client("one")
				one.ask(&control.DeleteTopic{Topic: "a"})
				if _, err := os.Lstat(b.topicDir("a")); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("%s: its directory: %v, want none", when, err)
				}
				one.ask(&control.CreateTopic{Config: jsonOf(small("a"))})
			}
		})
	}
}

// What is not a topic's is not removed with one, whoever put it there, and keeps no broker from starting.
func TestAForeignFileKeepsItsTopic(t *testing.T) {
	c := testConfig(t)
	b := start(t, c)
	one := b.client("one")
	p := one.producer("a")
	note := filepath.Join(b.topicDir("a"), "note")
	if err := os.WriteFile(note, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	e := one.refused(&control.DeleteTopic{Topic: "a"}, control.CodeInvalid)
	contains(t, "the refusal", e.Text+e.Hint, `holds "note", which is no file of a topic`, "take away")
	if err := p.Publish([]byte("on")); err != nil || p.Ring().Closing() {
		t.Errorf("a refused deletion: %v", err)
	}
	if err := p.Ring().Close(); err != nil {
		t.Error(err)
	}
	p.Close()
	b.stop()

	if names, err := Purge(c.Dir); !errors.Is(err, shmring.ErrNotATopic) || names != nil {
		t.Errorf("Purge: %v, %v", names, err)
	}
	ring := must(shmring.Open(b.topicDir("a"), shmring.Own)) // as if its deletion had been interrupted
	if err := errors.Join(ring.MarkClosing(), ring.Close()); err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(c.Dir, ".del-1", "b", "picture")
	if err := errors.Join(os.MkdirAll(filepath.Dir(left), 0o700), os.WriteFile(left, []byte("mine"), 0o600)); err != nil {
		t.Fatal(err)
	}
	next := start(t, c)
	two := next.client("two")
	contains(t, "the topic", two.topics()[0].State.String()+two.topics()[0].Fault, "damaged", "was being deleted", `"note"`)
	contains(t, "the log", next.log.String(), "left alone what looks like an interrupted", ".del-1")
	for _, path := range []string{note, left} {
		if _, err := os.Lstat(path); err != nil {
			t.Error(err)
		}
	}
	if err := os.Remove(note); err != nil {
		t.Fatal(err)
	}
	two.ask(&control.DeleteTopic{Topic: "a"})
}
