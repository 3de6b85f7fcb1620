package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/mycelium-bus/mycelium/bus/topic"
	"github.com/mycelium-bus/mycelium/internal/script"
)

func TestMain(m *testing.M) { script.Main(m, map[string]func(){"myc-try": func() { Main(program()) }}) }

func TestTranscripts(t *testing.T) { script.Run(t, "testdata") }

// program is a small program of the project's kind; the transcripts run it.
func program() *cobra.Command {
	root := &cobra.Command{Use: "myc-try", Short: "Try what programs share"}
	socket := SocketFlag(root)

	show := &cobra.Command{
		Use:     "show NAME",
		Short:   "Show what was asked for",
		Example: "  myc-try show signals -o json",
		Args:    cobra.ExactArgs(1),
	}
	show.Flags().Uint64("count", 0, "how `MANY`")
	show.Flags().Duration("wait", 0, "how `LONG`")
	show.MarkFlagsMutuallyExclusive("count", "wait")
	var size topic.Size
	show.Flags().TextVar(&size, "size", size, "how large in `BYTES`")
	output := OutputFlag(show)
	show.RunE = func(c *cobra.Command, args []string) error {
		if output.String() == "json" {
			return PrintJSON(c.OutOrStdout(), map[string]any{"name": args[0], "socket": *socket, "html": "<&>"})
		}
		fmt.Fprintln(c.OutOrStdout(), args[0], *socket)
		return nil
	}
	fail := &cobra.Command{
		Use:   "fail",
		Short: "Fail with two faults and a hint",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return WithHint(errors.Join(errors.New("size 3 is not a power of two"), errors.New("kind \"x\" is unknown")), "see `%s`", "myc-try show")
		},
	}
	wrong := &cobra.Command{
		Use:   "wrong",
		Short: "Find wrong usage in its own code",
		RunE:  func(*cobra.Command, []string) error { return UsageError("--from %q is not a position", "x") },
	}
	group := &cobra.Command{Use: "topic", Short: "Topics"}
	group.AddCommand(&cobra.Command{Use: "list [REGEX]", Short: "List topics", Args: cobra.MaximumNArgs(1), RunE: func(c *cobra.Command, args []string) error {
		listed, err := Filter(args)
		for _, name := range []string{"execution", "signals"} {
			if err == nil && listed(name) {
				fmt.Fprintln(c.OutOrStdout(), name)
			}
		}
		return err
	}})

	// Both wait for a signal and differ in what the end means.
	waits := func(use string, end func(context.Context, error) error) *cobra.Command {
		return &cobra.Command{Use: use, Short: "Wait for a signal", RunE: func(c *cobra.Command, _ []string) error {
			fmt.Fprintln(c.OutOrStdout(), "ready")
			<-c.Context().Done()
			return end(c.Context(), fmt.Errorf("wait: %w", c.Context().Err()))
		}}
	}
	root.AddCommand(show, fail, wrong, group,
		waits("stream", Stream),
		waits("work", func(_ context.Context, err error) error { return err }),
		&cobra.Command{Use: "deaf", Short: "Go on whatever is said", RunE: func(c *cobra.Command, _ []string) error {
			fmt.Fprintln(c.OutOrStdout(), "ready")
			for {
				time.Sleep(time.Hour)
			}
		}})
	return root
}

// run executes the program in this process.
func run(ctx context.Context, args ...string) (code int, stdout, stderr string) {
	var out, errOut bytes.Buffer
	cmd := program()
	cmd.SetOut(&out)
	cmd.SetErr(&errOut)
	code = Run(ctx, cmd, args)
	return code, out.String(), errOut.String()
}

func TestACancelledContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	t.Run("is the good end of a stream", func(t *testing.T) {
		if code, out, errOut := run(ctx, "stream"); code != ExitOK || out != "ready\n" || errOut != "" {
			t.Errorf("code %d, stdout %q, stderr %q", code, out, errOut)
		}
	})
	t.Run("is a failure of work", func(t *testing.T) {
		if code, _, errOut := run(ctx, "work"); code != ExitFailed || errOut != "myc-try: error: interrupted\n" {
			t.Errorf("code %d, stderr %q", code, errOut)
		}
	})
	t.Run("does not hide another error of a stream", func(t *testing.T) {
		if err := Stream(ctx, fs.ErrClosed); err != fs.ErrClosed {
			t.Errorf("got %v", err)
		}
	})
}

func TestStreamKeepsAPeersCancellation(t *testing.T) {
	if err := Stream(t.Context(), context.Canceled); err == nil {
		t.Error("a cancellation that was not the program's own was taken for its good end")
	}
}

func TestDefaultSocket(t *testing.T) {
	for _, c := range []struct {
		name         string
		env          map[string]string
		systemExists bool
		uid          int
		want         string
	}{
		{"MYC_SOCKET comes first", map[string]string{"MYC_SOCKET": "/a", "XDG_RUNTIME_DIR": "/r"}, true, 0, "/a"},
		{"then the system's, if it is there", map[string]string{"XDG_RUNTIME_DIR": "/r"}, true, 1000, "/run/myc/broker.sock"},
		{"then the system's, for root", nil, false, 0, "/run/myc/broker.sock"},
		{"then the user's", map[string]string{"XDG_RUNTIME_DIR": "/r"}, false, 1000, "/r/myc/broker.sock"},
		{"then the user's without XDG_RUNTIME_DIR", nil, false, 1000, "/run/user/1000/myc/broker.sock"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := defaultSocket(func(key string) string { return c.env[key] }, c.systemExists, c.uid)
			if got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestSocketHint(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{syscall.ENOENT, "start one with `myc-broker`"},
		{syscall.ECONNREFUSED, "is gone"},
		{syscall.EACCES, "`group`"},
		{errors.New("other"), ""},
		{WithHint(syscall.ENOENT, "already hinted"), "already hinted"},
		{nil, ""},
	} {
		hint := Hint(SocketHint(c.err, "/s"))
		if !strings.Contains(hint, c.want) || (c.want == "") != (hint == "") {
			t.Errorf("%v: hint %q, want %q in it", c.err, hint, c.want)
		}
	}
}

func TestWaiting(t *testing.T) {
	told := make(chan bool, 1)
	defer Waiting(0, func() { told <- true })()
	<-told // or the test's watchdog ends it
	Waiting(time.Hour, func() { t.Error("told what is over") })()
}

func TestVersion(t *testing.T) {
	info := &debug.BuildInfo{GoVersion: "go1.26.0", Main: debug.Module{Version: "v1.2.3"}, Settings: []debug.BuildSetting{
		{Key: "vcs.revision", Value: "0123456789abcdef0123456789abcdef01234567"}, {Key: "vcs.modified", Value: "true"}}}
	if got := describe(info); !strings.HasPrefix(got, "v1.2.3 (revision 0123456789ab+dirty, go1.26.0 ") {
		t.Errorf("got %s", got)
	}
	release = "v2.0.0"
	defer func() { release = "" }()
	if got := describe(info); !strings.HasPrefix(got, "v2.0.0 (revision 0123456789ab+dirty, ") {
		t.Errorf("a build that was given a version says %s", got)
	}
	release = ""
	if got := describe(&debug.BuildInfo{GoVersion: "go1.26.0"}); !strings.HasPrefix(got, "(devel) (go1.26.0 ") {
		t.Errorf("got %s", got)
	}
}

func TestPrintJSONLineIsOneLine(t *testing.T) {
	var b bytes.Buffer
	for range 2 {
		if err := PrintJSONLine(&b, map[string]any{"a": 1, "b": []int{1, 2}}); err != nil {
			t.Fatal(err)
		}
	}
	lines := strings.SplitAfter(strings.TrimSuffix(b.String(), "\n"), "\n")
	if len(lines) != 2 || !json.Valid([]byte(lines[1])) {
		t.Errorf("got %q", b.String())
	}
}

func TestHumanFigures(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{Size(0), "0B"}, {Size(1023), "1023B"}, {Size(1024), "1KiB"}, {Size(1536), "1.5KiB"}, {Size(16 << 20), "16MiB"},
		{Size(1<<20 - 1), "1MiB"}, {Size(1 << 63), "8EiB"}, {Size(1<<64 - 1), "16EiB"},
		{Number(0), "0"}, {Number(999), "999"}, {Number(1000), "1,000"}, {Number(-1234567), "-1,234,567"},
		{Number(-1 << 63), "-9,223,372,036,854,775,808"},
		{Rate(0), "0/s"}, {Rate(980), "980/s"}, {Rate(61_234_567), "61.2M/s"}, {Rate(999_999), "1M/s"}, {Rate(2.5e9), "2.5G/s"},
		{Age(-time.Second), "0s"}, {Age(350 * time.Millisecond), "350ms"}, {Age(4250 * time.Millisecond), "4.2s"},
		{Age(59990 * time.Millisecond), "59.9s"}, {Age(192 * time.Second), "3m12s"}, {Age(2 * time.Hour), "2h"},
		{Age(148 * time.Hour), "6d4h"},
		{Latency(150), "150ns"}, {Latency(1290), "1.29us"}, {Latency(75_240), "75.2us"}, {Latency(7_100_000), "7.1ms"},
		{Latency(999_499), "999us"}, {Latency(999_500), "1ms"}, {Latency(1_500_000_000), "1.5s"}, {Latency(100_000), "100us"},
	} {
		if c.got != c.want {
			t.Errorf("got %s, want %s", c.got, c.want)
		}
	}
}

func TestTable(t *testing.T) {
	table := NewTable("topic", ">lag", "state")
	table.Row("market_data", 12, "ok")
	table.Row("é", Size(16<<20))
	var b bytes.Buffer
	if err := table.Print(&b); err != nil {
		t.Fatal(err)
	}
	const want = "topic          lag  state\n" +
		"market_data     12  ok\n" +
		"é            16MiB  -\n"
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
}

func TestNoColourIntoAPipe(t *testing.T) {
	if got := Styled(&bytes.Buffer{}).Red("x"); got != "x" {
		t.Errorf("got %q", got)
	}
	if got := (Style{on: true}).Red("x"); got != "\x1b[31mx\x1b[0m" {
		t.Errorf("on a terminal: got %q", got)
	}
}
