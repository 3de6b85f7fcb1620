package lint

import (
	"go/token"
	"regexp"
	"strings"
)

// pair is a line of the table of ordering pairs in the ring's doc.go: two accesses that only together order anything.
type pair struct {
	name               string
	producer, consumer string
	line               int
}

const pairsHeading = "# Ordering pairs"

var pairLine = regexp.MustCompile(`^\s*\[([a-z][a-z0-9-]*)\]\s+(.*)$`)
var columnGap = regexp.MustCompile(`\s{2,}|\t`)

// readPairs reads the table that follows the heading "# Ordering pairs" in a package comment:
//
//	[name]   what the one side does   what the other side does
//
// The columns are two spaces or more apart; a line that does not begin with a name continues the one before.
func readPairs(t *Tree, f *File) ([]pair, []Finding) {
	if f.AST.Doc == nil {
		return nil, []Finding{t.at(f, f.AST.Package, "no package comment, so no table under %q", pairsHeading)}
	}
	var table []pair
	var found []Finding
	within := false
	first := t.fset.Position(f.AST.Doc.Pos()).Line
	for i, line := range docLines(f, t.fset) {
		if strings.HasPrefix(line, "# ") {
			within = line == pairsHeading
		}
		m := pairLine.FindStringSubmatch(line)
		if !within || m == nil {
			continue
		}
		columns := columnGap.Split(strings.TrimSpace(m[2]), 2)
		if len(columns) < 2 {
			found = append(found, Finding{f.Path, first + i, "pair [" + m[1] + "] has one side only: it wants two columns, two spaces apart"})
			columns = append(columns, "")
		}
		table = append(table, pair{m[1], columns[0], columns[1], first + i})
	}
	if len(table) == 0 {
		found = append(found, Finding{f.Path, first, "no table of pairs under " + pairsHeading})
	}
	return table, found
}

// docLines returns the lines of a package comment, one for each line of the file, without the comment signs.
func docLines(f *File, fset *token.FileSet) []string {
	start, end := fset.Position(f.AST.Doc.Pos()), fset.Position(f.AST.Doc.End())
	var lines []string
	for line := range strings.Lines(string(f.Content[start.Offset:end.Offset])) {
		line = strings.TrimRight(line, " \t\r\n")
		line = strings.TrimPrefix(line, "//")
		if strings.HasPrefix(line, " ") && !strings.HasPrefix(line, "  ") {
			line = line[1:]
		}
		lines = append(lines, line)
	}
	return lines
}
