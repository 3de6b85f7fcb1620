package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// Main runs cmd with the process's arguments and exits with its code. It is all that a program's main does.
func Main(cmd *cobra.Command) {
	os.Exit(Run(interruptible(), cmd, os.Args[1:]))
}

// Run prepares cmd in the way that the package's documentation describes, executes it with args under ctx, prints its
// error and hint to the command's stderr, and returns the exit code. It blocks as long as the command does.
// cmd may be used once; its streams are the process's unless set before (cobra.Command.SetOut and the like).
func Run(ctx context.Context, cmd *cobra.Command, args []string) int {
	if args == nil {
		args = []string{} // cobra takes nil for os.Args
	}
	prepare(cmd)
	cmd.SetArgs(args)
	at, err := cmd.ExecuteContextC(ctx)
	if err == nil {
		return ExitOK
	}
	err = plainFlagGroup(err)
	code := exitCode(err)
	if code == ExitUsage && Hint(err) == "" {
		err = WithHint(err, "`%s --help` shows how it is called", at.CommandPath())
	}
	report(cmd.ErrOrStderr(), cmd.Name(), err)
	return code
}

// report prints err as the lines that users and scripts look for.
func report(w io.Writer, program string, err error) {
	style := Styled(w)
	text := err.Error()
	if errors.Is(err, context.Canceled) {
		text = "interrupted"
	}
	// Every line says whose it is and what it is: several faults found at once (errors.Join) are several error lines.
	for line := range strings.Lines(text) {
		fmt.Fprintf(w, "%s: %s %s\n", program, style.Red("error:"), strings.TrimSpace(line))
	}
	for line := range strings.Lines(Hint(err)) {
		fmt.Fprintf(w, "%s: %s %s\n", program, style.Bold("hint:"), strings.TrimSpace(line))
	}
}

// ran marks an error as one that the command's own code returned, and not cobra, whose errors are all wrong usage.
type ran struct{ err error }

func (e *ran) Error() string { return e.err.Error() }
func (e *ran) Unwrap() error { return e.err }

func exitCode(err error) int {
	if _, ok := errors.AsType[*usage](err); ok {
		return ExitUsage
	}
	if _, ok := errors.AsType[*ran](err); ok {
		return ExitFailed
	}
	return ExitUsage
}

// prepare gives the command tree the common look: version, completion, errors printed by Run alone.
func prepare(root *cobra.Command) {
	root.SilenceErrors, root.SilenceUsage = true, true
	root.Version = Version()
	root.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetFlagErrorFunc(flagError)
	if root.HasSubCommands() {
		root.AddCommand(completion(root.Name()))
	}
	walk(root, func(c *cobra.Command) {
		c.DisableAutoGenTag = true
		c.Flags().SortFlags = false
		c.Args = plainArgs(c.Args)
		c.PersistentPreRunE = marked(c.PersistentPreRunE)
		c.PreRunE = marked(c.PreRunE)
		c.RunE = marked(c.RunE)
		if c.HasSubCommands() && !c.Runnable() {
			c.Args = cobra.ArbitraryArgs
			c.RunE = chooseSubcommand
		}
	})
}

func walk(c *cobra.Command, visit func(*cobra.Command)) {
	visit(c)
	for _, sub := range c.Commands() {
		walk(sub, visit)
	}
}

func marked(run func(*cobra.Command, []string) error) func(*cobra.Command, []string) error {
	if run == nil {
		return nil
	}
	return func(c *cobra.Command, args []string) error {
		if err := refuseNegative(c); err != nil {
			return err
		}
		if err := run(c, args); err != nil {
			return &ran{err}
		}
		return nil
	}
}

// chooseSubcommand runs where a group of commands was named without one of them; cobra alone would print its help and
// report success, whatever word followed.
func chooseSubcommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		c.SetOut(c.ErrOrStderr())
		if err := c.Help(); err != nil {
			return err
		}
		return UsageError("%s needs one of its commands: %s", c.CommandPath(), strings.Join(names(c), ", "))
	}
	err := UsageError("unknown command %q for %s", args[0], c.CommandPath())
	c.SuggestionsMinimumDistance = 2
	if near := c.SuggestionsFor(args[0]); len(near) > 0 {
		return WithHint(err, "did you mean %s?", strings.Join(near, " or "))
	}
	return WithHint(err, "its commands are %s", strings.Join(names(c), ", "))
}

func names(c *cobra.Command) []string {
	var list []string
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			list = append(list, sub.Name())
		}
	}
	slices.Sort(list)
	return list
}
