package bus_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/bus/internal/control"
	"github.com/mycelium-bus/mycelium/bus/topic"
	"github.com/mycelium-bus/mycelium/uds"
	"golang.org/x/sys/unix"
)

// outcome is an error, or none, as a child reports it.
func outcome(err error) answer {
	a := answer{Hint: bus.Hint(err)}
	switch {
	case err == nil:
		return a
	case errors.Is(err, bus.ErrPermission):
		a.Refused = "permission"
	case errors.Is(err, bus.ErrLimit):
		a.Refused = "limit"
	default:
		a.Refused = "otherwise"
	}
	a.Text = err.Error()
	return a
}

// userChild is a process of another user.
type userChild struct {
	t    *testing.T
	conn *bus.Conn
	held []*bus.Publisher
}

// serveUser does what each line of stdin asks for, and says what came of it.
func serveUser(t *testing.T, socket string) {
	say := func(a answer) {
		line, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Printf("=> %s\n", line)
	}
	conn, err := bus.Dial(t.Context(), bus.Options{Name: "other", Socket: socket})
	say(outcome(err))
	if err != nil {
		return
	}
	defer conn.Close()
	u := &userChild{t: t, conn: conn}
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		verb, arg, _ := strings.Cut(in.Text(), " ")
		switch verb {
		case "packet":
			a, fds := packet(t, socket, arg)
			uds.CloseFDs(fds)
			say(a)
		case "widen":
			say(widen(t, socket, filepath.Join(conn.Dir(), "t"), arg))
		default:
			say(u.do(verb, arg))
		}
	}
	for _, p := range u.held {
		p.Close()
	}
}

func (u *userChild) do(verb, arg string) answer {
	ctx := u.t.Context()
	switch verb {
	case "publish", "hold":
		p, err := u.conn.Publisher(arg)
		if err != nil {
			return outcome(err)
		}
		if verb == "hold" {
			u.held = append(u.held, p)
			return answer{}
		}
		return outcome(errors.Join(p.Publish(fmt.Append(nil, "from ", os.Geteuid())), p.Close()))
	case "subscribe", "block":
		slow := map[string]topic.Slow{"subscribe": bus.Drop, "block": bus.Block}[verb]
		s, err := u.conn.Subscribe(arg, bus.Oldest, bus.Slow(slow))
		if err != nil {
			return outcome(err)
		}
		a := answer{}
		_, err = s.Poll(100, func(m bus.Message) error {
			a.Got = append(a.Got, string(m.Bytes()))
			return nil
		})
		if err := errors.Join(err, s.Close()); err != nil {
			return outcome(err)
		}
		return a
	case "drop": // publishes with what is held, and gives it back
		var errs []error
		for _, p := range u.held {
			errs = append(errs, p.Publish([]byte("the last")), p.Close())
		}
		u.held = nil
		return outcome(errors.Join(errs...))
	case "create":
		return outcome(u.conn.CreateTopic(ctx, topic.Config{Name: arg, Size: topic.MinSize}))
	case "delete":
		return outcome(u.conn.DeleteTopic(ctx, arg))
	case "evict", "kill":
		session, err := strconv.ParseUint(arg, 10, 64)
		if err != nil {
			u.t.Fatal(err)
		}
		return outcome(u.conn.Evict(ctx, session, bus.EvictOptions{Kill: verb == "kill"}))
	case "opendir":
		_, err := bus.OpenDir(u.conn.Dir(), bus.Options{})
		return outcome(err)
	case "reload":
		_, err := u.conn.Reload(ctx)
		return outcome(err)
	}
	u.t.Fatalf("no verb %q", verb)
	return answer{}
}

// packet asks for an attachment to the topic t by hand, and returns each descriptor that the broker's packet brought.
func packet(t *testing.T, socket, role string) (a answer, fds []int) {
	t.Helper()
	conn, err := uds.Dial(t.Context(), socket, control.SocketOptions())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	buf := make([]byte, control.MaxMessage)
	for i, m := range []control.Message{
		&control.Hello{MinVersion: control.MinProtocol, MaxVersion: control.MaxProtocol, Features: control.KnownFeatures},
		map[string]control.Message{"producer": &control.AttachProducer{Topic: "t"}, "inspect": &control.AttachInspect{Topic: "t"},
			"consumer": &control.AttachConsumer{Topic: "t", Slow: control.SlowDrop}}[role],
	} {
		b, err := control.Encode(uint64(i+1), m)
		if err == nil {
			err = conn.Send(b)
		}
		if err != nil {
			t.Fatal(err)
		}
		if b, fds, err = conn.Recv(buf); err != nil {
			t.Fatal(err)
		}
		_, said, err := control.Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		if refused, ok := said.(*control.Error); ok {
			a.Refused, a.Text, a.Hint = refused.Code.String(), refused.Text, refused.Hint
		}
	}
	for _, fd := range fds {
		a.Got = append(a.Got, fmt.Sprint(fd))
	}
	return a, fds
}

// widen tries all ways to more than the descriptors of an attachment allow, and reports those that the kernel did not refuse.
func widen(t *testing.T, socket, dir, role string) (a answer) {
	t.Helper()
	granted, fds := packet(t, socket, role)
	defer uds.CloseFDs(fds)
	if granted.Refused != "" || len(fds) < 5 {
		return answer{Refused: "otherwise", Text: fmt.Sprintf("%+v", granted)}
	}
	lets := func(what string, err error) {
		if err == nil {
			a.Got = append(a.Got, what)
		}
	}
	readOnly := 0
	for i, name := range []string{"ring", "cursors", "control", "locks.p", "locks.c"} {
		fd := fds[i]
		path := filepath.Join(dir, name)
		for _, mode := range []int{unix.O_RDONLY, unix.O_RDWR} {
			other, err := unix.Open(path, mode|unix.O_CLOEXEC, 0)
			lets(fmt.Sprintf("open %s by its path, mode %d", name, mode), err)
			if err == nil {
				unix.Close(other)
			}
		}
		lets("chmod "+name, unix.Fchmod(fd, 0o666))
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		if err != nil {
			t.Fatal(err)
		}
		if flags&unix.O_ACCMODE != unix.O_RDONLY {
			continue
		}
		readOnly++
		// The magic link leads past the directory's mode: the file's own refuses.
		other, err := unix.Open(fmt.Sprint("/proc/self/fd/", fd), unix.O_RDWR|unix.O_CLOEXEC, 0)
		lets("open "+name+" again for writing", err)
		if err == nil {
			unix.Close(other)
		}
		_, err = unix.Pwrite(fd, []byte{0}, 0)
		lets("write to "+name, err)
		lets("truncate "+name, unix.Ftruncate(fd, 0))
		lets("punch into "+name, unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, 4096))
		if strings.HasPrefix(name, "locks") {
			continue // nobody maps those
		}
		m, err := unix.Mmap(fd, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		lets("map "+name+" for writing", err)
		if err == nil {
			unix.Munmap(m)
		}
		if m, err = unix.Mmap(fd, 0, 4096, unix.PROT_READ, unix.MAP_SHARED); err != nil {
			t.Fatal(err)
		}
		lets("make the mapping of "+name+" writable", unix.Mprotect(m, unix.PROT_READ|unix.PROT_WRITE))
		unix.Munmap(m)
	}
	if want := map[string]int{"consumer": 4, "inspect": 5, "producer": 2}[role]; readOnly != want {
		return answer{Refused: "otherwise", Text: fmt.Sprintf("%d files are read-only for a %s, want %d", readOnly, role, want)}
	}
	_, err := os.ReadDir(filepath.Dir(dir))
	lets("list the bus directory", err)
	c, err := bus.OpenDir(filepath.Dir(dir), bus.Options{})
	lets("open the bus by its directory", err)
	if err == nil {
		c.Close()
	}
	return a
}
