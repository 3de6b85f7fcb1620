package broker

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/mycelium-bus/mycelium/bus/internal/control"
	"github.com/mycelium-bus/mycelium/bus/topic"
	"github.com/mycelium-bus/mycelium/shmring"
)

func init() { children["hold"] = hold }

// hold is a client that attaches as a producer with an open claim, says so, and never does anything more.
func hold() int {
	conn, err := control.Dial(context.Background(), os.Getenv("MYC_TEST_SOCKET"), control.Options{Name: "holder"})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	answer, fds, err := conn.Request(context.Background(), &control.AttachProducer{Topic: "a"})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	a := newAttached(answer, fds)
	ring, err := shmring.Attach(a.files, shmring.Produce)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	p, err := ring.Producer(shmring.Grant{Slot: int(a.Slot), Lock: a.lock}, "holder")
	if err == nil {
		_, err = p.Claim(10)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println("holds")
	select {}
}

func TestAClientIsTold(t *testing.T) {
	b := start(t, testConfig(t))
	admin, victim := b.client("admin"), b.client("victim")
	a := victim.attach(&control.AttachProducer{Topic: "a"})
	victim.attach(&control.AttachConsumer{Topic: "b"})
	session := victim.Welcome().Session
	admin.ask(&control.Evict{Session: session, Topic: "a", Reason: "why not"})
	got := (<-victim.notices).(*control.Detached)
	if got.Topic != "a" || got.Role != control.RoleProducer || got.Slot != a.Slot || got.Reason != "why not" {
		t.Errorf("told %+v", got)
	}
	if n := len(admin.clients()[session].Slots); n != 2 {
		t.Errorf("%d slots: nothing is taken away", n)
	}
	admin.ask(&control.Evict{Session: session})
	for range 2 {
		if _, ok := (<-victim.notices).(*control.Detached); !ok {
			t.Error("told something else")
		}
	}
	admin.refused(&control.Evict{Session: session + 100}, control.CodeNoClient)
	admin.refused(&control.Evict{Session: session, Kill: true}, control.CodeInvalid) // it is this process
}

func TestOnlyAdminsEvict(t *testing.T) {
	c := testConfig(t)
	var who atomic.Uint32
	b := startWith(t, c, fakeAccounts{&who}, func(*Broker) {})
	who.Store(1001)
	alice := b.client("alice")
	e := alice.refused(&control.Evict{Session: alice.Welcome().Session}, control.CodePermission)
	contains(t, "the refusal", e.Text+e.Hint, "user 1001 may not evict clients", "only root and the broker's user")
}

// A stopped process that holds an open claim is ended, and what it held is there for others when the answer comes.
func TestAStoppedClientIsKilled(t *testing.T) {
	c := testConfig(t)
	c.Topics = []topic.Config{small("a")}
	c.Topics[0].Producers = 1
	b := start(t, c)
	holder := child(t, "hold", "MYC_TEST_SOCKET="+b.Socket())
	out, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, len("holds\n"))); err != nil {
		t.Fatal(err)
	}
	if err := holder.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	admin := b.client("admin")
	var session uint64
	for _, cl := range admin.clients() {
		if cl.Name == "holder" {
			session = cl.Session
		}
	}
	admin.ask(&control.Evict{Session: session})
	admin.refused(&control.AttachProducer{Topic: "a"}, control.CodeLimit) // asked in vain: it keeps its slot
	admin.ask(&control.Evict{Session: session, Kill: true})
	p := admin.producer("a")
	if err := p.Publish([]byte("after")); err != nil {
		t.Fatal(err)
	}
	r := admin.reader(&control.AttachConsumer{Topic: "a"})
	if f, ok := r.Next(); !ok || string(f.Payload) != "after" {
		t.Errorf("a reader behind the claim of the dead gets %q, %v, %v", f.Payload, ok, r.Err())
	}
	if err := holder.Wait(); err == nil || holder.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("the holder ended with %v, want SIGKILL", err)
	}
}
