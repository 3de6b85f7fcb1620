package broker

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/mycelium-bus/mycelium/bus/internal/control"
	"github.com/mycelium-bus/mycelium/bus/topic"
	"github.com/mycelium-bus/mycelium/shmring"
)

// groupsOf lists a topic's groups: name, whether it is durable, keep and max_deliver.
func groupsOf(t *testing.T, b *rig, name string) (list []string) {
	t.Helper()
	ring, err := shmring.Open(b.topicDir(name), shmring.Inspect)
	if err != nil {
		t.Fatal(err)
	}
	defer ring.Close()
	groups, err := ring.Groups()
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range groups {
		list = append(list, fmt.Sprint(g.Name, " ", g.Policy.Durable, " ", g.Policy.Keep, " ", g.Policy.MaxDeliver))
	}
	return list
}

func TestConfiguredGroupsAreMade(t *testing.T) {
	c := testConfig(t)
	queue := small("queue")
	queue.Routing, queue.Groups = topic.Queue, 3
	queue.Group = []topic.Group{{Name: "own", Keep: 8 * topic.KiB}, {Name: "brief", Durable: new(false), MaxDeliver: 7}}
	c.Topics = []topic.Config{queue}
	first := start(t, c)
	if got, want := fmt.Sprint(groupsOf(t, first, "queue")), "[default true 32768 5 own true 8192 5]"; got != want {
		t.Errorf("groups %s, want %s", got, want)
	}
	one := first.client("one")
	a := one.attach(&control.AttachConsumer{Topic: "queue", Group: "brief"})
	if a.Slow != control.SlowBlock || a.Credit != 32768 {
		t.Errorf("attached with %+v", a.Attached)
	}
	if got := groupsOf(t, first, "queue"); len(got) != 3 || got[2] != "brief false 32768 7" {
		t.Errorf("groups %q", got)
	}
	one.refused(&control.AttachConsumer{Topic: "queue", Group: "fourth"}, control.CodeLimit)
	one.attach(&control.AttachConsumer{Topic: "queue", Fanout: true})
	one.attach(&control.AttachConsumer{Topic: "queue", Slow: control.SlowLossy})
	first.stop()

	// What is configured otherwise holds with the next broker.
	c.Topics[0].Group = []topic.Group{{Name: "own", Keep: 16 * topic.KiB}, {Name: "default", MaxDeliver: 2}, {Name: "brief", Durable: new(false), MaxDeliver: 3}}
	second := start(t, c)
	if got, want := fmt.Sprint(groupsOf(t, second, "queue")), "[default true 32768 2 own true 16384 5 brief false 32768 3]"; got != want {
		t.Errorf("groups %s, want %s", got, want)
	}

	// So they are in a topic that a client makes.
	two := second.client("two")
	queue.Name, queue.Group = "another", nil
	two.ask(&control.CreateTopic{Config: jsonOf(queue)})
	if got, want := fmt.Sprint(groupsOf(t, second, "another")), "[default true 32768 5]"; got != want {
		t.Errorf("groups %s, want %s", got, want)
	}
}

func TestWhoMayNotBlockMayNotJoin(t *testing.T) {
	c := testConfig(t)
	queue := small("queue")
	queue.Routing, queue.Subscribe, queue.Blockers, queue.Slow = topic.Queue, []string{"*"}, []string{"user:alice"}, topic.Drop
	c.Topics = []topic.Config{queue}
	var who atomic.Uint32
	b := startWith(t, c, fakeAccounts{&who}, func(*Broker) {})
	as := func(uid uint32) *client {
		who.Store(uid)
		c := b.client(fmt.Sprint(uid))
		c.ask(&control.ListTopics{}) // its session has asked who it is by now
		return c
	}
	alice, bob := as(1001), as(1002)
	alice.attach(&control.AttachConsumer{Topic: "queue"})
	alice.attach(&control.AttachConsumer{Topic: "queue", Group: "default"})
	for _, m := range []*control.AttachConsumer{{Topic: "queue"}, {Topic: "queue", Group: "default"}, {Topic: "queue", Group: "other"}} {
		e := bob.refused(m, control.CodePermission)
		contains(t, "the refusal", e.Text+e.Hint, "may not hold up the producers of", "fanout, with slow policy drop or evict, or lossy")
	}
	bob.attach(&control.AttachConsumer{Topic: "queue", Fanout: true})
}
