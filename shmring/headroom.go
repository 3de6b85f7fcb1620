package shmring

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// checkHeadroom refuses with the missing number of bytes when the file system at dir, or a memory limit that this process
// lives under, has no room for need bytes more: allocating them would fail, or end in the out-of-memory killer.
func checkHeadroom(dir string, need uint64) error {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	if free := st.Bavail * uint64(st.Bsize); free < need {
		return fmt.Errorf("%w: the file system of %s lacks %d bytes (%d needed, %d free)", ErrNoSpace, dir, need-free, need, free)
	}
	return checkCgroups("/proc/self/cgroup", "/sys/fs/cgroup", need)
}

// checkCgroups walks from this process's memory cgroup up to the root, in version 2 (memory.max, memory.current) and
// version 1 (memory.limit_in_bytes, memory.usage_in_bytes); Linux Documentation/admin-guide/cgroup-v2.rst and -v1/memory.rst.
func checkCgroups(procFile, mount string, need uint64) error {
	b, err := os.ReadFile(procFile)
	if err != nil {
		return nil // no cgroups here
	}
	lines := bufio.NewScanner(bytes.NewReader(b))
	for lines.Scan() {
		id, rest, _ := strings.Cut(lines.Text(), ":")
		controllers, path, ok := strings.Cut(rest, ":")
		if !ok {
			continue
		}
		root, limitFile, usedFile := mount, "memory.max", "memory.current"
		if id != "0" {
			if !containsField(controllers, "memory") {
				continue
			}
			root, limitFile, usedFile = filepath.Join(mount, "memory"), "memory.limit_in_bytes", "memory.usage_in_bytes"
		}
		for p := filepath.Clean("/" + path); ; p = filepath.Dir(p) {
			dir := filepath.Join(root, p)
			limit, ok1 := readNumber(filepath.Join(dir, limitFile))
			used, ok2 := readNumber(filepath.Join(dir, usedFile))
			if ok1 && ok2 {
				if free := limit - min(used, limit); free < need {
					return fmt.Errorf("%w: the memory limit of cgroup %s lacks %d bytes (%d needed, %d of %d free)",
						ErrNoSpace, dir, need-free, need, free, limit)
				}
			}
			if p == "/" {
				break
			}
		}
	}
	return nil
}

func containsField(list, want string) bool {
	for _, f := range strings.Split(list, ",") {
		if f == want {
			return true
		}
	}
	return false
}

// readNumber reads a file that holds one number; "max" and a missing file mean no limit.
func readNumber(path string) (uint64, bool) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
	return n, err == nil
}
