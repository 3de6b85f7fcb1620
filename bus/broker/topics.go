package broker

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/mycelium-bus/mycelium/bus/internal/control"
	"github.com/mycelium-bus/mycelium/bus/internal/groups"
	"github.com/mycelium-bus/mycelium/bus/topic"
	"github.com/mycelium-bus/mycelium/shmring"
)

// entry is a topic that the broker knows. Its name is taken from the moment that its creation begins.
type entry struct {
	name  string
	state control.TopicState // under Broker.mu, as are the fields below
	fault string             // of a damaged one
	size  uint64             // bytes of its files

	settings atomic.Pointer[settings] // nil of a damaged one; a reload changes them in one step

	// ring is nil unless active. Who uses it holds use for reading; deleting closes it under use held for writing.
	use   sync.RWMutex
	ring  *shmring.Ring
	files [len(fileNames)]identity // as they were when they were opened

	repairing sync.Mutex     // held by who repairs, or compares looks
	stalls    shmring.Stalls // under repairing
}

// settings are what a topic's configuration says now, with its defaults, and the same as JSON.
type settings struct {
	config topic.Config
	json   []byte
}

// config returns what holds for the topic now; it must not be changed.
func (e *entry) config() topic.Config {
	if s := e.settings.Load(); s != nil {
		return s.config
	}
	return topic.Config{}
}

func (e *entry) json() []byte {
	if s := e.settings.Load(); s != nil {
		return s.json
	}
	return nil
}

// ringOptions are the sizes of a topic's files. The numbers of kinds, routings and sleep modes are the same there.
func ringOptions(c topic.Config, config []byte) shmring.Options {
	return shmring.Options{
		Kind: shmring.Kind(c.Kind), Routing: uint8(c.Routing), Sleep: uint8(c.Sleep),
		Capacity: uint64(c.Size), MaxFrame: uint64(c.MaxFrame), MaxClaim: uint64(c.MaxClaim),
		Producers: c.Producers, Consumers: c.Consumers, Groups: c.Groups, Config: config,
	}
}

// encodeConfig is how a configuration is kept in a topic's files and told to clients.
func encodeConfig(c topic.Config) ([]byte, error) {
	b, err := json.Marshal(c)
	if err == nil && len(b) > control.MaxConfig {
		err = fmt.Errorf("%w: topic %q: its configuration takes %d bytes, at most %d: shorten its lists", topic.ErrInvalid, c.Name, len(b), control.MaxConfig)
	}
	return b, err
}

// create makes a topic and lets clients attach. It returns once that is done; meanwhile it holds no lock, and only this
// topic's name is taken. Errors are those of shmring.Create, of the configuration, and [control.Error] for limits.
func (b *Broker) create(c topic.Config) error {
	e, err := b.prepare(c)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.openLocked(e)
	return nil
}

// openLocked lets clients attach to a topic that was prepared. The mutex is held.
func (b *Broker) openLocked(e *entry) {
	e.state = control.TopicActive
	c := e.config()
	b.log.Info("topic created", "topic", c.Name, "kind", c.Kind.String(), "size", c.Size.String())
}

// prepare is create for a topic that nobody can attach to yet.
func (b *Broker) prepare(c topic.Config) (*entry, error) { return b.prepareWithin(c, Config{}) }

// prepareWithin is prepare within the limits of a configuration that is not in force yet; the zero Config stands for the one that is.
func (b *Broker) prepareWithin(c topic.Config, limits Config) (*entry, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	c = c.WithDefaults()
	js, err := encodeConfig(c)
	if err != nil {
		return nil, err
	}
	size, err := ringOptions(c, js).FilesSize()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", topic.ErrInvalid, err)
	}
	e := &entry{name: c.Name, state: control.TopicCreating, size: size}
	e.settings.Store(&settings{c, js})
	if err := b.reserve(e, limits); err != nil {
		return nil, err
	}
	ring, err := shmring.Create(b.config.Dir, c.Name, ringOptions(c, js))
	if err == nil {
		if err = groups.Make(ring, c, uint32(os.Geteuid())); err != nil {
			err = errors.Join(err, removeTopic(b.config.Dir, c.Name))
		}
	}
	if err == nil {
		e.ring = ring
		err = e.noteFiles()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err == nil && b.closing {
		err = control.Errorf(control.CodeClosed, "the broker shuts down") // the files are whole: the next broker adopts them
	}
	if err != nil {
		delete(b.topics, e.name)
		if ring != nil {
			err = errors.Join(err, ring.Close())
		}
		return nil, err
	}
	return e, nil
}

// reserve takes the topic's name and its share of the limits.
func (b *Broker) reserve(e *entry, limits Config) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if limits.MaxTopics == 0 {
		limits = b.config
	}
	if _, taken := b.topics[e.name]; taken {
		return fmt.Errorf("topic %q: %w", e.name, shmring.ErrExists)
	}
	if len(b.topics) >= limits.MaxTopics {
		return control.Errorf(control.CodeLimit, "topic %q: max_topics is reached: %d of %d", e.name, len(b.topics), limits.MaxTopics).
			WithHint("delete a topic, or raise max_topics")
	}
	used := uint64(0)
	for _, other := range b.topics {
		used += other.size
	}
	if limit := uint64(limits.MaxMemory); used+e.size > limit {
		return control.Errorf(control.CodeLimit, "topic %q: max_memory is reached: it takes %d bytes, %d of %d are used, %d are lacking",
			e.name, e.size, used, limit, used+e.size-limit).WithHint("choose a smaller size, delete a topic, or raise max_memory")
	}
	b.topics[e.name] = e
	return nil
}

// delete ends a topic: it is marked for those who have it mapped, its files go, and sessions that hold slots of it are told.
func (b *Broker) delete(name string) error {
	b.mu.Lock()
	e, err := b.lookupLocked(name)
	if err != nil && e == nil {
		b.mu.Unlock()
		return err
	}
	creating := e.state == control.TopicCreating
	b.mu.Unlock()
	if creating {
		return err
	}
	if err := checkRemovable(b.config.Dir, name); err != nil {
		return control.Errorf(control.CodeInvalid, "delete topic %q: %v", name, err).WithHint("take away what does not belong there first")
	}
	b.mu.Lock()
	if b.topics[name] != e {
		b.mu.Unlock()
		return control.Errorf(control.CodeNoTopic, "topic %q was deleted meanwhile", name)
	}
	delete(b.topics, name) // nobody finds it from here on
	b.mu.Unlock()

	e.use.Lock()
	nonce, errs := uint64(0), []error(nil)
	if e.ring != nil {
		nonce = e.ring.Nonce()
		if err := guarded(e.ring.MarkClosing); err != nil {
			// Where the mark would be there is no file any more, and whoever looks finds that out. It is deleted all the same.
			b.log.Warn("a topic that is deleted cannot be marked", "topic", name, "error", err)
		}
	}
	errs = append(errs, removeTopic(b.config.Dir, name))
	if e.ring != nil {
		errs = append(errs, e.ring.Close())
		e.ring = nil
	}
	e.use.Unlock()
	b.forget(e, nonce)
	b.log.Info("topic deleted", "topic", name)
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("delete topic %q: %w", name, err)
	}
	return nil
}

// forget drops the slots of a deleted topic and tells their holders.
func (b *Broker) forget(e *entry, nonce uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	told := map[*session]bool{}
	for key, h := range b.slots {
		if key.entry != e {
			continue
		}
		b.dropLocked(h)
		if s := h.session; s != nil && !told[s] {
			told[s] = true
			s.notify(&control.TopicDeleted{Topic: e.name, Nonce: nonce})
		}
	}
	// Who only looks holds no slot, and sees the mark in the control file.
}

// lookupLocked finds an active topic. Together with its error it returns the entry of one that is there but not usable. b.mu
// is held.
func (b *Broker) lookupLocked(name string) (*entry, error) {
	e := b.topics[name]
	switch {
	case e == nil:
		return nil, control.Errorf(control.CodeNoTopic, "no topic %q", name).WithHint("`myc-ctl topic list` shows those that are there")
	case e.state == control.TopicCreating:
		return e, control.Errorf(control.CodeNotReady, "topic %q is being created", name).WithHint("try again in a moment")
	case e.state == control.TopicDamaged:
		return e, control.Errorf(control.CodeCorrupt, "topic %q is damaged: %s", name, e.fault).
			WithHint("`myc-tools verify` shows the damage; delete the topic to create it anew")
	}
	return e, nil
}

func (b *Broker) topicDir(name string) string { return filepath.Join(b.config.Dir, name) }
