package lint

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Finding is one place where a rule is broken.
type Finding struct {
	File    string // relative to the tree's root
	Line    int    // 0 where the whole file is meant
	Message string
}

func (f Finding) String() string { return fmt.Sprintf("%s:%d: %s", f.File, f.Line, f.Message) }

// Rule finds where a tree breaks it.
type Rule func(*Tree) []Finding

// Tree is a module's source.
type Tree struct {
	Root   string // absolute
	Module string // the module's path
	Files  []*File
	fset   *token.FileSet
}

// File is one text file of the tree.
type File struct {
	Path    string // relative to the root, with slashes
	Content []byte
	AST     *ast.File // of Go files of this module outside testdata; nil for the rest
	Foreign bool      // in a module of its own below the root
}

// Dir returns the file's folder relative to the root.
func (f *File) Dir() string { return path.Dir(f.Path) }

// IsTest tells whether the file is compiled for tests only.
func (f *File) IsTest() bool { return strings.HasSuffix(f.Path, "_test.go") }

var moduleLine = regexp.MustCompile(`(?m)^module\s+(\S+)`)

// Load reads the tree whose go.mod is in root: all text files, except those in .git and bin. Go files are parsed; one
// that cannot be is an error.
func Load(root string) (*Tree, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		return nil, err
	}
	name := moduleLine.FindSubmatch(mod)
	if name == nil {
		return nil, fmt.Errorf("%s/go.mod names no module", root)
	}
	t := &Tree{Root: root, Module: string(name[1]), fset: token.NewFileSet()}
	var foreign []string
	err = filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			if rel == ".git" || rel == "bin" {
				return filepath.SkipDir
			}
			if _, err := os.Stat(filepath.Join(file, "go.mod")); err == nil && rel != "." {
				foreign = append(foreign, rel+"/")
			}
			return nil
		}
		if rel == ".git" { // a file in a linked work tree
			return nil
		}
		if !d.Type().IsRegular() {
			return nil
		}
		isForeign := slices.ContainsFunc(foreign, func(dir string) bool { return strings.HasPrefix(rel, dir) })
		return t.add(rel, isForeign)
	})
	return t, err
}

func (t *Tree) add(rel string, foreign bool) error {
	content, err := os.ReadFile(filepath.Join(t.Root, filepath.FromSlash(rel)))
	if err != nil {
		return err
	}
	if bytes.IndexByte(content, 0) >= 0 {
		return nil // not text
	}
	f := &File{Path: rel, Content: content, Foreign: foreign}
	t.Files = append(t.Files, f)
	if !foreign && strings.HasSuffix(rel, ".go") && !inTestdata(rel) {
		f.AST, err = parser.ParseFile(t.fset, rel, content, parser.ParseComments|parser.SkipObjectResolution)
	}
	return err
}

func inTestdata(rel string) bool { return slices.Contains(strings.Split(rel, "/"), "testdata") }

// goFiles returns the module's Go files outside testdata.
func (t *Tree) goFiles() []*File {
	var list []*File
	for _, f := range t.Files {
		if f.AST != nil {
			list = append(list, f)
		}
	}
	return list
}

func (t *Tree) at(f *File, pos token.Pos, format string, args ...any) Finding {
	return Finding{f.Path, t.fset.Position(pos).Line, fmt.Sprintf(format, args...)}
}
