package topic

import "strings"

// MaxName is the longest name of a topic or a group, in bytes.
const MaxName = 64

// CheckName returns a [*Fault] unless s can be the name of a topic or of a group: 1 to 64 of the characters a-z, 0-9,
// "_", "-" and ".", not beginning with ".". A topic's name is that of its directory, hence no "/", and nothing hidden.
func CheckName(s string) error {
	if problem := nameProblem(s); problem != "" {
		return &Fault{Key: "name", Value: quote(s), Problem: problem, Advice: nameAdvice}
	}
	return nil
}

const nameAdvice = "a name is 1 to 64 of a-z, 0-9, _, - and ., and does not begin with ."

func nameProblem(s string) string {
	switch {
	case s == "":
		return "it is empty"
	case len(s) > MaxName:
		return "it is too long"
	case s[0] == '.':
		return "it begins with ."
	}
	for _, r := range s {
		if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789_-.", r) {
			return "it contains " + quote(string(r))
		}
	}
	return ""
}
