package cli

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
)

// plainArgs says in words what is wrong with the number of a command's arguments, and in the hint how it is called.
func plainArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	if check == nil {
		return nil
	}
	return func(c *cobra.Command, args []string) error {
		err := check(c, args)
		if err == nil {
			return nil
		}
		hint := func(err error) error {
			return WithHint(err, "usage: %s; `%s --help` says more", c.UseLine(), c.CommandPath())
		}
		for n := range args {
			if check(c, args[:n]) == nil {
				return hint(fmt.Errorf("unexpected argument %q", args[n]))
			}
		}
		if len(args) == 0 {
			return hint(fmt.Errorf("an argument is missing"))
		}
		return hint(err)
	}
}

var flagGroup = regexp.MustCompile(`^if any flags in the group .* none of the others can be; \[(.*)\] were all set$`)

// plainFlagGroup says in words that flags exclude each other.
func plainFlagGroup(err error) error {
	m := flagGroup.FindStringSubmatch(err.Error())
	if m == nil {
		return err
	}
	return fmt.Errorf("--%s exclude each other", strings.ReplaceAll(m[1], " ", " and --"))
}
