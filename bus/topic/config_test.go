package topic

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
	"pgregory.net/rapid"
)

// surface is every key that a [[topic]] table may have, as a user writes it.
const surface = `
[[topic]]
name      = "market_data"
kind      = "mpmc"
routing   = "fanout"
size      = "16MiB"
max_frame = "64KiB"
max_claim = 524288
tlv_types = "1-19,106,200-254"
checksum  = "present"
credit    = "8MiB"
slow      = "drop"
patience  = "1s"
sleep     = "auto"
publish   = ["group:trading"]
subscribe = ["*"]
blockers  = ["*"]
producers = 64
consumers = 1024
groups    = 32

[[topic.group]]
name      = "default"
durable   = true
keep      = "8MiB"
max_deliver = 5
dead_letter = ""
`

type file struct {
	Topic []Config `toml:"topic"`
}

func decode(t testing.TB, text string) []Config {
	t.Helper()
	var f file
	meta, err := toml.Decode(text, &f)
	if err != nil {
		t.Fatal(err)
	}
	if keys := meta.Undecoded(); len(keys) > 0 {
		t.Fatalf("unknown keys %v", keys)
	}
	return f.Topic
}

func TestEveryKeyIsRead(t *testing.T) {
	topics := decode(t, surface)
	if len(topics) != 1 {
		t.Fatalf("%d topics", len(topics))
	}
	want := Config{
		Name: "market_data", Kind: MPMC, Routing: Fanout, Size: 16 * MiB, MaxFrame: 64 * KiB, MaxClaim: 512 * KiB,
		Checksum: ChecksumPresent, Credit: 8 * MiB, Slow: Drop, Patience: 1e9, Sleep: SleepAuto,
		Publish: []string{"group:trading"}, Subscribe: []string{"*"}, Blockers: []string{"*"},
		Producers: 64, Consumers: 1024, Groups: 32,
		Group: []Group{{Name: "default", Durable: new(true), Keep: 8 * MiB, MaxDeliver: 5}},
	}
	want.Types, _ = ParseTypes("1-19,106,200-254")
	if got := topics[0]; !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v, want\n%+v", got, want)
	}
	if err := topics[0].Validate(); err != nil {
		t.Error(err)
	}
	if n := topics[0].WithDefaults().Consumers; n != 1023 {
		t.Errorf("1024 consumers come to %d, want 1023", n)
	}
}

func TestEveryFieldHasAKeyAndItsOwn(t *testing.T) {
	for _, v := range []any{Config{}, Group{}} {
		seen := map[string]bool{}
		for i := range reflect.TypeOf(v).NumField() {
			f := reflect.TypeOf(v).Field(i)
			key := f.Tag.Get("toml")
			if key == "" || key != f.Tag.Get("json") || seen[key] || !strings.Contains(surface, key) {
				t.Errorf("%T.%s: toml %q, json %q", v, f.Name, key, f.Tag.Get("json"))
			}
			seen[key] = true
		}
	}
}

func TestConfigurationsReadAndWriteTheSame(t *testing.T) {
	for _, c := range append(Builtin(), decode(t, surface)...) {
		for _, c := range []Config{c, c.WithDefaults()} {
			var b bytes.Buffer
			if err := toml.NewEncoder(&b).Encode(file{[]Config{c}}); err != nil {
				t.Fatal(err)
			}
			if got := decode(t, b.String())[0]; !same(got, c) {
				t.Errorf("through TOML:\n%+v, want\n%+v", got, c)
			}
			j, err := json.Marshal(c)
			if err != nil {
				t.Fatal(err)
			}
			var got Config
			if err := json.Unmarshal(j, &got); err != nil || !same(got, c) {
				t.Errorf("through JSON: %v\n%+v, want\n%+v", err, got, c)
			}
		}
	}
}

// same compares what two configurations say: a list of nothing is no list.
func same(a, b Config) bool {
	for _, c := range []*Config{&a, &b} {
		for _, list := range []*[]string{&c.Publish, &c.Subscribe, &c.Blockers} {
			*list = append([]string{}, *list...)
		}
		c.Group = append([]Group{}, c.Group...)
	}
	return reflect.DeepEqual(a, b)
}

func TestWrongTextNamesKeyAndLine(t *testing.T) {
	for _, line := range []string{
		`kind = "many"`, `size = "16MB"`, `patience = 5`, `tlv_types = "1-300"`, `slow = "wait"`, `sleep = "no"`, `checksum = "crc"`, `routing = "x"`,
	} {
		_, err := toml.Decode("[[topic]]\nname = \"x\"\n"+line, &file{})
		key, _, _ := strings.Cut(line, " ")
		var e toml.ParseError
		if !errors.As(err, &e) || e.Position.Line != 3 || !strings.Contains(e.Error(), key) {
			t.Errorf("%s: %v", line, err)
		}
	}
}

func TestDefaults(t *testing.T) {
	c := Config{Name: "x"}.WithDefaults()
	want := Config{
		Name: "x", Kind: MPMC, Size: 16 * MiB, MaxFrame: 64 * KiB, MaxClaim: 512 * KiB, Credit: 8 * MiB, Patience: 1e9,
		Producers: 64, Consumers: 1000, Groups: 32,
	}
	if !same(c, want) {
		t.Errorf("got\n%+v, want\n%+v", c, want)
	}
	small := Config{Name: "x", Kind: SPMC, Size: 64 * KiB, Routing: Queue}.WithDefaults()
	if small.MaxFrame != 2032 || small.MaxClaim != 2*KiB || small.Credit != 32*KiB || small.Producers != 1 {
		t.Errorf("the smallest: %+v", small)
	}
	if len(small.Group) != 1 || !reflect.DeepEqual(small.Group[0], Group{"default", new(true), 32 * KiB, 5, ""}) {
		t.Errorf("the default group: %+v", small.Group)
	}
	rounded := Config{Name: "x", MaxClaim: 100_001, Credit: 1_000_001, Group: []Group{{Name: "g", Keep: 999_999, Durable: new(false)}}}.WithDefaults()
	if rounded.MaxClaim != 100_016 || rounded.Credit != 1_000_016 || rounded.Group[0].Keep != 1_000_000 || *rounded.Group[0].Durable {
		t.Errorf("not rounded up to 16: %+v", rounded)
	}
}

func TestDefaultsShareNoMemory(t *testing.T) {
	c := Config{Name: "x", Publish: []string{"*"}, Group: make([]Group, 1, 8)}
	c.Group[0] = Group{Name: "g", Durable: new(true)}
	d := c.WithDefaults()
	d.Publish[0] = "user:me"
	d.Group[0].Name = "other"
	*d.Group[0].Durable = false
	if c.Publish[0] != "*" || c.Group[0].Name != "g" || !*c.Group[0].Durable {
		t.Errorf("changed with its copy: %+v", c)
	}
}

func TestBuiltinTopics(t *testing.T) {
	topics := Builtin()
	if err := ValidateAll(topics); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range topics {
		c = c.WithDefaults()
		got = append(got, fmt.Sprint(c.Name, " ", c.Kind, " ", c.Routing, " ", c.Slow, " ", c.Size, " ", c.Patience, " ", len(c.Group)))
	}
	want := []string{
		"market_data mpmc fanout drop 16MiB 1s 0", "signals mpmc fanout block 16MiB 1s 0", "execution mpmc queue block 16MiB 1s 1",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestEachFaultIsNamed(t *testing.T) {
	base := func(change func(*Config)) Config {
		c := Config{Name: "x"}
		change(&c)
		return c
	}
	group := func(g Group) Config { return Config{Name: "x", Group: []Group{g}} }
	for _, c := range []struct {
		name, key, value, advice string
		config                   Config
	}{
		{"no name", "name", `""`, "a-z", Config{}},
		{"hidden name", "name", `".x"`, "does not begin with .", Config{Name: ".x"}},
		{"kind", "kind", "9", "spsc, spmc, mpsc, mpmc", base(func(c *Config) { c.Kind = 9 })},
		{"routing", "routing", "9", "fanout, queue", base(func(c *Config) { c.Routing = 9 })},
		{"slow", "slow", "9", "block, drop, evict", base(func(c *Config) { c.Slow = 9 })},
		{"sleep", "sleep", "9", "auto, fence", base(func(c *Config) { c.Sleep = 9 })},
		{"checksum", "checksum", "9", "present, require, skip", base(func(c *Config) { c.Checksum = 9 })},
		{"small", "size", `"32KiB"`, "64KiB", base(func(c *Config) { c.Size = 32 * KiB })},
		{"negative", "size", `"-1"`, "64KiB", base(func(c *Config) { c.Size = -1 })},
		{"large", "size", `"64GiB"`, "32GiB", base(func(c *Config) { c.Size = 64 * GiB })},
		{"no power of two", "size", `"10MiB"`, "take 8MiB or 16MiB", base(func(c *Config) { c.Size = 10 * MiB })},
		{"frame over size/32", "max_frame", `"1MiB"`, "a size of at least 64MiB", base(func(c *Config) { c.MaxFrame = MiB })},
		{"frame one over", "max_frame", `"524273"`, "32MiB", base(func(c *Config) { c.MaxFrame = 512*KiB - 15 })},
		{"frame negative", "max_frame", `"-1"`, "lower it", base(func(c *Config) { c.MaxFrame = -1 })},
		{"claim below the frame", "max_claim", `"64KiB"`, "leave it out", base(func(c *Config) { c.MaxClaim = 64 * KiB })},
		{"claim over half a segment", "max_claim", `"1048577"`, "leave it out", base(func(c *Config) { c.MaxClaim = MiB + 1 })},
		{"credit below two claims", "credit", `"1023KiB"`, "half the size", base(func(c *Config) { c.Credit = MiB - KiB })},
		{"credit over the size", "credit", `"16777217"`, "half the size", base(func(c *Config) { c.Credit = 16*MiB + 1 })},
		{"patience", "patience", `"-1s"`, "1s", base(func(c *Config) { c.Patience = -1e9 })},
		{"patience of days", "patience", `"48h0m0s"`, "1s", base(func(c *Config) { c.Patience = 2 * MaxPatience })},
		{"producers", "producers", "1025", "leave it out", base(func(c *Config) { c.Producers = 1025 })},
		{"producers of a single-producer kind", "producers", "2", "leave it out", base(func(c *Config) { c.Kind, c.Producers = SPMC, 2 })},
		{"consumers", "consumers", "1025", "leave it out", base(func(c *Config) { c.Consumers = 1025 })},
		{"consumers below", "consumers", "-1", "leave it out", base(func(c *Config) { c.Consumers = -1 })},
		{"groups", "groups", "257", "leave it out", base(func(c *Config) { c.Groups = 257 })},
		{"publish", "publish", `"alice"`, "user:NAME", base(func(c *Config) { c.Publish = []string{"*", "alice"} })},
		{"subscribe", "subscribe", `"user:"`, "user:NAME", base(func(c *Config) { c.Subscribe = []string{"user:"} })},
		{"blockers", "blockers", `""`, "user:NAME", base(func(c *Config) { c.Blockers = []string{""} })},
		{"group name", "group.name", `"A"`, "a-z", group(Group{Name: "A"})},
		{"group twice", "group.name", `"a"`, "its own", base(func(c *Config) { c.Group = []Group{{Name: "a"}, {Name: "a"}} })},
		{"keep", "group.keep", `"1KiB"`, "credit", group(Group{Name: "a", Keep: KiB})},
		{"max_deliver", "group.max_deliver", "1024", "leave it out", group(Group{Name: "a", MaxDeliver: 1024})},
		{"dead_letter", "group.dead_letter", `"A B"`, "a-z", group(Group{Name: "a", DeadLetter: "A B"})},
		{"dead_letter to itself", "group.dead_letter", `"x"`, "another topic", group(Group{Name: "a", DeadLetter: "x"})},
		{"more groups than slots", "groups", "1", "raise it", base(func(c *Config) { c.Groups, c.Group = 1, []Group{{Name: "a"}, {Name: "b"}} })},
		{"more groups than gates", "kind", `"spsc"`, "mpmc", base(func(c *Config) { c.Kind, c.Group = SPSC, []Group{{Name: "a"}, {Name: "b"}} })},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.config.Validate()
			faults := Faults(err)
			if len(faults) != 1 || !errors.Is(err, ErrInvalid) {
				t.Fatalf("got %v, want one fault", err)
			}
			f := faults[0]
			if f.Topic != c.config.Name || f.Key != c.key || f.Value != c.value || f.Problem == "" || !strings.Contains(f.Advice, c.advice) {
				t.Errorf("got %+v, want key %s, value %s, advice %q", *f, c.key, c.value, c.advice)
			}
			for _, part := range []string{f.Key + " = " + f.Value, f.Problem, f.Advice} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not say %q", err, part)
				}
			}
		})
	}
}

func TestAllFaultsAtOnce(t *testing.T) {
	a := Config{Name: "A", Size: 3, Producers: -1, Patience: -1, Publish: []string{"x", "y"}, Group: []Group{{}}}
	b := Config{Name: "b", Credit: 1}
	err := ValidateAll([]Config{a, b, {Name: "b"}})
	var keys []string
	for _, f := range Faults(fmt.Errorf("reload: %w", err)) {
		keys = append(keys, f.Topic+"/"+f.Key)
	}
	want := []string{"A/name", "A/patience", "A/size", "A/producers", "A/publish", "A/publish", "A/group.name", "b/credit", "b/name"}
	if !slices.Equal(keys, want) {
		t.Errorf("got %q, want %q", keys, want)
	}
	if Faults(nil) != nil || Faults(errors.New("x")) != nil {
		t.Error("faults where there are none")
	}
}

func TestReloadChangesOnlyWhatIsNotFixed(t *testing.T) {
	old := Config{Name: "x"}
	free := Config{
		Name: "x", Types: TypesOf(1), Checksum: ChecksumSkip, Credit: 4 * MiB, Slow: Evict, Patience: 5e9,
		Publish: []string{"*"}, Subscribe: []string{"*"}, Blockers: []string{"*"}, Group: []Group{{Name: "g"}},
		Size: 16 * MiB, Producers: 64, // what the defaults come to
	}
	if err := CheckReload(old, free); err != nil {
		t.Errorf("what may change: %v", err)
	}
	fixed := Config{
		Name: "x", Kind: SPSC, Routing: Queue, Size: 32 * MiB, MaxFrame: 1000, MaxClaim: 1024, Sleep: SleepFence,
		Producers: 1, Consumers: 5, Groups: 6,
	}
	var keys []string
	for _, f := range Faults(CheckReload(old, fixed)) {
		keys = append(keys, f.Key)
		if !strings.Contains(f.Advice, "keep ") {
			t.Errorf("%v does not say what it was", f)
		}
	}
	want := []string{"kind", "routing", "size", "max_frame", "max_claim", "sleep", "producers", "consumers", "groups"}
	if !slices.Equal(keys, want) {
		t.Errorf("got %q, want %q", keys, want)
	}
}

// Whatever the numbers, defaults settle at once, and what Validate lets pass keeps the rules of the ring.
func TestWhatIsValidKeepsTheRingsRules(t *testing.T) {
	size := rapid.Custom(func(t *rapid.T) Size {
		return rapid.OneOf(
			rapid.Just(Size(0)),
			rapid.Map(rapid.IntRange(0, 40), func(n int) Size { return 1 << n }),
			rapid.Map(rapid.IntRange(0, 64<<20), func(n int) Size { return Size(n) }),
			rapid.Map(rapid.Int64(), func(n int64) Size { return Size(n) }),
		).Draw(t, "size")
	})
	valid := 0
	rapid.Check(t, func(t *rapid.T) {
		c := Config{
			Name: "x", Kind: Kind(rapid.IntRange(0, 5).Draw(t, "kind")), Routing: Routing(rapid.IntRange(0, 2).Draw(t, "routing")),
			Size: size.Draw(t, "size"), MaxFrame: size.Draw(t, "max_frame"), MaxClaim: size.Draw(t, "max_claim"), Credit: size.Draw(t, "credit"),
			Producers: rapid.IntRange(-1, 1100).Draw(t, "producers"), Consumers: rapid.IntRange(-1, 1100).Draw(t, "consumers"),
		}
		if rapid.Bool().Draw(t, "plain") {
			c.MaxFrame, c.MaxClaim, c.Credit, c.Producers = 0, 0, 0, 0
		}
		d := c.WithDefaults()
		if again := d.WithDefaults(); !same(again, d) {
			t.Fatalf("defaults on top of defaults:\n%+v, want\n%+v", again, d)
		}
		if c.Validate() != nil {
			if len(Faults(c.Validate())) == 0 {
				t.Fatalf("an error without a fault: %v", c.Validate())
			}
			return
		}
		valid++
		s, f := d.Size/8, (d.MaxFrame+16+15)/16*16
		switch {
		case d.Size < 64*KiB || d.Size&(d.Size-1) != 0,
			d.MaxFrame < 1 || f > s/4,
			d.MaxClaim < f || d.MaxClaim > s/2 || d.MaxClaim%16 != 0,
			d.Credit < 2*d.MaxClaim || d.Credit > d.Size || d.Credit%16 != 0,
			d.Producers < 1 || d.Producers > 1024 || d.Kind.SingleProducer() && d.Producers != 1,
			d.Consumers < 1 || d.Consumers > 1023:
			t.Fatalf("valid, but breaks a rule of the ring: %+v", d)
		case d.Routing == Queue && (len(d.Group) != 1 || d.Group[0].Keep != d.Credit):
			t.Fatalf("a queue without its group: %+v", d)
		}
	})
	if valid == 0 {
		t.Error("no drawn configuration was valid: the test tests nothing")
	}
}
