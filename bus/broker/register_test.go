package broker

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/mycelium-bus/mycelium/bus/internal/control"
	"github.com/mycelium-bus/mycelium/shmring"
	"github.com/mycelium-bus/mycelium/uds"
)

// tenant is a handle whose slot a test registers.
type tenant struct {
	shmring.Tenancy
	role  control.Role
	nonce uint64
}

func producerOf(p *shmring.Producer) tenant {
	return tenant{p.Tenancy(), control.RoleProducer, p.Ring().Nonce()}
}
func readerOf(r *shmring.Reader) tenant {
	return tenant{r.Tenancy(), control.RoleConsumer, r.Ring().Nonce()}
}

func (n tenant) message(topic string) *control.Register {
	return &control.Register{Topic: topic, Nonce: n.nonce, Role: n.role, Slot: uint32(n.Slot), Generation: n.Generation}
}

func (c *client) register(topic string, n tenant) error {
	_, fds, err := c.Request(watchdog(c.t), n.message(topic), n.Lock)
	uds.CloseFDs(fds)
	return err
}

func TestTheNextBrokerLearnsWhoHasWhat(t *testing.T) {
	config := testConfig(t)
	config.MaxSlotsPerUser = 2
	first := start(t, config)
	one := first.client("one")
	p, r := one.producer("a"), one.reader(&control.AttachConsumer{Topic: "b", Slow: control.SlowLossy})
	first.stop()

	next := start(t, config)
	again, other := next.client("one"), next.client("other")
	if slots := again.clients()[again.Welcome().Session].Slots; len(slots) != 0 {
		t.Errorf("before it registers it has %+v", slots)
	}
	for range 2 { // again is no error
		if err := errors.Join(again.register("a", producerOf(p)), again.register("b", readerOf(r))); err != nil {
			t.Fatal(err)
		}
	}
	want := []control.Slot{{Topic: "a", Role: control.RoleProducer, Slot: 0}, {Topic: "b", Role: control.RoleConsumer, Slot: 0}}
	slots := again.clients()[again.Welcome().Session].Slots
	if len(slots) != 2 || slots[0] != want[0] || slots[1] != want[1] {
		t.Errorf("it has %+v, want %+v", slots, want)
	}
	// They count for the user.
	other.refused(&control.AttachProducer{Topic: "a"}, control.CodeLimit)
	third := func() error {
		p.Close()
		again.ask(&control.Detach{Topic: "a", Role: control.RoleProducer, Slot: 0})
		_, fds, err := other.Request(watchdog(t), &control.AttachProducer{Topic: "b"})
		uds.CloseFDs(fds)
		return err
	}
	if err := third(); err != nil {
		t.Errorf("after one was given back: %v", err)
	}
	// A slot goes with whoever proves it last, as after a connection that broke while the broker lives.
	if err := other.register("b", readerOf(r)); err != nil {
		t.Error(err)
	}
	all := next.client("looker").clients()
	if a, b := all[again.Welcome().Session].Slots, all[other.Welcome().Session].Slots; len(a) != 0 || len(b) == 0 || b[len(b)-1] != want[1] {
		t.Errorf("the slots are %+v and %+v", a, b)
	}
}

func TestASlotBeyondTheUsersLimitIsRegisteredAllTheSame(t *testing.T) {
	config := testConfig(t)
	first := start(t, config)
	one := first.client("one")
	tenants := []tenant{producerOf(one.producer("a")), producerOf(one.producer("a"))}
	first.stop()
	config.MaxSlotsPerUser = 1
	next := start(t, config)
	again := next.client("one")
	for _, n := range tenants {
		if err := again.register("a", n); err != nil {
			t.Error(err)
		}
	}
	again.refused(&control.AttachProducer{Topic: "a"}, control.CodeLimit)
}

func TestHostileRegistrationsAreRefused(t *testing.T) {
	b := start(t, testConfig(t))
	victim, attacker := b.client("victim"), b.client("attacker")
	theirs, mine := producerOf(victim.producer("a")), producerOf(attacker.producer("a"))
	reader := readerOf(victim.reader(&control.AttachConsumer{Topic: "a"}))
	foreign := producerOf(attacker.producer("b"))
	open := func(path string) int {
		fd := must(unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0))
		t.Cleanup(func() { unix.Close(fd) })
		return fd
	}
	fresh, null := open(filepath.Join(b.topicDir("a"), "locks.p")), open(os.DevNull)
	with := func(n tenant, change func(*tenant)) tenant { change(&n); return n }
	freed := attacker.producer("a")
	gone := producerOf(freed)
	keep := must(unix.FcntlInt(uintptr(gone.Lock), unix.F_DUPFD_CLOEXEC, 0))
	defer unix.Close(keep)
	gone.Lock = keep
	if err := freed.Close(); err != nil { // its state is free, its lock still held
		t.Fatal(err)
	}

	before := b.client("looker").clients()
	for name, c := range map[string]struct {
		topic string
		n     tenant
		code  control.Code
		text  string
	}{
		"another one's slot":               {"a", with(mine, func(n *tenant) { n.Slot, n.Generation = theirs.Slot, theirs.Generation }), control.CodePermission, "another one holds its lock"},
		"with a new description":           {"a", with(theirs, func(n *tenant) { n.Lock = fresh }), control.CodePermission, "another one holds its lock"},
		"another file":                     {"a", with(theirs, func(n *tenant) { n.Lock = null }), control.CodePermission, "not the topic's lock file"},
		"another topic's lock":             {"a", with(foreign, func(n *tenant) { n.nonce = mine.nonce }), control.CodePermission, "not the topic's lock file"},
		"a consumer's slot as a producer":  {"a", with(reader, func(n *tenant) { n.role = control.RoleProducer }), control.CodePermission, "not the topic's lock file"},
		"a generation that is over":        {"a", with(mine, func(n *tenant) { n.Generation += 7 }), control.CodePermission, "generation 8 is named"},
		"a slot that is free":              {"a", gone, control.CodePermission, "is free"},
		"a slot that nobody holds":         {"a", with(mine, func(n *tenant) { n.Slot = 3 }), control.CodePermission, "nobody holds its lock"},
		"a slot that does not exist":       {"a", with(mine, func(n *tenant) { n.Slot = 1 << 30 }), control.CodePermission, "there are 4"},
		"a topic that does not exist":      {"none", mine, control.CodeNoTopic, "no topic"},
		"another incarnation of the topic": {"a", with(mine, func(n *tenant) { n.nonce++ }), control.CodeClosed, "deleted meanwhile"},
	} {
		err := attacker.register(c.topic, c.n)
		e, ok := errors.AsType[*control.Error](err)
		if !ok || e.Code != c.code || !strings.Contains(e.Text, c.text) || e.Hint == "" && c.code != control.CodeClosed {
			t.Errorf("%s: %v, want %s with %q", name, err, c.code, c.text)
		}
	}
	after := b.client("looker").clients()
	for id, c := range before {
		if len(after[id].Slots) != len(c.Slots) {
			t.Errorf("%s had %+v, now %+v", c.Name, c.Slots, after[id].Slots)
		}
	}
	if err := victim.register("a", theirs); err != nil {
		t.Errorf("the victim itself: %v", err)
	}
}

// TestARegistrationLeavesNoDescriptor: a copy of the lock that stayed in the broker would keep a dead client's slot alive.
func TestARegistrationLeavesNoDescriptor(t *testing.T) {
	b := start(t, testConfig(t))
	one := b.client("one")
	good := producerOf(one.producer("a"))
	bad := good
	bad.Generation++
	count := func() int { return len(must(os.ReadDir("/proc/self/fd"))) }
	before := count()
	for range 20 {
		if err := one.register("a", good); err != nil {
			t.Fatal(err)
		}
		if one.register("a", bad) == nil {
			t.Fatal("registered")
		}
	}
	if after := count(); after > before {
		t.Errorf("%d descriptors, before %d", after, before)
	}
}

func TestARegistrationWithoutItsDescriptorEndsTheConnection(t *testing.T) {
	b := start(t, testConfig(t))
	p := producerOf(b.client("one").producer("a"))
	for _, fds := range [][]int{nil, {p.Lock, p.Lock}} {
		conn := b.raw()
		if err := conn.Send(must(control.Encode(1, &control.Hello{MinVersion: 1, MaxVersion: 1}))); err != nil {
			t.Fatal(err)
		}
		if _, _, err := conn.RecvContext(watchdog(t), make([]byte, control.MaxMessage)); err != nil {
			t.Fatal(err)
		}
		if err := conn.Send(must(control.Encode(2, p.message("a"))), fds...); err != nil {
			t.Fatal(err)
		}
		answeredAndClosed(t, conn, control.CodeProtocol, "came with Register, want 1")
	}
}

func TestWelcomeSaysThatTheBrokerTakesRegister(t *testing.T) {
	b := start(t, testConfig(t))
	if w := b.client("one").Welcome(); w.Features&control.FeatureRegister == 0 {
		t.Errorf("Welcome: %+v", w)
	}
}
