package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/mycelium-bus/mycelium/bus/internal/control"
	"github.com/mycelium-bus/mycelium/bus/topic"
	"github.com/mycelium-bus/mycelium/uds"
)

// fakeAccounts is a host with the users alice 1001 (groups 1001, trading 2000) and bob 1002 (group 1002).
type fakeAccounts struct{ now *atomic.Uint32 } // who connects: the number of a user, whose group has the same

func (f fakeAccounts) peer(uds.Conn) uds.Peer {
	return uds.Peer{PID: 1, UID: f.now.Load(), GID: f.now.Load()}
}
func (f fakeAccounts) uid(name string) (uint32, error) {
	return find(map[string]uint32{"alice": 1001, "bob": 1002}, name)
}
func (f fakeAccounts) gid(name string) (uint32, error) {
	return find(map[string]uint32{"trading": 2000}, name)
}
func find(accounts map[string]uint32, name string) (uint32, error) {
	if name == "unreachable" {
		return 0, errors.New("the directory server does not answer")
	}
	n, ok := accounts[name]
	if !ok {
		return 0, errNobody
	}
	return n, nil
}
func (f fakeAccounts) groups(uid uint32) []uint32 {
	return map[uint32][]uint32{1001: {1001, 2000}, 1002: {1002}}[uid]
}

func TestListsSayWhoMayDoWhat(t *testing.T) {
	own := uint32(os.Geteuid())
	for _, test := range []struct {
		list  []string
		peer  uds.Peer
		right bool
	}{
		{nil, uds.Peer{UID: 0}, true},
		{nil, uds.Peer{UID: own}, true},
		{nil, uds.Peer{UID: 1001, GID: 1001}, false},
		{[]string{}, uds.Peer{UID: 1001, GID: 1001}, false},
		{[]string{"*"}, uds.Peer{UID: 1001, GID: 1001}, true},
		{[]string{"user:alice"}, uds.Peer{UID: 1001, GID: 1001}, true},
		{[]string{"user:alice"}, uds.Peer{UID: 1002, GID: 1002}, false},
		{[]string{"user:1001"}, uds.Peer{UID: 1001, GID: 5}, true},
		{[]string{"user:2000"}, uds.Peer{UID: 1001, GID: 2000}, false},
		{[]string{"group:trading"}, uds.Peer{UID: 1001, GID: 1001}, true}, // by the accounts
		{[]string{"group:trading"}, uds.Peer{UID: 1002, GID: 1002}, false},
		{[]string{"group:trading"}, uds.Peer{UID: 1002, GID: 2000}, true}, // by the process's own group
		{[]string{"group:2000"}, uds.Peer{UID: 1001, GID: 1001}, true},
		{[]string{"group:1001"}, uds.Peer{UID: 1001, GID: 7}, true},
		{[]string{"group:nobody", "user:nobody"}, uds.Peer{UID: 1001, GID: 1001}, false},
		{[]string{"user:bob", "group:trading"}, uds.Peer{UID: 1001, GID: 1001}, true},
		{[]string{"everyone", "", "user:"}, uds.Peer{UID: 1001, GID: 1001}, false},
	} {
		r := newRights(fakeAccounts{})
		if got := r.admits(test.list, test.peer); got != test.right {
			t.Errorf("%q admits %s: %v, want %v", test.list, test.peer, got, test.right)
		}
	}
}

func TestRightsAreKept(t *testing.T) {
	c := testConfig(t)
	c.Topics = []topic.Config{{Name: "a", Size: topic.MinSize, Publish: []string{"user:alice"}, Subscribe: []string{"*"},
		Blockers: []string{"group:trading"}, Slow: topic.Block}, {Name: "own", Size: topic.MinSize}}
	var who atomic.Uint32
	b := startWith(t, c, fakeAccounts{&who}, func(*Broker) {})
	as := func(uid uint32) *client {
		who.Store(uid)
		c := b.client(fmt.Sprint(uid))
		c.ask(&control.ListTopics{}) // its session has asked who it is by now
		return c
	}
	root, alice, bob := as(0), as(1001), as(1002)

	root.attach(&control.AttachProducer{Topic: "own"})
	alice.attach(&control.AttachProducer{Topic: "a"})
	e := bob.refused(&control.AttachProducer{Topic: "a"}, control.CodePermission)
	contains(t, "the refusal", e.Text+e.Hint, `user 1002 (group 1002) may not publish to topic "a"`, `only ["user:alice"], root and the broker's user may`)
	for _, m := range []control.Message{&control.AttachProducer{Topic: "own"}, &control.AttachConsumer{Topic: "own"}, &control.AttachInspect{Topic: "own"}} {
		bob.refused(m, control.CodePermission)
	}
	bob.attach(&control.AttachInspect{Topic: "a"})

	// Blocking, by default, by wish, and by a patience that is as good as blocking.
	alice.attach(&control.AttachConsumer{Topic: "a"})
	for _, m := range []*control.AttachConsumer{{Topic: "a"}, {Topic: "a", Slow: control.SlowBlock},
		{Topic: "a", Slow: control.SlowDrop, PatienceNs: uint64(time.Hour)}, {Topic: "a", Slow: control.SlowEvict, PatienceNs: 1e9 + 1}} {
		e := bob.refused(m, control.CodePermission)
		contains(t, "the refusal", e.Text+e.Hint, "may not hold up the producers of", "policy drop or evict, a patience of at most 1s")
	}
	bob.attach(&control.AttachConsumer{Topic: "a", Slow: control.SlowDrop})
	bob.attach(&control.AttachConsumer{Topic: "a", Slow: control.SlowEvict, PatienceNs: 1e9})
	bob.attach(&control.AttachConsumer{Topic: "a", Slow: control.SlowLossy, PatienceNs: uint64(time.Hour)})

	alice.refused(&control.CreateTopic{Config: jsonOf(small("x"))}, control.CodePermission)
	alice.refused(&control.DeleteTopic{Topic: "a"}, control.CodePermission)

	want := map[*client][]control.Rights{root: {7, 7}, alice: {7, 0}, bob: {control.MaySubscribe, 0}}
	for c, rights := range want {
		var got []control.Rights
		for _, t := range c.topics() {
			got = append(got, t.Rights)
		}
		if !slices.Equal(got, rights) {
			t.Errorf("rights %v, want %v", got, rights)
		}
	}
}

func TestNamesThatNobodyBearsAreRefused(t *testing.T) {
	c := testConfig(t)
	c.Topics[1].Publish = []string{"*", "user:alice", "group:nobody", "user:12345"}
	c.Topics[1].Blockers = []string{"user:unreachable", "user:trading"}
	c.Group = "nosuch"
	_, err := newBroker(c, fakeAccounts{new(atomic.Uint32)})
	want := `broker.group: "nosuch": no such group on this host; write one that is, or a number
topic.publish: "group:nobody": no such user or group on this host; write a name that is, or a number (topic "b")
topic.blockers: "user:trading": no such user or group on this host; write a name that is, or a number (topic "b")`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	if _, err := os.Lstat(c.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the bus directory: %v, want none", err)
	}
}

func TestNamesThatNobodyBearsHaveALine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f.toml")
	doc := "[broker]\ngroup = \"no such\"\n[[topic]]\nname = \"a\"\n[[topic]]\nname = \"b\"\nsubscribe = [\"*\", \"user:no-such\"]\n"
	if err := os.WriteFile(path, []byte(doc), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Load(path, []string{"MYC_TOPIC_A_PUBLISH=group:none-such"})
	want := fmt.Sprintf(`MYC_TOPIC_A_PUBLISH: "group:none-such": no such user or group on this host; write a name that is, or a number (topic "a")
%[1]s:2: broker.group: "no such": no such group on this host; write one that is, or a number
%[1]s:7: topic.subscribe: "user:no-such": no such user or group on this host; write a name that is, or a number (topic "b")`, path)
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

// A directory server may come up after the broker, and a topic may be from another time: that is told, and lets nobody in.
func TestNamesThatCannotBeToldNowAreReported(t *testing.T) {
	c := testConfig(t)
	c.Topics[0].Publish = []string{"*", "user:alice", "group:unreachable", "user:12345"}
	b := startWith(t, c, fakeAccounts{new(atomic.Uint32)}, func(*Broker) {})
	b.client("one").ask(&control.CreateTopic{Config: jsonOf(topic.Config{Name: "c", Size: topic.MinSize, Subscribe: []string{"user:carol"}})})
	contains(t, "the log", b.log.String(), `topic=a list=publish entry=group:unreachable reason="the directory server`,
		`topic=c list=subscribe entry=user:carol reason="no such user`)
	if strings.Contains(b.log.String(), "entry=user:alice") || strings.Contains(b.log.String(), "entry=user:12345") {
		t.Errorf("the log names others:\n%s", b.log)
	}
}

// attempt is what the child of another user reports of one request.
type attempt struct {
	Request string
	Code    control.Code // 0: granted
	Text    string
}

func init() {
	children["other-user"] = func() int {
		ctx, stop := context.WithTimeout(context.Background(), 30*time.Second)
		defer stop()
		conn, err := control.Dial(ctx, os.Getenv("MYC_TEST_SOCKET"), control.Options{Name: "other"})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer conn.Close()
		out := json.NewEncoder(os.Stdout)
		for _, m := range []control.Message{
			&control.AttachProducer{Topic: "open"}, &control.AttachProducer{Topic: "mine"}, &control.AttachProducer{Topic: "theirs"},
			&control.AttachProducer{Topic: "own"}, &control.AttachConsumer{Topic: "theirs"}, &control.DeleteTopic{Topic: "mine"},
		} {
			_, fds, err := conn.Request(ctx, m)
			uds.CloseFDs(fds)
			a := attempt{Request: fmt.Sprintf("%s %s", m.Type(), strings.Trim(fmt.Sprint(m), "&{}"))}
			if e, ok := errors.AsType[*control.Error](err); ok {
				a.Code, a.Text = e.Code, e.Text
			} else if err != nil {
				fmt.Fprintln(os.Stderr, err)
				return 1
			}
			if err := out.Encode(a); err != nil {
				return 1
			}
		}
		// What the bus directory holds stays closed to others.
		_, err = os.ReadDir(conn.Welcome().Dir)
		return map[bool]int{true: 0, false: 2}[errors.Is(err, os.ErrPermission)]
	}
}

func TestARealOtherUserGetsWhatTheListsSay(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to start a process of another user")
	}
	const uid, gid = 61234, 61235
	c := testConfig(t)
	c.Group = fmt.Sprint(gid) // may use the socket
	if err := os.Chmod(filepath.Dir(c.Socket), 0o755); err != nil {
		t.Fatal(err)
	}
	everyone := func(name string, list ...string) topic.Config {
		return topic.Config{Name: name, Size: topic.MinSize, Publish: list, Subscribe: list, Blockers: list}
	}
	c.Topics = []topic.Config{everyone("open", "*"), everyone("mine", "user:61234"), everyone("theirs", "group:61235"), everyone("own")}
	b := start(t, c)
	cmd := child(t, "other-user", "MYC_TEST_SOCKET="+b.Socket())
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: gid}}
	cmd.Path = copyOfTestBinary(t)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	dec := json.NewDecoder(strings.NewReader(string(out)))
	for _, want := range []control.Code{0, 0, 0, control.CodePermission, 0, control.CodePermission} {
		var a attempt
		if err := dec.Decode(&a); err != nil {
			t.Fatal(err)
		}
		if a.Code != want || want != 0 && !strings.Contains(a.Text, "user 61234") {
			t.Errorf("%s: %v %s, want %v", a.Request, a.Code, a.Text, want)
		}
	}
}

// copyOfTestBinary puts the test binary where every user may start it: its own folder is closed to others.
func copyOfTestBinary(t *testing.T) string {
	dir, err := os.MkdirTemp("", "myc-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "test")
	data := must(os.ReadFile("/proc/self/exe"))
	if err := errors.Join(os.Chmod(dir, 0o755), os.WriteFile(path, data, 0o755)); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTheSocketIsClosedToOthersThanItsGroup(t *testing.T) {
	c := testConfig(t)
	b := start(t, c)
	info := must(os.Lstat(b.Socket()))
	if info.Mode().Perm() != 0o660 {
		t.Errorf("mode %v, want 0660", info.Mode())
	}
	if info := must(os.Lstat(b.Dir())); info.Mode().Perm() != 0o700 {
		t.Errorf("the directory has mode %v, want 0700", info.Mode())
	}
}
