package broker

import (
	"github.com/mycelium-bus/mycelium/bus/internal/control"
	"github.com/mycelium-bus/mycelium/shmring"
)

// register enters a slot that another broker granted, or that was granted over another connection: the descriptor proves that it is
// the client's. Rights are not asked for again: one that was taken away holds for new attachments. Nor is the user's limit, for the
// slot is in use, whatever the books say; it counts from here on.
func (s *session) register(m *control.Register, lock int) error {
	b := s.b
	b.mu.Lock()
	e, err := b.lookupLocked(m.Topic)
	b.mu.Unlock()
	if err != nil {
		return err
	}
	e.use.RLock()
	defer e.use.RUnlock()
	if e.ring == nil || e.ring.Nonce() != m.Nonce {
		return control.Errorf(control.CodeClosed, "topic %q was deleted meanwhile", m.Topic)
	}
	t := shmring.Tenancy{Slot: int(m.Slot), Generation: m.Generation, Lock: lock}
	prove := e.ring.ProveConsumer
	if m.Role == control.RoleProducer {
		prove = e.ring.ProveProducer
	}
	if err := b.look(e, func() error { return prove(t) }); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.topics[e.name] != e {
		return control.Errorf(control.CodeClosed, "topic %q was deleted meanwhile", m.Topic)
	}
	b.perUser[s.peer.UID]++
	b.enterLocked(s, slotKey{e, m.Role, m.Slot})
	b.log.Debug("slot registered", "session", s.id, "client", s.name, "topic", m.Topic, "role", m.Role.String(), "slot", m.Slot)
	return nil
}
