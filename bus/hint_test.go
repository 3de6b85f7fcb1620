package bus_test

import (
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
	withAndWithoutABroker(t, func(t *testing.T, c *bus.Conn) {
		err := c.CreateTopic(t.Context(), topic.Config{Name: "q", Size: topic.MiB})
		wantIs(t, err, bus.ErrExists)
		if n := strings.Count(err.Error(), "create topic"); n != 1 {
			t.Errorf("%d times what failed: %v", n, err)
		}
	}, queue("q"))
}
