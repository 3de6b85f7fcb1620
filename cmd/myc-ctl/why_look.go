package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/bus/topic"
	"github.com/mycelium-bus/mycelium/shmring"
)

// party is a handle, or a group, that waits or is waited for.
type party struct {
	ID      string `json:"id"`
	Client  string `json:"client"` // of a group: its name
	PID     int    `json:"pid"`    // 0: not one process's, or it has not said
	Process string `json:"process"`
}

func (p party) String() string {
	switch {
	case p.PID == 0:
		return fmt.Sprintf("%s (%s)", p.ID, p.Client)
	case p.Process == "":
		return fmt.Sprintf("%s (%s, pid %d)", p.ID, p.Client, p.PID)
	}
	return fmt.Sprintf("%s (%s, pid %d, %s)", p.ID, p.Client, p.PID, p.Process)
}

func newParty(id, name string, pid int) party {
	return party{id, name, pid, shmring.Paused(pid)}
}

// hold is who is waited for in a topic, and by whom.
type hold struct {
	topic   string
	by      party
	what    string // "its cursor at 65536"
	at      uint64
	full    bool    // publishers have no room because of it
	waiting []party // who waits: publishers if full, readers before an open claim
	moves   bool    // it was somewhere else before
	ends    string  // what would end it
}

// scene is what two looks at a topic showed.
type scene struct {
	name   string
	config topic.Config
	info   bus.TopicInfo
	groups []bus.GroupInfo
	holds  []hold
}

// lookAtAll looks at all topics, and where anybody holds anybody up, once more after a while: what is over by then is no answer. A topic
// that cannot be looked at is told, and left out.
func lookAtAll(ctx context.Context, conn *bus.Conn, apart time.Duration, tell func(topic string, err error)) ([]scene, error) {
	first, err := lookOnce(ctx, conn, tell)
	if err != nil || !slices.ContainsFunc(first, func(s scene) bool { return len(s.holds) > 0 }) {
		return first, err
	}
	select {
	case <-time.After(apart):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	second, err := lookOnce(ctx, conn, func(string, error) {})
	for i := range second {
		s := &second[i]
		before := slices.IndexFunc(first, func(f scene) bool { return f.name == s.name && f.info.Nonce == s.info.Nonce })
		s.holds = slices.DeleteFunc(s.holds, func(h hold) bool {
			return before < 0 || !slices.ContainsFunc(first[before].holds, func(f hold) bool { return f.by.ID == h.by.ID && f.full == h.full })
		})
		for j := range s.holds {
			h := &s.holds[j]
			h.moves = !slices.ContainsFunc(first[before].holds, func(f hold) bool { return f.by.ID == h.by.ID && f.at == h.at })
			if h.moves {
				h.ends = "it moves: it is slower than what is published, and publishers go at its pace"
			}
		}
	}
	return second, err
}

func lookOnce(ctx context.Context, conn *bus.Conn, tell func(topic string, err error)) ([]scene, error) {
	states, err := conn.Topics(ctx)
	var all []scene
	for _, state := range states {
		s := scene{name: state.Config.Name, config: state.Config.WithDefaults()}
		if state.Fault != "" {
			tell(s.name, damaged(s.name, state.Fault))
		}
		if state.State != "active" {
			continue
		}
		info, err := conn.Inspect(ctx, s.name)
		if err == nil {
			s.info = info
			s.groups, err = conn.Groups(ctx, s.name)
		}
		if errors.Is(err, bus.ErrNoTopic) || errors.Is(err, bus.ErrClosed) {
			continue // deleted meanwhile
		}
		if err != nil {
			tell(s.name, err)
			continue
		}
		s.findHolds()
		all = append(all, s)
	}
	return all, err
}

// full reports whether the limit ends at a bound, with no room left for two of the largest messages.
func (s *scene) full(bound uint64) bool {
	room := s.info.Limit - s.info.Tail
	return bound == s.info.Limit && int64(room) >= 0 && room < 2*uint64(shmring.FrameSize(int(s.info.MaxFrame)))
}

// findHolds puts down who is waited for. The topic's own [bus.TopicInfo.Holds] knows the live ones; beside them there are the dead that
// nobody has repaired, and groups, of which one member is the one that matters.
func (s *scene) findHolds() {
	for _, h := range s.info.Holds() {
		i := slices.IndexFunc(s.info.Consumers, func(c shmring.ConsumerInfo) bool { return c.ID == h.ID })
		if !h.Producer && i >= 0 && s.info.Consumers[i].Group != "" {
			continue // its group is looked at below
		}
		found := hold{topic: s.name, by: newParty(h.ID, h.Name, h.PID), at: h.At, full: h.Full}
		if h.Producer {
			found.what = fmt.Sprintf("its open claim at %d", h.At)
			found.ends = "it commits or aborts its claim, or its process ends"
			for _, id := range h.Readers {
				found.waiting = append(found.waiting, s.consumer(id))
			}
		} else {
			found.what = fmt.Sprintf("its cursor at %d", h.At)
			found.ends = s.readerEnds(s.info.Consumers[i])
		}
		s.add(found)
	}
	for _, p := range s.info.Producers {
		single := s.info.Kind == shmring.SPSC || s.info.Kind == shmring.SPMC // whose open claims are in nobody's way
		if p.Alive || p.OpenClaim == 0 || single {
			continue
		}
		found := hold{topic: s.name, by: dead(p.ID, p.Name), at: p.OpenClaim, full: s.full(p.OpenClaim + s.info.Capacity),
			what: fmt.Sprintf("the claim at %d that it died with", p.OpenClaim), ends: s.repairEnds()}
		for _, c := range s.info.Consumers {
			if c.Alive && c.Position == p.OpenClaim {
				found.waiting = append(found.waiting, newParty(c.ID, c.Name, c.PID))
			}
		}
		if found.full || len(found.waiting) > 0 {
			s.add(found)
		}
	}
	for _, c := range s.info.Consumers {
		credit := c.Credit
		if c.CatchingUp {
			credit = s.info.Capacity
		}
		if !c.Alive && c.Group == "" && c.Mode != "lossy" && !c.Dropped && c.LagBytes > 0 && s.full(c.Position+credit) {
			s.add(hold{topic: s.name, by: dead(c.ID, c.Name), at: c.Position, full: true,
				what: fmt.Sprintf("the cursor at %d that it died with", c.Position), ends: s.repairEnds()})
		}
	}
	for _, g := range s.groups {
		s.findGroupHold(g)
	}
}

func dead(id, name string) party { return party{ID: id, Client: name, Process: "dead"} }

// findGroupHold puts down what holds a group's gate: the member that has the oldest message in its hands, an orphan, or nobody's taking.
func (s *scene) findGroupHold(g bus.GroupInfo) {
	lag := g.Policy.Credit
	if g.Members == 0 {
		lag = g.Policy.Keep
	}
	if g.State != "active" || g.LagBytes == 0 || !s.full(g.Gate+lag) {
		return
	}
	found := hold{topic: s.name, by: party{ID: g.ID, Client: "group " + g.Name}, at: g.Gate, full: true,
		what: fmt.Sprintf("its oldest message at %d, which no member takes", g.Gate), ends: "a member takes it: those that it has do not look"}
	for _, c := range s.info.Consumers {
		if c.Group != g.Name || c.Unacknowledged == 0 || c.Position != g.Gate {
			continue
		}
		found.what = fmt.Sprintf("the message at %d of group %s, which it has in its hands", g.Gate, g.Name)
		switch {
		case c.Mode == "orphan":
			found.by = dead(c.ID, c.Name)
			found.what = fmt.Sprintf("the message at %d of group %s, which a member left behind", g.Gate, g.Name)
			found.ends = "a member takes it over: those that it has do not look"
			if g.Members == 0 {
				found.ends = "a member joins the group and takes it over"
			}
		case !c.Alive:
			found.by, found.ends = dead(c.ID, c.Name), s.repairEnds()
		default:
			found.by = newParty(c.ID, c.Name, c.PID)
			found.ends = "its callback returns, or its process ends: then another member gets the message"
		}
	}
	if g.Members == 0 && g.Unacknowledged == 0 {
		found.what = fmt.Sprintf("its oldest message at %d: it has no member", g.Gate)
		found.ends = "a member joins it; beyond what it keeps publishers stop waiting for it"
	}
	s.add(found)
}

// add completes a hold: who stands still because of its process, and who waits.
func (s *scene) add(h hold) {
	switch h.by.Process {
	case "stopped":
		h.ends = fmt.Sprintf("it goes on (`kill -CONT %d`), or is ended (`myc-ctl evict %d --kill`)", h.by.PID, h.by.PID)
	case "frozen":
		h.ends = fmt.Sprintf("its cgroup is thawed, or it is ended (`myc-ctl evict %d --kill`)", h.by.PID)
	}
	if h.full {
		for _, p := range s.info.Producers {
			if p.Alive && p.ID != h.by.ID {
				h.waiting = append(h.waiting, newParty(p.ID, p.Name, p.PID))
			}
		}
	}
	s.holds = append(s.holds, h)
}

func (s *scene) consumer(id string) party {
	for _, c := range s.info.Consumers {
		if c.ID == id {
			return newParty(c.ID, c.Name, c.PID)
		}
	}
	return party{ID: id}
}

func (s *scene) readerEnds(c shmring.ConsumerInfo) string {
	if c.Mode == "block" {
		return fmt.Sprintf("it reads on; its policy is block, so nothing else but its end, or `myc-ctl evict %d`, does", c.PID)
	}
	return fmt.Sprintf("it reads on, or its patience is over: then publishers wait for it no more (%s)", c.Mode)
}

func (s *scene) repairEnds() string {
	return fmt.Sprintf("a repair: the broker's within a second, a publisher's, or `myc-ctl repair %s`", s.name)
}
