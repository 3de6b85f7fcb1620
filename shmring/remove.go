package shmring

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// ErrNotATopic says that a directory holds something else than a topic's files.
var ErrNotATopic = errors.New("not a topic's directory")

// CheckTopicDir returns [ErrNotATopic] if the directory at path is not a topic's, of which a damaged one may lack some files:
// then what is in it is somebody else's, and must not be removed. A topic's holds files alone, the ring or the control file
// among them; an empty directory passes.
func CheckTopicDir(path string) error {
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	known := len(entries) == 0
	for _, e := range entries {
		if e.IsDir() {
			return fmt.Errorf("%w: %s holds a directory, %q", ErrNotATopic, path, e.Name())
		}
		known = known || e.Name() == nameRing || e.Name() == nameControl
	}
	if !known {
		return fmt.Errorf("%w: %s holds neither %s nor %s", ErrNotATopic, path, nameRing, nameControl)
	}
	return nil
}

// RemoveDir removes a topic's files, then its directory. It removes nothing that is not a topic's ([ErrNotATopic]). Whoever has
// the files mapped keeps them; [Ring.MarkClosing] tells them.
func RemoveDir(path string) error {
	if err := CheckTopicDir(path); err != nil {
		return err
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := os.Remove(filepath.Join(path, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return os.Remove(path) // fails if somebody put something in meanwhile
}
