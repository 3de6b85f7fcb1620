package shmring

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
)

// cgroupTree makes what the kernel shows of control groups: /proc/self/cgroup, and files by their path below the mount.
func cgroupTree(t *testing.T, own string, files map[string]string) (procFile, mount string) {
	t.Helper()
	dir := t.TempDir()
	procFile, mount = filepath.Join(dir, "cgroup"), filepath.Join(dir, "mount")
	write := func(path, content string) {
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(content), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	write(procFile, own)
	for path, content := range files {
		write(filepath.Join(mount, path), content)
	}
	return procFile, mount
}

func TestCgroupLimits(t *testing.T) {
	const need = 1000
	for _, c := range []struct {
		name, own string
		files     map[string]string
		missing   int // 0: there is room
	}{
		{"version 2 without a limit", "0::/a\n", map[string]string{"a/memory.max": "max\n", "a/memory.current": "5\n"}, 0},
		{"version 2 with just enough room", "0::/a\n", map[string]string{"a/memory.max": "1500\n", "a/memory.current": "500\n"}, 0},
		{"version 2 with a byte too little", "0::/a\n", map[string]string{"a/memory.max": "1500\n", "a/memory.current": "501\n"}, 1},
		{"a parent's limit counts", "0::/a/b/c\n", map[string]string{
			"a/b/c/memory.max": "max\n", "a/b/c/memory.current": "5\n", "a/memory.max": "900\n", "a/memory.current": "100\n"}, 200},
		{"the limit of the mount itself counts", "0::/not/to/be/seen/from/here\n", map[string]string{"memory.max": "700\n", "memory.current": "0\n"}, 300},
		{"a sibling's limit does not count", "0::/a\n", map[string]string{"b/memory.max": "1\n", "b/memory.current": "1\n"}, 0},
		{"more in use than the limit allows", "0::/a\n", map[string]string{"a/memory.max": "100\n", "a/memory.current": "300\n"}, need},
		{"version 1", "5:cpu,cpuacct:/x\n4:memory:/a\n", map[string]string{
			"memory/a/memory.limit_in_bytes": "1200\n", "memory/a/memory.usage_in_bytes": "300\n"}, 100},
		{"version 1 without a limit", "4:memory:/a\n", map[string]string{
			"memory/a/memory.limit_in_bytes": "9223372036854771712\n", "memory/a/memory.usage_in_bytes": "300\n"}, 0},
		{"memory beside another controller", "4:hugetlb,memory:/a\n", map[string]string{
			"memory/a/memory.limit_in_bytes": "0\n", "memory/a/memory.usage_in_bytes": "0\n"}, need},
		{"version 1 for memory, version 2 for the rest", "4:memory:/a\n0::/b\n", map[string]string{
			"memory/a/memory.limit_in_bytes": "990\n", "memory/a/memory.usage_in_bytes": "0\n"}, 10},
		{"files that nobody used lately", "0::/a\n", map[string]string{"a/memory.max": "1500\n", "a/memory.current": "1400\n",
			"a/memory.stat": "anon 100\ninactive_file 850\nactive_file 450\n"}, 50},
		{"the same in version 1", "4:memory:/a\n", map[string]string{"memory/a/memory.limit_in_bytes": "1500\n",
			"memory/a/memory.usage_in_bytes": "1400\n", "memory/a/memory.stat": "inactive_file 1\ntotal_inactive_file 900\n"}, 0},
		{"more of them than there is in use", "0::/a\n", map[string]string{"a/memory.max": "900\n", "a/memory.current": "10\n",
			"a/memory.stat": "inactive_file 850\n"}, 100},
		{"not a number", "0::/a\n", map[string]string{"a/memory.max": "lots\n", "a/memory.current": "5\n"}, 0},
		{"lines that are none", "\n:\nmemory\n4:memory\n", map[string]string{"memory/memory.limit_in_bytes": "1\n", "memory/memory.usage_in_bytes": "1\n"}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			procFile, mount := cgroupTree(t, c.own, c.files)
			err := checkCgroups(procFile, mount, need)
			if c.missing == 0 {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.Is(err, ErrNoSpace) || missingBytes(t, err) != c.missing {
				t.Errorf("%v, want %d bytes missing", err, c.missing)
			}
		})
	}
	if err := checkCgroups(filepath.Join(t.TempDir(), "none"), t.TempDir(), 1<<60); err != nil {
		t.Errorf("without control groups: %v", err)
	}
}

// missingBytes reads the number that an error of [checkHeadroom] tells.
func missingBytes(t *testing.T, err error) int {
	t.Helper()
	m := regexp.MustCompile(`lacks (\d+) bytes`).FindStringSubmatch(err.Error())
	if m == nil {
		t.Fatalf("%v does not tell how many bytes are missing", err)
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		t.Fatal(err)
	}
	return n
}
