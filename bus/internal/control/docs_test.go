package control

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

const docsPath = "../../../docs/reference/control-messages.md"

// TestTheDocumentListsEveryFieldInOrder makes the tables of docs/reference/control-messages.md from the code that encodes
// and decodes, and wants to find each in the document.
func TestTheDocumentListsEveryFieldInOrder(t *testing.T) {
	b, err := os.ReadFile(docsPath)
	if err != nil {
		t.Fatal(err)
	}
	doc := string(b)
	for _, typ := range slices.Sorted(maps.Keys(known)) {
		heading := fmt.Sprintf("### %d %s\n", typ, typ)
		_, section, ok := strings.Cut(doc, heading)
		if !ok {
			t.Errorf("no section %q", heading)
			continue
		}
		section, _, _ = strings.Cut(section, "\n### ")
		section, _, _ = strings.Cut(section, "\n## ")
		var got []string
		for line := range strings.Lines(section) {
			cells := strings.Split(line, "|")
			if len(cells) >= 4 && strings.HasPrefix(strings.TrimSpace(cells[1]), "`") {
				got = append(got, strings.Trim(cells[1], " `")+" "+strings.TrimSpace(cells[2]))
			}
		}
		var want []string
		for _, f := range Describe(typ) {
			form := f.Form
			if f.Max > 0 {
				form = fmt.Sprintf("%s ≤ %d", f.Form, f.Max)
			}
			want = append(want, f.Name+" "+form)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: the document has\n  %s\nwant\n  %s", typ, strings.Join(got, "\n  "), strings.Join(want, "\n  "))
		}
	}
	for code, name := range codeNames {
		if want := fmt.Sprintf("| %d | %s |", uint16(code), name); !strings.Contains(doc, want) {
			t.Errorf("the document lacks the error code %q", want)
		}
	}
}
