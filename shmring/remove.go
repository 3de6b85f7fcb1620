package shmring

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// ErrNotATopic says that a directory holds something else than a topic's files.
var ErrNotATopic = errors.New("not a topic's directory")

// topicFiles are all the names in a topic's directory.
var topicFiles = []string{nameControl, nameCursors, nameLocksC, nameLocksP, nameRing}

// CheckTopicDir returns [ErrNotATopic], which names what does not belong there, if the directory at path holds anything but a
// topic's files: then it must not be removed as one. A damaged topic may lack files, all of them too, and what they hold is not looked
// at. A symbolic link at path is an error.
func CheckTopicDir(path string) error {
	dir, err := openToRemove(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	return checkTopicDir(dir)
}

// openToRemove opens a directory, and no other one that a symbolic link leads to.
func openToRemove(path string) (*os.File, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

func checkTopicDir(dir *os.File) error {
	entries, err := dir.ReadDir(-1)
	if err != nil {
		return err
	}
	for _, e := range entries {
		switch {
		case !slices.Contains(topicFiles, e.Name()):
			return fmt.Errorf("%w: %s holds %q, which is no file of a topic", ErrNotATopic, dir.Name(), e.Name())
		case e.IsDir():
			return fmt.Errorf("%w: %s holds %q, which is a directory", ErrNotATopic, dir.Name(), e.Name())
		}
	}
	return nil
}

// RemoveDir removes a topic's files, then its directory, and nothing else: it returns [ErrNotATopic], having touched nothing, if
// something else is there. It follows no symbolic link, neither at path nor below; what somebody puts there meanwhile stays, and keeps
// the directory. Whoever has the files mapped keeps them; [Ring.MarkClosing] tells them.
func RemoveDir(path string) error {
	dir, err := openToRemove(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := checkTopicDir(dir); err != nil {
		return err
	}
	for _, name := range topicFiles {
		// By the open directory, and without AT_REMOVEDIR: whatever happens to path, these names are all that goes.
		if err := unix.Unlinkat(int(dir.Fd()), name, 0); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return &os.PathError{Op: "remove", Path: dir.Name() + "/" + name, Err: err}
		}
	}
	if err := unix.Rmdir(path); err != nil {
		return &os.PathError{Op: "remove", Path: path, Err: err}
	}
	return nil
}
