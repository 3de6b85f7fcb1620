package broker

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mycelium-bus/mycelium/bus/internal/control"
	"github.com/mycelium-bus/mycelium/bus/topic"
	"github.com/mycelium-bus/mycelium/shmring"
	"github.com/mycelium-bus/mycelium/uds"
)

func TestMessagesGoThroughTheFilesThatTheBrokerHandsOut(t *testing.T) {
	b := start(t, testConfig(t))
	one, two := b.client("one"), b.client("two")
	if w := one.Welcome(); w.Dir != b.Dir() || w.Session == 0 || w.PID != uint32(os.Getpid()) {
		t.Errorf("Welcome: %+v", w)
	}
	r := two.reader(&control.AttachConsumer{Topic: "a"})
	p := one.producer("a")
	b.stop() // from here on they are alone
	for i := range 100 {
		if err := p.Publish(fmt.Appendf(nil, "message %d", i)); err != nil {
			t.Fatal(err)
		}
		f, ok := r.Next()
		if !ok || string(f.Payload) != fmt.Sprintf("message %d", i) {
			t.Fatalf("%v, %v, want message %d", f, r.Err(), i)
		}
		r.Release()
	}
}

func TestDescriptorsHaveTheAccessThatTheRightAsksFor(t *testing.T) {
	b := start(t, testConfig(t))
	c := b.client("c")
	const ro, rw = unix.O_RDONLY, unix.O_RDWR
	for _, test := range []struct {
		m    control.Message
		want [5]int // ring, cursors, control, locks.p, locks.c
		lock bool
	}{
		{&control.AttachProducer{Topic: "a"}, [5]int{rw, rw, ro, rw, ro}, true},
		{&control.AttachConsumer{Topic: "a"}, [5]int{ro, rw, ro, ro, ro}, true},
		{&control.AttachConsumer{Topic: "a", Slow: control.SlowLossy}, [5]int{ro, rw, ro, ro, ro}, true},
		{&control.AttachInspect{Topic: "a"}, [5]int{ro, ro, ro, ro, ro}, false},
	} {
		a := c.attach(test.m)
		for i, fd := range []int{a.files.Ring, a.files.Cursors, a.files.Control, a.files.LocksP, a.files.LocksC} {
			flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
			if err != nil || flags&unix.O_ACCMODE != test.want[i] {
				t.Errorf("%s: file %d has access %d, %v, want %d", test.m.Type(), i, flags&unix.O_ACCMODE, err, test.want[i])
			}
			if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
				t.Errorf("%s: file %d is not close-on-exec: %v", test.m.Type(), i, err)
			}
		}
		if (a.lock >= 0) != test.lock {
			t.Errorf("%s: lock %d", test.m.Type(), a.lock)
		}
		b, err := unix.Mmap(a.files.Ring, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		if err == nil {
			_ = unix.Munmap(b)
		}
		if writes := err == nil; writes != (test.want[0] == rw) {
			t.Errorf("%s: the ring can be mapped for writing: %v (%v)", test.m.Type(), writes, err)
		}
		if !test.lock && a.Slot != control.NoSlot {
			t.Errorf("%s: slot %d", test.m.Type(), a.Slot)
		}
	}
}

func TestHostileClientsAreAnsweredAndClosed(t *testing.T) {
	b := start(t, testConfig(t))
	hello := must(control.Encode(1, &control.Hello{MinVersion: control.MinProtocol, MaxVersion: control.MaxProtocol}))
	null, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	many := make([]int, 50)
	for i := range many {
		many[i] = int(null.Fd())
	}
	encode := func(id uint64, m control.Message) []byte { return must(control.Encode(id, m)) }
	for _, test := range []struct {
		name  string
		greet bool
		send  []byte
		fds   []int
		code  control.Code
		text  string
	}{
		{"garbage first", false, []byte("GET / HTTP/1.1\r\n\r\n"), nil, control.CodeProtocol, "not a control message"},
		{"garbage later", true, make([]byte, 5000), nil, control.CodeProtocol, "magic"},
		{"half a Hello", false, hello[:len(hello)/2], nil, control.CodeProtocol, "cut short"},
		{"half a request", true, encode(2, &control.DeleteTopic{Topic: "abcdef"})[:35], nil, control.CodeProtocol, ""},
		{"no Hello", false, encode(1, &control.ListTopics{}), nil, control.CodeProtocol, "ListTopics came first"},
		{"an answer", true, encode(2, &control.OK{}), nil, control.CodeProtocol, "OK is no request"},
		{"a second Hello", true, hello, nil, control.CodeProtocol, "Hello is no request"},
		{"id 0", true, encode(0, &control.ListTopics{}), nil, control.CodeProtocol, "id 0"},
		{"a descriptor", true, encode(2, &control.ListTopics{}), many[:1], control.CodeProtocol, "1 came with ListTopics"},
		{"too many descriptors", true, encode(2, &control.ListTopics{}), many, control.CodeProtocol, "too many descriptors"},
		{"a descriptor with Hello", false, hello, many[:2], control.CodeProtocol, "2 came with Hello"},
		{"too large", true, make([]byte, control.MaxMessage+1), nil, control.CodeProtocol, "too large"},
		{"an old protocol", false, encode(1, &control.Hello{MinVersion: 0, MaxVersion: 0}), nil, control.CodeVersion,
			"the broker speaks 1 to 1, the client 0 to 0"},
		{"a new protocol", false, encode(1, &control.Hello{MinVersion: 7, MaxVersion: 9}), nil, control.CodeVersion, "7 to 9"},
		{"a feature", false, encode(1, &control.Hello{MinVersion: 1, MaxVersion: 1, Features: 12, Required: 8}), nil, control.CodeVersion,
			"the client requires 0x8, the broker has 0x7"},
	} {
		t.Run(test.name, func(t *testing.T) {
			good := b.client("good")
			conn := b.raw()
			buf := make([]byte, control.MaxMessage)
			if test.greet {
				if err := conn.Send(hello); err != nil {
					t.Fatal(err)
				}
				if _, _, err := conn.RecvContext(watchdog(t), buf); err != nil {
					t.Fatal(err)
				}
			}
			if err := conn.Send(test.send, test.fds...); err != nil {
				t.Fatal(err)
			}
			answeredAndClosed(t, conn, test.code, test.text)
			good.ask(&control.ListTopics{}) // has not noticed
		})
	}
}

func answeredAndClosed(t *testing.T, conn uds.Conn, code control.Code, text string) {
	t.Helper()
	buf := make([]byte, control.MaxMessage)
	msg, _, err := conn.RecvContext(watchdog(t), buf)
	if err != nil {
		t.Fatal(err)
	}
	_, m, err := control.Decode(msg)
	e, ok := m.(*control.Error)
	if !ok || e.Code != code || !strings.Contains(e.Text, text) {
		t.Errorf("answered with %+v, %v, want %s with %q", m, err, code, text)
	}
	if _, _, err := conn.RecvContext(watchdog(t), buf); err != io.EOF {
		t.Errorf("afterwards: %v, want %v", err, io.EOF)
	}
}

func TestAClientThatSaysNothingIsAnsweredAndClosed(t *testing.T) {
	b := startWith(t, testConfig(t), systemAccounts{}, func(b *Broker) { b.helloPatience = 10 * time.Millisecond })
	answeredAndClosed(t, b.raw(), control.CodeProtocol, "no Hello came in 10ms")
}

func TestAClientThatNeverReadsIsClosed(t *testing.T) {
	b := startWith(t, testConfig(t), systemAccounts{}, func(b *Broker) { b.readPatience = 50 * time.Millisecond })
	good := b.client("good")
	conn := b.raw()
	if err := conn.Send(must(control.Encode(1, &control.Hello{MinVersion: 1, MaxVersion: 1}))); err != nil {
		t.Fatal(err)
	}
	ask := must(control.Encode(2, &control.AttachInspect{Topic: "a"}))
	for {
		if err := conn.SendContext(watchdog(t), ask); err != nil {
			if !errors.Is(err, uds.ErrPeerClosed) {
				t.Errorf("Send: %v, want %v", err, uds.ErrPeerClosed)
			}
			break
		}
	}
	good.ask(&control.ListTopics{})
	eventually(t, "one client is left", func() bool { return len(good.clients()) == 1 })
}

func TestUnsolicitedMessagesDoNotWaitForWhoDoesNotRead(t *testing.T) {
	b := start(t, testConfig(t))
	conn := b.raw()
	if err := conn.Send(must(control.Encode(1, &control.Hello{MinVersion: 1, MaxVersion: 1}))); err != nil {
		t.Fatal(err)
	}
	good := b.client("good")
	// The notices fill the socket, then the queue, then the connection is closed.
	eventually(t, "the silent client is gone", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, s := range b.connected {
			if s.name == "" {
				for range 1000 {
					s.notify(&control.TopicDeleted{Topic: "x"})
				}
			}
		}
		return len(b.connected) == 1
	})
	good.ask(&control.ListTopics{})
}

func TestTheLimitOfClientsIsToldAndGoesWithThem(t *testing.T) {
	c := testConfig(t)
	c.MaxClients = 3
	b := start(t, c)
	clients := []*client{b.client("0"), b.client("1"), b.client("2")}
	_, err := control.Dial(watchdog(t), b.Socket(), control.Options{})
	e, ok := errors.AsType[*control.Error](err)
	if !ok || e.Code != control.CodeLimit || !strings.Contains(e.Text, "max_clients is reached: 3 of 3") {
		t.Errorf("a fourth client: %v", err)
	}
	_ = clients[0].Close()
	eventually(t, "there is room again", func() bool {
		conn, err := control.Dial(watchdog(t), b.Socket(), control.Options{})
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
}

func TestClientsAndTheirSlotsAreListedOverPages(t *testing.T) {
	c := testConfig(t)
	long := strings.Repeat("x", topic.MaxName)
	c.Topics = append(c.Topics, small(long))
	b := start(t, c)
	many := b.client("many")
	// Locked and entered by hand: granting so many slots that nobody comes to use takes the kernel a while.
	locks := must(os.OpenFile(filepath.Join(b.topicDir(long), "locks.p"), os.O_RDWR, 0))
	defer locks.Close()
	if err := unix.FcntlFlock(locks.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK, Len: 2000}); err != nil {
		t.Fatal(err)
	}
	b.mu.Lock()
	s, e := b.connected[many.Welcome().Session], b.topics[long]
	b.mu.Unlock()
	for slot := range uint32(2000) {
		if err := b.record(s, slotKey{e, control.RoleProducer, slot}); err != nil {
			t.Fatal(err)
		}
	}
	var others []*client
	for i := range 300 {
		others = append(others, b.client(fmt.Sprint("other", i)))
	}
	others[0].attach(&control.AttachConsumer{Topic: "a"})
	seen := others[1].clients()
	if len(seen) != 301 {
		t.Errorf("%d clients, want 301", len(seen))
	}
	got := seen[many.Welcome().Session]
	if got.Name != "many" || got.Software != "test" || got.PID != uint32(os.Getpid()) || got.UID != uint32(os.Getuid()) || got.SinceNs == 0 {
		t.Errorf("%+v", got)
	}
	slots := map[uint32]bool{}
	for _, s := range got.Slots {
		if s.Topic != long || s.Role != control.RoleProducer || slots[s.Slot] {
			t.Errorf("slot %+v", s)
		}
		slots[s.Slot] = true
	}
	if len(slots) != 2000 {
		t.Errorf("%d slots, want 2000", len(slots))
	}
	if got := seen[others[0].Welcome().Session].Slots; len(got) != 1 || got[0] != (control.Slot{Topic: "a", Role: control.RoleConsumer, Slot: 0}) {
		t.Errorf("slots %+v", got)
	}
}

func TestTheEndIsToldAndTheTopicsStay(t *testing.T) {
	c := testConfig(t)
	b := start(t, c)
	one := b.client("one")
	silent := b.raw() // never even said Hello
	b.stop()
	select {
	case m := <-one.notices:
		if _, ok := m.(*control.ShuttingDown); !ok {
			t.Errorf("told %+v", m)
		}
	case <-watchdog(t).Done():
		t.Fatal("not told")
	}
	<-one.Done()
	if _, _, err := one.Request(watchdog(t), &control.ListTopics{}); !errors.Is(err, control.ErrDisconnected) {
		t.Errorf("afterwards: %v, want %v", err, control.ErrDisconnected)
	}
	if _, err := os.Lstat(c.Socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket file: %v, want none", err)
	}
	ring, err := shmring.Open(b.topicDir("a"), shmring.Inspect)
	if err != nil {
		t.Fatal(err)
	}
	defer ring.Close()
	if ring.Closing() {
		t.Error("the topic is closing")
	}
	_ = silent
}

func TestSlotsCountUntilTheirLockFalls(t *testing.T) {
	c := testConfig(t)
	c.MaxSlotsPerUser = 2
	b := start(t, c)
	one, two := b.client("one"), b.client("two")
	first := one.attach(&control.AttachProducer{Topic: "a"})
	second := one.attach(&control.AttachConsumer{Topic: "b"})
	e := two.refused(&control.AttachProducer{Topic: "a"}, control.CodeLimit)
	contains(t, "the refusal", e.Text, "max_slots_per_user is reached", "2 slots")
	// A Detach while the lock is held is refused; a foreign or repeated one changes nothing.
	detach := &control.Detach{Topic: "a", Role: control.RoleProducer, Slot: first.Slot}
	one.refused(detach, control.CodeInUse)
	two.ask(detach)
	two.refused(&control.AttachProducer{Topic: "a"}, control.CodeLimit)
	first.close()
	one.ask(detach)
	one.ask(detach)
	third := two.attach(&control.AttachProducer{Topic: "a"})
	if third.Slot != first.Slot {
		t.Errorf("slot %d, want %d again", third.Slot, first.Slot)
	}
	// The session's end alone frees nothing that is locked.
	_ = one.Close()
	eventually(t, "the session has ended", func() bool { return len(two.clients()) == 1 })
	two.refused(&control.AttachProducer{Topic: "a"}, control.CodeLimit)
	second.close()
	fourth := two.attachOnceThereIsRoom(&control.AttachProducer{Topic: "a"})
	// Who gives a slot back without a word is found out when it matters.
	fourth.close()
	two.attachOnceThereIsRoom(&control.AttachConsumer{Topic: "a"})
}
