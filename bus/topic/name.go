package topic

import "strings"

// The longest names, in bytes.
const (
	MaxName      = 64 // of a topic
	MaxGroupName = 32 // of a group: what a topic's files have room for
)

// CheckName returns a [*Fault] unless s can be the name of a topic or of a group: 1 to 64 of the characters a-z, 0-9,
// "_", "-" and ".", not beginning with ".". A topic's name is that of its directory, hence no "/", and nothing hidden.
func CheckName(s string) error {
	if problem := nameProblem(s); problem != "" {
		return &Fault{Key: "name", Value: quote(s), Problem: problem, Advice: nameAdvice}
	}
	return nil
}

// CheckGroupName is CheckName for a group, whose name has at most 32 characters.
func CheckGroupName(s string) error {
	if problem := groupNameProblem(s); problem != "" {
		return &Fault{Key: "group", Value: quote(s), Problem: problem, Advice: groupNameAdvice}
	}
	return nil
}

const groupNameAdvice = "a group's name is 1 to 32 of a-z, 0-9, _, - and ., and does not begin with ."

func groupNameProblem(s string) string {
	if problem := nameProblem(s); problem != "" || len(s) <= MaxGroupName {
		return problem
	}
	return "it is too long"
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
