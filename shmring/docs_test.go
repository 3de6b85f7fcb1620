package shmring

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRingFormatNumbers holds what the reference says in sentences to the constants.
func TestRingFormatNumbers(t *testing.T) {
	b, err := os.ReadFile("../docs/reference/ring-format.md")
	if err != nil {
		t.Fatal(err)
	}
	doc := string(b)
	number := func(n uint64) string {
		s := fmt.Sprint(n)
		for i := len(s) - 3; i > 0; i -= 3 {
			s = s[:i] + "," + s[i:]
		}
		return s
	}
	var kinds []string
	for k := slotFree; k <= slotOrphan; k++ {
		kinds = append(kinds, fmt.Sprintf("%d %s", k, k))
	}
	var policies []string
	for s := Block; s <= Lossy; s++ {
		policies = append(policies, fmt.Sprintf("%d %s", s, s))
	}
	var topicKinds []string
	for k := SPSC; k <= MPMC; k++ {
		topicKinds = append(topicKinds, fmt.Sprintf("%d %s", k, k))
	}
	wants := []string{
		"Kind: " + strings.Join(kinds, ", ") + ".",
		fmt.Sprintf("Flags: %d catching up", flagCatchingUp), fmt.Sprintf(", %d in place", flagInPlace), fmt.Sprintf(", %d retrier", flagRetrier),
		fmt.Sprintf("kind: %d free, %d starting, %d active", groupFree, groupStarting, groupActive),
		strings.Join(policies, ", "), strings.Join(topicKinds, ", "),
		fmt.Sprintf("%d active, %d closing", topicActive, topicClosing), fmt.Sprintf("%d auto, %d fence", SleepAuto, SleepFence),
		fmt.Sprintf("%d DATA, %d PAD", kindData, kindPad),
		fmt.Sprintf("| of the layout: %d |", layoutVersion), fmt.Sprintf("%d ring, %d cursors, %d control", fileRing, fileCursors, fileControl),
		fmt.Sprintf("### Producer slot\n\n%d bytes.", producerSlotSize), fmt.Sprintf("### Consumer slot\n\n%d bytes.", consumerSlotSize),
		fmt.Sprintf("### Group\n\n%d bytes.", groupSize), fmt.Sprintf("### Control entry\n\n%d bytes,", controlEntrySize),
		fmt.Sprintf("### Group entry\n\n%d bytes,", controlEntrySize), fmt.Sprintf("Entries of %d bytes.", listEntrySize),
		fmt.Sprintf("losses (%d of %d bytes),\nparked (%s of %d), errors (%d of %d), spare", lossEntries, lossEntrySize,
			number(parkedEntries), parkedEntrySize, errorEntries, errorEntrySize),
		"byte " + number(gateByte) + " by the one reader that gates", "byte " + number(groupByte) + " + *g* by who joins",
		"byte " + number(makerByte) + " by who makes groups", "byte " + number(repairByte) + " by whoever repairs",
		fmt.Sprintf("%s header, %s words, then from %s on: the configuration (%s bytes)", number(headerSize), number(tablesOff-wordsOff),
			number(tablesOff), number(configSize)),
		"a power of two from " + number(minCapacity) + " to " + number(maxCapacity),
		"slots: 1 to " + number(maxProducers), "slots: 1 to " + number(maxConsumers), fmt.Sprintf("| 1 to %d |", maxGroups),
		"parked, up to " + number(maxMaxDeliver), "name (" + fmt.Sprint(lossNameSize) + " bytes)", "group's name (" + fmt.Sprint(nameSize) + " bytes)",
	}
	for _, want := range wants {
		if !strings.Contains(doc, want) {
			t.Errorf("the document lacks %q", want)
		}
	}
}

// TestArchitectureNamesEveryWriter wants each function that stores into a shared word in the table of who may write which.
func TestArchitectureNamesEveryWriter(t *testing.T) {
	b, err := os.ReadFile("../ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(b), "## Who may write which word\n")
	table, _, _ = strings.Cut(table, "\n## ")
	private := map[string]bool{ // they write words of one process, or lines that are no topic's
		"Alarm.Ring": true, "Lines.Send": true, "Lines.Rouse": true, "hand.begin": true, "hand.end": true, "changeLenders": true,
		"Ring.Observer": true, "Ring.dispose": true,
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || !stores(f) || private[funcName(f)] {
				continue
			}
			found++
			if want := fmt.Sprintf("`shmring/%s:%s`", name, funcName(f)); !strings.Contains(table, want) {
				t.Errorf("the table does not name %s, which writes a shared word", want)
			}
		}
	}
	if found < 40 {
		t.Errorf("%d functions write shared words: this test does not find them any more", found)
	}
}

// stores reports whether a function calls a method by which words are written.
func stores(f *ast.FuncDecl) (does bool) {
	ast.Inspect(f, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			if m, ok := call.Fun.(*ast.SelectorExpr); ok {
				switch m.Sel.Name {
				case "Store", "StoreRelaxed", "StoreRelease", "CompareAndSwap", "RaiseTo":
					does = true
				case "Add": // a time's or a wait group's has another argument, or none
					inner, ok := m.X.(*ast.CallExpr)
					does = does || ok && isWord(inner)
				}
			}
		}
		return true
	})
	return does
}

// isWord reports whether a call gives a shared word.
func isWord(call *ast.CallExpr) bool {
	m, ok := call.Fun.(*ast.SelectorExpr)
	return ok && strings.HasSuffix(strings.ToLower(m.Sel.Name), "word")
}

// funcName is a function's name as the pages write it.
func funcName(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return f.Name.Name
	}
	of := f.Recv.List[0].Type
	if p, ok := of.(*ast.StarExpr); ok {
		of = p.X
	}
	return fmt.Sprint(of) + "." + f.Name.Name
}
