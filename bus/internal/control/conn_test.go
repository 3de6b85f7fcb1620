package control

import (
	"context"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mycelium-bus/mycelium/internal/leak"
	"github.com/mycelium-bus/mycelium/uds"
)

func TestMain(m *testing.M) { leak.Main(m) }

func watchdog(t testing.TB) context.Context {
	ctx, stop := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(stop)
	return ctx
}

// script plays the broker on the other end of a connection.
type script struct {
	t *testing.T
	uds.Conn
}

var welcome = Welcome{MinVersion: MinProtocol, MaxVersion: MaxProtocol, Session: 3, Dir: "/d"}

// connected returns a client and the broker's end, after the greeting.
func connected(t *testing.T, o Options) (*Conn, *script) {
	t.Helper()
	c, s, err := greeted(t, o, func(s *script, id uint64) { s.say(id, &welcome) })
	if err != nil {
		t.Fatal(err)
	}
	return c, s
}

func greeted(t *testing.T, o Options, answer func(s *script, id uint64)) (*Conn, *script, error) {
	t.Helper()
	a, b, err := uds.Pair(SocketOptions())
	if err != nil {
		t.Fatal(err)
	}
	s := &script{t, b}
	t.Cleanup(func() { _ = b.Close() })
	done := make(chan struct{})
	go func() {
		defer close(done)
		if id, m := s.hear(); m != nil {
			answer(s, id)
		}
	}()
	c, err := Start(watchdog(t), a, o)
	<-done
	if err == nil {
		t.Cleanup(func() { _ = c.Close() })
	}
	return c, s, err
}

func (s *script) hear() (uint64, Message) {
	s.t.Helper()
	b, fds, err := s.RecvContext(watchdog(s.t), make([]byte, MaxMessage))
	if err != nil || len(fds) > 0 {
		s.t.Errorf("the broker's end: %v", err)
		return 0, nil
	}
	id, m, err := Decode(b)
	if err != nil {
		s.t.Error(err)
	}
	return id, m
}

func (s *script) say(id uint64, m Message, fds ...int) {
	s.t.Helper()
	b, err := Encode(id, m)
	if err == nil {
		err = s.Send(b, fds...)
	}
	if err != nil {
		s.t.Error(err)
	}
}

func TestTheGreeting(t *testing.T) {
	long := strings.Repeat("n", 100) + "\xff"
	c, _, err := greeted(t, Options{Name: long, Software: "v"}, func(s *script, id uint64) { s.say(id, &welcome) })
	if err != nil || !reflect.DeepEqual(c.Welcome(), welcome) {
		t.Errorf("%+v, %v", c.Welcome(), err)
	}
	for _, test := range []struct {
		name   string
		answer func(s *script, id uint64)
		code   Code
		is     error
		text   string
	}{
		{"refused", func(s *script, _ uint64) { s.say(0, Errorf(CodeLimit, "max_clients is reached")) }, CodeLimit, nil, "max_clients"},
		{"a newer broker", func(s *script, id uint64) { s.say(id, &Welcome{MinVersion: 5, MaxVersion: 6}) }, CodeVersion, nil,
			"this program speaks 1 to 1, the broker 5 to 6"},
		{"a broker that wants more", func(s *script, id uint64) {
			s.say(id, &Welcome{MinVersion: 1, MaxVersion: 1, Features: 8, Required: 8})
		}, CodeVersion, nil, "the broker requires 0x8, this program has 0x7"},
		{"something else", func(s *script, id uint64) { s.say(id, &OK{}) }, 0, ErrMessage, "OK instead of Welcome"},
		{"garbage", func(s *script, id uint64) { _ = s.Send([]byte("hello?")) }, 0, ErrMessage, ""},
		{"nothing", func(s *script, id uint64) { _ = s.Close() }, 0, ErrDisconnected, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, _, err := greeted(t, Options{}, test.answer)
			e, _ := errors.AsType[*Error](err)
			if test.code != 0 && (e == nil || e.Code != test.code) || test.is != nil && !errors.Is(err, test.is) || err == nil || !strings.Contains(err.Error(), test.text) {
				t.Errorf("%v, want %v %v with %q", err, test.code, test.is, test.text)
			}
		})
	}
}

func TestAnswersFindTheirRequestsInAnyOrder(t *testing.T) {
	notices := make(chan Message, 1)
	c, s := connected(t, Options{Notice: func(m Message) { notices <- m }})
	type result struct {
		m   Message
		err error
	}
	ask := func(m Message) chan result {
		ch := make(chan result, 1)
		go func() {
			m, _, err := c.Request(watchdog(t), m)
			ch <- result{m, err}
		}()
		return ch
	}
	one := ask(&ListTopics{After: "1"})
	id1, _ := s.hear()
	two := ask(&ListTopics{After: "2"})
	id2, _ := s.hear()
	s.say(0, &TopicDeleted{Topic: "x"})
	s.say(999, &OK{}) // to nobody
	s.say(id2, &Topics{More: true})
	s.say(id1, Errorf(CodeNoTopic, "no topic"))
	if r := <-two; r.err != nil || !r.m.(*Topics).More {
		t.Errorf("%+v", r)
	}
	var e *Error
	if r := <-one; !errors.As(r.err, &e) || e.Code != CodeNoTopic {
		t.Errorf("%+v", r)
	}
	if m := <-notices; !reflect.DeepEqual(m, &TopicDeleted{Topic: "x"}) {
		t.Errorf("told %+v", m)
	}
}

func TestALateAnswersDescriptorsAreClosed(t *testing.T) {
	c, s := connected(t, Options{})
	ctx, cancel := context.WithCancel(watchdog(t))
	ended := make(chan error, 1)
	go func() {
		_, _, err := c.Request(ctx, &AttachProducer{Topic: "x"})
		ended <- err
	}()
	id, _ := s.hear()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want %v", err, context.Canceled)
	}
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		t.Fatal(err)
	}
	s.say(id, &Attached{Topic: "x", Role: RoleProducer}, pipe[1], pipe[1], pipe[1], pipe[1], pipe[1], pipe[1])
	_ = unix.Close(pipe[1])
	defer unix.Close(pipe[0])
	// Once nobody has the writing end, reading gives the end instead of EAGAIN.
	for ctx := watchdog(t); ; time.Sleep(time.Millisecond) {
		if n, err := unix.Read(pipe[0], make([]byte, 1)); err == nil && n == 0 {
			break
		}
		if ctx.Err() != nil {
			t.Fatal("the descriptors are still open")
		}
	}
}

func TestAnswersWithoutTheirDescriptorsEndTheConnection(t *testing.T) {
	null, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	fd := int(null.Fd())
	for _, test := range []struct {
		name string
		m    Message
		fds  []int
	}{
		{"five for a producer", &Attached{Role: RoleProducer}, []int{fd, fd, fd, fd, fd}},
		{"six for an inspection", &Attached{Role: RoleInspect}, []int{fd, fd, fd, fd, fd, fd}},
		{"one with OK", &OK{}, []int{fd}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, s := connected(t, Options{})
			go func() { s.say(idOf(s.hear()), test.m, test.fds...) }()
			if _, _, err := c.Request(watchdog(t), &ListTopics{}); !errors.Is(err, ErrDescriptors) || !errors.Is(err, ErrDisconnected) {
				t.Errorf("%v, want %v and %v", err, ErrDescriptors, ErrDisconnected)
			}
			<-c.Done()
		})
	}
}

func TestRegisterTakesItsDescriptorAlong(t *testing.T) {
	c, s := connected(t, Options{})
	null, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for _, fds := range [][]int{nil, {int(null.Fd()), int(null.Fd())}} {
		if _, _, err := c.Request(watchdog(t), &Register{Topic: "x", Role: RoleProducer}, fds...); !errors.Is(err, ErrDescriptors) {
			t.Errorf("with %d descriptors: %v, want %v", len(fds), err, ErrDescriptors)
		}
	}
	answered := make(chan error, 1)
	want := Register{Topic: "x", Nonce: 3, Role: RoleConsumer, Slot: 1, Generation: 2}
	fd, sent := int(null.Fd()), want
	go func() {
		_, _, err := c.Request(watchdog(t), &sent, fd)
		answered <- err
	}()
	b, fds, err := s.RecvContext(watchdog(t), make([]byte, MaxMessage))
	uds.CloseFDs(fds)
	if err != nil || len(fds) != 1 {
		t.Fatalf("%d descriptors came, %v", len(fds), err)
	}
	id, m, err := Decode(b)
	if err != nil || !reflect.DeepEqual(m, &want) {
		t.Errorf("%+v, %v", m, err)
	}
	s.say(id, &OK{})
	if err := <-answered; err != nil {
		t.Error(err)
	}
}

func idOf(id uint64, _ Message) uint64 { return id }

func TestTheEndOfAConnectionEndsItsRequests(t *testing.T) {
	for _, test := range []struct {
		name string
		end  func(c *Conn, s *script)
		want error
		text string
	}{
		{"the broker hangs up", func(_ *Conn, s *script) { _ = s.Close() }, ErrDisconnected, ""},
		{"the broker says why", func(_ *Conn, s *script) { s.say(0, Errorf(CodeProtocol, "what is this")); _ = s.Close() }, ErrDisconnected, "what is this"},
		{"the client closes", func(c *Conn, _ *script) { _ = c.Close() }, ErrClosed, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, s := connected(t, Options{})
			ended := make(chan error, 1)
			go func() {
				_, _, err := c.Request(watchdog(t), &ListTopics{})
				ended <- err
			}()
			s.hear()
			test.end(c, s)
			for _, err := range []error{<-ended, errorOf(c.Request(watchdog(t), &ListTopics{})), c.Err()} {
				if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.text) {
					t.Errorf("%v, want %v with %q", err, test.want, test.text)
				}
			}
		})
	}
}

func errorOf(_ Message, _ []int, err error) error { return err }
