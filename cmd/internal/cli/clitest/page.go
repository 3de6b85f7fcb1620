package clitest

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/mycelium-bus/mycelium/internal/golden"
)

// page is the reference of all programs, seen from a program's folder. Its tables are made from the programs themselves.
const page = "../../docs/reference/commands.md"

// commandTable is a program's commands as the page has them: how each is called, what it does, and its flags.
func commandTable(root *cobra.Command) []string {
	rows := []string{"| command | does | flags |", "|---|---|---|"}
	var look func(c *cobra.Command)
	look = func(c *cobra.Command) {
		if c.Hidden || c.Name() == "help" || c.Name() == "completion" {
			return
		}
		flags := flagNames(c.LocalNonPersistentFlags())
		if c == root {
			flags = flagNames(c.LocalFlags())
		}
		if !c.HasSubCommands() || len(flags) > 0 {
			call, _, _ := strings.Cut(c.UseLine(), " [flags]")
			does := c.Short
			if c == root && c.HasSubCommands() {
				call, does = call+" ...", "Flags of all its commands"
			}
			rows = append(rows, fmt.Sprintf("| %s | %s | %s |", code(call), does, strings.Join(flags, ", ")))
		}
		for _, sub := range c.Commands() {
			look(sub)
		}
	}
	look(root)
	return rows
}

func flagNames(flags *pflag.FlagSet) (names []string) {
	flags.VisitAll(func(f *pflag.Flag) {
		value, _ := pflag.UnquoteUsage(f)
		switch name := "--" + f.Name; {
		case f.Hidden || f.Name == "help" || f.Name == "version":
		case f.Shorthand != "":
			names = append(names, code(strings.TrimSpace("-"+f.Shorthand+" "+value)))
		default:
			names = append(names, code(strings.TrimSpace(name+" "+value)))
		}
	})
	slices.Sort(names)
	return names
}

func code(text string) string { return "`" + strings.ReplaceAll(text, "|", `\|`) + "`" }

// JSON holds the page to what a program prints with -o json: views has a value of the type of each command's document, by the command.
func JSON(t *testing.T, program string, views map[string]any) {
	t.Helper()
	rows := []string{"| command | keys |", "|---|---|"}
	for _, command := range slices.Sorted(maps.Keys(views)) {
		rows = append(rows, fmt.Sprintf("| %s | %s |", code(command), strings.Join(keysOf(reflect.TypeOf(views[command]), ""), ", ")))
	}
	holdPage(t, "### JSON of "+program, rows)
}

// keysOf lists the keys of a JSON document: a list's elements stand behind [], the parts of an object behind a dot.
func keysOf(t reflect.Type, path string) (keys []string) {
	switch t.Kind() {
	case reflect.Pointer:
		return keysOf(t.Elem(), path)
	case reflect.Slice, reflect.Array:
		return keysOf(t.Elem(), path+"[]")
	case reflect.Struct:
	default:
		return []string{code(path)}
	}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		at := strings.TrimPrefix(path+"."+name, ".")
		switch {
		case name == "" && f.Anonymous: // exported or not, what it has counts
			keys = append(keys, keysOf(f.Type, path)...)
		case name == "-" || !f.IsExported():
		case isText(f.Type):
			keys = append(keys, code(at))
		default:
			keys = append(keys, keysOf(f.Type, at)...)
		}
	}
	return keys
}

// isText reports whether a type says itself how it is written.
func isText(t reflect.Type) bool {
	type marshaler interface{ MarshalText() ([]byte, error) }
	type jsonMarshaler interface{ MarshalJSON() ([]byte, error) }
	return t.Implements(reflect.TypeFor[marshaler]()) || t.Implements(reflect.TypeFor[jsonMarshaler]())
}

var tableRows = regexp.MustCompile(`(?m)^(\|.*\n)+`)

// holdPage compares the first table below a heading of the page with rows; under -update it writes it there.
func holdPage(t *testing.T, heading string, rows []string) {
	t.Helper()
	f, err := os.OpenFile(page, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	// The tests of several programs may write at once.
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, after, found := strings.Cut(string(text), "\n"+heading+"\n")
	at := tableRows.FindStringIndex(after)
	if !found || at == nil || strings.Contains(after[:at[0]], "\n#") {
		t.Fatalf("%s has no table below %q", page, heading)
	}
	want := strings.Join(rows, "\n") + "\n"
	switch {
	case after[at[0]:at[1]] == want:
	case golden.Updating():
		changed := before + "\n" + heading + "\n" + after[:at[0]] + want + after[at[1]:]
		_, err := f.WriteAt([]byte(changed), 0)
		if err := errors.Join(err, f.Truncate(int64(len(changed)))); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("the table below %q in %s is not that of the program (`make golden` writes it):\n%s\nwant\n%s", heading, page, after[at[0]:at[1]], want)
	}
}
