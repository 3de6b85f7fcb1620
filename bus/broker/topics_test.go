package broker

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/mycelium-bus/mycelium/bus/internal/control"
	"github.com/mycelium-bus/mycelium/bus/topic"
	"github.com/mycelium-bus/mycelium/shmring"
	"github.com/mycelium-bus/mycelium/uds"
)

func TestTopicsAreCreatedListedAndDeleted(t *testing.T) {
	c := testConfig(t)
	c.MaxTopics = 4
	b := start(t, c)
	one, two := b.client("one"), b.client("two")
	want := topic.Config{Name: "new", Kind: topic.SPSC, Size: topic.MinSize, Slow: topic.Drop, Routing: topic.Queue,
		Subscribe: []string{"user:7"}, Types: topic.TypesOf(1, 2, 3)}
	one.ask(&control.CreateTopic{Config: jsonOf(want)})
	p := two.producer("new")
	two.refused(&control.AttachProducer{Topic: "new"}, control.CodeInUse)
	list := two.topics()
	var names []string
	for _, topic := range list {
		names = append(names, topic.Name)
	}
	if !reflect.DeepEqual(names, []string{"a", "b", "new"}) {
		t.Errorf("topics %q", names)
	}
	n := list[2]
	if n.State != control.TopicActive || n.Nonce>>63 == 0 || n.CreatedNs == 0 || string(n.Config) != string(jsonOf(want.WithDefaults())) {
		t.Errorf("%+v", n)
	}

	one.ask(&control.DeleteTopic{Topic: "new"})
	select {
	case m := <-two.notices:
		if !reflect.DeepEqual(m, &control.TopicDeleted{Topic: "new", Nonce: n.Nonce}) {
			t.Errorf("told %+v", m)
		}
	case <-watchdog(t).Done():
		t.Fatal("not told that the topic was deleted")
	}
	if !p.Ring().Closing() {
		t.Error("the topic is not marked")
	}
	if _, err := os.Lstat(b.topicDir("new")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its directory: %v, want none", err)
	}
	two.refused(&control.AttachProducer{Topic: "new"}, control.CodeNoTopic)
	one.ask(&control.CreateTopic{Config: jsonOf(want)}) // the name is free
	if p2 := two.producer("new"); p2.Ring().Nonce() == n.Nonce {
		t.Error("the new topic is the old one")
	}
}

func TestRequestsThatCannotBeGrantedSayWhy(t *testing.T) {
	c := testConfig(t)
	c.MaxTopics, c.MaxMemory = 3, topic.MiB
	b := start(t, c)
	one := b.client("one")
	for _, test := range []struct {
		name string
		m    control.Message
		code control.Code
		text string
	}{
		{"no topic", &control.AttachProducer{Topic: "nobody"}, control.CodeNoTopic, `no topic "nobody"`},
		{"no topic to look at", &control.AttachInspect{Topic: ""}, control.CodeNoTopic, `no topic ""`},
		{"no topic to delete", &control.DeleteTopic{Topic: "nobody"}, control.CodeNoTopic, `no topic "nobody"`},
		{"a path", &control.DeleteTopic{Topic: "../bus"}, control.CodeNoTopic, "no topic"},
		{"exists", &control.CreateTopic{Config: jsonOf(small("a"))}, control.CodeExists, `topic "a": exists`},
		{"no JSON", &control.CreateTopic{Config: []byte("{")}, control.CodeInvalid, "unexpected EOF"},
		{"two documents", &control.CreateTopic{Config: []byte(`{"name":"x"} {}`)}, control.CodeInvalid, "follows"},
		{"an unknown key", &control.CreateTopic{Config: []byte(`{"nam":"x"}`)}, control.CodeInvalid, `unknown field "nam"`},
		{"a bad name", &control.CreateTopic{Config: []byte(`{"name":".."}`)}, control.CodeInvalid, "it begins with ."},
		{"a bad size", &control.CreateTopic{Config: []byte(`{"name":"x","size":"3MiB"}`)}, control.CodeInvalid, "not a power of two"},
		{"too much memory", &control.CreateTopic{Config: jsonOf(topic.Config{Name: "x", Size: 64 * topic.MiB})}, control.CodeLimit, "max_memory is reached"},
		{"a group's name", &control.AttachConsumer{Topic: "a", Group: "G"}, control.CodeInvalid, `"G"`},
		{"a group's policy", &control.AttachConsumer{Topic: "a", Group: "g", Slow: control.SlowDrop}, control.CodeInvalid, `group "g": its policy is block, not drop`},
		{"a lossy group", &control.AttachConsumer{Topic: "a", Group: "g", Slow: control.SlowLossy}, control.CodeInvalid, `group "g": its policy is block, not lossy`},
		{"a group's credit", &control.AttachConsumer{Topic: "a", Group: "g", Credit: 4096}, control.CodeInvalid, `group "g": its credit is the topic's`},
		{"a group's patience", &control.AttachConsumer{Topic: "a", Group: "g", PatienceNs: 1}, control.CodeInvalid, `group "g"`},
		{"a group and fanout", &control.AttachConsumer{Topic: "a", Group: "g", Fanout: true}, control.CodeInvalid, `group "g": fanout`},
		{"too much credit", &control.AttachConsumer{Topic: "a", Credit: 1 << 30}, control.CodeInvalid, "credit 1073741824 is not between 4096, two largest claims, and 32768"},
		{"too little credit", &control.AttachConsumer{Topic: "a", Credit: 1}, control.CodeInvalid, "credit 1 is not"},
		{"too long a patience", &control.AttachConsumer{Topic: "a", PatienceNs: 1 << 62}, control.CodeInvalid, "patience"},
		{"a negative patience", &control.AttachConsumer{Topic: "a", PatienceNs: 1 << 63}, control.CodeInvalid, "patience"},
	} {
		t.Run(test.name, func(t *testing.T) {
			one.t = t
			if e := one.refused(test.m, test.code); !strings.Contains(e.Text, test.text) {
				t.Errorf("%q lacks %q", e.Text, test.text)
			}
		})
	}
	one.t = t
	one.ask(&control.CreateTopic{Config: jsonOf(small("c"))})
	e := one.refused(&control.CreateTopic{Config: jsonOf(small("d"))}, control.CodeLimit)
	contains(t, "the refusal", e.Text, "max_topics is reached: 3 of 3")
	if n := len(one.topics()); n != 3 {
		t.Errorf("%d topics on the books", n)
	}
}

func TestAConsumersPolicyIsItsWishWithinTheTopics(t *testing.T) {
	c := testConfig(t)
	c.Topics[0].Slow, c.Topics[0].Patience = topic.Evict, topic.Duration(5e9)
	b := start(t, c)
	one := b.client("one")
	for _, test := range []struct {
		ask, want control.Attached
	}{
		{control.Attached{}, control.Attached{Slow: control.SlowEvict, Credit: 32768, PatienceNs: 5e9}},
		{control.Attached{Slow: control.SlowBlock}, control.Attached{Slow: control.SlowBlock, Credit: 32768, PatienceNs: 5e9}},
		{control.Attached{Slow: control.SlowDrop, Credit: 16001, PatienceNs: 7}, control.Attached{Slow: control.SlowDrop, Credit: 16016, PatienceNs: 7}},
		{control.Attached{Slow: control.SlowLossy}, control.Attached{Slow: control.SlowLossy, Credit: 32768, PatienceNs: 5e9}},
	} {
		a := one.attach(&control.AttachConsumer{Topic: "a", Slow: test.ask.Slow, Credit: test.ask.Credit, PatienceNs: test.ask.PatienceNs})
		if a.Slow != test.want.Slow || a.Credit != test.want.Credit || a.PatienceNs != test.want.PatienceNs {
			t.Errorf("asked %+v, got %+v", test.ask, a.Attached)
		}
	}
}

func TestASlowCreationHoldsUpNobodyElse(t *testing.T) {
	b := start(t, testConfig(t))
	one, two := b.client("one"), b.client("two")
	// A creation under way: its name is taken, its files are not there yet.
	b.mu.Lock()
	b.topics["slow"] = &entry{name: "slow", state: control.TopicCreating}
	b.mu.Unlock()
	two.attach(&control.AttachProducer{Topic: "a"})
	one.refused(&control.AttachProducer{Topic: "slow"}, control.CodeNotReady)
	one.refused(&control.DeleteTopic{Topic: "slow"}, control.CodeNotReady)
	one.refused(&control.CreateTopic{Config: jsonOf(small("slow"))}, control.CodeExists)
	if list := two.topics(); list[2].State != control.TopicCreating {
		t.Errorf("%+v", list[2])
	}
}

func TestManyClientsCreateDeleteAndAttachAtOnce(t *testing.T) {
	c := testConfig(t)
	b := start(t, c)
	var wg sync.WaitGroup
	for i := range 8 {
		one := b.client(fmt.Sprint(i))
		wg.Go(func() {
			for n := range 20 {
				// Everything here may be refused, for others do the same; nothing may fail otherwise.
				for _, m := range []control.Message{
					&control.CreateTopic{Config: jsonOf(small("shared"))}, &control.AttachProducer{Topic: "shared"},
					&control.AttachConsumer{Topic: "shared"}, &control.ListTopics{}, &control.ListClients{},
					&control.DeleteTopic{Topic: "shared"},
				} {
					_, fds, err := one.Request(watchdog(t), m)
					uds.CloseFDs(fds)
					e, refused := errors.AsType[*control.Error](err)
					if err != nil && (!refused || e.Code == control.CodeInternal || e.Code == control.CodeProtocol) {
						t.Errorf("round %d: %s: %v", n, m.Type(), err)
					}
				}
			}
		})
	}
	wg.Wait()
	b.stop()
	entries := must(os.ReadDir(b.Dir()))
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") && e.Name() != lockName {
			t.Errorf("left behind: %s", e.Name())
		}
	}
}

func TestTheNextBrokerAdoptsTheTopicsWithTheirClients(t *testing.T) {
	c := testConfig(t)
	first := start(t, c)
	one := first.client("one")
	one.ask(&control.CreateTopic{Config: jsonOf(topic.Config{Name: "extra", Size: topic.MinSize, Subscribe: []string{"user:7"}})})
	p := one.producer("a")
	first.stop()
	if err := p.Publish([]byte("while there was no broker")); err != nil {
		t.Fatal(err)
	}
	// What an interrupted creation, an interrupted deletion and strangers leave.
	for _, name := range []string{".new-a-1", ".del-2", "README", "Not A Topic"} {
		if err := os.Mkdir(filepath.Join(c.Dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	damaged := filepath.Join(c.Dir, "damaged")
	if err := os.Mkdir(damaged, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(damaged, "ring"), make([]byte, 8192), 0o600); err != nil {
		t.Fatal(err)
	}
	closing := must(shmring.Create(c.Dir, "closing", shmring.Options{Capacity: uint64(topic.MinSize)}))
	if err := errors.Join(closing.MarkClosing(), closing.Close()); err != nil {
		t.Fatal(err)
	}
	bare := must(shmring.Create(c.Dir, "bare", shmring.Options{Capacity: uint64(topic.MinSize), Kind: shmring.SPMC, Config: []byte("no JSON")}))
	_ = bare.Close()

	// The configuration has changed: a's size cannot follow, its policy can; c is new.
	c.Topics[0].Size, c.Topics[0].Slow, c.Topics[0].Credit = 128*topic.KiB, topic.Drop, 16*topic.KiB
	c.Topics = append(c.Topics, small("c"))
	second := start(t, c)
	two := second.client("two")
	states, configs := map[string]control.TopicState{}, map[string]string{}
	for _, t := range two.topics() {
		states[t.Name], configs[t.Name] = t.State, string(t.Config)
	}
	if want := (map[string]control.TopicState{"a": 1, "b": 1, "c": 1, "extra": 1, "bare": 1, "damaged": control.TopicDamaged}); !reflect.DeepEqual(states, want) {
		t.Errorf("topics %v, want %v", states, want)
	}
	contains(t, "a's configuration", configs["a"], `"size":"64KiB"`, `"slow":"drop"`, `"credit":"16KiB"`)
	contains(t, "extra's configuration", configs["extra"], `"subscribe":["user:7"]`)
	contains(t, "bare's configuration", configs["bare"], `"kind":"spmc"`, `"size":"64KiB"`, `"publish":null`)
	contains(t, "the log", second.log.String(), "topic is damaged: left as it is", "keeps what is fixed", `size = \"128KiB\"`,
		"topic was being deleted: removed", "stored configuration is unusable", ".new-a-1", ".del-2", "not a topic: left alone")

	// The producer of before goes on, and a reader of now sees what it wrote then.
	r := two.reader(&control.AttachConsumer{Topic: "a"})
	if err := p.Publish([]byte("now")); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"while there was no broker", "now"} {
		if f, ok := r.Next(); !ok || string(f.Payload) != want {
			t.Errorf("%q, %v, want %q", f.Payload, r.Err(), want)
		}
		r.Release()
	}
	if a := two.attach(&control.AttachProducer{Topic: "a"}); a.Slot == 0 {
		t.Error("the living producer's slot was granted again")
	}
	two.refused(&control.AttachInspect{Topic: "damaged"}, control.CodeCorrupt)
	two.refused(&control.CreateTopic{Config: jsonOf(small("damaged"))}, control.CodeExists)
	two.ask(&control.DeleteTopic{Topic: "damaged"})
	two.ask(&control.CreateTopic{Config: jsonOf(small("damaged"))})
	second.stop()
	if stored, err := os.ReadDir(c.Dir); err != nil || len(stored) != 9 { // six topics, two strangers, the lock
		t.Errorf("%v, %v", stored, err)
	}
}

func TestASecondBrokerIsRefusedAndToldByWhom(t *testing.T) {
	c := testConfig(t)
	b := start(t, c)
	other := c
	other.Socket += "2"
	_, err := New(other)
	if !errors.Is(err, ErrRunning) || !strings.Contains(err.Error(), fmt.Sprintf("pid %d, socket %s", os.Getpid(), c.Socket)) {
		t.Errorf("%v, want %v", err, ErrRunning)
	}
	if _, err := Purge(c.Dir); !errors.Is(err, ErrRunning) {
		t.Errorf("Purge: %v, want %v", err, ErrRunning)
	}
	// Another directory, the same socket.
	other = c
	other.Dir += "2"
	if _, err := New(other); !errors.Is(err, uds.ErrInUse) {
		t.Errorf("%v, want %v", err, uds.ErrInUse)
	}
	b.client("still there").ask(&control.ListTopics{})
}

func TestABrokerWaitsForWhoUsesTheDirectoryWithoutOne(t *testing.T) {
	c := testConfig(t)
	if err := prepareDir(c.Dir); err != nil {
		t.Fatal(err)
	}
	f := must(os.Create(filepath.Join(c.Dir, lockName)))
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_SH); err != nil {
		t.Fatal(err)
	}
	made := make(chan error, 1)
	go func() {
		b, err := New(c)
		if err == nil {
			err = b.Close()
		}
		made <- err
	}()
	select {
	case err := <-made:
		t.Fatalf("it did not wait: %v", err)
	case <-longEnough():
	}
	_ = unix.Flock(int(f.Fd()), unix.LOCK_UN)
	if err := <-made; err != nil {
		t.Error(err)
	}
}

func TestUnusableDirectoriesAreRefused(t *testing.T) {
	base := testConfig(t)
	for name, prepare := range map[string]func(path string) error{
		"a file":          func(p string) error { return os.WriteFile(p, nil, 0o600) },
		"open to others":  func(p string) error { return errors.Join(os.Mkdir(p, 0o700), os.Chmod(p, 0o750)) },
		"a symbolic link": func(p string) error { return os.Symlink(filepath.Dir(p), p) },
	} {
		t.Run(name, func(t *testing.T) {
			c := base
			c.Dir = base.Dir + strings.ReplaceAll(name, " ", "-")
			if err := prepare(c.Dir); err != nil {
				t.Fatal(err)
			}
			if _, err := New(c); !errors.Is(err, ErrDirectory) {
				t.Errorf("%v, want %v", err, ErrDirectory)
			}
		})
	}
	c := base
	c.Dir += "/no/such/parent"
	if _, err := New(c); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v, want %v", err, os.ErrNotExist)
	}
}

func TestConfiguredTopicsThatDoNotFitAreRefusedAtOnce(t *testing.T) {
	c := testConfig(t)
	c.MaxMemory = 100 * topic.KiB
	if _, err := New(c); !errors.Is(err, ErrLimit) || !strings.Contains(err.Error(), "max_memory") {
		t.Errorf("%v, want %v", err, ErrLimit)
	}
	c = testConfig(t)
	c.Topics[1].Size = topic.MaxSize // more than the machine has
	c.MaxMemory = 64 * topic.GiB
	if _, err := New(c); !errors.Is(err, shmring.ErrNoSpace) && !strings.Contains(fmt.Sprint(err), "lacks") {
		t.Errorf("%v, want %v", err, shmring.ErrNoSpace)
	}
}

func TestPurge(t *testing.T) {
	c := testConfig(t)
	if names, err := Purge(c.Dir); err != nil || names != nil {
		t.Errorf("of no directory: %v, %v", names, err)
	}
	b := start(t, c)
	one := b.client("one")
	a := one.attach(&control.AttachConsumer{Topic: "b"})
	look := one.attach(&control.AttachInspect{Topic: "a"})
	b.stop()
	if err := os.Mkdir(filepath.Join(c.Dir, "damaged"), 0o700); err != nil {
		t.Fatal(err)
	}
	if names, err := Purge(c.Dir); !errors.Is(err, ErrAttached) || names != nil || !strings.Contains(err.Error(), `["b"]`) {
		t.Errorf("with a client attached to b: %v, %v", names, err)
	}
	a.close()
	ring := must(shmring.Attach(look.files, shmring.Inspect))
	look.files = shmring.Files{Ring: -1, Cursors: -1, Control: -1, LocksP: -1, LocksC: -1}
	defer ring.Close()
	names, err := Purge(c.Dir)
	if err != nil || !reflect.DeepEqual(names, []string{"a", "b", "damaged"}) {
		t.Errorf("%v, %v", names, err)
	}
	if !ring.Closing() {
		t.Error("who only looks is not told")
	}
	if _, err := os.Lstat(c.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory: %v, want none", err)
	}
}

func TestCloseWithoutRun(t *testing.T) {
	c := testConfig(t)
	b := must(New(c))
	if err := errors.Join(b.Close(), b.Close()); err != nil {
		t.Error(err)
	}
	if err := b.Run(watchdog(t)); !errors.Is(err, ErrClosed) {
		t.Errorf("Run: %v, want %v", err, ErrClosed)
	}
	start(t, c).client("one").ask(&control.ListTopics{})
}

// A directory that was named by mistake keeps what is in it, also where its folders' names would do for topics.
func TestPurgeLeavesWhatIsNotATopics(t *testing.T) {
	c := testConfig(t)
	b := start(t, c)
	b.stop()
	thesis := filepath.Join(c.Dir, "documents", "thesis.txt")
	ring := filepath.Join(c.Dir, "photos", "ring", "wedding.jpg")
	for _, path := range []string{thesis, ring} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte("mine"), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	names, err := Purge(c.Dir)
	if err != nil || slices.Contains(names, "documents") || slices.Contains(names, "photos") {
		t.Errorf("%v, %v", names, err)
	}
	for _, path := range []string{thesis, ring} {
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
	if err := removeTopic(c.Dir, "documents"); !errors.Is(err, shmring.ErrNotATopic) {
		t.Errorf("removing it as a topic: %v", err)
	}
}

func TestStartThatFailsForItsSocketLeavesNoTopics(t *testing.T) {
	first := testConfig(t)
	start(t, first)
	second := testConfig(t)
	second.Socket = first.Socket
	fails := func() {
		t.Helper()
		if b, err := New(second); err == nil {
			b.Close()
			t.Fatal("two brokers on one socket")
		}
	}
	if _, err := os.Lstat(second.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("the directory is there before: %v", err)
	}
	fails()
	if _, err := os.Lstat(second.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it left the directory that it had made: %v", err)
	}
	// One that somebody else made stays, without topics.
	if err := os.Mkdir(second.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	fails()
	entries, err := os.ReadDir(second.Dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() {
			t.Errorf("it left %s", e.Name())
		}
	}
}
