package cli

import (
	"fmt"

	"github.com/spf13/cobra"
)

var shells = []string{"bash", "zsh", "fish"}

// completion is the command that prints a shell's completion script.
func completion() *cobra.Command {
	return &cobra.Command{
		Use:   "completion bash|zsh|fish",
		Short: "Print the completion script for a shell",
		Long: `Print the completion script for a shell to stdout.

bash   source <(PROGRAM completion bash), or keep it in /etc/bash_completion.d
zsh    PROGRAM completion zsh > "${fpath[1]}/_PROGRAM"
fish   PROGRAM completion fish > ~/.config/fish/completions/PROGRAM.fish`,
		ValidArgs:             shells,
		DisableFlagsInUseLine: true,
		Args:                  cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		RunE: func(c *cobra.Command, args []string) error {
			root, out := c.Root(), c.OutOrStdout()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(out, true)
			case "zsh":
				return root.GenZshCompletion(out)
			case "fish":
				return root.GenFishCompletion(out, true)
			}
			return fmt.Errorf("no completion for shell %q", args[0])
		},
	}
}
