package bus_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/bus/topic"
)

func TestErrorsAreToldOnceWithAHint(t *testing.T) {
	if _, err := bus.OpenDir(filepath.Join(t.TempDir(), "none"), bus.Options{}); err == nil || !strings.Contains(bus.Hint(err), "start one") {
		t.Errorf("%v, hint %q", err, bus.Hint(err))
	}
	dir := t.TempDir()
	open, file, link := filepath.Join(dir, "open"), filepath.Join(dir, "file"), filepath.Join(dir, "link")
	err := errors.Join(os.Mkdir(open, 0o700), os.Chmod(open, 0o777), os.WriteFile(file, nil, 0o600), os.Symlink(open, link))
	if err != nil {
		t.Fatal(err)
	}
	for path, hint := range map[string]string{open: "chmod 0700 " + open, file: "name the directory", link: "links are not followed"} {
		_, err := bus.OpenDir(path, bus.Options{})
		if wantIs(t, err, bus.ErrPermission); !strings.Contains(bus.Hint(err), hint) {
			t.Errorf("%v, hint %q, want one with %q", err, bus.Hint(err), hint)
		}
	}
	withAndWithoutABroker(t, func(t *testing.T, c *bus.Conn) {
		err := c.CreateTopic(t.Context(), topic.Config{Name: "q", Size: topic.MiB})
		wantIs(t, err, bus.ErrExists)
		if n := strings.Count(err.Error(), "create topic"); n != 1 {
			t.Errorf("%d times what failed: %v", n, err)
		}
	}, queue("q"))
}
