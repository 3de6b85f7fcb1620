package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// PrintJSON writes v as one indented JSON document with a newline at its end.
func PrintJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// PrintJSONLine writes v as one JSON object on a line of its own, as streams do. It is one Write, so that a reader of a
// pipe sees whole lines.
func PrintJSONLine(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// Note tells on cmd's stderr what is neither a result nor an error.
func Note(cmd *cobra.Command, format string, args ...any) { remark(cmd, "note:", format, args) }

// Warn tells on cmd's stderr what is no error of this program, and yet wants a look.
func Warn(cmd *cobra.Command, format string, args ...any) { remark(cmd, "warning:", format, args) }

func remark(cmd *cobra.Command, what, format string, args []any) {
	w := cmd.ErrOrStderr()
	fmt.Fprintf(w, "%s: %s %s\n", cmd.Root().Name(), Styled(w).Yellow(what), fmt.Sprintf(format, args...))
}

// Style writes words in colour where that is wanted; elsewhere it returns them as they are.
type Style struct{ on bool }

// Styled returns the style for text that goes to w: colours if w is a terminal and NO_COLOR is not set (or empty, see
// https://no-color.org) and TERM is not "dumb".
func Styled(w io.Writer) Style {
	return Style{on: IsTerminal(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}

// Bold returns s in bold.
func (s Style) Bold(text string) string { return s.wrap("1", text) }

// Red returns s in red: for what failed.
func (s Style) Red(text string) string { return s.wrap("31", text) }

// Green returns s in green: for what is well.
func (s Style) Green(text string) string { return s.wrap("32", text) }

// Yellow returns s in yellow: for what wants a look.
func (s Style) Yellow(text string) string { return s.wrap("33", text) }

func (s Style) wrap(code, text string) string {
	if !s.on {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// IsTerminal tells whether w is a terminal (termios(3): only those have attributes to get).
func IsTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
