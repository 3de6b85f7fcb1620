package broker

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/mycelium-bus/mycelium/bus/internal/control"
	"github.com/mycelium-bus/mycelium/bus/internal/groups"
	"github.com/mycelium-bus/mycelium/bus/topic"
	"github.com/mycelium-bus/mycelium/shmring"
)

// adopt opens the topics that an earlier broker, or a process that used the directory without one, left. What cannot be
// opened is listed as damaged and left as it is.
func (b *Broker) adopt() error {
	removed, strange, err := removeLeftovers(b.config.Dir)
	if err != nil {
		return err
	}
	if len(removed) > 0 {
		b.log.Warn("removed what an interrupted creation or deletion had left", "directories", removed)
	}
	if len(strange) > 0 {
		b.log.Warn("left alone what looks like an interrupted creation or deletion and holds something else", "directories", strange)
	}
	entries, err := os.ReadDir(b.config.Dir)
	if err != nil {
		return fmt.Errorf("look for topics: %w", err)
	}
	for _, d := range entries {
		name := d.Name()
		if name == lockName {
			continue
		}
		if problem := topic.CheckName(name); problem != nil || !d.IsDir() {
			b.log.Warn("not a topic: left alone", "path", b.topicDir(name))
			continue
		}
		if err := b.adoptOne(name); err != nil {
			return err
		}
	}
	return nil
}

func (b *Broker) adoptOne(name string) error {
	e := &entry{name: name, state: control.TopicActive}
	ring, info, err := openTopic(b.topicDir(name), name)
	if err == nil && info.Closing {
		// Its deletion was interrupted between the mark and the removal.
		err = errors.Join(ring.Close(), removeTopic(b.config.Dir, name))
		if err == nil {
			b.log.Warn("topic was being deleted: removed", "topic", name)
			return nil
		}
		err = fmt.Errorf("it was being deleted, and cannot be removed: %w", err)
	}
	if err != nil {
		b.log.Error("topic is damaged: left as it is", "topic", name, "error", err)
		b.topics[name] = &entry{name: name, state: control.TopicDamaged, fault: control.CutText(err.Error(), control.MaxText)}
		return nil
	}
	e.ring = ring
	if err := b.takeOver(e, info); err != nil {
		return errors.Join(fmt.Errorf("topic %q: %w", name, err), ring.Close())
	}
	b.topics[name] = e
	b.log.Info("topic adopted", "topic", name, "kind", e.config().Kind.String(), "size", e.config().Size.String())
	return nil
}

// openTopic maps a topic's files and looks at them.
func openTopic(path, name string) (*shmring.Ring, shmring.Info, error) {
	ring, err := shmring.Open(path, shmring.Own)
	if err != nil {
		return nil, shmring.Info{}, err
	}
	info, err := ring.Inspect()
	if err == nil && info.Name != name {
		err = fmt.Errorf("its files were made for a topic named %q", info.Name)
	}
	if err != nil {
		return nil, info, errors.Join(err, ring.Close())
	}
	return ring, info, nil
}

// takeOver puts an adopted topic's configuration into force, and into its files for the next broker and for tools.
func (b *Broker) takeOver(e *entry, info shmring.Info) (err error) {
	c := b.storedConfig(e.ring, info)
	if configured, ok := b.configured(e.name); ok {
		c = b.merge(c, configured)
	}
	js, err := encodeConfig(c)
	if err != nil {
		return err
	}
	e.settings.Store(&settings{c, js})
	if stored, err := e.ring.Config(); err != nil || !bytes.Equal(stored, js) {
		if err := e.ring.SetConfig(js); err != nil {
			return err
		}
	}
	if err := b.look(e, func() error { return groups.Make(e.ring, c, uint32(os.Geteuid())) }); err != nil {
		b.log.Error("the topic's groups are not as they are configured", "topic", e.name, "error", err)
	}
	if e.size, err = filesSize(b.topicDir(e.name)); err != nil {
		return err
	}
	return e.noteFiles()
}

func (b *Broker) configured(name string) (topic.Config, bool) {
	for _, c := range b.config.Topics {
		if c.Name == name {
			return c.WithDefaults(), true
		}
	}
	return topic.Config{}, false
}

// storedConfig reads the configuration that a topic's files keep. What the headers say is always right; what cannot be read
// of the rest has its defaults, which let only the broker's user in.
func (b *Broker) storedConfig(ring *shmring.Ring, info shmring.Info) topic.Config {
	var c topic.Config
	stored, err := ring.Config()
	if err == nil {
		err = json.Unmarshal(stored, &c)
	}
	if err == nil {
		err = errors.Join(c.Validate(), topic.CheckReload(fromHeader(info, c), c))
	}
	if err != nil {
		b.log.Warn("the topic's stored configuration is unusable: defaults are in force", "topic", info.Name, "error", err)
		c = topic.Config{}
	}
	return fromHeader(info, c).WithDefaults()
}

// fromHeader returns c with what the ring's headers say.
func fromHeader(info shmring.Info, c topic.Config) topic.Config {
	c.Name, c.Kind, c.Routing, c.Sleep = info.Name, topic.Kind(info.Kind), topic.Routing(info.Routing), topic.Sleep(info.Sleep)
	c.Size, c.MaxFrame, c.MaxClaim = topic.Size(info.Capacity), topic.Size(info.MaxFrame), topic.Size(info.MaxClaim)
	return c
}

// filesSize is what a topic's files take.
func filesSize(dir string) (uint64, error) {
	entries, err := os.ReadDir(dir)
	total := uint64(0)
	for _, e := range entries {
		info, infoErr := e.Info()
		if infoErr != nil {
			err = errors.Join(err, infoErr)
			continue
		}
		total += uint64(info.Size())
	}
	return total, err
}

// merge returns what comes into force when a topic that is there is configured otherwise: what is fixed in its files stays,
// and is reported; the rest is the new configuration's, if the two go together.
func (b *Broker) merge(have, want topic.Config) topic.Config {
	if err := topic.CheckReload(have, want); err != nil {
		b.log.Warn("the topic exists and keeps what is fixed in its files", "topic", have.Name, "error", err)
	}
	merged := want
	merged.Kind, merged.Routing, merged.Sleep = have.Kind, have.Routing, have.Sleep
	merged.Size, merged.MaxFrame, merged.MaxClaim = have.Size, have.MaxFrame, have.MaxClaim
	merged.Producers, merged.Consumers, merged.Groups = have.Producers, have.Consumers, have.Groups
	if err := merged.Validate(); err != nil {
		b.log.Error("the topic's new configuration does not go with its files: the old one stays in force", "topic", have.Name, "error", err)
		return have
	}
	return merged.WithDefaults()
}
