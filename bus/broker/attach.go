package broker

import (
	"errors"
	"fmt"
	"time"

	"github.com/mycelium-bus/mycelium/bus/internal/control"
	"github.com/mycelium-bus/mycelium/bus/internal/groups"
	"github.com/mycelium-bus/mycelium/bus/topic"
	"github.com/mycelium-bus/mycelium/shmring"
	"github.com/mycelium-bus/mycelium/uds"
)

// slotKey names a slot of a topic's incarnation.
type slotKey struct {
	entry *entry
	role  control.Role
	slot  uint32
}

// holding is a slot that was granted. It counts for its user until its lock has fallen, also when the session has ended:
// the kernel says who lives, not the socket.
type holding struct {
	key     slotKey
	uid     uint32
	session *session // nil once it has ended
}

func (s *session) attachProducer(m *control.AttachProducer) (control.Message, []int, error) {
	e, err := s.admit(m.Topic, "publish to", func(c topic.Config) []string { return c.Publish })
	if err != nil {
		return nil, nil, err
	}
	a := &control.Attached{Topic: m.Topic, Role: control.RoleProducer}
	fds, err := s.attach(e, a, shmring.Produce, func(r *shmring.Ring) (shmring.Grant, error) { return r.GrantProducer(s.peer.UID) })
	return a, fds, err
}

func (s *session) attachConsumer(m *control.AttachConsumer) (control.Message, []int, error) {
	e, err := s.admit(m.Topic, "subscribe to", func(c topic.Config) []string { return c.Subscribe })
	if err != nil {
		return nil, nil, err
	}
	if name := groupOf(e.config(), m); name != "" {
		return s.attachMember(e, name, m)
	}
	policy, err := s.policy(e, m)
	if err != nil {
		return nil, nil, err
	}
	a := &control.Attached{Topic: m.Topic, Role: control.RoleConsumer,
		Slow: control.Slow(policy.Slow), Credit: policy.Credit, PatienceNs: uint64(policy.Patience)}
	fds, err := s.attach(e, a, shmring.Consume, func(r *shmring.Ring) (shmring.Grant, error) { return r.GrantConsumer(policy) })
	return a, fds, err
}

// groupOf returns the group that a consumer asks for, or "".
func groupOf(c topic.Config, m *control.AttachConsumer) string {
	if m.Group == "" && c.Routing == topic.Queue && !m.Fanout && m.Slow != control.SlowLossy {
		return topic.DefaultGroup
	}
	return m.Group
}

// attachMember grants a slot to a member of a group, which is made if there is none of the name.
func (s *session) attachMember(e *entry, name string, m *control.AttachConsumer) (control.Message, []int, error) {
	invalid := func(format string, args ...any) error {
		return control.Errorf(control.CodeInvalid, "group %q: %s", name, fmt.Sprintf(format, args...)).
			WithHint("a group blocks, within the topic's credit; bus.Fanout() subscribes without one")
	}
	if err := topic.CheckGroupName(name); err != nil {
		return nil, nil, control.Errorf(control.CodeInvalid, "%v", err)
	}
	switch {
	case m.Fanout:
		return nil, nil, invalid("fanout is for who is in none")
	case m.Slow != control.SlowDefault && m.Slow != control.SlowBlock:
		return nil, nil, invalid("its policy is block, not %s", m.Slow)
	case m.Credit != 0 || m.PatienceNs != 0:
		return nil, nil, invalid("its credit is the topic's, and it has no patience")
	}
	if err := s.check(e, "hold up the producers of", e.config().Blockers); err != nil {
		refused := refusal(err)
		return nil, nil, refused.WithHint("every group holds producers up; a subscription without one need not: fanout, with slow policy drop or evict, or lossy; %s", refused.Hint)
	}
	policy := groups.Policy(e.config(), name, s.peer.UID)
	a := &control.Attached{Topic: m.Topic, Role: control.RoleConsumer, Slow: control.SlowBlock, Credit: policy.Credit}
	fds, err := s.attach(e, a, shmring.Consume, func(r *shmring.Ring) (shmring.Grant, error) { return r.GrantMember(name, policy) })
	return a, fds, err
}

func (s *session) attachInspect(m *control.AttachInspect) (control.Message, []int, error) {
	e, err := s.admit(m.Topic, "look at", func(c topic.Config) []string { return c.Subscribe })
	if err != nil {
		return nil, nil, err
	}
	a := &control.Attached{Topic: m.Topic, Role: control.RoleInspect, Slot: control.NoSlot}
	fds, err := s.attach(e, a, shmring.Inspect, nil)
	return a, fds, err
}

// admit finds a topic that the peer's user has a right to.
func (s *session) admit(name, what string, list func(topic.Config) []string) (*entry, error) {
	s.b.mu.Lock()
	e, err := s.b.lookupLocked(name)
	s.b.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return e, s.check(e, what, list(e.config()))
}

// check refuses a user whom a list does not admit.
func (s *session) check(e *entry, what string, list []string) error {
	if s.b.rights.admits(list, s.peer) {
		return nil
	}
	admitted := "only root and the broker's user"
	if len(list) > 0 {
		admitted = fmt.Sprintf("only %q, root and the broker's user", list)
	}
	return control.Errorf(control.CodePermission, "user %d (group %d) may not %s topic %q", s.peer.UID, s.peer.GID, what, e.name).
		WithHint("%s may: the topic's lists publish, subscribe and blockers in the broker's configuration say who", admitted)
}

// policy is what a consumer gets: what it asks for, within what the topic allows.
func (s *session) policy(e *entry, m *control.AttachConsumer) (shmring.Policy, error) {
	c := e.config()
	p := shmring.Policy{Slow: shmring.Slow(m.Slow), Credit: m.Credit, Patience: time.Duration(m.PatienceNs), UID: s.peer.UID}
	if m.Slow == control.SlowDefault {
		p.Slow = map[topic.Slow]shmring.Slow{topic.Block: shmring.Block, topic.Drop: shmring.Drop, topic.Evict: shmring.Evict}[c.Slow]
	}
	if p.Credit == 0 {
		p.Credit = uint64(c.Credit)
	}
	if least := 2 * uint64(c.MaxClaim); p.Credit < least || p.Credit > uint64(c.Credit) {
		return p, control.Errorf(control.CodeInvalid, "credit %d is not between %d, two largest claims, and %d, the topic's credit",
			p.Credit, least, c.Credit).WithHint("ask for none to get the topic's")
	}
	p.Credit = (p.Credit + 15) &^ 15
	if p.Patience == 0 {
		p.Patience = time.Duration(c.Patience)
	}
	if p.Patience < 0 || p.Patience > time.Duration(topic.MaxPatience) {
		return p, control.Errorf(control.CodeInvalid, "patience of %d ns is not between 0 and %s", m.PatienceNs, topic.MaxPatience)
	}
	// Who waits longer than the topic lets everyone wait blocks, for that long.
	if p.Slow == shmring.Block || p.Slow != shmring.Lossy && p.Patience > time.Duration(c.Patience) {
		if err := s.check(e, "hold up the producers of", c.Blockers); err != nil {
			refused := refusal(err)
			return p, refused.WithHint("subscribe with slow policy drop or evict, a patience of at most %s, or lossy; %s", c.Patience, refused.Hint)
		}
	}
	return p, nil
}

// attach grants a slot (where grant is not nil), opens the topic's files as the access asks, completes the answer, and returns
// the descriptors in the order that the answer has them.
func (s *session) attach(e *entry, a *control.Attached, access shmring.Access, grant func(*shmring.Ring) (shmring.Grant, error)) ([]int, error) {
	if grant != nil {
		if err := s.b.takeShare(s.peer.UID); err != nil {
			return nil, err
		}
	}
	fds, err := s.open(e, a, access, grant)
	if err != nil && grant != nil {
		s.b.giveShareBack(s.peer.UID)
	}
	return fds, err
}

func (s *session) open(e *entry, a *control.Attached, access shmring.Access, grant func(*shmring.Ring) (shmring.Grant, error)) ([]int, error) {
	e.use.RLock()
	defer e.use.RUnlock()
	if e.ring == nil {
		return nil, control.Errorf(control.CodeClosed, "topic %q was deleted meanwhile", e.name)
	}
	files, err := e.ring.Reopen(access)
	if err != nil {
		return nil, err
	}
	if err := s.b.look(e, func() error { return e.checkSizes(files) }); err != nil {
		files.Close()
		return nil, err
	}
	if access >= shmring.Produce {
		if err := openForRepair(s.b.topicDir(e.name), &files); err != nil {
			files.Close()
			return nil, err
		}
	}
	fds := []int{files.Ring, files.Cursors, files.Control, files.LocksP, files.LocksC}
	a.Nonce, a.Config = e.ring.Nonce(), e.json()
	if grant == nil {
		return fds, nil
	}
	g, err := s.draw(e, grant)
	if err != nil {
		uds.CloseFDs(fds)
		return nil, err
	}
	fds = append(fds, g.Lock)
	a.Slot = uint32(g.Slot)
	if err := s.b.record(s, slotKey{e, a.Role, a.Slot}); err != nil {
		uds.CloseFDs(fds)
		return nil, err
	}
	return fds, nil
}

// draw has the ring grant a slot. Who holds e.use for reading calls it.
func (s *session) draw(e *entry, grant func(*shmring.Ring) (shmring.Grant, error)) (g shmring.Grant, err error) {
	once := func() (err error) { g, err = grant(e.ring); return err }
	err = s.b.look(e, once)
	if errors.Is(err, shmring.ErrInUse) || errors.Is(err, shmring.ErrLimit) {
		// A repair under way may be about to free the very slot, of a producer whose successor this is.
		s.b.repairInUse(e)
		err = s.b.look(e, once)
	}
	return g, err
}

// takeShare counts a slot for a user, or refuses it. A user at the limit may have given slots back since the last round without a
// word, so that is looked for first.
func (b *Broker) takeShare(uid uint32) error {
	has, limit := 0, 0 // a reload may change the limit
	take := func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		has, limit = b.perUser[uid], b.config.MaxSlotsPerUser
		if has >= limit {
			return false
		}
		b.perUser[uid]++
		return true
	}
	if take() {
		return nil
	}
	b.reap(func(h *holding) bool { return h.uid == uid })
	if take() {
		return nil
	}
	return control.Errorf(control.CodeLimit, "max_slots_per_user is reached: user %d has %d of %d slots", uid, has, limit).
		WithHint("close handles that are not needed, or raise max_slots_per_user")
}

func (b *Broker) giveShareBack(uid uint32) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lowerLocked(uid)
}

func (b *Broker) lowerLocked(uid uint32) {
	if b.perUser[uid]--; b.perUser[uid] <= 0 {
		delete(b.perUser, uid)
	}
}

// record enters a granted slot. An older holding of the same slot is out of date: its lock has fallen, or the slot could not
// have been granted.
func (b *Broker) record(s *session, key slotKey) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.topics[key.entry.name] != key.entry {
		return control.Errorf(control.CodeClosed, "topic %q was deleted meanwhile", key.entry.name)
	}
	b.enterLocked(s, key)
	return nil
}

// enterLocked puts a slot on the books, for which its user's share was counted, instead of an older holding. The mutex is held.
func (b *Broker) enterLocked(s *session, key slotKey) {
	if old := b.slots[key]; old != nil {
		b.dropLocked(old)
	}
	b.slots[key] = &holding{key: key, uid: s.peer.UID, session: s}
}

// dropLocked takes a holding off the books. The mutex is held.
func (b *Broker) dropLocked(h *holding) {
	delete(b.slots, h.key)
	b.lowerLocked(h.uid)
}

// detach takes a slot off the books that its session says is closed. It is no error if the slot was not, or is no longer, the
// session's: who repeats itself is right.
func (b *Broker) detach(s *session, m *control.Detach) error {
	b.mu.Lock()
	var h *holding
	if e := b.topics[m.Topic]; e != nil {
		h = b.slots[slotKey{e, m.Role, m.Slot}]
	}
	mine := h != nil && h.session == s
	b.mu.Unlock()
	if !mine {
		return nil
	}
	held, err := b.holds(h.key)
	if err != nil {
		return err
	}
	if held {
		return control.Errorf(control.CodeInUse, "%s slot %d of topic %q is still locked", m.Role, m.Slot, m.Topic).
			WithHint("close the handle first")
	}
	b.drop(h)
	return nil
}

// drop takes a holding off the books if it is still on them.
func (b *Broker) drop(h *holding) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.slots[h.key] == h {
		b.dropLocked(h)
	}
}
