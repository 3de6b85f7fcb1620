package broker

import (
	"os"
	"reflect"
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
