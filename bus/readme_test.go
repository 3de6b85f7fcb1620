package bus_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/bus/bustest"
	"github.com/mycelium-bus/mycelium/bus/topic"
)

// TestReadme runs the code that README.md shows, which is the part of this file between the two marks, against a broker.
func TestReadme(t *testing.T) {
	b := bustest.New(t, topic.Config{Name: "quotes", Size: topic.MiB})
	t.Setenv("MYC_SOCKET", b.Socket)
	ctx := t.Context()
	check := func(err error) {
		if err != nil {
			t.Helper()
			t.Fatal(err)
		}
	}
	said := stdout(t, func() {
		// README begins.
		c, err := bus.Dial(ctx, bus.Options{Name: "hello"}) // bus.OpenDir(dir, bus.Options{}) needs no broker
		check(err)
		defer c.Close()
		sub, err := c.Subscribe("quotes") // from now on; bus.From(bus.Oldest) begins with what is there
		check(err)
		defer sub.Close()
		pub, err := c.Publisher("quotes")
		check(err)
		defer pub.Close()
		check(pub.Write(64, func(b []byte) (used int, err error) { return copy(b, "ETH 2250.17"), nil })) // b is the ring
		n, err := sub.Poll(100, func(m bus.Message) error { fmt.Printf("%s\n", m.Bytes()); return nil })  // so is m
		fmt.Println(n, err)
		// README ends.
	})
	if want := "ETH 2250.17\n1 <nil>\n"; said != want {
		t.Errorf("it printed %q, want %q", said, want)
	}
}

// TestReadmeShowsThisCode compares the two, so that what README.md shows is what runs above.
func TestReadmeShowsThisCode(t *testing.T) {
	between := func(file, begin, end string) string {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, rest, found := strings.Cut(string(b), begin)
		code, _, ended := strings.Cut(rest, end)
		if !found || !ended {
			t.Fatalf("%s has no part between %q and %q", file, begin, end)
		}
		return code
	}
	want := strings.ReplaceAll(between("readme_test.go", "// README begins.\n", "\t\t// README ends."), "\n\t\t", "\n")
	want = strings.TrimPrefix(want, "\t\t")
	if got := between("../README.md", "```go\n", "```"); got != want {
		t.Errorf("README.md shows\n%s\nwhat runs is\n%s", got, want)
	}
}

// stdout returns what f prints.
func stdout(t *testing.T, f func()) string {
	file, err := os.Create(filepath.Join(t.TempDir(), "stdout"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	defer func(old *os.File) { os.Stdout = old }(os.Stdout)
	os.Stdout = file
	f()
	b, err := os.ReadFile(file.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
