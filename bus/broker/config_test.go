package broker

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mycelium-bus/mycelium/bus/topic"
)

const full = `# everything
[broker]
socket  = "/run/myc/broker.sock"
dir     = "/dev/shm/myc"
metrics = "127.0.0.1:9464"
log     = "debug"
max_clients = 10
max_slots_per_user = 20
max_topics = 30
max_memory = "1GiB"
group = "trading"

[[topic]]
name      = "market_data"
kind      = "spmc"
routing   = "queue"
size      = "1MiB"
max_frame = 1024
max_claim = "32KiB"
tlv_types = "1-19,106,200-254"
checksum  = "require"
credit    = "512KiB"
slow      = "drop"
patience  = "2s"
sleep     = "fence"
publish   = ["group:trading", "user:1000"]
subscribe = ["*"]
blockers  = []
producers = 1
consumers = 1024
groups    = 4

[[topic.group]]
name        = "default"
durable     = false
keep        = "512KiB"
max_deliver = 3
dead_letter = "lost"

[[topic.group]]
name = "second"

[[topic]]
name = "lost"
`

func TestEveryKeyIsRead(t *testing.T) {
	c, err := Parse(full, "f.toml", nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.Socket != "/run/myc/broker.sock" || c.Dir != "/dev/shm/myc" || c.Metrics != "127.0.0.1:9464" || c.Log != "debug" ||
		c.MaxClients != 10 || c.MaxSlotsPerUser != 20 || c.MaxTopics != 30 || c.MaxMemory != topic.GiB || c.Group != "trading" {
		t.Errorf("broker: %+v", c)
	}
	no := false
	want := topic.Config{
		Name: "market_data", Kind: topic.SPMC, Routing: topic.Queue, Size: topic.MiB, MaxFrame: 1024, MaxClaim: 32 * topic.KiB,
		Types: must(topic.ParseTypes("1-19,106,200-254")), Checksum: topic.ChecksumRequire, Credit: 512 * topic.KiB, Slow: topic.Drop,
		Patience: topic.Duration(2 * time.Second), Sleep: topic.SleepFence,
		Publish: []string{"group:trading", "user:1000"}, Subscribe: []string{"*"}, Blockers: []string{},
		Producers: 1, Consumers: 1024, Groups: 4,
		Group: []topic.Group{
			{Name: "default", Durable: &no, Keep: 512 * topic.KiB, MaxDeliver: 3, DeadLetter: "lost"},
			{Name: "second"},
		},
	}
	if !reflect.DeepEqual(c.Topics, []topic.Config{want, {Name: "lost"}}) {
		t.Errorf("topics: %+v", c.Topics)
	}
}

// must is for values that a test writes down itself.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestAnEmptyFileIsTheBuiltInDefault(t *testing.T) {
	c, err := Parse("", "f.toml", nil)
	if err != nil || !reflect.DeepEqual(c, Defaults()) {
		t.Errorf("%+v, %v, want %+v", c, err, Defaults())
	}
	var names []string
	for _, topic := range c.Topics {
		names = append(names, topic.Name)
	}
	if !slices.Equal(names, []string{"market_data", "signals", "execution"}) {
		t.Errorf("topics %v", names)
	}
}

func TestEveryFaultIsReportedAtOnceWithKeyAndLine(t *testing.T) {
	doc := strings.Join([]string{
		"colour = 1",                // 1: unknown key at the top
		"[broker]",                  // 2
		"sockets = \"/run/x\"",      // 3: unknown key
		"log = \"loud\"",            // 4: bad value
		"max_clients = \"many\"",    // 5: wrong type
		"max_memory = 1.5",          // 6: wrong type
		"# [[topic]] name = \"no\"", // 7
		"",                          // 8
		"[[topic]]",                 // 9
		"name = \"a\"",              // 10
		"size = \"3MiB\"",           // 11: not a power of two
		"patience = 5",              // 12: no unit
		"publish = \"user:x\"",      // 13: not a list
		"[[topic.group]]",           // 14
		"name = \"g\"",              // 15
		"keeps = \"1MiB\"",          // 16: unknown key
		"max_deliver = 5000",        // 17: out of range
		"[[topic]]",                 // 18
		"name = \"a\"",              // 19: the same name
		"tlv_types = '''",           // 20: the value goes over lines
		"1-19'''",                   // 21
		"credits = 3",               // 22: unknown key
		"subscribe = [",             // 23
		"  \"*\", # everyone",       // 24
		"  \"everyone\",",           // 25: names nobody
		"]",                         // 26
		"[[topic]]",                 // 27: no name
		"kind = \"mmmm\"",           // 28: bad word
	}, "\n")
	_, err := Parse(doc, "f.toml", []string{"MYC_BROKER_LOGS=x", "MYC_TOPIC_A_SIZE=1MiB", "MYC_BROKER_MAX_TOPICS=none", "OTHER=1"})
	if err == nil {
		t.Fatal("no error")
	}
	got := strings.Split(err.Error(), "\n")
	for _, want := range []string{
		`f.toml:1: colour: unknown key; there are [broker] and [[topic]]`,
		`f.toml:3: broker.sockets: unknown key; the keys of broker are socket, dir, metrics, log, max_clients,`,
		`f.toml:4: broker.log: "loud" is not one of debug, info, warn, error`,
		`f.toml:5: broker.max_clients: many is not a whole number`,
		`f.toml:6: broker.max_memory: 1.5 is not a size like "16MiB"`,
		`f.toml:11: topic.size: "3MiB": it is not a power of two; take 2MiB or 4MiB (topic "a")`,
		`f.toml:12: topic.patience: 5 is not text in quotes`,
		`f.toml:13: topic.publish: user:x is not a list; write ["user:x"]`,
		`f.toml:16: topic.group.keeps: unknown key; the keys of topic.group are name, durable, keep, max_deliver, dead_letter`,
		`f.toml:17: topic.group.max_deliver: 5000: it is not between 1 and 1000`,
		`f.toml:19: topic.name: another topic is named "a"`,
		`f.toml:22: topic.credits: unknown key`,
		`f.toml:23: topic.subscribe: "everyone": it names nobody`,
		`f.toml:28: topic.kind: "mmmm" is not a kind; it is one of spsc, spmc, mpsc, mpmc`,
		`MYC_BROKER_LOGS: it overrides no key`,
		`MYC_BROKER_MAX_TOPICS: "none" is not a whole number`,
		`MYC_TOPIC_A_SIZE: it could mean topic.0.size or topic.1.size`,
		`f.toml:27: topic.name: "": it is empty`,
	} {
		i := slices.IndexFunc(got, func(line string) bool { return strings.HasPrefix(line, want) })
		if i < 0 {
			t.Errorf("not reported: %s", want)
			continue
		}
		got = slices.Delete(got, i, i+1)
	}
	if len(got) > 0 {
		t.Errorf("also reported:\n%s", strings.Join(got, "\n"))
	}
}

// A zero is never taken for a key that is not there.
func TestZerosAreOutOfRange(t *testing.T) {
	doc := "[[topic]]\nname = \"a\"\n%s\n[[topic.group]]\nname = \"g\"\n%s\n"
	for key, in := range map[string][2]string{
		"topic.size":              {`size = 0`},
		"topic.max_frame":         {`max_frame = "0KiB"`},
		"topic.max_claim":         {`max_claim = 0`},
		"topic.credit":            {`credit = 0`},
		"topic.patience":          {`patience = "0s"`},
		"topic.producers":         {`producers = 0`},
		"topic.consumers":         {`consumers = 0`},
		"topic.groups":            {`groups = 0`},
		"topic.group.keep":        {"", `keep = 0`},
		"topic.group.max_deliver": {"", `max_deliver = 0`},
	} {
		line := 3
		if in[0] == "" {
			line = 6
		}
		_, err := Parse(fmt.Sprintf(doc, in[0], in[1]), "f.toml", nil)
		if want := fmt.Sprintf("f.toml:%d: %s: ", line, key); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v: %v, want %s...", in, err, want)
		}
	}
	if _, err := Parse(fmt.Sprintf(doc, "", ""), "f.toml", []string{"MYC_TOPIC_A_GROUPS=0"}); err == nil || !strings.HasPrefix(err.Error(), "MYC_TOPIC_A_GROUPS: 0 is out of its range") {
		t.Errorf("a variable: %v", err)
	}
}

func TestSyntaxErrorsNameTheirLine(t *testing.T) {
	for _, c := range []struct{ doc, want string }{
		{"[broker]\nlog = \n", "f.toml:2: "},
		{"[broker]\nlog = \"info\"\nlog = \"warn\"\n", "f.toml:3: "},
	} {
		if _, err := Parse(c.doc, "f.toml", nil); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%q: %v, want %s...", c.doc, err, c.want)
		}
	}
}

func TestTheEnvironmentOverridesEachKey(t *testing.T) {
	c, err := Parse(full, "f.toml", []string{
		"MYC_BROKER_SOCKET=/tmp/s", "MYC_BROKER_MAX_CLIENTS=7", "MYC_BROKER_MAX_MEMORY=2GiB", "MYC_TOPIC_MARKET_DATA_CREDIT=256KiB",
		"MYC_TOPIC_MARKET_DATA_PUBLISH=user:a, group:b", "MYC_TOPIC_MARKET_DATA_SUBSCRIBE=", "MYC_TOPIC_MARKET_DATA_SLOW=evict",
		"MYC_TOPIC_MARKET_DATA_GROUP_DEFAULT_DURABLE=true", "MYC_TOPIC_LOST_SIZE=64KiB", "MYC_SOCKET=/not/this", "MYC_DATA=x",
	})
	if err != nil {
		t.Fatal(err)
	}
	m := c.Topics[0]
	if c.Socket != "/tmp/s" || c.MaxClients != 7 || c.MaxMemory != 2*topic.GiB || m.Credit != 256*topic.KiB || m.Slow != topic.Evict ||
		!slices.Equal(m.Publish, []string{"user:a", "group:b"}) || len(m.Subscribe) != 0 || !*m.Group[0].Durable ||
		c.Topics[1].Size != 64*topic.KiB {
		t.Errorf("%+v", c)
	}
	// Every key of the structs has its variable, and no two the same.
	for _, name := range []string{"MYC_BROKER_", "MYC_TOPIC_LOST_"} {
		table := reflect.ValueOf(&c).Elem()
		if name != "MYC_BROKER_" {
			table = reflect.ValueOf(&c.Topics[1]).Elem()
		}
		for _, key := range keysOf(table.Type()) {
			if n := len(targetsOf(&c, name+variableName(key))); n != 1 {
				t.Errorf("%s%s means %d keys", name, variableName(key), n)
			}
		}
	}
}

func TestAnOverrideHealsAFaultOfTheFile(t *testing.T) {
	_, err := Parse("[broker]\nlog = \"loud\"\nmax_clients = \"x\"", "f.toml", []string{"MYC_BROKER_LOG=warn", "MYC_BROKER_MAX_CLIENTS=3"})
	if err != nil {
		t.Error(err)
	}
	_, err = Parse("[[topic]]\nname = \"a\"", "f.toml", []string{"MYC_TOPIC_A_SIZE=5MiB"})
	if err == nil || !strings.HasPrefix(err.Error(), `MYC_TOPIC_A_SIZE: "5MiB": it is not a power of two`) {
		t.Error(err)
	}
}

func TestLinesOfKeys(t *testing.T) {
	lines := keyLines(`a = 1 # a
"b c" . d = """
[x]
e = \"""
""""
'q' = ['#', [ "]",
 1 ], { z = 2 } ]
[t.u]   # [v]
k = '\'
[[t.l]]
k = 1
[[t.l.m]]
k = 2
[[t.l.m]]
[[t.l]]
[t.l.n]
k = 3
`)
	for path, want := range map[string]int{"a": 1, "b c.d": 2, "q": 6, "t.u": 8, "t.u.k": 9, "t.l.0": 10, "t.l.0.k": 11, "t.l.0.m.0": 12,
		"t.l.0.m.0.k": 13, "t.l.0.m.1": 14, "t.l.1": 15, "t.l.1.n": 16, "t.l.1.n.k": 17} {
		if lines[path] != want {
			t.Errorf("%s is on line %d, want %d", path, lines[path], want)
		}
		delete(lines, path)
	}
	if len(lines) > 0 {
		t.Errorf("also found: %v", lines)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(full)
	f.Add("[broker]\nlog = 3\n[[topic]]\n[[topic.group]]\nx = {a = [1, {b = 2}]}")
	f.Fuzz(func(t *testing.T, doc string) {
		c, err := Parse(doc, "f.toml", nil)
		if err == nil && c.Validate() != nil {
			t.Errorf("accepted, but invalid: %v", c.Validate())
		}
	})
}
