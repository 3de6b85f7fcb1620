package lint

import (
	"path"
	"slices"
	"strings"
)

// unsafeHome is the one folder that may step outside of Go's types.
const unsafeHome = "shmring/internal/shm"

// Unsafe finds package unsafe, assembly and linkname outside of [unsafeHome].
func Unsafe(t *Tree) []Finding {
	var found []Finding
	for _, f := range t.Files {
		if f.Dir() == unsafeHome || f.Foreign || inTestdata(f.Path) {
			continue
		}
		if slices.Contains([]string{".s", ".S", ".c", ".h", ".syso"}, path.Ext(f.Path)) {
			found = append(found, Finding{f.Path, 0, "assembly and C belong in " + unsafeHome + " or nowhere"})
		}
		if f.AST == nil {
			continue
		}
		for _, spec := range f.AST.Imports {
			if spec.Path.Value == `"unsafe"` {
				found = append(found, t.at(f, spec.Pos(), "unsafe belongs in %s", unsafeHome))
			}
		}
		for _, group := range f.AST.Comments {
			for _, c := range group.List {
				if strings.HasPrefix(c.Text, "//go:linkname") {
					found = append(found, t.at(f, c.Pos(), "linkname belongs in %s", unsafeHome))
				}
			}
		}
	}
	return found
}
