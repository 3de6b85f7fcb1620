package lint

import (
	"bytes"
	"regexp"
	"strings"
)

// unwanted are words that do not belong in the project, in whatever file.
var unwanted = []struct {
	re  *regexp.Regexp
	why string
}{
	{regexp.MustCompile(`(^|[\s"'=:(,\x60])/(work|farm|home|Users|root)/\w`), "a path of somebody's machine"},
	{regexp.MustCompile(`(?i)co-authored-by|signed-off-by|@author\b|^\W*(written by|authors?):`), "the history says who, the files say what"},
	{regexp.MustCompile(`(?i)\bissues? #?[0-9]+\b`), "say what it is about: a number means nothing to who reads the project"},
	{regexp.MustCompile(`\b(TODO|FIXME|XXX)\b`), "do it, or leave it out"},
	{regexp.MustCompile(`(proxy|sum)\.golang\.org|registry\.npmjs|\bdeb\.debian`), "a registry's host: tools know theirs"},
}

// Words finds what is unwanted in all text files but the licence and the lint's own test data.
func Words(t *Tree) []Finding {
	var found []Finding
	for _, f := range t.Files {
		if f.Path == "LICENSE" || strings.HasPrefix(f.Path, "internal/lint/") && (inTestdata(f.Path) || f.Path == "internal/lint/words.go") {
			continue
		}
		line := 0
		for text := range bytes.Lines(f.Content) {
			line++
			text = bytes.ReplaceAll(text, []byte("context.TODO"), nil) // a function's name
			for _, u := range unwanted {
				if hit := u.re.Find(text); hit != nil {
					found = append(found, Finding{f.Path, line, "\"" + strings.TrimSpace(string(hit)) + "\": " + u.why})
				}
			}
		}
	}
	return found
}
