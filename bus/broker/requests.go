package broker

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/mycelium-bus/mycelium/bus/internal/control"
	"github.com/mycelium-bus/mycelium/bus/topic"
	"github.com/mycelium-bus/mycelium/uds"
)

// handle answers one request, and closes the descriptors that came with it before it does: a client that has its answer knows that no
// copy of its lock is left here. An error ends the connection; a refusal does not.
func (s *session) handle(id uint64, m control.Message, with []int) error {
	answer, fds, err := s.answer(m, with)
	uds.CloseFDs(with)
	if err != nil {
		if refused := refusal(err); refused.Code == control.CodeProtocol {
			return refused
		}
		answer = refusal(err)
		s.b.log.Info("request refused", "session", s.id, "client", s.name, "request", m.Type().String(), "error", err)
	}
	s.reply(id, answer, fds...)
	return nil
}

// answer does what a request asks for, which came with descriptors that stay the caller's. Those that it returns go with the answer.
func (s *session) answer(m control.Message, with []int) (control.Message, []int, error) {
	switch m := m.(type) {
	case *control.AttachProducer:
		return s.attachProducer(m)
	case *control.AttachConsumer:
		return s.attachConsumer(m)
	case *control.AttachInspect:
		return s.attachInspect(m)
	case *control.Detach:
		return &control.OK{}, nil, s.b.detach(s, m)
	case *control.Register:
		return &control.OK{}, nil, s.register(m, with[0]) // recv saw to it that there is one
	case *control.CreateTopic:
		return &control.OK{}, nil, s.createTopic(m)
	case *control.DeleteTopic:
		return &control.OK{}, nil, s.deleteTopic(m)
	case *control.Evict:
		return &control.OK{}, nil, s.evict(m)
	case *control.Reload:
		answer, err := s.reload()
		return answer, nil, err
	case *control.ListTopics:
		return s.b.listTopics(s, m.After), nil, nil
	case *control.ListClients:
		return s.b.listClients(m.From, int(m.Skip)), nil, nil
	}
	return nil, nil, control.Errorf(control.CodeProtocol, "%s is no request", m.Type())
}

// mayManage refuses who may neither create nor delete topics.
func (s *session) mayManage(what string) error {
	if s.b.rights.master(s.peer.UID) {
		return nil
	}
	return control.Errorf(control.CodePermission, "user %d may not %s", s.peer.UID, what).
		WithHint("only root and the broker's user (%d) may", s.b.rights.own)
}

func (s *session) createTopic(m *control.CreateTopic) error {
	var c topic.Config
	dec := json.NewDecoder(bytes.NewReader(m.Config))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&c); err != nil {
		return control.Errorf(control.CodeInvalid, "the topic's configuration: %v", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return control.Errorf(control.CodeInvalid, "the topic's configuration: something follows the JSON object")
	}
	if err := s.mayManage(fmt.Sprintf("create topic %q", c.Name)); err != nil {
		return err
	}
	err := s.b.create(c)
	if err == nil {
		s.b.reportStrays(c.Name, c)
	}
	return err
}

func (s *session) deleteTopic(m *control.DeleteTopic) error {
	if err := s.mayManage(fmt.Sprintf("delete topic %q", m.Topic)); err != nil {
		return err
	}
	return s.b.delete(m.Topic)
}

// pageRoom is how many bytes of entries a page begins no further entry after: the largest entry still fits behind it.
const pageRoom = 40 << 10

// listTopics returns the page after a name.
func (b *Broker) listTopics(s *session, after string) *control.Topics {
	type found struct {
		control.Topic
		config topic.Config
	}
	var all []found
	b.mu.Lock()
	for name, e := range b.topics {
		if name <= after {
			continue
		}
		t := control.Topic{Name: name, State: e.state, Fault: e.fault, Config: e.json()}
		if e.state == control.TopicActive {
			t.Nonce, t.CreatedNs = e.ring.Nonce(), e.ring.CreatedNs()
		}
		all = append(all, found{t, e.config()})
	}
	b.mu.Unlock()
	slices.SortFunc(all, func(x, y found) int { return cmp.Compare(x.Name, y.Name) })
	page, used := &control.Topics{}, 0
	for _, t := range all {
		if used > pageRoom {
			page.More = true
			break
		}
		if t.State != control.TopicDamaged {
			t.Rights = b.rights.of(t.config, s.peer) // may look accounts up: not under the mutex
		}
		used += 64 + len(t.Name) + len(t.Config) + len(t.Fault)
		page.Topics = append(page.Topics, t.Topic)
	}
	return page
}

// listClients returns the page that begins with a session, whose first slots were on an earlier page.
func (b *Broker) listClients(from uint64, skip int) *control.Clients {
	b.mu.Lock()
	defer b.mu.Unlock()
	slots := map[uint64][]control.Slot{}
	for key, h := range b.slots {
		if h.session != nil {
			slots[h.session.id] = append(slots[h.session.id], control.Slot{Topic: key.entry.name, Role: key.role, Slot: key.slot})
		}
	}
	page, used := &control.Clients{}, 0
	for _, id := range slices.Sorted(maps.Keys(b.connected)) {
		if id < from {
			continue
		}
		if used > pageRoom {
			page.More, page.Next = true, id
			break
		}
		c := b.connected[id].describe()
		used += 200 + len(c.Name) + len(c.Software)
		mine := slots[id]
		slices.SortFunc(mine, compareSlots)
		if id == from {
			mine = mine[min(skip, len(mine)):]
		} else {
			skip = 0
		}
		for i, slot := range mine {
			if used > pageRoom {
				page.More, page.Next, page.NextSkip = true, id, uint32(skip+i)
				break
			}
			used += 10 + len(slot.Topic)
			c.Slots = append(c.Slots, slot)
		}
		page.Clients = append(page.Clients, c)
		if page.More {
			break
		}
	}
	return page
}

func compareSlots(a, b control.Slot) int {
	return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Role, b.Role), cmp.Compare(a.Slot, b.Slot))
}

// describe is the client without its slots. The broker's mutex is held.
func (s *session) describe() control.Client {
	return control.Client{Session: s.id, Name: s.name, Software: s.software,
		PID: uint32(s.peer.PID), UID: s.peer.UID, GID: s.peer.GID, SinceNs: uint64(s.since.UnixNano())}
}
