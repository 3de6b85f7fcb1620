package cli

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Table prints rows in aligned columns, for people; programs that read results ask for JSON.
type Table struct {
	header []string
	right  []bool
	rows   [][]string
}

// NewTable returns a table with the given column titles. A title that begins with '>' makes a column of figures, which
// is aligned to the right (the sign is not printed).
func NewTable(titles ...string) *Table {
	t := &Table{right: make([]bool, len(titles))}
	for i, title := range titles {
		title, t.right[i] = strings.CutPrefix(title, ">")
		t.header = append(t.header, title)
	}
	return t
}

// Row adds a row; each cell is printed as fmt.Sprint does. Missing cells are empty, an empty cell is printed as "-".
// It panics if there are more cells than columns.
func (t *Table) Row(cells ...any) {
	if len(cells) > len(t.header) {
		panic(fmt.Sprintf("cli: a row of %d cells in a table of %d columns", len(cells), len(t.header)))
	}
	row := make([]string, len(t.header))
	for i := range row {
		if i < len(cells) {
			row[i] = fmt.Sprint(cells[i])
		}
		if row[i] == "" {
			row[i] = "-"
		}
	}
	t.rows = append(t.rows, row)
}

// PrintOr is Print that says none instead where the table has no rows: a title alone is no answer.
func (t *Table) PrintOr(w io.Writer, none string) error {
	if len(t.rows) == 0 {
		_, err := fmt.Fprintln(w, none)
		return err
	}
	return t.Print(w)
}

// Print writes the table to w in one Write, two spaces between columns and none at the end of a line.
func (t *Table) Print(w io.Writer) error {
	width := make([]int, len(t.header))
	for _, row := range append([][]string{t.header}, t.rows...) {
		for i, cell := range row {
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for _, row := range append([][]string{t.header}, t.rows...) {
		var line strings.Builder
		for i, cell := range row {
			if i > 0 {
				line.WriteString("  ")
			}
			gap := strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell))
			if t.right[i] {
				line.WriteString(gap + cell)
			} else {
				line.WriteString(cell + gap)
			}
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}
