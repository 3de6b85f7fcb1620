package cli

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/mycelium-bus/mycelium/bus/topic"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// notAChoice is a word that is none of those that a [Choice] allows.
type notAChoice struct{ allowed []string }

func (e *notAChoice) Error() string { return "is none of its values" }

// flagError says in the user's words what is wrong with a flag's value, and in the hint what would be right.
func flagError(_ *cobra.Command, err error) error {
	invalid, ok := errors.AsType[*pflag.InvalidValueError](err)
	if !ok {
		return err
	}
	name, value, cause := "--"+invalid.GetFlag().Name, invalid.GetValue(), errors.Unwrap(invalid)
	choice, isChoice := errors.AsType[*notAChoice](cause)
	number, isNumber := errors.AsType[*strconv.NumError](cause)
	switch {
	case isChoice:
		return WithHint(fmt.Errorf("%s %q %w", name, value, cause), "%s is one of %s", name, strings.Join(choice.allowed, ", "))
	case errors.Is(cause, topic.ErrInvalid):
		problem, advice, _ := strings.Cut(strings.TrimPrefix(cause.Error(), topic.ErrInvalid.Error()+": "), "; ")
		return WithHint(fmt.Errorf("%s: %s", name, problem), "%s: %s", name, advice)
	case isNumber && errors.Is(number, strconv.ErrRange):
		return WithHint(fmt.Errorf("%s %q is too large or too small", name, value), "%s", takes(name, invalid.GetFlag()))
	}
	if hint := takes(name, invalid.GetFlag()); hint != "" { // what the parser says names Go's functions
		return WithHint(fmt.Errorf("%s %q cannot be read", name, value), "%s", hint)
	}
	return fmt.Errorf("%s %q: %w", name, value, cause)
}

// refuseNegative refuses times that nothing can last, whose flags would take them.
func refuseNegative(c *cobra.Command) (err error) {
	c.Flags().Visit(func(f *pflag.Flag) {
		if value := f.Value.String(); f.Value.Type() == "duration" && strings.HasPrefix(value, "-") {
			err = WithHint(UsageError("--%s %q is negative", f.Name, value), "%s", takes("--"+f.Name, f))
		}
	})
	return err
}

// takes says what a flag of one of the plain types takes; "" for the others.
func takes(name string, f *pflag.Flag) string {
	switch f.Value.Type() {
	case "int":
		return name + " takes a whole number, like 10"
	case "uint64":
		return name + " takes a whole number of 0 or more, like 10"
	case "duration":
		return name + " takes a time with its unit, like 250ms, 2s or 1m"
	case "bool":
		return name + " is given without a value, or with =true or =false"
	}
	return ""
}
