package lint

import (
	"bytes"
	"fmt"
	"go/ast"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Docs finds what the project's pages say of its source that is not so: in text between backquotes a file, a declaration
// in a file (`codec/message.go:Message.TLVs`), a test (`TestStress`) or a target (`make race`) that is not there, and links to
// files and headings that are not there. CHANGELOG.md tells the past and is left out.
func Docs(t *Tree) []Finding {
	known := t.named()
	var found []Finding
	for _, f := range t.Files {
		if !strings.HasSuffix(f.Path, ".md") || f.Path == "CHANGELOG.md" || f.Foreign || inTestdata(f.Path) {
			continue
		}
		line, code := 0, false
		for text := range bytes.Lines(f.Content) {
			line++
			if bytes.HasPrefix(text, []byte("```")) {
				code = !code
			}
			if code {
				continue
			}
			for _, m := range quoted.FindAllSubmatch(text, -1) {
				if why := known.refuse(string(m[1])); why != "" {
					found = append(found, Finding{f.Path, line, why})
				}
			}
			for _, m := range link.FindAllSubmatch(quoted.ReplaceAll(text, nil), -1) {
				if why := t.refuseLink(f, string(m[1])); why != "" {
					found = append(found, Finding{f.Path, line, why})
				}
			}
		}
	}
	return found
}

var (
	quoted     = regexp.MustCompile("`([^`]+)`")
	link       = regexp.MustCompile(`\]\(([^()\s]+)\)`)
	goFile     = regexp.MustCompile(`^([\w./-]+\.go)(?::(\w+(?:\.\w+)?))?$`)
	testName   = regexp.MustCompile(`^(?:Test|Fuzz|Benchmark|Example)\w+$`)
	makeTarget = regexp.MustCompile(`^make ([a-z][a-z0-9-]*)\b`)
	isTarget   = regexp.MustCompile(`(?m)^([a-z][a-z0-9-]*):`)
	heading    = regexp.MustCompile(`(?m)^#+ +(.*?) *$`)
	notInSlug  = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// names are what pages may refer to.
type names struct {
	files        map[string]bool            // by path, and by the last part of it
	declarations map[string]map[string]bool // by path: Name, and Type.Method
	tests        map[string]bool
	targets      map[string]bool
}

// named gathers the names of the tree.
func (t *Tree) named() names {
	n := names{map[string]bool{}, map[string]map[string]bool{}, map[string]bool{}, map[string]bool{}}
	for _, f := range t.Files {
		if f.Path == "Makefile" {
			for _, m := range isTarget.FindAllSubmatch(f.Content, -1) {
				n.targets[string(m[1])] = true
			}
		}
		if f.AST == nil {
			continue
		}
		n.files[f.Path], n.files[path.Base(f.Path)] = true, true
		declared := declarations(f.AST)
		n.declarations[f.Path] = declared
		for name := range declared {
			if f.IsTest() && testName.MatchString(name) {
				n.tests[name] = true
			}
		}
	}
	return n
}

// declarations returns what a file declares at its top, methods as Type.Method.
func declarations(file *ast.File) map[string]bool {
	all := map[string]bool{}
	for _, d := range file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			name := d.Name.Name
			if d.Recv != nil {
				name = receiver(d.Recv.List[0].Type) + "." + name
			}
			all[name] = true
		case *ast.GenDecl:
			for _, s := range d.Specs {
				switch s := s.(type) {
				case *ast.TypeSpec:
					all[s.Name.Name] = true
				case *ast.ValueSpec:
					for _, name := range s.Names {
						all[name.Name] = true
					}
				}
			}
		}
	}
	return all
}

func receiver(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return receiver(e.X)
	case *ast.IndexExpr:
		return receiver(e.X)
	case *ast.Ident:
		return e.Name
	}
	return ""
}

// refuse says what is wrong with a text between backquotes, or "".
func (n names) refuse(text string) string {
	if m := goFile.FindStringSubmatch(text); m != nil {
		switch {
		case !n.files[m[1]]:
			return fmt.Sprintf("there is no file %s", m[1])
		case m[2] != "" && !n.declarations[m[1]][m[2]]:
			return fmt.Sprintf("%s declares no %s", m[1], m[2])
		}
	}
	if testName.MatchString(text) && !n.tests[text] {
		return fmt.Sprintf("there is no test %s", text)
	}
	if m := makeTarget.FindStringSubmatch(text); m != nil && !n.targets[m[1]] {
		return fmt.Sprintf("the Makefile has no target %s", m[1])
	}
	return ""
}

// refuseLink says what is wrong with a link of a page, or "". Links to elsewhere are not followed.
func (t *Tree) refuseLink(f *File, to string) string {
	if strings.Contains(to, "://") {
		return ""
	}
	file, anchor, _ := strings.Cut(to, "#")
	target := f.Path
	if file != "" {
		target = path.Join(f.Dir(), file)
	}
	for _, other := range t.Files {
		if strings.HasPrefix(other.Path, target+"/") {
			return "" // a folder
		}
		if other.Path != target {
			continue
		}
		if anchor != "" && !slices.Contains(slugs(other.Content), anchor) {
			return fmt.Sprintf("%s has no heading #%s", target, anchor)
		}
		return ""
	}
	return fmt.Sprintf("the link leads to %s, which is not there", target)
}

// slugs returns the anchors of a page's headings, as common viewers make them.
func slugs(page []byte) []string {
	var all []string
	for _, m := range heading.FindAllSubmatch(page, -1) {
		s := notInSlug.ReplaceAllString(strings.ToLower(string(m[1])), "")
		all = append(all, strings.ReplaceAll(s, " ", "-"))
	}
	return all
}
