package broker

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/mycelium-bus/mycelium/bus/internal/control"
	"github.com/mycelium-bus/mycelium/bus/internal/groups"
	"github.com/mycelium-bus/mycelium/bus/topic"
	"github.com/mycelium-bus/mycelium/shmring"
)

// Reloaded is what a reload did, in sentences for people. With anything in Refused it did nothing.
type Reloaded struct {
	File    string   // of the configuration; "" without one
	Changed []string // what holds from now on
	Refused []string // every fault of the configuration, and what cannot change while the broker runs or the topic lives
	Kept    []string // topics that are not configured any more, and what could not be put into force after all
}

// Reload reads the configuration again ([Config.Reload]) and puts all of it into force, or none of it: new topics, rights, slow policies,
// credits, patience, groups, limits, the log level. What is fixed in a topic's files (kind, sizes, slots) cannot change, nor where the
// broker listens. Who is attached keeps what it was granted; what changes holds for handles that are opened from then on. Nobody is
// disconnected, and no message is held up. One reload goes on at a time; it blocks while new topics are made.
func (b *Broker) Reload() Reloaded {
	b.reloading.Lock()
	defer b.reloading.Unlock()
	r := Reloaded{File: b.config.File}
	if b.config.Reload == nil {
		r.Refused = []string{"this broker has no configuration that it could read again"}
		return b.tellReload(r)
	}
	want, err := b.config.Reload()
	if err == nil {
		err = errors.Join(want.Validate(), joinFaults(b.rights.faults(want)))
	}
	if err != nil {
		r.Refused = sentences(err)
		return b.tellReload(r)
	}
	plan := &reload{b: b, want: want, Reloaded: r}
	plan.broker()
	plan.topics()
	if len(plan.Refused) == 0 {
		plan.create()
	}
	if len(plan.Refused) == 0 {
		plan.commit()
	}
	if len(plan.Refused) > 0 {
		plan.Changed, plan.Kept = nil, nil
	}
	return b.tellReload(plan.Reloaded)
}

// sentences takes an error apart that joins several.
func sentences(err error) []string {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []string
		for _, e := range joined.Unwrap() {
			all = append(all, sentences(e)...)
		}
		return all
	}
	return strings.Split(err.Error(), "\n")
}

func (b *Broker) tellReload(r Reloaded) Reloaded {
	if len(r.Refused) > 0 {
		b.log.Error("configuration refused: the old one stays in force", "file", r.File, "refused", r.Refused)
		return r
	}
	b.log.Info("configuration reloaded", "file", r.File, "changed", r.Changed, "kept", r.Kept)
	return r
}

// reload is one under way.
type reload struct {
	b    *Broker
	want Config
	Reloaded
	changes []change
	made    []*entry // new topics, that nobody can attach to before the commit
}

// change is a topic that is there and is configured otherwise.
type change struct {
	entry *entry
	to    settings
}

func (r *reload) refuse(format string, args ...any) {
	r.Refused = append(r.Refused, fmt.Sprintf(format, args...))
}

// broker compares the table [broker]. What decides where the broker is found and who may come stays as it is.
func (r *reload) broker() {
	have, want := reflect.ValueOf(r.b.config), reflect.ValueOf(r.want)
	for i := range have.NumField() {
		key := have.Type().Field(i).Tag.Get("toml")
		if key == "-" || reflect.DeepEqual(have.Field(i).Interface(), want.Field(i).Interface()) {
			continue
		}
		switch key {
		case "socket", "dir", "metrics", "group":
			r.refuse("broker.%s: it cannot change from %q to %q while the broker runs: restart it, its topics stay", key, have.Field(i), want.Field(i))
		default:
			r.Changed = append(r.Changed, fmt.Sprintf("broker.%s: %v, was %v", key, want.Field(i), have.Field(i)))
		}
	}
}

// topics compares the topics that are there with those that are configured.
func (r *reload) topics() {
	configured := map[string]bool{}
	for _, c := range r.want.Topics {
		c = c.WithDefaults()
		configured[c.Name] = true
		r.b.mu.Lock()
		e := r.b.topics[c.Name]
		state := control.TopicState(0)
		if e != nil {
			state = e.state
		}
		r.b.mu.Unlock()
		switch state {
		case control.TopicActive:
			r.compare(e, c)
		case control.TopicDamaged:
			r.Kept = append(r.Kept, fmt.Sprintf("topic %q is damaged: delete it to create it anew", c.Name))
		case control.TopicCreating:
			r.refuse("topic %q is being created: try again in a moment", c.Name)
		}
	}
	for _, was := range r.b.config.Topics {
		if !configured[was.Name] {
			r.Kept = append(r.Kept, fmt.Sprintf("topic %q is configured no more: it stays as it is until it is deleted", was.Name))
		}
	}
}

func (r *reload) compare(e *entry, want topic.Config) {
	have := e.config()
	if err := topic.CheckReload(have, want); err != nil {
		r.Refused = append(r.Refused, sentences(err)...)
		return
	}
	js, err := encodeConfig(want)
	if err != nil {
		r.refuse("%v", err)
		return
	}
	different := differences(have, want)
	if len(different) == 0 {
		return
	}
	if err := r.roomForGroups(e, want); err != nil {
		r.refuse("topic %q: %v", want.Name, err)
	}
	for _, d := range different {
		r.Changed = append(r.Changed, fmt.Sprintf("topic %q: %s", want.Name, d))
	}
	r.changes = append(r.changes, change{e, settings{want, js}})
}

// differences names the keys whose values differ.
func differences(have, want topic.Config) []string {
	var all []string
	a, b := reflect.ValueOf(have), reflect.ValueOf(want)
	for i := range a.NumField() {
		key := a.Type().Field(i).Tag.Get("toml")
		if equal(a.Field(i), b.Field(i)) {
			continue
		}
		if key == "group" {
			all = append(all, "its groups")
			continue
		}
		all = append(all, fmt.Sprintf("%s: %v, was %v", key, b.Field(i), a.Field(i)))
	}
	return all
}

// equal takes an empty list for none.
func equal(a, b reflect.Value) bool {
	if a.Kind() == reflect.Slice && a.Len() == 0 && b.Len() == 0 {
		return true
	}
	return reflect.DeepEqual(a.Interface(), b.Interface())
}

// roomForGroups tells whether the durable groups that are new have room among those that are there.
func (r *reload) roomForGroups(e *entry, want topic.Config) error {
	e.use.RLock()
	defer e.use.RUnlock()
	if e.ring == nil {
		return fmt.Errorf("it was deleted meanwhile: try again")
	}
	var have []shmring.GroupInfo
	if err := r.b.look(e, func() (err error) { have, err = e.ring.Groups(); return err }); err != nil {
		return err
	}
	needed := len(have)
	for _, g := range want.Group {
		if !slices.ContainsFunc(have, func(h shmring.GroupInfo) bool { return h.Name == g.Name }) && *g.Durable {
			needed++
		}
	}
	if needed > want.Groups || needed > len(have) && needed > 1 && want.Kind.SingleGate() {
		return fmt.Errorf("%d groups would be in use, and there is room for %d", needed, map[bool]int{true: 1, false: want.Groups}[want.Kind.SingleGate()])
	}
	return nil
}

// create makes the topics that are new, all of them or none. Nobody finds them before the commit.
func (r *reload) create() {
	b := r.b
	for _, c := range r.want.Topics {
		b.mu.Lock()
		there := b.topics[c.Name] != nil
		b.mu.Unlock()
		if there {
			continue
		}
		e, err := b.prepareWithin(c, r.want)
		if err != nil {
			r.refuse("topic %q: %v", c.Name, err)
			break
		}
		r.made = append(r.made, e)
		r.Changed = append(r.Changed, fmt.Sprintf("topic %q: created, %s %s, %s", c.Name, e.config().Kind, e.config().Routing, e.config().Size))
	}
	if len(r.Refused) == 0 {
		return
	}
	for _, e := range r.made {
		if err := b.unmake(e); err != nil {
			r.refuse("topic %q, which was made for nothing: %v", e.name, err)
		}
	}
}

// unmake takes a topic away that was prepared, and that nobody uses.
func (b *Broker) unmake(e *entry) error {
	b.mu.Lock()
	delete(b.topics, e.name)
	b.mu.Unlock()
	e.use.Lock()
	defer e.use.Unlock()
	err := errors.Join(removeTopic(b.config.Dir, e.name), e.ring.Close())
	e.ring = nil
	return err
}

// commit puts everything into force: in one step for who asks for something from here on, then in the topics' files for the next broker
// and for tools.
func (r *reload) commit() {
	b := r.b
	b.mu.Lock()
	b.config.MaxClients, b.config.MaxSlotsPerUser = r.want.MaxClients, r.want.MaxSlotsPerUser
	b.config.MaxTopics, b.config.MaxMemory = r.want.MaxTopics, r.want.MaxMemory
	b.config.Log, b.config.Topics = r.want.Log, r.want.Topics
	for _, c := range r.changes {
		c.entry.settings.Store(&c.to)
	}
	for _, e := range r.made {
		b.openLocked(e)
	}
	b.mu.Unlock()
	if b.config.LogLevel != nil {
		b.config.LogLevel.Set(r.want.Level())
	}
	for _, c := range r.changes {
		if err := b.writeSettings(c.entry, c.to); err != nil {
			r.Kept = append(r.Kept, fmt.Sprintf("topic %q: its files do not say so: %v", c.entry.name, err))
		}
	}
	for _, c := range r.want.Topics {
		b.reportStrays(c.Name, c)
	}
}

// writeSettings puts a topic's configuration into its files.
func (b *Broker) writeSettings(e *entry, s settings) error {
	e.use.RLock()
	defer e.use.RUnlock()
	if e.ring == nil {
		return nil // deleted meanwhile
	}
	return b.look(e, func() error {
		return errors.Join(e.ring.SetConfig(s.json), groups.Make(e.ring, s.config, uint32(os.Geteuid())))
	})
}

// reload answers a client's Reload.
func (s *session) reload() (control.Message, error) {
	if err := s.mayManage("reload the configuration"); err != nil {
		return nil, err
	}
	r := s.b.Reload()
	m := &control.Reloaded{File: control.CutText(r.File, control.MaxPath)}
	room := 48 << 10 // of the message; what is beyond is in the log
	for _, l := range []struct {
		to   *[]string
		from []string
	}{{&m.Refused, r.Refused}, {&m.Changed, r.Changed}, {&m.Kept, r.Kept}} {
		for i, text := range l.from {
			text = control.CutText(text, control.MaxText)
			if room -= 2 + len(text); room < 0 {
				*l.to = append(*l.to, fmt.Sprintf("and %d more: see the broker's log", len(l.from)-i))
				break
			}
			*l.to = append(*l.to, text)
		}
	}
	return m, nil
}
