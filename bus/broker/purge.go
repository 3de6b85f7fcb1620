package broker

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/mycelium-bus/mycelium/bus/internal/control"
	"github.com/mycelium-bus/mycelium/bus/topic"
	"github.com/mycelium-bus/mycelium/shmring"
)

// Purge removes all topics of a bus directory, damaged ones too, and then the directory if nothing else is in it. It returns
// the topics' names. While a process holds a slot of any of them it removes none and returns [ErrAttached], which names those topics;
// while a broker has the directory, [ErrRunning]; where there is something beside the files in a topic's directory,
// [shmring.ErrNotATopic]. Clients that only look notice that the topic is closing. A directory that does not exist has no topics.
func Purge(dir string) ([]string, error) {
	if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err := prepareDir(dir); err != nil {
		return nil, err
	}
	lock, err := lockDir(dir, "none: it purges")
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	if _, _, err := removeLeftovers(dir); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("look for topics: %w", err)
	}
	var names []string
	for _, d := range entries {
		if !d.IsDir() || topic.CheckName(d.Name()) != nil {
			continue
		}
		err := shmring.CheckTopicDir(filepath.Join(dir, d.Name()))
		switch {
		case err == nil:
			names = append(names, d.Name())
		case isTopic(filepath.Join(dir, d.Name())):
			return nil, withHint(fmt.Errorf("remove topic %q: %w", d.Name(), err), "take away what does not belong there first")
		}
		// What is not a topic's is somebody else's: a broker's directory may have been named by mistake.
	}
	if err := checkUnused(dir, names); err != nil {
		return nil, err
	}
	for i, name := range names {
		if err := purgeTopic(dir, name); err != nil {
			return names[:i], fmt.Errorf("remove topic %q: %w", name, err)
		}
	}
	return names, removeDir(dir)
}

// isTopic reports whether a directory's files can be used as a topic's.
func isTopic(path string) bool {
	ring, err := shmring.Open(path, shmring.Inspect)
	return err == nil && ring.Close() == nil
}

// removeDir removes the lock file, which the caller holds, and the directory, unless something stands in it that is not a
// broker's.
func removeDir(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) > 1 {
		return err
	}
	if err := os.Remove(filepath.Join(dir, lockName)); err != nil {
		return err
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, unix.ENOTEMPTY) {
		return err // not empty: a broker that starts this very moment has it
	}
	return nil
}

// checkUnused looks at the locks of all topics before the first one is touched.
func checkUnused(dir string, names []string) error {
	var used []string
	for _, name := range names {
		held, err := anyHeld(filepath.Join(dir, name))
		if err != nil {
			return fmt.Errorf("look at the locks of topic %q: %w", name, err)
		}
		if held {
			used = append(used, name)
		}
	}
	if len(used) == 0 {
		return nil
	}
	return withHint(fmt.Errorf("%w to %q", ErrAttached, used), "stop those clients first: `myc-ctl topic inspect` names them")
}

func anyHeld(topicDir string) (bool, error) {
	for _, role := range []control.Role{control.RoleProducer, control.RoleConsumer} {
		probe, err := openLocks(topicDir, role)
		if err != nil {
			return false, err
		}
		held, err := probe.held(anySlot)
		probe.close()
		if held || err != nil {
			return held, err
		}
	}
	return false, nil
}

// purgeTopic marks a topic as closing, where its files allow, and removes it.
func purgeTopic(dir, name string) error {
	if ring, err := shmring.Open(filepath.Join(dir, name), shmring.Own); err == nil {
		_ = guarded(ring.MarkClosing) // one that cannot be marked was cut short this moment; who has it mapped finds out
		if err := ring.Close(); err != nil {
			return err
		}
	}
	return removeTopic(dir, name)
}
