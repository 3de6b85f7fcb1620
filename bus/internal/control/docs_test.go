package control

import (
	"fmt"
	"maps"
	"math/bits"
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

// TestTheDocumentHasTheNumbers holds what the page says in sentences to the constants.
func TestTheDocumentHasTheNumbers(t *testing.T) {
	b, err := os.ReadFile(docsPath)
	if err != nil {
		t.Fatal(err)
	}
	doc := strings.Join(strings.Fields(string(b)), " ")
	types := slices.Sorted(maps.Keys(known))
	var slow []string
	for s := SlowBlock; s <= SlowLossy; s++ {
		slow = append(slow, fmt.Sprintf("%d %s", s, s))
	}
	wants := []string{
		fmt.Sprintf("what the message is: %d to %d,", types[0], types[len(types)-1]),
		fmt.Sprintf("of at most %d,%03d bytes, with at most %d descriptors", MaxMessage/1000, MaxMessage%1000, MaxFDs),
		fmt.Sprintf("| domain | %d (", header(1).Domain), fmt.Sprintf("This page is version %d.", MaxProtocol),
		"0 the topic's, " + strings.Join(slow, ", "), "in force: " + strings.Join(slow, ", "),
		fmt.Sprintf("%d producer, %d consumer, %d inspect", RoleProducer, RoleConsumer, RoleInspect),
		fmt.Sprintf("%d active, %d being created, %d damaged", TopicActive, TopicCreating, TopicDamaged),
		fmt.Sprintf("%d publish, %d subscribe, %d subscribe with `block`", MayPublish, MaySubscribe, MayBlock),
		fmt.Sprintf("%d for none", uint32(NoSlot)),
	}
	features := uint64(0)
	for feature, takes := range map[uint64]string{FeatureRegister: "Register", FeatureEvict: "Evict", FeatureReload: "Reload"} {
		features |= feature
		bit := fmt.Sprintf("bit %d: it takes %s", bits.TrailingZeros64(feature), takes)
		if feature == FeatureRegister {
			bit = strings.Replace(bit, ":", ", of a broker:", 1)
		}
		wants = append(wants, bit)
	}
	if features != KnownFeatures {
		t.Errorf("features %#x are known, and the page is asked for %#x", KnownFeatures, features)
	}
	for _, want := range wants {
		if !strings.Contains(doc, want) {
			t.Errorf("the document lacks %q", want)
		}
	}
}
