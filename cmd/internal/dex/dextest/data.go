// Package dextest answers the question "where are the recorded days?" for tests: they are data beside the project, not
// part of it.
package dextest

import (
	"os"
	"path/filepath"
	"testing"
)

// Data returns the path of a recorded file, and skips the test where it is not there. The folder is $MYC_DATA, or else
// ../shared/data beside the project.
func Data(t testing.TB, parts ...string) string {
	t.Helper()
	dir := os.Getenv("MYC_DATA")
	if dir == "" {
		dir = filepath.Join(moduleRoot(t), "..", "shared", "data")
	}
	path := filepath.Join(append([]string{dir}, parts...)...)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("SKIPPED: the recorded data is not on this machine (MYC_DATA names its folder): %v", err)
	}
	return path
}

func moduleRoot(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("no go.mod above the test's folder")
		}
		dir = filepath.Dir(dir)
	}
}
