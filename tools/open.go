package tools

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"

	"github.com/mycelium-bus/mycelium/shmring"
)

// topicName is what a topic's name looks like, and so what may be looked up in a bus directory.
var topicName = regexp.MustCompile(`^[a-z0-9_.-]{1,64}$`)

// DefaultDir returns the bus directory that is looked at if none is named: $MYC_DIR, else /dev/shm/myc for root and
// /dev/shm/myc-UID for others, as the broker has it.
func DefaultDir() string {
	if dir := os.Getenv("MYC_DIR"); dir != "" {
		return dir
	}
	if uid := os.Getuid(); uid != 0 {
		return "/dev/shm/myc-" + strconv.Itoa(uid)
	}
	return "/dev/shm/myc"
}

// Target is what is looked at: a topic, opened for reading only.
type Target struct {
	*shmring.Ring
	Path string
	Lone bool // a single ring file: frames and the ring's own words, no readers and no locks
}

// Open opens the topic or the file that arg names. A name of a topic in the bus directory dir is that topic; everything
// else is a path, of a topic's directory (in use, or a copy) or of a single ring file. Close it. The errors are
// [ErrNoTopic], [ErrNotATopic] and those of shmring.Open.
func Open(dir, arg string) (*Target, error) {
	if topicName.MatchString(arg) && arg != "." && arg != ".." {
		path := filepath.Join(dir, arg)
		info, err := os.Lstat(path)
		if err == nil && info.IsDir() {
			return openPath(path, openTopic)
		}
		if errors.Is(err, fs.ErrPermission) {
			return nil, fmt.Errorf("topic %q: %w", arg, err)
		}
	}
	_, err := os.Stat(arg)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %q (topics are looked up in %s)", ErrNoTopic, arg, dir)
	}
	if err != nil {
		return nil, err
	}
	return openPath(arg, shmring.OpenCopy)
}

func openTopic(path string) (*shmring.Ring, error) { return shmring.Open(path, shmring.Inspect) }

// openPath opens what is at path, a directory by openDir.
func openPath(path string, openDir func(string) (*shmring.Ring, error)) (*Target, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	t := &Target{Path: path}
	switch {
	case info.IsDir():
		if _, err := os.Lstat(filepath.Join(path, "ring")); errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%w: directory %s holds no file named ring", ErrNotATopic, path)
		}
		t.Ring, err = openDir(path)
	case info.Mode().IsRegular():
		t.Lone = true
		t.Ring, err = shmring.OpenFile(path)
	default: // opening a FIFO would wait for who writes it
		return nil, fmt.Errorf("%w: %s is a %s", ErrNotATopic, path, kindOf(info.Mode()))
	}
	if err != nil {
		return nil, err
	}
	return t, nil
}

func kindOf(m fs.FileMode) string {
	switch {
	case m&fs.ModeNamedPipe != 0:
		return "named pipe"
	case m&fs.ModeSocket != 0:
		return "socket"
	case m&fs.ModeDevice != 0:
		return "device"
	}
	return "special file"
}

// Topics lists the names of the topics in a bus directory, sorted; none if the directory cannot be read.
func Topics(dir string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		// The broker's own files and topics that are being created begin with a dot.
		if e.IsDir() && topicName.MatchString(e.Name()) && e.Name()[0] != '.' {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names
}
