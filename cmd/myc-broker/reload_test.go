package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/internal/leak"
)

// Two publishers and two subscribers, a process each, exchange as many messages as they can while the configuration is reloaded again and
// again, by each of the three ways, good ones and bad ones: nobody is disconnected, nothing is lost, and each time all of it holds or none.
func TestReloadUnderLoad(t *testing.T) {
	dir := leak.ShmDir(t)
	busDir, socket, config := filepath.Join(dir, "bus"), filepath.Join(dir, "socket"), filepath.Join(dir, "config.toml")
	write := func(text string) {
		t.Helper()
		// In one step, as an editor or a deployment should: the broker looks at the file meanwhile.
		err := os.WriteFile(config+".new", []byte("[broker]\nlog = \"error\"\n"+text), 0o600)
		if err == nil {
			err = os.Rename(config+".new", config)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	load := func(more string) string { return "[[topic]]\nname = \"load\"\nsize = \"1MiB\"\n" + more }
	write(load("slow = \"block\"\n"))
	broker := launch(t, socket, "myc-broker", "--config", config, "--dir", busDir)
	broker.says("ready")
	followers := []*process{launch(t, socket, "follow", "load", "block"), launch(t, socket, "follow", "load", "sleep")}
	for _, f := range followers {
		f.says("following")
	}
	publishers := []*process{launch(t, socket, "publish", "0", "load"), launch(t, socket, "publish", "1", "load")}
	for _, p := range publishers {
		p.says("publishing")
	}
	c, err := bus.Dial(t.Context(), bus.Options{Name: "test", Socket: socket})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	sessions := func() (all []uint64) {
		clients, err := c.Clients(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, cl := range clients {
			all = append(all, cl.Session)
		}
		return all
	}
	topic := func(name string) (bus.TopicState, bool) {
		states, err := c.Topics(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(states, func(s bus.TopicState) bool { return s.Config.Name == name })
		if i < 0 {
			return bus.TopicState{}, false
		}
		return states[i], true
	}
	before := sessions()
	reload := func() bus.Reloaded {
		t.Helper()
		r, err := c.Reload(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return r
	}

	for i := range 10 {
		write(load(fmt.Sprintf("slow = \"drop\"\npatience = \"%ds\"\n[[topic]]\nname = \"new%d\"\nsize = \"64KiB\"\n", i+1, i)))
		if r := reload(); len(r.Refused) > 0 || len(r.Changed) == 0 || r.File != config {
			// The broker may have seen the changed file by itself.
			if _, there := topic(fmt.Sprintf("new%d", i)); !there {
				t.Fatalf("%+v", r)
			}
		}
		if s, there := topic(fmt.Sprintf("new%d", i)); !there || s.State != "active" {
			t.Errorf("new topic: %+v, %v", s, there)
		}
		if s, _ := topic("load"); s.Config.Patience.String() != fmt.Sprintf("%ds", i+1) {
			t.Errorf("patience %s, want %ds", s.Config.Patience, i+1)
		}
		// One that changes what cannot change, with a topic that would be new and a right: none of it holds.
		write(load("kind = \"spmc\"\npatience = \"9m\"\npublish = [\"*\"]\n") + fmt.Sprintf("[[topic]]\nname = \"never%d\"\n", i))
		if r := reload(); len(r.Changed) > 0 || len(r.Refused) != 2 || !strings.Contains(r.Refused[0], `topic "load": kind = "spmc": it cannot change`) {
			t.Errorf("%+v, want the kind and the producers refused", r)
		}
		if _, there := topic(fmt.Sprintf("never%d", i)); there {
			t.Error("a topic of a refused configuration was made")
		}
		if s, _ := topic("load"); s.Config.Patience.String() != fmt.Sprintf("%ds", i+1) || len(s.Config.Publish) > 0 {
			t.Errorf("a refused configuration holds: %+v", s.Config)
		}
	}
	write(load("slow = \"evict\"\n"))
	if err := broker.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "SIGHUP reloads", func() bool { s, _ := topic("load"); return s.Config.Slow.String() == "evict" })
	write(load("slow = \"block\"\npatience = \"7s\"\n"))
	eventually(t, "a changed file reloads", func() bool { s, _ := topic("load"); return s.Config.Slow.String() == "block" })
	if now := sessions(); !slices.Equal(now, before) {
		t.Errorf("sessions %v, were %v: somebody was disconnected", now, before)
	}

	total := 0
	for _, p := range publishers {
		p.in.Close()
		n, err := strconv.Atoi(p.says("published"))
		if err != nil {
			t.Fatal(err)
		}
		total += n
		p.ended()
	}
	for _, f := range followers {
		if _, err := fmt.Fprintln(f.in, total); err != nil {
			t.Fatal(err)
		}
		if got := f.says("received"); got != strconv.Itoa(total) {
			t.Errorf("%s messages were received, %d published", got, total)
		}
		f.ended()
	}
	if _, err := c.Verify(t.Context(), "load"); err != nil {
		t.Error(err)
	}
	if err := broker.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	broker.ended()
	t.Logf("%d messages", total)
}

func TestAFileIsTakenWhenItStaysAsItIs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	at := time.Unix(1e9, 0)
	write := func(text string) {
		t.Helper()
		at = at.Add(time.Second)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	var w watch
	looks := func(want ...bool) {
		t.Helper()
		for i, is := range want {
			if got := w.changed(path); got != is {
				t.Errorf("look %d: %v, want %v", i, got, is)
			}
		}
	}
	write("a")
	looks(false, false)
	write("b")
	looks(false, true, false)
	write("c")
	looks(false)
	write("d") // while it is being written
	looks(false, true, false)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	looks(false, false)
	write("e")
	looks(false, true, false)
}
