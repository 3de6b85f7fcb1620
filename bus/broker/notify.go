package broker

import (
	"context"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// notifySystemd tells the service manager, if there is one (sd_notify(3)), that the broker is ready and when it stops, and
// in between that it lives: as often as WATCHDOG_USEC asks for twice over, and only while the state that all requests need
// can be locked. So a broker that is stuck is restarted, and a busy one is not.
func (b *Broker) notifySystemd(ctx context.Context) {
	b.tellSystemd(daemon.SdNotifyReady)
	defer b.tellSystemd(daemon.SdNotifyStopping)
	interval, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		b.log.Warn("systemd's watchdog is not kept", "error", err)
	}
	if err != nil || interval == 0 {
		<-ctx.Done()
		return
	}
	tick := time.NewTicker(interval / 2)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			b.mu.Lock()
			b.mu.Unlock() //nolint:staticcheck // taking it is the proof
			b.tellSystemd(daemon.SdNotifyWatchdog)
		}
	}
}

func (b *Broker) tellSystemd(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		b.log.Warn("systemd cannot be told", "state", state, "error", err)
	}
}
