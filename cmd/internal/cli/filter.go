package cli

import (
	"regexp"
	"strings"
)

// Filter returns what tells whether a name is listed: one in which the regular expression, the only argument, is found;
// without an argument, every name. An expression that makes no sense is wrong usage.
func Filter(args []string) (func(name string) bool, error) {
	if len(args) == 0 {
		return func(string) bool { return true }, nil
	}
	re, err := regexp.Compile(args[0])
	if err != nil {
		return nil, WithHint(UsageError("%q is no regular expression: %s", args[0], strings.TrimPrefix(err.Error(), "error parsing regexp: ")),
			"plain text is found anywhere in a name; quote what the shell may change, and put \\ before a special character that is meant itself")
	}
	return re.MatchString, nil
}
