package broker

import (
	"errors"

	"github.com/mycelium-bus/mycelium/bus/internal/control"
	"github.com/mycelium-bus/mycelium/shmring"
)

// holds reports whether somebody holds the slot's lock.
func (b *Broker) holds(key slotKey) (bool, error) {
	probe, err := openLocks(b.topicDir(key.entry.name), key.role)
	if err != nil {
		return false, err
	}
	defer probe.close()
	return probe.held(int64(key.slot))
}

// reap takes those of the chosen slots off the books whose lock has fallen, and repairs what their holders left, if they
// died, in the topics' files. Choose runs with the mutex held, the looks at
// the locks do not; one look after the other, so that many sessions that end at once do not do each other's work.
func (b *Broker) reap(choose func(*holding) bool) {
	b.reaping.Lock()
	defer b.reaping.Unlock()
	type place struct {
		entry *entry
		role  control.Role
	}
	chosen := map[place][]*holding{}
	b.mu.Lock()
	for key, h := range b.slots {
		if choose(h) {
			at := place{key.entry, key.role}
			chosen[at] = append(chosen[at], h)
		}
	}
	b.mu.Unlock()
	released := map[*entry]bool{}
	for at, list := range chosen {
		n, err := b.reapTopic(at.entry.name, at.role, list)
		if err != nil {
			b.log.Error("look at a topic's locks", "topic", at.entry.name, "role", at.role.String(), "error", err)
		}
		if n > 0 {
			released[at.entry] = true
		}
	}
	for e := range released {
		b.repair(e)
	}
}

func (b *Broker) reapTopic(name string, role control.Role, list []*holding) (fallen int, err error) {
	probe, err := openLocks(b.topicDir(name), role)
	if err != nil {
		return 0, err
	}
	defer probe.close()
	for _, h := range list {
		held, err := probe.held(int64(h.key.slot))
		if err != nil {
			return fallen, err
		}
		if !held {
			b.drop(h)
			fallen++
		}
	}
	return fallen, nil
}

// repair puts right what dead clients left in a topic's files, whoever granted their slots. It never waits: where another
// process is at it, the next round looks again.
func (b *Broker) repair(e *entry) {
	e.use.RLock()
	defer e.use.RUnlock()
	if e.ring != nil {
		b.repairInUse(e)
	}
}

// repairInUse is repair for who holds e.use for reading. When it returns, no repair of this broker's is under way any more
// that had begun before.
func (b *Broker) repairInUse(e *entry) {
	e.repairing.Lock()
	defer e.repairing.Unlock()
	var mended []shmring.Mended
	err := b.look(e, func() (err error) { mended, err = e.ring.Repair(false); return err })
	if err != nil && !errors.Is(err, shmring.ErrRepairing) {
		b.log.Error("repair a topic", "topic", e.name, "error", err)
	}
	for _, m := range mended {
		b.log.Warn("a client died", "topic", e.name, "id", m.ID, "client", m.Name, "repair", m.What)
	}
}

// goRound looks for what nobody told: slots that were given back without a word, deaths of clients that attached without this
// broker, locks that fell after their connection had ended; and for live clients that hold others up.
func (b *Broker) goRound() {
	b.reap(func(*holding) bool { return true })
	for _, e := range b.active() {
		b.checkFiles(e)
		b.repair(e)
		b.checkStalls(e)
	}
	if !standsAt(b.lock) {
		b.lockLost.Do(func() {
			b.log.Error("the bus directory's lock file was removed while in use: nothing keeps a second broker out", "file", b.lock.Name())
		})
	}
}

// checkFiles looks whether a topic's files are still there, and as long as they were. A topic whose files were removed or cut short is
// damaged: who is attached goes on with the files that it has mapped, nobody else can attach.
func (b *Broker) checkFiles(e *entry) {
	e.use.RLock()
	defer e.use.RUnlock()
	if e.ring == nil {
		return
	}
	if err := b.look(e, func() error { return e.checkThere(b.topicDir(e.name)) }); err != nil {
		b.log.Debug("look at a topic's files", "topic", e.name, "error", err)
	}
}

// active lists the topics that can be attached to.
func (b *Broker) active() []*entry {
	b.mu.Lock()
	defer b.mu.Unlock()
	var list []*entry
	for _, e := range b.topics {
		if e.state == control.TopicActive {
			list = append(list, e)
		}
	}
	return list
}
