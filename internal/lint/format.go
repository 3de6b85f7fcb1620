package lint

import (
	"bytes"
	"go/format"
)

// Format finds Go files that gofmt would change.
func Format(t *Tree) []Finding {
	var found []Finding
	for _, f := range t.goFiles() {
		formatted, err := format.Source(f.Content)
		if err != nil {
			found = append(found, Finding{f.Path, 0, err.Error()})
		} else if !bytes.Equal(formatted, f.Content) {
			found = append(found, Finding{f.Path, firstDifference(f.Content, formatted), "gofmt would change it from here on"})
		}
	}
	return found
}

// firstDifference returns the number of the first line of a that b does not share.
func firstDifference(a, b []byte) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return 1 + bytes.Count(a[:n], []byte("\n"))
}
