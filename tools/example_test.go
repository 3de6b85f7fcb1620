package tools_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/bus/topic"
	"github.com/mycelium-bus/mycelium/tools"
)

// A topic is looked at by its files; who uses it does not notice.
func Example() {
	dir, err := os.MkdirTemp("", "example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	c, err := bus.OpenDir(dir, bus.Options{Name: "feed"})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	ctx := context.Background()
	if err := c.CreateTopic(ctx, topic.Config{Name: "quotes", Size: topic.MinSize}); err != nil {
		log.Fatal(err)
	}
	pub, err := c.Publisher("quotes")
	if err != nil {
		log.Fatal(err)
	}
	defer pub.Close()
	for _, quote := range []string{"ETH 2250.17", "ETH 2250.20"} {
		if err := pub.Publish([]byte(quote)); err != nil {
			log.Fatal(err)
		}
	}

	target, err := tools.Open(dir, "quotes") // or filepath.Join(dir, "quotes"), or a copy of that
	if err != nil {
		log.Fatal(err)
	}
	defer target.Close()
	var out strings.Builder
	n, err := tools.Dump(ctx, target.Ring, &out, tools.DumpOptions{Format: tools.Hex})
	fmt.Println(n, err, strings.Contains(out.String(), "|ETH 2250.20"))
	report, err := tools.Verify(ctx, target, tools.VerifyOptions{})
	fmt.Println(report.OK, report.Frames, report.PayloadBytes, err)
	fmt.Println(filepath.Base(target.Path), tools.Topics(dir))
	// Output:
	// 2 <nil> true
	// true 2 22 <nil>
	// quotes [quotes]
}
