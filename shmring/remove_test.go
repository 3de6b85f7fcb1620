package shmring

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestRemoveDirRemovesATopicAndNothingElse(t *testing.T) {
	put := func(path string) {
		t.Helper()
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte("mine"), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		make    func(dir string) // makes dir/t
		want    error            // nil: it goes
		remains []string
	}{
		"a topic": {func(dir string) {
			for _, f := range topicFiles {
				put(filepath.Join(dir, "t", f))
			}
		}, nil, nil},
		"a damaged one":      {func(dir string) { put(filepath.Join(dir, "t", "cursors")) }, nil, nil},
		"an empty directory": {func(dir string) { os.MkdirAll(filepath.Join(dir, "t"), 0o700) }, nil, nil},
		"a link in the place of a file": {func(dir string) {
			put(filepath.Join(dir, "elsewhere"))
			os.MkdirAll(filepath.Join(dir, "t"), 0o700)
			os.Symlink("../elsewhere", filepath.Join(dir, "t", "ring"))
		}, nil, []string{"elsewhere"}},
		"a topic with something beside it": {func(dir string) {
			put(filepath.Join(dir, "t", "control"))
			put(filepath.Join(dir, "t", "rules"))
		}, ErrNotATopic, []string{"t/control", "t/rules"}},
		"a directory of a file's name": {func(dir string) { put(filepath.Join(dir, "t", "ring", "wedding.jpg")) }, ErrNotATopic, []string{"t/ring/wedding.jpg"}},
		"a link in its own place": {func(dir string) {
			put(filepath.Join(dir, "elsewhere", "ring"))
			os.Symlink("elsewhere", filepath.Join(dir, "t"))
		}, os.ErrInvalid, []string{"t", "elsewhere/ring"}},
		"a file":  {func(dir string) { put(filepath.Join(dir, "t")) }, os.ErrInvalid, []string{"t"}},
		"nothing": {func(string) {}, os.ErrNotExist, nil},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			c.make(dir)
			path := filepath.Join(dir, "t")
			for what, err := range map[string]error{"CheckTopicDir": CheckTopicDir(path), "RemoveDir": RemoveDir(path)} {
				if c.want == os.ErrInvalid && err != nil { // the kernel's own word for it
					continue
				}
				if c.want == nil && err != nil || !errors.Is(err, c.want) {
					t.Errorf("%s: %v, want %v", what, err, c.want)
				}
			}
			if _, err := os.Lstat(path); c.want == nil && !errors.Is(err, os.ErrNotExist) {
				t.Errorf("it is still there: %v", err)
			}
			for _, f := range c.remains {
				if _, err := os.Lstat(filepath.Join(dir, f)); err != nil {
					t.Error(err)
				}
			}
		})
	}
}
