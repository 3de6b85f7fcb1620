package lint

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/diff"
	"github.com/rogpeppe/go-internal/txtar"
)

var rules = []struct {
	name string
	rule Rule
}{
	{"imports", Imports},
	{"unsafe", Unsafe},
	{"order", Ordering},
	{"words", Words},
	{"format", Format},
	{"docs", Docs},
}

// TestProject holds the rules for the project itself.
func TestProject(t *testing.T) {
	tree, err := Load("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			for _, f := range r.rule(tree) {
				t.Error(f)
			}
		})
	}
}

// TestRules shows that each rule finds what it is there for, and nothing else, in the tree of testdata/RULE.txtar.
func TestRules(t *testing.T) {
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			tree, want := unpack(t, filepath.Join("testdata", r.name+".txtar"))
			found := r.rule(tree)
			slices.SortStableFunc(found, func(a, b Finding) int {
				return cmp.Or(strings.Compare(a.File, b.File), a.Line-b.Line, strings.Compare(a.Message, b.Message))
			})
			var got strings.Builder
			for _, f := range found {
				fmt.Fprintln(&got, f)
			}
			if got.String() != want {
				t.Errorf("%s", diff.Diff("want", []byte(want), "got", []byte(got.String())))
			}
		})
	}
}

// unpack writes an archive into a folder of the test's own and loads it; the file "want" is what must be found there.
func unpack(t *testing.T, archive string) (tree *Tree, want string) {
	t.Helper()
	a, err := txtar.ParseFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	for _, f := range a.Files {
		if f.Name == "want" {
			want = string(f.Data)
			continue
		}
		file := filepath.Join(root, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	tree, err = Load(root)
	if err != nil {
		t.Fatal(err)
	}
	return tree, want
}

func TestOrderingNeedsARing(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "go.mod"), []byte("module example.org/bus\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	tree, err := Load(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(Ordering(tree)) == 0 {
		t.Error("a tree without a ring passed")
	}
}

// TestReasons wants a reason for each outside package.
func TestReasons(t *testing.T) {
	for _, o := range outside {
		if len(strings.Fields(o.reason)) < 2 {
			t.Errorf("%s has no reason", o.path)
		}
	}
}
