package bus_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/bus/topic"
	"github.com/mycelium-bus/mycelium/internal/leak"
	"golang.org/x/sys/unix"
)

func TestOpenDirRefuses(t *testing.T) {
	dir := leak.ShmDir(t)
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	open := filepath.Join(dir, "open")
	if err := os.Mkdir(open, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o770); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]error{
		file: bus.ErrPermission, open: bus.ErrPermission, link: bus.ErrPermission, filepath.Join(dir, "none"): os.ErrNotExist,
	} {
		t.Run(filepath.Base(path), func(t *testing.T) {
			_, err := bus.OpenDir(path, bus.Options{})
			wantIs(t, err, want)
			if err != nil && !strings.Contains(err.Error(), path) {
				t.Errorf("%v does not name %s", err, path)
			}
		})
	}
}

func TestTopicsByTheirFiles(t *testing.T) {
	dir := leak.ShmDir(t)
	c := openDir(t, dir, topic.Config{Name: "b", Size: topic.MiB, Slow: topic.Drop}, topic.Config{Name: "a", Kind: topic.SPSC, Size: topic.MiB})
	ctx := t.Context()

	t.Run("a name is taken once", func(t *testing.T) {
		wantIs(t, c.CreateTopic(ctx, topic.Config{Name: "a"}), bus.ErrExists)
	})
	t.Run("a configuration is checked", func(t *testing.T) {
		wantIs(t, c.CreateTopic(ctx, topic.Config{Name: "c", Size: 3}), bus.ErrInvalid)
		wantIs(t, c.CreateTopic(ctx, topic.Config{Name: "../c"}), bus.ErrInvalid)
	})
	t.Run("are listed with their configuration", func(t *testing.T) {
		list, err := c.Topics(ctx)
		if err != nil || len(list) != 2 || list[0].Config.Name != "a" || list[1].Config.Name != "b" {
			t.Fatalf("%+v, %v", list, err)
		}
		if b := list[1]; b.State != "active" || b.Config.Slow != topic.Drop || b.Config.Credit != topic.MiB/2 || b.CreatedNs == 0 {
			t.Errorf("%+v", b)
		}
	})
	t.Run("and looked at", func(t *testing.T) {
		pub, sub := publisher(t, c, "b"), subscribe(t, c, "b", bus.Slow(bus.Block))
		publish(t, pub, "12345")
		info, err := c.Inspect(ctx, "b")
		if err != nil || info.Messages != 1 || info.Bytes != 5 || len(info.Producers) != 1 || len(info.Consumers) != 1 {
			t.Fatalf("%+v, %v", info, err)
		}
		if p, s := info.Producers[0], info.Consumers[0]; p.Name != "test" || p.ID != pub.ID() || s.ID != sub.ID() || s.Mode != "block" || s.LagBytes != 32 {
			t.Errorf("%+v, %+v", p, s)
		}
		_, err = c.Inspect(ctx, "none")
		wantIs(t, err, bus.ErrNoTopic)
		_, err = c.Inspect(ctx, "../b")
		wantIs(t, err, bus.ErrNoTopic)
		clients, err := c.Clients(ctx)
		if err != nil || len(clients) != 1 || clients[0].PID != os.Getpid() || len(clients[0].Slots) != 2 {
			t.Errorf("%+v, %v", clients, err)
		}
	})
	t.Run("the default slow policy is the topic's", func(t *testing.T) {
		sub := subscribe(t, c, "b")
		info, err := c.Inspect(ctx, "b")
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range info.Consumers {
			if s.ID == sub.ID() && s.Mode != "drop" {
				t.Errorf("mode %s", s.Mode)
			}
		}
	})
	t.Run("a second opener exchanges messages with the first", func(t *testing.T) {
		other := openDir(t, dir)
		pub, sub := publisher(t, other, "a"), subscribe(t, c, "a")
		publish(t, pub, "over")
		if got := poll(t, sub); len(got) != 1 || got[0] != "over" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("damaged files are told, and the others listed", func(t *testing.T) {
		if err := os.Mkdir(filepath.Join(dir, "bad"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "bad", "ring"), []byte("no ring"), 0o600); err != nil {
			t.Fatal(err)
		}
		list, err := openDir(t, dir).Topics(ctx)
		if err != nil || len(list) != 3 {
			t.Fatalf("%+v, %v", list, err)
		}
		i := slices.IndexFunc(list, func(s bus.TopicState) bool { return s.Config.Name == "bad" })
		if list[i].State != "damaged" || list[i].Fault == "" {
			t.Errorf("%+v", list[i])
		}
	})
}

func TestDeleteTopic(t *testing.T) {
	c := newBus(t, topic.Config{Name: "t", Size: topic.MiB})
	pub, sub := publisher(t, c, "t"), subscribe(t, c, "t")
	publish(t, pub, "a")
	if err := c.DeleteTopic(t.Context(), "t"); err != nil {
		t.Fatal(err)
	}
	wantIs(t, c.DeleteTopic(t.Context(), "t"), bus.ErrNoTopic)
	_, err := c.Subscribe("t")
	wantIs(t, err, bus.ErrNoTopic)
	if list, err := c.Topics(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
	t.Run("ends its handles", func(t *testing.T) {
		eventually(t, "the subscription's end", func() bool {
			_, err := sub.Poll(10, func(bus.Message) error { return nil })
			return err != nil
		})
		_, err := sub.Poll(10, func(bus.Message) error { return nil })
		wantIs(t, err, bus.ErrClosed)
	})
	t.Run("does not keep it from being made again", func(t *testing.T) {
		if err := c.CreateTopic(t.Context(), topic.Config{Name: "t", Size: topic.MiB}); err != nil {
			t.Fatal(err)
		}
		pub, sub := publisher(t, c, "t"), subscribe(t, c, "t")
		publish(t, pub, "new")
		if got := poll(t, sub); len(got) != 1 || got[0] != "new" {
			t.Errorf("got %q", got)
		}
	})
}

func TestDeletingADamagedTopic(t *testing.T) {
	for name, harm := range map[string]func(dir string) error{
		"its control file cut short": func(dir string) error { return os.Truncate(filepath.Join(dir, "control"), 0) },
		"its control file removed":   func(dir string) error { return os.Remove(filepath.Join(dir, "control")) },
		"its ring removed":           func(dir string) error { return os.Remove(filepath.Join(dir, "ring")) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := leak.ShmDir(t)
			c := openDir(t, dir, topic.Config{Name: "t", Size: topic.MinSize})
			pub := publisher(t, c, "t")
			if err := harm(filepath.Join(dir, "t")); err != nil {
				t.Fatal(err)
			}
			if err := c.DeleteTopic(t.Context(), "t"); err != nil {
				t.Error(err)
			}
			wantIs(t, c.DeleteTopic(t.Context(), "t"), bus.ErrNoTopic)
			if err := c.CreateTopic(t.Context(), topic.Config{Name: "t", Size: topic.MinSize}); err != nil {
				t.Error(err)
			}
			pub.Close()
		})
	}
	t.Run("not with what is somebody else's", func(t *testing.T) {
		dir := leak.ShmDir(t)
		c := openDir(t, dir, topic.Config{Name: "t", Size: topic.MinSize})
		note := filepath.Join(dir, "t", "note")
		if err := os.WriteFile(note, []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := c.DeleteTopic(t.Context(), "t"); err == nil {
			t.Error("deleted")
		}
		if _, err := os.Lstat(note); err != nil {
			t.Error(err)
		}
		publish(t, publisher(t, c, "t"), "on")
	})
}

func TestALiveBrokerKeepsTheTopics(t *testing.T) {
	dir := leak.ShmDir(t)
	c := openDir(t, dir, topic.Config{Name: "t", Size: topic.MiB})
	fd, err := unix.Open(filepath.Join(dir, ".lock"), unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != nil { // as a broker holds it
		t.Fatal(err)
	}
	wantIs(t, c.CreateTopic(t.Context(), topic.Config{Name: "u"}), bus.ErrInUse)
	wantIs(t, c.DeleteTopic(t.Context(), "t"), bus.ErrInUse)
	pub, sub := publisher(t, c, "t"), subscribe(t, c, "t")
	publish(t, pub, "a")
	if got := poll(t, sub); len(got) != 1 {
		t.Errorf("got %q", got)
	}
}

func TestAClosedConnection(t *testing.T) {
	c := newBus(t, topic.Config{Name: "t", Size: topic.MiB})
	pub, sub := publisher(t, c, "t"), subscribe(t, c, "t")
	for range 2 {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	_, err := c.Publisher("t")
	wantIs(t, err, bus.ErrClosed)
	_, err = c.Subscribe("t")
	wantIs(t, err, bus.ErrClosed)
	publish(t, pub, "still")
	if got := poll(t, sub); len(got) != 1 || got[0] != "still" {
		t.Errorf("its handles: got %q", got)
	}
	for range 2 {
		if err := errors.Join(pub.Close(), sub.Close()); err != nil {
			t.Error(err)
		}
	}
	wantIs(t, pub.Publish([]byte("x")), bus.ErrClosed)
	_, err = pub.Claim(1)
	wantIs(t, err, bus.ErrClosed)
	_, err = pub.Batch(100)
	wantIs(t, err, bus.ErrClosed)
	_, err = sub.Poll(1, func(bus.Message) error { return nil })
	wantIs(t, err, bus.ErrClosed)
}
