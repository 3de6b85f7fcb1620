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
	if free := st.Bavail * uint64(st.Bsize); free < need && st.Blocks != 0 { // a tmpfs of no fixed size shows 0 blocks
		return fmt.Errorf("%w: the file system of %s lacks %d bytes (%d needed, %d free)", ErrNoSpace, dir, need-free, need, free)
	}
	return checkCgroups("/proc/self/cgroup", "/sys/fs/cgroup", need)
}

// checkCgroups walks from this process's memory cgroup up to the root, in version 2 (memory.max, memory.current) and
// version 1 (memory.limit_in_bytes, memory.usage_in_bytes); Linux Documentation/admin-guide/cgroup-v2.rst and -v1/memory.rst. Of what
// is in use, the pages of files that nobody used lately are given back before anything fails: they count as free.
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
		root, limitFile, usedFile, idleField := mount, "memory.max", "memory.current", "inactive_file"
		if id != "0" {
			if !containsField(controllers, "memory") {
				continue
			}
			root, limitFile, usedFile = filepath.Join(mount, "memory"), "memory.limit_in_bytes", "memory.usage_in_bytes"
			idleField = "total_inactive_file"
		}
		for p := filepath.Clean("/" + path); ; p = filepath.Dir(p) {
			dir := filepath.Join(root, p)
			limit, ok1 := readNumber(filepath.Join(dir, limitFile))
			used, ok2 := readNumber(filepath.Join(dir, usedFile))
			used -= min(used, readField(filepath.Join(dir, "memory.stat"), idleField))
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

// readField reads one field of a file of names and numbers, a line each; 0 if there is none.
func readField(path, name string) uint64 {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if field, value, _ := strings.Cut(strings.TrimSpace(line), " "); field == name {
			n, _ := strconv.ParseUint(value, 10, 64) // 0 if it is none
			return n
		}
	}
	return 0
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
