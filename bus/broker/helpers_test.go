package broker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mycelium-bus/mycelium/bus/internal/control"
	"github.com/mycelium-bus/mycelium/bus/topic"
	"github.com/mycelium-bus/mycelium/internal/leak"
	"github.com/mycelium-bus/mycelium/shmring"
	"github.com/mycelium-bus/mycelium/uds"
)

func TestMain(m *testing.M) {
	if role := os.Getenv("MYC_TEST_CHILD"); role != "" {
		os.Exit(children[role]())
	}
	leak.Main(m)
}

// children are what this test binary does when it is started as another process.
var children = map[string]func() int{}

// child starts this test binary as another process; it is killed, if it still runs, when the test ends.
func child(t *testing.T, role string, env ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), append(env, "MYC_TEST_CHILD="+role)...)
	cmd.Stderr = os.Stderr
	t.Cleanup(func() {
		if cmd.Process != nil && cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
	return cmd
}

// watchdog is for waits whose end is certain.
func watchdog(t testing.TB) context.Context {
	ctx, stop := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(stop)
	return ctx
}

// eventually repeats a look until it succeeds, under a watchdog.
func eventually(t *testing.T, what string, look func() bool) {
	t.Helper()
	for ctx := watchdog(t); !look(); time.Sleep(time.Millisecond) {
		if ctx.Err() != nil {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// logBuffer is a log that tests look into.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// rig is a broker under test.
type rig struct {
	*Broker
	t       *testing.T
	log     *logBuffer
	stopped chan error
	cancel  context.CancelFunc
}

// testConfig has two small topics in a folder of the test's own.
func testConfig(t *testing.T) Config {
	c := withoutTopics()
	dir := leak.ShmDir(t)
	c.Dir, c.Socket = filepath.Join(dir, "bus"), filepath.Join(dir, "s")
	c.Topics = []topic.Config{small("a"), small("b")}
	c.Logger = slog.New(slog.DiscardHandler)
	return c
}

func small(name string) topic.Config {
	return topic.Config{Name: name, Size: topic.MinSize, Producers: 4, Consumers: 8, Groups: 1,
		Publish: []string{"*"}, Subscribe: []string{"*"}, Blockers: []string{"*"}}
}

func start(t *testing.T, c Config) *rig { return startWith(t, c, systemAccounts{}, func(*Broker) {}) }

// startWith runs a broker until the test ends, or stop.
func startWith(t *testing.T, c Config, who accounts, change func(*Broker)) *rig {
	t.Helper()
	r := &rig{t: t, log: &logBuffer{}, stopped: make(chan error, 1)}
	c.Logger = slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	b, err := newBroker(c, who)
	if err != nil {
		t.Fatal(err)
	}
	change(b)
	r.Broker = b
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	go func() { r.stopped <- b.Run(ctx) }()
	t.Cleanup(func() {
		r.stop()
		if t.Failed() {
			t.Logf("the broker's log:\n%s", r.log)
		}
	})
	return r
}

// stop ends the broker and waits for it. It may be called again.
func (r *rig) stop() {
	r.t.Helper()
	if r.cancel == nil {
		return
	}
	r.cancel()
	r.cancel = nil
	select {
	case err := <-r.stopped:
		if err != nil {
			r.t.Errorf("Run: %v", err)
		}
	case <-watchdog(r.t).Done():
		r.t.Error("the broker does not end")
	}
}

// client connects as a well-behaved client, until the test ends.
func (r *rig) client(name string) *client {
	r.t.Helper()
	c := &client{t: r.t, notices: make(chan control.Message, 100)}
	conn, err := control.Dial(watchdog(r.t), r.Socket(), control.Options{Name: name, Software: "test",
		Notice: func(m control.Message) { c.notices <- m }})
	if err != nil {
		r.t.Fatal(err)
	}
	c.Conn = conn
	r.t.Cleanup(func() { _ = conn.Close() })
	return c
}

// raw connects without a greeting.
func (r *rig) raw() uds.Conn {
	r.t.Helper()
	conn, err := uds.Dial(watchdog(r.t), r.Socket(), uds.Options{MaxMessage: uds.MaxPacket, MaxFDs: 100})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

type client struct {
	*control.Conn
	t       *testing.T
	notices chan control.Message
}

// ask makes a request that must succeed without descriptors.
func (c *client) ask(m control.Message) control.Message {
	c.t.Helper()
	answer, fds, err := c.Request(watchdog(c.t), m)
	if err != nil || len(fds) > 0 {
		uds.CloseFDs(fds)
		c.t.Fatalf("%s: %v, %d descriptors", m.Type(), err, len(fds))
	}
	return answer
}

// refused makes a request that must be refused with the code, and returns the refusal.
func (c *client) refused(m control.Message, code control.Code) *control.Error {
	c.t.Helper()
	answer, fds, err := c.Request(watchdog(c.t), m)
	uds.CloseFDs(fds)
	e, ok := errors.AsType[*control.Error](err)
	if !ok || e.Code != code {
		c.t.Fatalf("%s: %v, %v, want a refusal: %s", m.Type(), answer, err, code)
	}
	return e
}

// attached is an attachment that a test holds.
type attached struct {
	*control.Attached
	files shmring.Files
	lock  int
}

func (a *attached) close() {
	a.files.Close()
	uds.CloseFDs([]int{a.lock})
	a.lock = -1
}

// attach makes a request that must be answered with descriptors, which are closed when the test ends.
func (c *client) attach(m control.Message) *attached {
	c.t.Helper()
	a := c.attachRaw(m)
	c.t.Cleanup(a.close)
	return a
}

// attachOnceThereIsRoom is attach at a limit that a slot counted for which was just closed: the broker's own copy of its lock lives
// for an instant after the answer is here.
func (c *client) attachOnceThereIsRoom(m control.Message) (a *attached) {
	c.t.Helper()
	eventually(c.t, "a slot that was closed counts no more", func() bool {
		answer, fds, err := c.Request(watchdog(c.t), m)
		if e, ok := errors.AsType[*control.Error](err); ok && e.Code == control.CodeLimit {
			return false
		}
		if err != nil {
			c.t.Fatalf("%s: %v", m.Type(), err)
		}
		a = newAttached(answer, fds)
		return true
	})
	c.t.Cleanup(a.close)
	return a
}

func newAttached(answer control.Message, fds []int) *attached {
	a := &attached{answer.(*control.Attached), shmring.Files{Ring: fds[0], Cursors: fds[1], Control: fds[2], LocksP: fds[3], LocksC: fds[4]}, -1}
	if len(fds) == 6 {
		a.lock = fds[5]
	}
	return a
}

func (c *client) attachRaw(m control.Message) *attached {
	c.t.Helper()
	answer, fds, err := c.Request(watchdog(c.t), m)
	if err != nil {
		c.t.Fatalf("%s: %v", m.Type(), err)
	}
	return newAttached(answer, fds)
}

// producer attaches and makes a handle; both are closed when the test ends, or by the caller.
func (c *client) producer(name string) *shmring.Producer {
	c.t.Helper()
	a := c.attachRaw(&control.AttachProducer{Topic: name})
	ring, err := shmring.Attach(a.files, shmring.Produce)
	if err != nil {
		uds.CloseFDs([]int{a.lock})
		c.t.Fatal(err)
	}
	p, err := ring.Producer(shmring.Grant{Slot: int(a.Slot), Lock: a.lock}, "test")
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = p.Close(); _ = ring.Close() })
	return p
}

func (c *client) reader(m *control.AttachConsumer) *shmring.Reader {
	c.t.Helper()
	a := c.attachRaw(m)
	ring, err := shmring.Attach(a.files, shmring.Consume)
	if err != nil {
		uds.CloseFDs([]int{a.lock})
		c.t.Fatal(err)
	}
	r, err := ring.Reader(shmring.Grant{Slot: int(a.Slot), Lock: a.lock}, shmring.ReaderOptions{Name: "test", From: shmring.Oldest()})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = r.Close(); _ = ring.Close() })
	return r
}

func (c *client) topics() []control.Topic {
	c.t.Helper()
	var all []control.Topic
	for after := ""; ; {
		page := c.ask(&control.ListTopics{After: after}).(*control.Topics)
		all = append(all, page.Topics...)
		if !page.More {
			return all
		}
		after = page.Topics[len(page.Topics)-1].Name
	}
}

func (c *client) clients() map[uint64]control.Client {
	c.t.Helper()
	all := map[uint64]control.Client{}
	for next := (control.ListClients{}); ; {
		page := c.ask(&next).(*control.Clients)
		for _, p := range page.Clients {
			slots := append(all[p.Session].Slots, p.Slots...)
			p.Slots = slots
			all[p.Session] = p
		}
		if !page.More {
			return all
		}
		next = control.ListClients{From: page.Next, Skip: page.NextSkip}
	}
}

func jsonOf(c topic.Config) []byte { return must(json.Marshal(c)) }

func contains(t *testing.T, what, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%s lacks %q:\n%s", what, part, text)
		}
	}
}

// longEnough is for tests that something does not happen: what goes wrong shows within it on most runs, and no test fails
// because it is short.
func longEnough() <-chan time.Time { return time.After(20 * time.Millisecond) }
