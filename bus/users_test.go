package bus_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/bus/broker"
	"github.com/mycelium-bus/mycelium/bus/topic"
	"github.com/mycelium-bus/mycelium/internal/leak"
)

// account is a user of this host, with its group.
type account struct {
	name     string
	uid, gid uint32
	group    string
}

// lookUp finds an account that every Debian has, and where there is none skips the test.
func lookUp(t *testing.T, name string) account {
	t.Helper()
	u, err := user.Lookup(name)
	if err != nil {
		t.Skipf("no account %q on this host: %v", name, err)
	}
	g, err := user.LookupGroupId(u.Gid)
	if err != nil {
		t.Skipf("no group of the account %q on this host: %v", name, err)
	}
	number := func(s string) uint32 {
		n, err := strconv.ParseUint(s, 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		return uint32(n)
	}
	return account{name, number(u.Uid), number(u.Gid), g.Name}
}

// doorGroup may use the socket, by its number; no topic's list has it.
const doorGroup = 61234

// users is a broker that other users may reach.
type users struct {
	t           *testing.T
	dir, socket string
	binary      string
}

func newUsers(t *testing.T, change func(*broker.Config), topics ...topic.Config) *users {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to start processes of other users")
	}
	root := leak.ShmDir(t)
	bin, err := os.MkdirTemp("", "myc-test-") // the test binary's own folder is closed to others
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(bin) })
	u := &users{t, filepath.Join(root, "bus"), filepath.Join(root, "socket"), filepath.Join(bin, "test")}
	data, err := os.ReadFile("/proc/self/exe")
	if err := errors.Join(err, os.WriteFile(u.binary, data, 0o755), os.Chmod(bin, 0o755), os.Chmod(root, 0o755)); err != nil {
		t.Fatal(err)
	}
	c := broker.Defaults()
	c.Dir, c.Socket, c.Topics, c.Group = u.dir, u.socket, topics, strconv.Itoa(doorGroup)
	c.Logger = slog.New(slog.DiscardHandler)
	change(&c)
	server, err := broker.New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return u
}

func (u *users) dial() *bus.Conn {
	u.t.Helper()
	c, err := bus.Dial(u.t.Context(), bus.Options{Name: "root", Socket: u.socket})
	if err != nil {
		u.t.Fatal(err)
	}
	u.t.Cleanup(func() { c.Close() })
	return c
}

// as starts a process of a user, and returns it with what its Dial came to.
func (u *users) as(uid, gid uint32, groups ...uint32) (*child, answer) {
	u.t.Helper()
	cmd := exec.Command(u.binary)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: gid, Groups: groups}}
	c := run(u.t, cmd, "user "+u.socket)
	return c, hear(c)
}

// inside is as for who may use the socket.
func (u *users) inside(uid, gid uint32, groups ...uint32) *child {
	u.t.Helper()
	c, a := u.as(uid, gid, append(groups, doorGroup)...)
	if a.Refused != "" {
		u.t.Fatalf("user %d is not let in: %+v", uid, a)
	}
	return c
}

// answer is what a child reports of a request.
type answer struct {
	Refused    string // "": done
	Text, Hint string
	Got        []string
}

func hear(c *child) (a answer) {
	c.t.Helper()
	if err := json.Unmarshal([]byte(c.line("=>")), &a); err != nil {
		c.t.Fatal(err)
	}
	return a
}

func ask(c *child, format string, args ...any) answer {
	c.t.Helper()
	c.tell(format, args...)
	return hear(c)
}

// wantRefused checks a refusal, its text and its hint.
func wantRefused(t *testing.T, a answer, what, text, hint string) {
	t.Helper()
	if a.Refused != what || !strings.Contains(a.Text, text) || a.Hint == "" || !strings.Contains(a.Hint, hint) {
		t.Errorf("%+v, want a refusal (%s) with %q and a hint with %q", a, what, text, hint)
	}
}

// TestOtherUsersMayDoWhatTheListsSay has for each process and topic the rights to publish, subscribe, and subscribe with block.
func TestOtherUsersMayDoWhatTheListsSay(t *testing.T) {
	nobody, daemon, games := lookUp(t, "nobody"), lookUp(t, "daemon"), lookUp(t, "games")
	of := func(name string, publish, subscribe, blockers []string) topic.Config {
		return topic.Config{Name: name, Size: topic.MinSize, Producers: 8, Consumers: 16, Publish: publish, Subscribe: subscribe, Blockers: blockers}
	}
	list := func(entries ...string) []string { return entries }
	topics := []topic.Config{
		of("users", list("user:"+nobody.name), list("user:"+daemon.name, "user:"+games.name), list("user:"+daemon.name)),
		of("groups", list("group:"+games.group), list("group:"+games.group, "group:"+daemon.group), list("group:"+daemon.group)),
		of("numbers", list(fmt.Sprint("user:", nobody.uid)), list(fmt.Sprint("group:", games.gid)), nil),
		of("blocker", list("*"), list("user:"+games.name), list("user:"+daemon.name)), // may block, but not subscribe
		of("closed", nil, nil, nil),
		of("open", list("*"), list("*"), list("*")),
	}
	u := newUsers(t, func(*broker.Config) {}, topics...)
	root := u.dial()
	listeners := map[string]*bus.Subscription{}
	for _, c := range topics {
		listeners[c.Name] = subscribe(t, root, c.Name, bus.Oldest)
		publish(t, publisher(t, root, c.Name), "to "+c.Name)
		poll(t, listeners[c.Name])
	}
	for _, p := range []struct {
		name     string
		uid, gid uint32
		groups   []uint32
		rights   [6]string // in the order of topics
	}{
		{"nobody", nobody.uid, nobody.gid, nil, [6]string{"p", "", "p", "p", "", "psb"}},
		{"daemon", daemon.uid, daemon.gid, nil, [6]string{"sb", "sb", "", "p", "", "psb"}},
		{"games", games.uid, games.gid, nil, [6]string{"s", "ps", "s", "ps", "", "psb"}},
		{"games in another group: the account's counts", games.uid, nobody.gid, nil, [6]string{"s", "ps", "s", "ps", "", "psb"}},
		{"nobody in the group games: the process's counts", nobody.uid, games.gid, nil, [6]string{"p", "ps", "ps", "p", "", "psb"}},
		{"nobody with games as a supplementary group of the process alone: it does not count", nobody.uid, nobody.gid, []uint32{games.gid},
			[6]string{"p", "", "p", "p", "", "psb"}},
	} {
		t.Run(p.name, func(t *testing.T) {
			u.t = t
			c := u.inside(p.uid, p.gid, p.groups...)
			for i, config := range topics {
				for _, verb := range []struct {
					letter, name, may string
					list              []string
				}{
					{"p", "publish", "publish to", config.Publish}, {"s", "subscribe", "subscribe to", config.Subscribe},
					{"b", "block", "hold up the producers of", config.Blockers},
				} {
					a := ask(c, "%s %s", verb.name, config.Name)
					if !strings.Contains(p.rights[i], verb.letter) {
						if verb.letter == "b" && !strings.Contains(p.rights[i], "s") {
							verb.may, verb.list = "subscribe to", config.Subscribe
						}
						hint := "only root and the broker's user"
						if len(verb.list) > 0 {
							hint = fmt.Sprintf("only %q", verb.list)
						}
						wantRefused(t, a, "permission", fmt.Sprintf("user %d (group %d) may not %s topic %q", p.uid, p.gid, verb.may, config.Name), hint)
						continue
					}
					if a.Refused != "" {
						t.Errorf("%s %s: %+v", verb.name, config.Name, a)
					} else if verb.letter == "p" {
						if got := poll(t, listeners[config.Name]); len(got) != 1 || got[0] != fmt.Sprint("from ", p.uid) {
							t.Errorf("%s: %q came", config.Name, got)
						}
					} else if len(a.Got) == 0 || a.Got[0] != "to "+config.Name {
						t.Errorf("%s %s: %q came", verb.name, config.Name, a.Got)
					}
				}
			}
			c.end()
		})
	}
	u.t = t
	c, a := u.as(nobody.uid, nobody.gid)
	wantRefused(t, a, "permission", "permission denied", "")
	c.end()
}

func TestOtherUsersCannotWidenWhatTheyHold(t *testing.T) {
	nobody, daemon := lookUp(t, "nobody"), lookUp(t, "daemon")
	u := newUsers(t, func(*broker.Config) {}, topic.Config{Name: "t", Size: topic.MinSize,
		Publish: []string{"user:" + nobody.name}, Subscribe: []string{"user:" + daemon.name}})
	for _, test := range []struct {
		who         account
		held, wants string // what it may hold and what not
	}{{daemon, "consumer", "producer"}, {daemon, "inspect", "producer"}, {nobody, "producer", "consumer"}, {nobody, "producer", "inspect"}} {
		c := u.inside(test.who.uid, test.who.gid)
		if a := ask(c, "packet %s", test.wants); a.Refused != "permission" || len(a.Got) > 0 {
			t.Errorf("%s as %s: %+v, want a refusal without descriptors", test.who.name, test.wants, a)
		}
		wantRefused(t, ask(c, "opendir"), "permission", "open bus directory", "connect to its broker")
		if a := ask(c, "widen %s", test.held); a.Refused != "" || len(a.Got) > 0 {
			t.Errorf("%s as %s: the kernel lets it: %+v", test.who.name, test.held, a)
		}
		c.end()
	}
}

func TestOtherUsersAreNoAdmins(t *testing.T) {
	nobody := lookUp(t, "nobody")
	read := false
	u := newUsers(t, func(c *broker.Config) {
		c.Reload = func() (broker.Config, error) { read = true; return *c, nil }
	}, topic.Config{Name: "t", Size: topic.MinSize, Publish: []string{"*"}, Subscribe: []string{"*"}, Blockers: []string{"*"}})
	victim, c := u.inside(nobody.uid, nobody.gid), u.inside(nobody.uid, nobody.gid)
	root := u.dial()
	if a := ask(victim, "hold t"); a.Refused != "" {
		t.Fatalf("%+v", a)
	}
	clients, err := root.Clients(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, client := range clients {
		if client.UID != int(nobody.uid) {
			continue
		}
		for _, verb := range []string{"evict", "kill"} {
			wantRefused(t, ask(c, "%s %d", verb, client.Session), "permission", fmt.Sprintf("user %d may not evict clients", nobody.uid), "only root and the broker's user (0) may")
		}
	}
	for verb, text := range map[string]string{"create x": `may not create topic "x"`, "delete t": `may not delete topic "t"`, "reload": "may not"} {
		wantRefused(t, ask(c, "%s", verb), "permission", text, "only root and the broker's user (0) may")
	}
	if a := ask(victim, "drop"); a.Refused != "" { // it publishes once more and closes
		t.Errorf("%+v", a)
	}
	victim.end()
	c.end()
	if topics, err := root.Topics(t.Context()); err != nil || len(topics) != 1 || topics[0].State != "active" {
		t.Errorf("topics %+v, %v", topics, err)
	}
	if read {
		t.Error("the configuration was read again")
	}
}

func TestLimitsAreToldWithTheirValues(t *testing.T) {
	nobody, daemon, games := lookUp(t, "nobody"), lookUp(t, "daemon"), lookUp(t, "games")
	small := topic.Config{Name: "t", Size: topic.MinSize, Producers: 3, Publish: []string{"*"}, Subscribe: []string{"*"}}
	u := newUsers(t, func(c *broker.Config) {
		c.MaxClients, c.MaxSlotsPerUser, c.MaxTopics, c.MaxMemory = 4, 2, 2, 8*topic.MiB
	}, small)
	root := u.dial()
	one, two := u.inside(nobody.uid, nobody.gid), u.inside(nobody.uid, games.gid)
	other := u.inside(daemon.uid, daemon.gid)

	// Slots count by the user, whatever its group and process.
	for _, c := range []*child{one, two, other} {
		if a := ask(c, "hold t"); a.Refused != "" {
			t.Fatalf("%+v", a)
		}
	}
	wantRefused(t, ask(one, "hold t"), "limit", fmt.Sprintf("max_slots_per_user is reached: user %d has 2 of 2 slots", nobody.uid), "raise max_slots_per_user")
	wantRefused(t, ask(two, "subscribe t"), "limit", "max_slots_per_user is reached", "raise max_slots_per_user")
	if a := ask(other, "subscribe t"); a.Refused != "" {
		t.Errorf("another user: %+v", a)
	}
	wantRefused(t, ask(other, "hold t"), "limit", "all 3 producer slots of topic t are taken", "more slots")

	late, a := u.as(games.uid, games.gid, doorGroup)
	wantRefused(t, a, "limit", "max_clients is reached: 4 of 4 are connected", "raise max_clients")
	late.end()

	refusal := func(err error) answer { return outcome(err) }
	big := small
	big.Name, big.Size = "big", 64*topic.MiB
	wantRefused(t, refusal(root.CreateTopic(t.Context(), big)), "limit", fmt.Sprintf("of %d are used", uint64(8*topic.MiB)), "raise max_memory")
	second, third := small, small
	second.Name, third.Name = "second", "third"
	if err := root.CreateTopic(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	wantRefused(t, refusal(root.CreateTopic(t.Context(), third)), "limit", "max_topics is reached: 2 of 2", "raise max_topics")

	two.kill() // whoever dies gives its share back
	eventually(t, "the slot of the dead counts no more", func() bool { return ask(one, "hold t").Refused == "" })
	one.end()
	other.end()
}
