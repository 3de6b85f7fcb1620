package bus_test

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/bus/bustest"
	"github.com/mycelium-bus/mycelium/bus/topic"
	"golang.org/x/sys/unix"
)

// TestChild is what the processes of the tests below run. A child tells on stdout how far it is and ends when its stdin does.
func TestChild(t *testing.T) {
	role, socket, _ := strings.Cut(os.Getenv("BUS_TEST_CHILD"), " ")
	switch role {
	case "":
		t.Skip("it is run by other tests")
	case "broker":
		b := bustest.New(t, topic.Config{Name: "t", Kind: topic.MPMC, Size: topic.MiB})
		fmt.Printf("ready %s\n", b.Socket)
		io.Copy(io.Discard, os.Stdin)
	case "publisher":
		c, err := bus.Dial(t.Context(), bus.Options{Name: "child", Socket: socket})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		pub := publisher(t, c, "t")
		fmt.Println("ready")
		in := bufio.NewScanner(os.Stdin)
		next := uint64(0)
		for in.Scan() { // each line says how many messages to publish
			n, err := strconv.Atoi(in.Text())
			if err != nil {
				t.Fatal(err)
			}
			for range n {
				if err := pub.PublishWait(t.Context(), binary.LittleEndian.AppendUint64(nil, next)); err != nil {
					t.Fatal(err)
				}
				next++
			}
			fmt.Println("published", next)
		}
	case "claimer", "claimer-dir", "claimer-commits": // claims, and commits never or when it is told to
		var c *bus.Conn
		var err error
		if role != "claimer-dir" {
			c, err = bus.Dial(t.Context(), bus.Options{Name: "child", Socket: filepath.Join(socket, "socket")})
		} else {
			c, err = bus.OpenDir(filepath.Join(socket, "bus"), bus.Options{Name: "child"})
		}
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		claim, err := publisher(t, c, "t").Claim(1000)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println("claimed")
		if role == "claimer-commits" {
			if !bufio.NewScanner(os.Stdin).Scan() {
				t.Fatal("not told to commit")
			}
			if err := claim.Commit(copy(claim.Bytes(), "committed")); err != nil {
				t.Fatal(err)
			}
			fmt.Println("committed")
		}
		io.Copy(io.Discard, os.Stdin)
	case "member": // records what it handles in a file of its own, until it is killed or told to end
		socket, path, _ := strings.Cut(socket, " ")
		c, err := bus.Dial(t.Context(), bus.Options{Name: "child", Socket: socket})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		record(t, subscribe(t, c, "t", bus.Group("g"), bus.Idle(&bus.Sleep{})), path)
	case "subscriber": // says what it gets, and holds what it is told to hold
		socket, how, _ := strings.Cut(socket, " ")
		c, err := bus.Dial(t.Context(), bus.Options{Name: "child", Socket: socket})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		sayWhatComes(t, subscribe(t, c, "t", combined[how].options...))
	case "sleeper": // sleeps whenever nothing is there, and says which message it got last
		c, err := bus.Dial(t.Context(), bus.Options{Name: "child", Socket: socket})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		sleepAndSay(t, subscribe(t, c, "t", bus.Lossy(), bus.Idle(atOnce())))
	case "user": // asks for what it is told to ask for, as another user
		serveUser(t, socket)
	case "descriptors": // says what it was given
		for _, fd := range descriptors(t) {
			fmt.Println("has", fd.target)
		}
		fmt.Println("all")
		io.Copy(io.Discard, os.Stdin)
	default:
		t.Fatalf("no role %q", role)
	}
}

// child is a process that runs TestChild.
type child struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

func start(t *testing.T, role string) *child {
	t.Helper()
	return run(t, exec.Command(os.Args[0]), role)
}

// run starts TestChild by a command that names this test binary.
func run(t *testing.T, cmd *exec.Cmd, role string) *child {
	t.Helper()
	cmd.Args = append(cmd.Args, "-test.run=^TestChild$")
	cmd.Env = append(os.Environ(), "BUS_TEST_CHILD="+role)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &child{t, cmd, in, bufio.NewScanner(out)}
	t.Cleanup(func() { // after a failure; else it has ended
		cmd.Process.Kill()
		cmd.Wait()
	})
	return c
}

// line returns what the child says next after a word.
func (c *child) line(word string) string {
	c.t.Helper()
	if !c.out.Scan() {
		c.t.Fatalf("the child ended, want %q: %v", word, c.out.Err())
	}
	rest, ok := strings.CutPrefix(c.out.Text(), word)
	if !ok {
		c.t.Fatalf("the child says %q, want %q", c.out.Text(), word)
	}
	return strings.TrimSpace(rest)
}

func (c *child) tell(format string, args ...any) {
	c.t.Helper()
	if _, err := fmt.Fprintf(c.in, format+"\n", args...); err != nil {
		c.t.Fatal(err)
	}
}

// end closes the child's stdin and waits for it.
func (c *child) end() {
	c.t.Helper()
	c.in.Close()
	for c.out.Scan() {
	}
	if err := c.cmd.Wait(); err != nil {
		c.t.Errorf("the child ended with: %v", err)
	}
}

func (c *child) kill() {
	c.cmd.Process.Kill()
	c.cmd.Wait()
}

// descriptor is one that this process has, and what it is open on.
type descriptor struct {
	number int
	target string
}

// given are what whoever runs the tests has left open.
var given = func() map[string]bool {
	of := map[string]bool{}
	for n := range 1024 {
		if target, err := os.Readlink(fmt.Sprint("/proc/self/fd/", n)); err == nil {
			of[target] = true
		}
	}
	return of
}()

func descriptors(t testing.TB) (all []descriptor) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		n, err := strconv.Atoi(e.Name())
		if err != nil {
			t.Fatal(err)
		}
		if target, err := os.Readlink(filepath.Join("/proc/self/fd", e.Name())); err == nil { // it may be closed by now
			all = append(all, descriptor{n, target})
		}
	}
	return all
}

// A program that this process starts must not have a lock's descriptor: the slot would live as long as it does.
func TestAProgramThatIsStartedInheritsNothing(t *testing.T) {
	b := bustest.New(t, topic.Config{Name: "t", Size: topic.MiB}) // with the broker's own descriptors in this process too
	for _, c := range []*bus.Conn{b.Dial("dialed"), b.OpenDir("opened")} {
		publisher(t, c, "t")
		subscribe(t, c, "t")
		if _, err := c.Inspect(t.Context(), "t"); err != nil {
			t.Fatal(err)
		}
	}
	var ours, locks int
	for _, fd := range descriptors(t) {
		ofBus := strings.HasPrefix(fd.target, b.Dir)
		if !ofBus && !strings.HasPrefix(fd.target, "socket:") || given[fd.target] {
			continue
		}
		flags, err := unix.FcntlInt(uintptr(fd.number), unix.F_GETFD, 0)
		if err != nil {
			continue // closed by now
		}
		ours++
		if strings.Contains(fd.target, "/locks.") {
			locks++
		}
		if flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("descriptor %d, open on %s, is inherited", fd.number, fd.target)
		}
	}
	if locks < 4 || ours < locks+4 { // four handles; two ends of a connection, the listener, the directory's lock
		t.Errorf("%d descriptors of the bus, %d of them of lock files: this test looks in the wrong place", ours, locks)
	}
	p := start(t, "descriptors")
	for n := 0; ; n++ {
		if !p.out.Scan() {
			t.Fatal("the child ended")
		}
		target, more := strings.CutPrefix(p.out.Text(), "has ")
		if !more {
			if n < 3 {
				t.Errorf("the child lists %d descriptors", n)
			}
			break
		}
		if strings.HasPrefix(target, b.Dir) || strings.HasPrefix(target, "socket:") && !given[target] {
			t.Errorf("the child has %s", target)
		}
	}
	p.end()
}

// reader checks that numbered messages come without gap.
type reader struct {
	t    *testing.T
	sub  *bus.Subscription
	next uint64
}

func (r *reader) until(end uint64) {
	r.t.Helper()
	for r.next < end {
		if err := r.sub.Wait(r.t.Context()); err != nil {
			r.t.Fatal(err)
		}
		if _, err := r.sub.Poll(1000, func(m bus.Message) error {
			if got := binary.LittleEndian.Uint64(m.Bytes()); got != r.next {
				return fmt.Errorf("message %d, want %d", got, r.next)
			}
			r.next++
			return nil
		}); err != nil {
			r.t.Fatal(err)
		}
	}
}

func TestTwoProcessesExchangeMessages(t *testing.T) {
	b := bustest.New(t, topic.Config{Name: "t", Size: topic.MiB})
	sub := subscribe(t, b.Dial("parent"), "t")
	p := start(t, "publisher "+b.Socket)
	p.line("ready")
	const n = 100_000 // about three times round
	p.tell("%d", n)
	r := reader{t, sub, 0}
	r.until(n)
	p.line("published " + strconv.Itoa(n))
	p.end()
}

// Neither a broker that is killed nor a publisher that is killed stops the others.
func TestKilledProcesses(t *testing.T) {
	server := start(t, "broker")
	socket := server.line("ready")
	t.Cleanup(func() { os.RemoveAll(filepath.Dir(socket)) }) // the broker will not come to it

	c, err := bus.Dial(t.Context(), bus.Options{Name: "parent", Socket: socket})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r := reader{t, subscribe(t, c, "t"), 0}
	other := publisher(t, c, "t")
	p := start(t, "publisher "+socket)
	p.line("ready")

	p.tell("50000")
	r.until(10_000)
	server.kill()
	r.until(50_000)
	p.line("published 50000")
	p.tell("50000")
	r.until(100_000)
	_, err = c.Publisher("t")
	wantIs(t, err, bus.ErrNoBroker)
	_, err = bus.Dial(t.Context(), bus.Options{Socket: socket})
	wantIs(t, err, bus.ErrNoBroker)

	p.kill()
	publish(t, other, "\xa0\x86\x01\x00\x00\x00\x00\x00") // number 100,000
	r.until(100_001)

	t.Run("a direct opener sees who is gone", func(t *testing.T) {
		info, err := openDir(t, filepath.Join(filepath.Dir(socket), "bus")).Inspect(t.Context(), "t")
		if err != nil {
			t.Fatal(err)
		}
		alive := map[bool]int{}
		for _, p := range info.Producers {
			alive[p.Alive]++
		}
		if alive[true] != 1 || alive[false] > 1 { // this process's connection may have freed the dead one's slot by now
			t.Errorf("%+v", info.Producers)
		}
	})
}
