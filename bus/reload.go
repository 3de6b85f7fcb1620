package bus

import (
	"context"
	"fmt"

	"github.com/mycelium-bus/mycelium/bus/internal/control"
)

// Reloaded is what the broker made of its configuration, a sentence each.
type Reloaded struct {
	File    string   // of the configuration; "" for a broker without one
	Changed []string // what holds from now on, for handles that are opened from now on
	Refused []string // what is wrong with it, or cannot change: with any of it nothing was changed
	Kept    []string // topics that are configured no more, and stay
}

// Reload has the broker read its configuration again, and puts all of it into force or none. It returns nil also when the configuration
// was refused: Refused says so. Only root and the broker's user may. Errors: [ErrPermission], [ErrNoBroker], [ErrVersion] from a broker of
// an older release.
func (c *Conn) Reload(ctx context.Context) (Reloaded, error) {
	b, err := c.manages(control.FeatureReload)
	if err != nil {
		return Reloaded{}, fmt.Errorf("reload: %w", err)
	}
	r, err := ask[*control.Reloaded](ctx, b, &control.Reload{})
	if err != nil {
		return Reloaded{}, fmt.Errorf("reload: %w", err)
	}
	return Reloaded{r.File, r.Changed, r.Refused, r.Kept}, nil
}
