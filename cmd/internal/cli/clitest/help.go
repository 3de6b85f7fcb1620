package clitest

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/mycelium-bus/mycelium/cmd/internal/cli"
)

// Help fails the test for each command of a program whose help lacks examples, or whose examples show another program's, and where
// docs/reference/commands.md has other commands and flags.
func Help(t *testing.T, root *cobra.Command) {
	t.Helper()
	program := root.Name()
	var out strings.Builder
	root.SetOut(&out)
	root.SetErr(&out)
	if code := cli.Run(t.Context(), root, []string{"--help"}); code != cli.ExitOK {
		t.Fatalf("%s --help ends with %d: %s", program, code, &out)
	}
	var look func(c *cobra.Command)
	look = func(c *cobra.Command) {
		if !strings.Contains(c.Example, program) && !c.Hidden {
			t.Errorf("%s --help has no examples of %s: %q", c.CommandPath(), program, c.Example)
		}
		for _, sub := range c.Commands() {
			if sub.Name() != "help" {
				look(sub)
			}
		}
	}
	look(root)
	holdPage(t, "## "+program, commandTable(root))
}
