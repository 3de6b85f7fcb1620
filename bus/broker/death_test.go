package broker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mycelium-bus/mycelium/bus/internal/control"
	"github.com/mycelium-bus/mycelium/shmring"
)

func init() {
	// holder attaches, says that it has, and waits to be killed.
	children["holder"] = func() int {
		ctx, stop := context.WithTimeout(context.Background(), 30*time.Second)
		defer stop()
		conn, err := control.Dial(ctx, os.Getenv("MYC_TEST_SOCKET"), control.Options{Name: "holder"})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		_, fds, err := conn.Request(ctx, &control.AttachProducer{Topic: "single"})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		ring, err := shmring.Attach(shmring.Files{Ring: fds[0], Cursors: fds[1], Control: fds[2], LocksP: fds[3], LocksC: fds[4]}, shmring.Produce)
		if err != nil {
			return 1
		}
		p, err := ring.Producer(shmring.Grant{Slot: 0, Lock: fds[5]}, "holder")
		if err != nil || p.Publish([]byte("before")) != nil {
			return 1
		}
		fmt.Println("holding")
		<-ctx.Done()
		runtime.KeepAlive(p)
		return 1
	}
}

func init() {
	// reader gates the topic a, reads nothing but on SIGUSR1, and waits to be killed.
	children["reader"] = func() int {
		ctx, stop := context.WithTimeout(context.Background(), 30*time.Second)
		defer stop()
		conn, err := control.Dial(ctx, os.Getenv("MYC_TEST_SOCKET"), control.Options{Name: "reader"})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		m, fds, err := conn.Request(ctx, &control.AttachConsumer{Topic: "a", Slow: control.SlowBlock})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		ring, err := shmring.Attach(shmring.Files{Ring: fds[0], Cursors: fds[1], Control: fds[2], LocksP: fds[3], LocksC: fds[4]}, shmring.Consume)
		if err != nil {
			return 1
		}
		r, err := ring.Reader(shmring.Grant{Slot: int(m.(*control.Attached).Slot), Lock: fds[5]}, shmring.ReaderOptions{Name: "sleeper"})
		if err != nil {
			return 1
		}
		read := make(chan os.Signal, 1)
		signal.Notify(read, syscall.SIGUSR1)
		fmt.Println("holding")
		for {
			select {
			case <-ctx.Done():
				runtime.KeepAlive(r)
				return 1
			case <-read:
				for _, ok := r.Next(); ok; _, ok = r.Next() {
				}
				r.Release()
			}
		}
	}
}

// holder starts a child that attaches and holds on, and returns once it does. Kill ends it, and returns once it is gone.
func (r *rig) holder(role string) (kill func()) {
	r.t.Helper()
	cmd := r.hold(role)
	return func() {
		r.t.Helper()
		if err := cmd.Process.Kill(); err != nil {
			r.t.Fatal(err)
		}
		_ = cmd.Wait() // it was killed: that is its error
	}
}

// hold starts a child that attaches and holds on, and returns once it does.
func (r *rig) hold(role string) *exec.Cmd {
	r.t.Helper()
	cmd := child(r.t, role, "MYC_TEST_SOCKET="+r.Socket())
	out := must(cmd.StdoutPipe())
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	var word string
	if _, err := fmt.Fscan(out, &word); err != nil || word != "holding" {
		r.t.Fatalf("the child said %q, %v", word, err)
	}
	return cmd
}

func TestAKilledClientsSlotIsFree(t *testing.T) {
	c := testConfig(t)
	single := small("single")
	single.Kind, single.Producers = 2, 1 // spmc
	c.Topics = append(c.Topics, single)
	c.MaxSlotsPerUser = 1
	b := start(t, c)
	one := b.client("one")
	kill := b.holder("holder")
	if n := len(one.clients()); n != 2 {
		t.Errorf("%d clients, want 2", n)
	}
	one.refused(&control.AttachProducer{Topic: "a"}, control.CodeLimit)
	kill()
	// The end of the process, not a time, is what frees it; the broker may learn of it a moment later.
	eventually(t, "the slot is free", func() bool {
		_, fds, err := one.Request(watchdog(t), &control.AttachProducer{Topic: "single"})
		if err != nil {
			e, ok := errors.AsType[*control.Error](err)
			if !ok || e.Code != control.CodeLimit {
				t.Fatal(err)
			}
			return false
		}
		ring := must(shmring.Attach(shmring.Files{Ring: fds[0], Cursors: fds[1], Control: fds[2], LocksP: fds[3], LocksC: fds[4]}, shmring.Produce))
		defer ring.Close()
		p := must(ring.Producer(shmring.Grant{Slot: 0, Lock: fds[5]}, "next"))
		defer p.Close()
		if err := p.Publish([]byte("after")); err != nil {
			t.Error(err)
		}
		return true
	})
}

// TestAKilledReadersGateFalls has the reader block a producer until it is killed; nobody but the broker repairs here.
func TestAKilledReadersGateFalls(t *testing.T) {
	b := start(t, testConfig(t))
	p := b.client("one").producer("a")
	kill := b.holder("reader")
	msg := make([]byte, 1000)
	for p.Publish(msg) == nil {
	}
	if err := p.Publish(msg); !errors.Is(err, shmring.ErrBackPressure) {
		t.Fatalf("%v, want %v", err, shmring.ErrBackPressure)
	}
	kill()
	eventually(t, "the producer goes on", func() bool { return p.Publish(msg) == nil })
	eventually(t, "the broker says who died", func() bool {
		return strings.Contains(b.log.String(), `msg="a client died" topic=a id=c0.1 client=sleeper`)
	})
}

func TestTheNextBrokerRepairsWhatDiedBeforeIt(t *testing.T) {
	c := testConfig(t)
	b := start(t, c)
	p := b.client("one").producer("a")
	kill := b.holder("reader")
	b.stop()
	kill()
	next := start(t, c)
	eventually(t, "the broker says who died", func() bool { return strings.Contains(next.log.String(), `msg="a client died" topic=a id=c0.1`) })
	for range 1000 {
		if err := p.Publish(make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestTheBrokerKeepsNoDescriptorOfWhatItHandsOut: were a copy of the lock's descriptor left in the broker, a client's death would free nothing.
func TestTheBrokerKeepsNoDescriptorOfWhatItHandsOut(t *testing.T) {
	b := start(t, testConfig(t))
	one := b.client("one")
	count := func() int { return len(must(os.ReadDir("/proc/self/fd"))) }
	before := count()
	for range 20 {
		for _, m := range []control.Message{&control.AttachProducer{Topic: "a"}, &control.AttachConsumer{Topic: "a"}, &control.AttachInspect{Topic: "a"}} {
			one.attachRaw(m).close()
		}
	}
	// The broker closes its copies after it has sent them: an answer may be here first.
	eventually(t, "as many descriptors as before", func() bool { return count() == before })
}
