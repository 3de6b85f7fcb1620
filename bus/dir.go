package bus

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/mycelium-bus/mycelium/bus/internal/groups"
	"github.com/mycelium-bus/mycelium/bus/topic"
	"github.com/mycelium-bus/mycelium/shmring"
	"golang.org/x/sys/unix"
)

// OpenDir opens a bus by its directory, without a broker: for tests, tools, and programs of one user. The directory must be
// there, belong to this user (root may use anybody's), and be writable by nobody else. Topics are attached to as the owner of
// their files, whatever their lists of rights say. While a live broker holds the directory, creating and deleting topics is
// its own and returns [ErrInUse]; all else works beside it.
//
// From its first handle on, the connection looks every second at the topics that it has attached to ([Conn.Close] ends that): it
// closes what processes leave behind that die, and tells handles whose files were removed ([ErrClosed] with [ErrRemoved]).
func OpenDir(dir string, o Options) (*Conn, error) {
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		err := fmt.Errorf("open bus directory: %w", &fs.PathError{Op: "lstat", Path: dir, Err: err})
		if errors.Is(err, fs.ErrNotExist) {
			return nil, &hinted{err, "a broker makes the directory when it starts: start one, or name the directory of the one that runs"}
		}
		if errors.Is(err, fs.ErrPermission) {
			return nil, &hinted{fmt.Errorf("%w: %w", ErrPermission, err), askBroker}
		}
		return nil, err
	}
	refused := func(hint, format string, args ...any) (*Conn, error) {
		return nil, &hinted{fmt.Errorf("open bus directory %s: %w: %s", dir, ErrPermission, fmt.Sprintf(format, args...)), hint}
	}
	euid := uint32(os.Geteuid())
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFDIR:
		return refused("name the directory that the topics' directories are in; links are not followed", "it is not a directory")
	case st.Uid != euid && euid != 0:
		return refused(askBroker, "it belongs to user %d, this is %d", st.Uid, euid)
	case st.Mode&0o022 != 0:
		return refused(fmt.Sprintf("if nothing but topics is in it, `chmod 0700 %s`", dir), "mode %#o lets others write to it, want 0700", st.Mode&0o777)
	}
	return &Conn{options: o.withDefaults(), backend: &directory{path: dir}}, nil
}

// askBroker is what somebody can do whom a directory does not let in.
const askBroker = "connect to its broker instead: it lets users in whom a topic's lists publish and subscribe name; or run as the directory's owner"

// directory hands out the topics in a directory: it grants slots to this process itself.
type directory struct {
	path  string
	rings rings
}

// ring returns the mapping of a topic with an access.
func (d *directory) ring(name string, access shmring.Access) (*mapping, error) {
	path := filepath.Join(d.path, name)
	file, err := statFile(filepath.Join(path, "ring"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNoTopic
	}
	if err != nil {
		return nil, err
	}
	return d.rings.get(ringKey{name, access}, file, func() (*mapping, error) {
		m := &mapping{lock: -1}
		if m.ring, err = shmring.Open(path, access); err != nil || access != shmring.Produce && access != shmring.Consume {
			return m, err
		}
		m.files, err = watchPaths(path)
		if err != nil {
			err = errors.Join(err, m.ring.Close())
		}
		return m, err
	})
}

// fileID names a file as long as it is there.
type fileID struct{ device, inode uint64 }

func statFile(path string) (fileID, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return fileID{}, &fs.PathError{Op: "lstat", Path: path, Err: err}
	}
	return fileID{st.Dev, st.Ino}, nil
}

// attach maps a topic with the least access that is enough, and has grant draw a slot through a mapping that may.
func (d *directory) attach(name string, access shmring.Access, grant func(*shmring.Ring, topic.Config) (shmring.Grant, error)) (attachment, error) {
	a := attachment{grant: shmring.Grant{Lock: -1}}
	var err error
	if a.topic, err = d.ring(name, access); err != nil {
		return a, err
	}
	a.ring = a.topic.ring
	raw, err := a.ring.Config()
	if err != nil {
		return a, err
	}
	if a.config, err = decodeConfig(name, raw); err != nil || grant == nil {
		return a, err
	}
	owner, err := d.ring(name, shmring.Own)
	if err != nil {
		return a, err
	}
	a.grant, err = grant(owner.ring, a.config)
	a.slot.give = d.rings.sweep
	if err == nil {
		d.rings.keepRepaired()
	}
	return a, err
}

func (d *directory) producer(_ context.Context, name string, _ attachOptions) (attachment, error) {
	return d.attach(name, shmring.Produce, func(r *shmring.Ring, _ topic.Config) (shmring.Grant, error) {
		return r.GrantProducer(uint32(os.Geteuid()))
	})
}

func (d *directory) consumer(_ context.Context, name string, o subscribeOptions) (attachment, error) {
	return d.attach(name, shmring.Consume, func(r *shmring.Ring, c topic.Config) (shmring.Grant, error) {
		if name := o.groupOf(c.Routing); name != "" {
			if err := o.checkGroup(name); err != nil {
				return shmring.Grant{Lock: -1}, err
			}
			return r.GrantMember(name, groups.Policy(c, name, uint32(os.Geteuid())))
		}
		p, err := o.policy(c)
		if err != nil {
			return shmring.Grant{Lock: -1}, err
		}
		return r.GrantConsumer(p)
	})
}

func (d *directory) inspector(_ context.Context, name string) (attachment, error) {
	return d.attach(name, shmring.Inspect, nil)
}

// lock keeps brokers away for a moment, or finds one. Several openers may hold it at once.
func (d *directory) lock() (unlock func(), err error) {
	path := filepath.Join(d.path, ".lock")
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	if err := unix.Flock(fd, unix.LOCK_SH|unix.LOCK_NB); err != nil {
		unix.Close(fd)
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w: a broker has the directory %s and makes and deletes its topics", ErrInUse, d.path)
		}
		return nil, &fs.PathError{Op: "flock", Path: path, Err: err}
	}
	return func() { unix.Close(fd) }, nil // closing unlocks: nobody else has the description
}

func (d *directory) create(_ context.Context, c topic.Config) error {
	unlock, err := d.lock()
	if err != nil {
		return err
	}
	defer unlock()
	o, err := ringOptions(c)
	if err != nil {
		return err
	}
	ring, err := shmring.Create(d.path, c.Name, o)
	if err != nil {
		return err
	}
	if err := groups.Make(ring, c, uint32(os.Geteuid())); err != nil {
		return errors.Join(err, ring.Close(), shmring.RemoveDir(filepath.Join(d.path, c.Name)))
	}
	return ring.Close()
}

// ringOptions are the ring of a topic, whose configuration has its defaults.
func ringOptions(c topic.Config) (shmring.Options, error) {
	raw, err := encodeConfig(c)
	return shmring.Options{
		Kind: shmring.Kind(c.Kind), Routing: uint8(c.Routing), Sleep: uint8(c.Sleep),
		Capacity: uint64(c.Size), MaxFrame: uint64(c.MaxFrame), MaxClaim: uint64(c.MaxClaim),
		Producers: c.Producers, Consumers: c.Consumers, Groups: c.Groups, Config: raw,
	}, err
}

func (d *directory) remove(_ context.Context, name string) error {
	unlock, err := d.lock()
	if err != nil {
		return err
	}
	defer unlock()
	path := filepath.Join(d.path, name)
	err = shmring.CheckTopicDir(path) // somebody else's files stay
	if errors.Is(err, fs.ErrNotExist) {
		return ErrNoTopic
	}
	if err != nil {
		return err
	}
	// Out of the way first, so that what is marked is what is removed, and a topic of the same name can be made while the files go.
	gone, err := os.MkdirTemp(d.path, ".del-") // the prefix that a broker sweeps
	if err != nil {
		return err
	}
	at := filepath.Join(gone, name)
	if err := os.Rename(path, at); err != nil {
		return errors.Join(err, os.Remove(gone))
	}
	defer d.rings.sweep()
	if ring, err := shmring.Open(at, shmring.Own); err == nil { // one that is damaged cannot be marked: whoever has it mapped finds out
		_ = ring.Guard(func() { err = ring.MarkClosing() })
		if err := errors.Join(err, ring.Close()); err != nil {
			return err
		}
	}
	return errors.Join(shmring.RemoveDir(at), os.Remove(gone))
}

func (d *directory) dir() string { return d.path }

func (d *directory) serves() string { return "" }

func (d *directory) close() error { return d.rings.close() }

// names lists what may be topics.
func (d *directory) names() ([]string, error) {
	entries, err := os.ReadDir(d.path) // sorted
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() && topic.CheckName(e.Name()) == nil {
			names = append(names, e.Name())
		}
	}
	return names, nil
}
