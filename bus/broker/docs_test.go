package broker

import (
	"encoding/json"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/mycelium-bus/mycelium/bus/topic"
)

const docsPath = "../../docs/reference/config.md"

func TestTheDocumentListsEveryKey(t *testing.T) {
	doc := string(must(os.ReadFile(docsPath)))
	for heading, table := range map[string]reflect.Type{
		"## [broker]\n": reflect.TypeFor[Config](), "## [[topic]]\n": reflect.TypeFor[topic.Config](), "## [[topic.group]]\n": reflect.TypeFor[topic.Group](),
	} {
		_, section, ok := strings.Cut(doc, heading)
		if !ok {
			t.Errorf("no section %q", heading)
			continue
		}
		section, _, _ = strings.Cut(section, "\n## ")
		var got []string
		for line := range strings.Lines(section) {
			if cells := strings.Split(line, "|"); len(cells) == 5 && strings.HasPrefix(cells[1], " `") {
				got = append(got, strings.Trim(cells[1], " `"))
			}
		}
		want := slices.DeleteFunc(keysOf(table), func(key string) bool { return key == "group" && heading == "## [[topic]]\n" })
		if !slices.Equal(got, want) {
			t.Errorf("%s the document has %q, want %q", heading, got, want)
		}
	}
}

func TestTheDocumentsExampleIsAConfiguration(t *testing.T) {
	_, rest, _ := strings.Cut(string(must(os.ReadFile(docsPath))), "```toml\n")
	example, _, ok := strings.Cut(rest, "```")
	c, err := Parse(example, "example", nil)
	if !ok || err != nil || len(c.Topics) != 2 {
		t.Errorf("%+v, %v", c, err)
	}
}

// TestTheDocumentHasTheDefaults sets each key to the default that the page gives it, where that is a value: nothing changes.
func TestTheDocumentHasTheDefaults(t *testing.T) {
	doc := string(must(os.ReadFile(docsPath)))
	value := regexp.MustCompile("^`?(\"[^\"]*\"|[0-9]+|true|false|\\[\\])`?(;|$)")
	for heading, table := range map[string]string{
		"## [broker]\n": "[broker]\n", "## [[topic]]\n": "[[topic]]\nname = \"x\"\n",
		"## [[topic.group]]\n": "[[topic]]\nname = \"x\"\n[[topic.group]]\nname = \"y\"\n",
	} {
		whole := func(toml string) Config {
			c, err := Parse(toml, "defaults", nil)
			if err != nil {
				t.Errorf("%s: %v", toml, err)
			}
			for i := range c.Topics {
				c.Topics[i] = c.Topics[i].WithDefaults()
			}
			return c
		}
		_, section, _ := strings.Cut(doc, heading)
		section, _, _ = strings.Cut(section, "\n## ")
		given := 0
		for line := range strings.Lines(section) {
			cells := strings.Split(line, "|")
			if len(cells) != 5 || !strings.HasPrefix(cells[1], " `") {
				continue
			}
			m := value.FindStringSubmatch(strings.TrimSpace(cells[2]))
			if m == nil {
				continue
			}
			given++
			with := table + strings.Trim(cells[1], " `") + " = " + m[1] + "\n"
			if got, want := describe(whole(with)), describe(whole(table)); got != want {
				t.Errorf("with\n%sit is\n%s\nwithout\n%s", with, got, want)
			}
		}
		if given < 3 {
			t.Errorf("%s has %d defaults", heading, given)
		}
	}
}

// describe writes a configuration down without pointers, and an empty list as none.
func describe(c Config) string {
	return strings.ReplaceAll(string(must(json.Marshal(struct {
		Config
		Reload, Logger, LogLevel any
	}{Config: c}))), "[]", "null")
}
