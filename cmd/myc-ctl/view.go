package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/cmd/internal/cli"
	"github.com/mycelium-bus/mycelium/shmring"
)

// topicView is a topic as it is printed; its JSON keys are stable. What only a look into its files can tell is nil where
// there was none.
type topicView struct {
	Name         string         `json:"name"`
	State        string         `json:"state"` // active, creating, closing, damaged, unreadable
	Fault        string         `json:"fault,omitempty"`
	Kind         string         `json:"kind"`
	Routing      string         `json:"routing"`
	Size         uint64         `json:"size"`      // bytes
	MaxFrame     uint64         `json:"max_frame"` // bytes
	MaxClaim     uint64         `json:"max_claim"` // bytes
	TLVTypes     string         `json:"tlv_types"`
	Checksum     string         `json:"checksum"`
	Credit       uint64         `json:"credit"` // bytes
	Slow         string         `json:"slow"`
	PatienceNs   uint64         `json:"patience_ns"`
	Publish      []string       `json:"publish"`
	Subscribe    []string       `json:"subscribe"`
	Blockers     []string       `json:"blockers"`
	CreatedNs    uint64         `json:"created_ns"`
	TailPosition *uint64        `json:"tail_position"`
	Tail         string         `json:"tail,omitempty"` // "walked": found by walking the frames of a single producer
	Messages     *uint64        `json:"messages"`
	Bytes        *uint64        `json:"bytes"`
	Producers    []producerView `json:"producers"`
	Consumers    []consumerView `json:"consumers"`
}

type producerView struct {
	ID              string  `json:"id"`
	Client          string  `json:"client"`
	PID             int     `json:"pid"`
	Messages        uint64  `json:"messages"`
	Bytes           uint64  `json:"bytes"`
	BackPressuredNs uint64  `json:"back_pressured_ns"`
	OpenClaim       *uint64 `json:"open_claim_position"` // null: none
	State           string  `json:"state"`               // active, stalled, dead

	Stall *stallView `json:"stall"` // null unless it is stalled
}

type consumerView struct {
	ID          string  `json:"id"`
	Client      string  `json:"client"`
	PID         int     `json:"pid"`
	Group       *string `json:"group"`
	Mode        string  `json:"mode"` // block, drop, evict, lossy; member or orphan of a group
	Position    uint64  `json:"position"`
	LagBytes    uint64  `json:"lag_bytes"`
	LagMessages *int64  `json:"lag_messages"`
	Credit      uint64  `json:"credit"`
	Messages    uint64  `json:"messages"`
	Bytes       uint64  `json:"bytes"`
	MissedBytes uint64  `json:"missed_bytes"`
	Laps        uint64  `json:"laps"`
	State       string  `json:"state"` // active, catching up, stalled, dropped, dead, orphan

	Stall *stallView `json:"stall"` // null unless it is stalled
}

// walkAtMost is the lag in bytes up to which messages are counted.
const walkAtMost = 64 << 20

// viewTopic looks at a topic. What keeps it from being looked at is told in the view, and returned.
func viewTopic(ctx context.Context, conn *bus.Conn, s bus.TopicState) (topicView, error) {
	c := s.Config
	v := topicView{
		Name: c.Name, State: s.State, Fault: s.Fault, Kind: c.Kind.String(), Routing: c.Routing.String(), Size: uint64(c.Size),
		MaxFrame: uint64(c.MaxFrame), MaxClaim: uint64(c.MaxClaim), TLVTypes: c.Types.String(), Checksum: c.Checksum.String(),
		Credit: uint64(c.Credit), Slow: c.Slow.String(), PatienceNs: uint64(c.Patience), CreatedNs: s.CreatedNs,
		Publish: orEmpty(c.Publish), Subscribe: orEmpty(c.Subscribe), Blockers: orEmpty(c.Blockers),
		Producers: []producerView{}, Consumers: []consumerView{},
	}
	if s.State != "active" && s.State != "closing" {
		return v, nil
	}
	info, err := conn.Inspect(ctx, c.Name)
	if err != nil {
		v.State, v.Fault = "unreadable", err.Error()
		return v, err
	}
	v.TailPosition, v.Messages, v.Bytes = &info.Tail, &info.Messages, &info.Bytes
	if info.TailWalked {
		v.Tail = "walked"
	}
	for _, p := range info.Producers {
		var claim *uint64
		if p.OpenClaim != 0 {
			claim = &p.OpenClaim
		}
		v.Producers = append(v.Producers, producerView{ID: p.ID, Client: p.Name, PID: p.PID, Messages: p.Messages, Bytes: p.Bytes,
			BackPressuredNs: p.BackPressuredNs, OpenClaim: claim, State: producerState(p)})
	}
	for _, p := range info.Consumers {
		var group *string
		if p.Group != "" {
			group = &p.Group
		}
		v.Consumers = append(v.Consumers, consumerView{ID: p.ID, Client: p.Name, PID: p.PID, Group: group, Mode: p.Mode, Position: p.Position, LagBytes: p.LagBytes,
			Credit: p.Credit, Messages: p.Messages, Bytes: p.Bytes, MissedBytes: p.MissedBytes, Laps: p.Laps, State: consumerState(p)})
	}
	return v, v.countLags(ctx, conn)
}

// countLags fills in how many messages each consumer is behind.
func (v *topicView) countLags(ctx context.Context, conn *bus.Conn) error {
	var of []int
	var from []uint64
	for i, c := range v.Consumers {
		if c.LagBytes <= walkAtMost {
			of, from = append(of, i), append(from, c.Position)
		}
	}
	counts, err := conn.CountMessages(ctx, v.Name, *v.TailPosition, from...)
	if errors.Is(err, bus.ErrCorrupt) {
		return nil // the lags stay null; `myc-tools verify` says what is wrong
	}
	for i, n := range counts {
		if n >= 0 {
			v.Consumers[of[i]].LagMessages = &n
		}
	}
	return err
}

func producerState(p shmring.ProducerInfo) string {
	if !p.Alive {
		return "dead"
	}
	return "active"
}

func consumerState(c shmring.ConsumerInfo) string {
	switch {
	case c.Mode == "orphan":
		return "orphan"
	case !c.Alive:
		return "dead"
	case c.Dropped:
		return "dropped"
	case c.CatchingUp:
		return "catching up"
	}
	return "active"
}

// verdict is the topic in one sentence.
func (v topicView) verdict() string {
	if v.TailPosition == nil || v.State != "active" {
		if v.Fault != "" {
			return v.State + ": " + v.Fault
		}
		return v.State
	}
	var lag *consumerView
	are := map[string]int{}
	for i := range v.Consumers {
		c := &v.Consumers[i]
		are[c.State]++
		if lag == nil || c.LagBytes > lag.LagBytes {
			lag = c
		}
	}
	for _, p := range v.Producers {
		are[p.State]++
	}
	s := fmt.Sprintf("%s, %s", count(len(v.Producers), "producer"), count(len(v.Consumers), "consumer"))
	of := " of them"
	for _, state := range []string{"dead", "stalled", "dropped"} {
		if n := are[state]; n > 0 {
			s += fmt.Sprintf(", %d%s %s", n, of, state)
			of = ""
		}
	}
	if lag != nil && lag.LagBytes > 0 {
		s += fmt.Sprintf(", the furthest behind is %s (%s) by %s", lag.Client, lag.ID, cli.Size(lag.LagBytes))
	}
	return s
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}
