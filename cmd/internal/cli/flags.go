package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const systemSocket = "/run/myc/broker.sock"

// SocketFlag gives cmd and its subcommands the flag --socket and returns where its value will stand once the flags are
// parsed: the path given, else what [DefaultSocket] says.
func SocketFlag(cmd *cobra.Command) *string {
	path := DefaultSocket()
	cmd.PersistentFlags().StringVar(&path, "socket", path,
		"the broker's socket `PATH`; default $MYC_SOCKET, else "+systemSocket+", else $XDG_RUNTIME_DIR/myc/broker.sock")
	cmd.PersistentFlags().Lookup("socket").DefValue = "" // the sentence above is the default; the help is the same everywhere
	return &path
}

// DefaultSocket returns the socket that a program uses if none is named: $MYC_SOCKET; else /run/myc/broker.sock if it
// is there or the process is root's; else $XDG_RUNTIME_DIR/myc/broker.sock (for XDG_RUNTIME_DIR, where it is not set,
// /run/user/UID stands in, as the XDG Base Directory Specification has it on systemd machines).
func DefaultSocket() string {
	_, err := os.Stat(systemSocket)
	return defaultSocket(os.Getenv, err == nil, os.Getuid())
}

func defaultSocket(getenv func(string) string, systemExists bool, uid int) string {
	if path := getenv("MYC_SOCKET"); path != "" {
		return path
	}
	if systemExists || uid == 0 {
		return systemSocket
	}
	runtimeDir := getenv("XDG_RUNTIME_DIR")
	if runtimeDir == "" {
		runtimeDir = filepath.Join("/run/user", strconv.Itoa(uid))
	}
	return filepath.Join(runtimeDir, "myc", "broker.sock")
}

// Choice is a flag's value that must be one of a few words. The first one is the default.
type Choice struct {
	value   string
	allowed []string
}

var _ pflag.Value = (*Choice)(nil)

// ChoiceFlag gives cmd the flag --name (and -short, if that is not empty) with the given words.
// It completes them in shells, and a word that is none of them is wrong usage.
func ChoiceFlag(cmd *cobra.Command, flags *pflag.FlagSet, name, short, usage string, allowed ...string) *Choice {
	c := &Choice{value: allowed[0], allowed: allowed}
	flags.VarP(c, name, short, usage)
	CompleteFlag(cmd, name, allowed...)
	return c
}

// CompleteFlag makes shells offer words as the value of cmd's flag --name, which may take others too.
func CompleteFlag(cmd *cobra.Command, name string, words ...string) {
	err := cmd.RegisterFlagCompletionFunc(name, func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return words, cobra.ShellCompDirectiveNoFileComp
	})
	if err != nil {
		panic(fmt.Sprintf("cli: flag --%s of %s: %v", name, cmd.Name(), err)) // no such flag, or twice: our own mistake
	}
}

// String returns the word.
func (c *Choice) String() string { return c.value }

// Type returns the words as the help shows them.
func (c *Choice) Type() string { return strings.Join(c.allowed, "|") }

// Set takes word if it is one of those allowed.
func (c *Choice) Set(word string) error {
	if !slices.Contains(c.allowed, word) {
		return &notAChoice{c.allowed}
	}
	c.value = word
	return nil
}

// OutputFlag gives cmd alone the flag -o (--output). Formats default to text and json; a command with more of them
// names all, the default first.
func OutputFlag(cmd *cobra.Command, formats ...string) *Choice {
	if len(formats) == 0 {
		formats = []string{"text", "json"}
	}
	return ChoiceFlag(cmd, cmd.Flags(), "output", "o", "how results are printed", formats...)
}
