// Package cli answers the question "how does every program of this project look and behave?": the same flags, the
// same error and hint lines, the same exit codes, the same way to end on Ctrl-C, the same figures in text and JSON.
//
// A program is a cobra command whose RunE does the work and whose main hands it over:
//
//	func main() { cli.Main(newCommand()) }
//
// What holds for all of them:
//
//   - Results go to stdout, everything else to stderr.
//   - The exit code is 0 when it worked, 1 when it failed and 2 when it was used wrongly.
//   - An error is one line, "NAME: error: WHAT"; a line "NAME: hint: WHAT TO DO" follows where one helps ([WithHint],
//     [UsageError]).
//   - SIGINT and SIGTERM cancel the command's context. A program that runs until it is told to stop, or whose work is
//     good as far as it came, then returns nil ([Stream]); one that owes a verdict has failed. A later signal ends the
//     process at once; one within a quarter of a second is taken for the same.
//   - What is wrong with a flag's value is said with what would be right, and lists take a regular expression ([Filter]).
//   - Colour appears on a terminal only, and never with NO_COLOR ([Styled]).
//
// Read main.go first, then errors.go, flags.go, and the printers: output.go, table.go, human.go.
package cli
