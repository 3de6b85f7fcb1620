package broker

import (
	"time"

	"github.com/mycelium-bus/mycelium/bus/internal/control"
	"github.com/mycelium-bus/mycelium/shmring"
)

// checkStalls looks whether a live client holds others up for long, as one does whose process is stopped: that is said, once, and once
// more when it is over. Nobody is taken for dead for it.
func (b *Broker) checkStalls(e *entry) {
	e.use.RLock()
	defer e.use.RUnlock()
	if e.ring == nil {
		return
	}
	var info shmring.Info
	if err := b.look(e, func() (err error) { info, err = e.ring.Inspect(); return err }); err != nil {
		b.log.Debug("look for stalls", "topic", e.name, "error", err)
		return
	}
	e.repairing.Lock()
	begun, ended := e.stalls.Look(time.Now(), info)
	e.repairing.Unlock()
	for _, s := range begun {
		pid := b.pidOf(e, s.Hold)
		b.log.Warn("a client is stalled", "topic", e.name, "id", s.ID, "client", s.Name, "pid", pid, "process", pausedOr(pid, "not stopped"),
			"holds", s.Hold.String(), "since", s.Since.Format(time.RFC3339Nano))
	}
	for _, s := range ended {
		b.log.Info("a client is stalled no more", "topic", e.name, "id", s.ID, "client", s.Name,
			"held", s.Hold.String(), "for", time.Since(s.Since).Round(time.Millisecond).String())
	}
}

func pausedOr(pid int, running string) string {
	if how := shmring.Paused(pid); how != "" {
		return how
	}
	return running
}

// pidOf returns the pid of who has a slot: as the kernel told it to the broker, else as the client wrote it down.
func (b *Broker) pidOf(e *entry, h shmring.Hold) int {
	key := slotKey{e, control.RoleConsumer, uint32(h.Slot)}
	if h.Producer {
		key.role = control.RoleProducer
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if held := b.slots[key]; held != nil && held.session != nil {
		return int(held.session.peer.PID)
	}
	return h.PID
}
