package lint

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/build"
	"go/build/constraint"
	"go/importer"
	"go/token"
	"go/types"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// ringDir is the folder whose accesses to shared words are looked at; the words' types live in [unsafeHome].
const ringDir = "shmring"

// Ordering finds accesses to shared words in the ring that do not say what order they need and from whom.
//
// An access is a call of a method of shm's Word types, or of one of its fences. It must have a comment on its line,
// directly above its line, or directly above the statement that it stands in, of the form
//
//	order: ORDER, pair [NAME] ...
//	order: none, REASON
//
// With "(these two", up to six, in it a comment above speaks for as many lines below it. Each NAME stands in the table of pairs (readPairs), and each pair of the table is cited by two comments at least: an
// order that only one side keeps is none. Test files may do as they like.
//
// What a call refers to is told by go/types, for each build tag that the folder's files know in turn.
func Ordering(t *Tree) []Finding {
	var files []*File
	var table []pair
	var found []Finding
	for _, f := range t.goFiles() {
		if f.Dir() != ringDir || f.IsTest() {
			continue
		}
		files = append(files, f)
		if path.Base(f.Path) == "doc.go" {
			table, found = readPairs(t, f)
		}
	}
	if len(files) == 0 {
		return []Finding{{ringDir, 0, "the folder holds no Go files"}}
	}
	accesses, err := t.sharedAccesses(files)
	if err != nil {
		return append(found, Finding{ringDir, 0, err.Error()})
	}
	for _, a := range accesses {
		if _, why := statement(a.comments); why != "" {
			found = append(found, t.at(a.file, a.call.Pos(), "%s: %s", a.name, why))
		}
	}
	return append(found, t.checkPairs(files, table)...)
}

// checkPairs finds names that the table lacks in the ordering comments of files, also in those at accesses of other kinds
// (a header that is read as bytes), and pairs that fewer than two comments cite.
func (t *Tree) checkPairs(files []*File, table []pair) []Finding {
	var found []Finding
	cited := map[string]int{}
	for _, f := range files {
		for _, group := range f.AST.Comments {
			names, _ := statement([]string{oneLine(group)})
			for _, name := range names {
				if !slices.ContainsFunc(table, func(p pair) bool { return p.name == name }) {
					found = append(found, t.at(f, group.Pos(), "pair [%s] is not in the table of %s/doc.go", name, ringDir))
				}
				cited[name]++
			}
		}
	}
	for _, p := range table {
		if n := cited[p.name]; n < 2 {
			found = append(found, Finding{ringDir + "/doc.go", p.line,
				fmt.Sprintf("pair [%s] is cited by %d ordering comments; both ends must cite it", p.name, n)})
		}
	}
	return found
}

// access is one call that touches a shared word.
type access struct {
	file     *File
	call     *ast.CallExpr
	name     string // as "Word.Load"
	comments []string
}

var (
	orderWord = regexp.MustCompile(`\border:\s*`)
	pairNames = regexp.MustCompile(`\bpairs?\s+((?:\[[a-z][a-z0-9-]*\][,;]?\s*(?:and\s+|or\s+)?)+)`)
	pairName  = regexp.MustCompile(`\[([a-z][a-z0-9-]*)\]`)
	these     = regexp.MustCompile(`\(these (two|three|four|five|six)\b`)
	counts    = []string{"none", "one", "two", "three", "four", "five", "six"}
	noOrder   = regexp.MustCompile(`^none\b[,:;]?\s*(\S.*)?$`)
)

// statement returns the pairs that an access's comments name, or what is wrong with them.
func statement(comments []string) (pairs []string, why string) {
	why = "no comment with `order:` at this access to a shared word"
	for _, comment := range comments {
		at := orderWord.FindStringIndex(comment)
		if at == nil {
			continue
		}
		rest := comment[at[1]:]
		if none := noOrder.FindStringSubmatch(rest); none != nil {
			if none[1] == "" {
				return nil, "`order: none` wants a reason"
			}
			why = ""
		}
		for _, list := range pairNames.FindAllString(rest, -1) {
			for _, m := range pairName.FindAllStringSubmatch(list, -1) {
				pairs, why = append(pairs, m[1]), ""
			}
		}
		if why != "" {
			why = "the comment says `order:` but neither `pair [name]` nor `none`"
		}
	}
	return pairs, why
}

// sharedAccesses finds the accesses in files of the ring.
func (t *Tree) sharedAccesses(files []*File) ([]access, error) {
	imports, err := t.exportImporter("./" + ringDir)
	if err != nil {
		return nil, err
	}
	found := map[token.Pos]access{} // by the call's parenthesis: a.b().c() are two calls that begin at one place
	unread := slices.Clone(files)
	for _, ctx := range buildContexts(files) {
		var chosen []*File
		var parsed []*ast.File
		for _, f := range files {
			match, err := ctx.MatchFile(filepath.Join(t.Root, ringDir), path.Base(f.Path))
			if err != nil {
				return nil, err
			}
			if match {
				chosen, parsed = append(chosen, f), append(parsed, f.AST)
			}
		}
		unread = slices.DeleteFunc(unread, func(f *File) bool { return slices.Contains(chosen, f) })
		info := &types.Info{Uses: map[*ast.Ident]types.Object{}}
		config := types.Config{Importer: imports, Sizes: types.SizesFor("gc", ctx.GOARCH)}
		if _, err := config.Check(t.Module+"/"+ringDir, t.fset, parsed, info); err != nil {
			return nil, fmt.Errorf("with GOARCH=%s and tags %v: %w", ctx.GOARCH, ctx.BuildTags, err)
		}
		for _, f := range chosen {
			t.accessesIn(f, info, found)
		}
	}
	if len(unread) > 0 {
		return nil, fmt.Errorf("%s is in none of the builds that were looked at", unread[0].Path)
	}
	return slices.SortedFunc(maps.Values(found), func(a, b access) int { return int(a.call.Pos() - b.call.Pos()) }), nil
}

// accessesIn adds the accesses of one file to found.
func (t *Tree) accessesIn(f *File, info *types.Info, found map[token.Pos]access) {
	var enclosing []ast.Node
	ast.Inspect(f.AST, func(n ast.Node) bool {
		if n == nil {
			enclosing = enclosing[:len(enclosing)-1]
			return true
		}
		enclosing = append(enclosing, n)
		if call, ok := n.(*ast.CallExpr); ok {
			if name := t.sharedWord(call, info); name != "" {
				found[call.Lparen] = access{f, call, name, t.commentsAt(f, call, enclosing)}
			}
		}
		return true
	})
}

// sharedWord returns what a call accesses, as "Word.Load" or "FenceLoads", or "" if it is no access to shared words.
func (t *Tree) sharedWord(call *ast.CallExpr, info *types.Info) string {
	selector, ok := ast.Unparen(call.Fun).(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	fn, ok := info.Uses[selector.Sel].(*types.Func)
	if !ok || fn.Pkg() == nil || fn.Pkg().Path() != t.Module+"/"+unsafeHome {
		return ""
	}
	receiver := fn.Signature().Recv()
	if receiver == nil {
		if strings.HasPrefix(fn.Name(), "Fence") {
			return fn.Name()
		}
		return ""
	}
	of := receiver.Type()
	if pointer, ok := of.(*types.Pointer); ok {
		of = pointer.Elem()
	}
	if named, ok := of.(*types.Named); ok && strings.HasPrefix(named.Obj().Name(), "Word") {
		return named.Obj().Name() + "." + fn.Name()
	}
	return ""
}

// commentsAt returns the comments that speak for a call: those on or directly above the line where the call begins, the
// line of the method's name (in a chain of calls that may be another), or the first line of the innermost statement.
func (t *Tree) commentsAt(f *File, call *ast.CallExpr, enclosing []ast.Node) []string {
	line := func(pos token.Pos) int { return t.fset.Position(pos).Line }
	lines := []int{line(call.Pos()), line(call.Lparen)}
	for _, n := range slices.Backward(enclosing) {
		_, isStatement := n.(ast.Stmt)
		if _, isVar := n.(*ast.ValueSpec); isVar || isStatement {
			lines = append(lines, line(n.Pos()))
			break
		}
	}
	var list []string
	for _, group := range f.AST.Comments {
		start, end := line(group.Pos()), line(group.End())
		text := oneLine(group)
		last := end
		if t.standsAlone(f, group) {
			last += linesMeant(text) // a comment after code speaks for its own line alone
		}
		if slices.ContainsFunc(lines, func(l int) bool { return start <= l && l <= last }) {
			list = append(list, text)
		}
	}
	return list
}

// oneLine returns a comment's text in one line.
func oneLine(group *ast.CommentGroup) string { return strings.Join(strings.Fields(group.Text()), " ") }

// linesMeant returns for how many of the lines below it a comment speaks: one, or as many as it says.
func linesMeant(comment string) int {
	if m := these.FindStringSubmatch(comment); m != nil {
		return slices.Index(counts, m[1])
	}
	return 1
}

// standsAlone tells whether a comment has its first line to itself.
func (t *Tree) standsAlone(f *File, group *ast.CommentGroup) bool {
	before := f.Content[:t.fset.Position(group.Pos()).Offset]
	return len(bytes.TrimSpace(before[bytes.LastIndexByte(before, '\n')+1:])) == 0
}

// buildContexts returns the builds whose files are looked at: the usual one, and one for each architecture and tag that
// the files' constraints name.
func buildContexts(files []*File) []build.Context {
	usual := build.Default
	usual.CgoEnabled = false
	contexts := []build.Context{usual}
	known := map[string]bool{}
	for _, f := range files {
		for _, tag := range tagsOf(f) {
			if known[tag] {
				continue
			}
			known[tag] = true
			ctx := usual
			if types.SizesFor("gc", tag) != nil {
				ctx.GOARCH = tag
			} else {
				ctx.BuildTags = []string{tag}
			}
			contexts = append(contexts, ctx)
		}
	}
	return contexts
}

// tagsOf returns the words of a file's build constraint and the architecture that its name may end in.
func tagsOf(f *File) []string {
	var tags []string
	base := strings.TrimSuffix(path.Base(f.Path), ".go")
	if i := strings.LastIndexByte(base, '_'); i >= 0 && types.SizesFor("gc", base[i+1:]) != nil {
		tags = append(tags, base[i+1:])
	}
	for line := range strings.Lines(string(f.Content)) {
		if !constraint.IsGoBuild(line) {
			continue
		}
		if expr, err := constraint.Parse(strings.TrimSpace(line)); err == nil {
			expr.Eval(func(tag string) bool { tags = append(tags, tag); return true })
		}
		break
	}
	return tags
}

// exportImporter returns an importer for what a package of the module imports, from the compiler's export data.
func (t *Tree) exportImporter(pattern string) (types.Importer, error) {
	cmd := exec.Command("go", "list", "-e", "-export", "-deps", "-f", "{{.ImportPath}}\t{{.Export}}", pattern)
	cmd.Dir = t.Root
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list %s: %w: %s", pattern, err, strings.TrimSpace(stderr.String()))
	}
	exports := map[string]string{}
	for line := range strings.Lines(string(out)) {
		name, file, _ := strings.Cut(strings.TrimSpace(line), "\t")
		exports[name] = file
	}
	return importer.ForCompiler(t.fset, "gc", func(name string) (io.ReadCloser, error) {
		if exports[name] == "" {
			return nil, errors.New("it does not compile, or is imported under another build tag only")
		}
		return os.Open(exports[name])
	}), nil
}
