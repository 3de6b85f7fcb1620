package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"strings"
	"testing"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/cmd/internal/cli/clitest"
)

// crossMain subscribes to one topic of the bus in a directory and does not read it, and publishes to another whenever there is room,
// until SIGINT: `cross DIR NAME FROM TO`.
func crossMain() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	c, err := bus.OpenDir(os.Args[1], bus.Options{Name: os.Args[2]})
	var sub *bus.Subscription
	var pub *bus.Publisher
	if err == nil {
		sub, err = c.Subscribe(os.Args[3], bus.Slow(bus.Block))
	}
	if err == nil {
		pub, err = c.Publisher(os.Args[4])
	}
	for err == nil {
		if err = pub.PublishWait(ctx, make([]byte, 1000)); err == nil {
			err = ctx.Err()
		}
	}
	if errors.Is(err, context.Canceled) {
		err = errors.Join(pub.Close(), sub.Close(), c.Close())
	}
	clitest.ExitWith(err)
}

// Chains end, whatever the scenes show.
func TestChainsEnd(t *testing.T) {
	at := func(topic string, by int, waiting ...int) scene {
		h := hold{topic: topic, by: party{ID: "c" + topic, Client: "x", PID: by}, full: true}
		for _, pid := range waiting {
			h.waiting = append(h.waiting, party{ID: "p" + topic, PID: pid})
		}
		return scene{name: topic, holds: []hold{h}}
	}
	for name, test := range map[string]struct {
		scenes []scene
		links  int
		circle bool
		text   string
	}{
		"one":                  {[]scene{at("a", 2, 1)}, 1, false, "a: publishers wait for ca (x, pid 2)"},
		"two":                  {[]scene{at("a", 2, 1), at("b", 3, 2)}, 2, false, "and in the end for cb (x, pid 3) in b"},
		"itself":               {[]scene{at("a", 1, 1)}, 1, true, "which waits for itself"},
		"each other":           {[]scene{at("a", 2, 1), at("b", 1, 2)}, 2, true, "in a circle by way of b"},
		"three in a circle":    {[]scene{at("a", 2, 1), at("b", 3, 2), at("c", 1, 3)}, 3, true, "in a circle by way of c"},
		"a circle further off": {[]scene{at("a", 2, 1), at("b", 3, 2), at("c", 2, 3)}, 3, true, "in a circle by way of c"},
		"no pids":              {[]scene{at("a", 0, 0), at("b", 0, 0)}, 1, false, "a: publishers wait"},
	} {
		v, err := why(test.scenes, "a")
		if err != nil || len(v.Chains) != 1 || len(v.Chains[0]) != test.links || v.Chains[0][len(v.Chains[0])-1].Circle != test.circle ||
			!strings.Contains(v.Sentence, test.text) {
			t.Errorf("%s: %+v, %v", name, v, err)
		}
	}
}
