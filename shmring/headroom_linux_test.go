//go:build linux

package shmring

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// The limits of these tests are real ones, made for a child: this test binary, started once more for the same test.
const envHeadroomChild = "MYC_HEADROOM_CHILD" // where the child makes topics

// headroomChild starts this test once more. The watchdog ends it after a minute.
func headroomChild(t *testing.T, dir string, attr *syscall.SysProcAttr) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run", "^"+t.Name()+"$", "-test.v", "-test.timeout", "60s")
	cmd.Env = append(os.Environ(), envHeadroomChild+"="+dir)
	cmd.SysProcAttr = attr
	return cmd
}

// TestAFullFileSystem mounts a small tmpfs, in a mount namespace of the child's own: nothing is left of it, however the child ends.
func TestAFullFileSystem(t *testing.T) {
	if dir := os.Getenv(envHeadroomChild); dir != "" {
		fullFileSystem(t, dir)
		return
	}
	if testing.Short() {
		t.Skip("starts a process of its own: not with -short")
	}
	attr := &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Unshareflags: syscall.CLONE_NEWNS}
	if uid, gid := os.Getuid(), os.Getgid(); uid != 0 { // root of a namespace of its own may mount, where the system admits it
		attr.Cloneflags = syscall.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: gid, Size: 1}}
	}
	out, err := headroomChild(t, t.TempDir(), attr).CombinedOutput()
	switch {
	case errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EINVAL) || bytes.Contains(out, []byte("--- SKIP")):
		t.Skipf("NOT TESTED: a file system that is full: this process may not mount one of its own (%v)\n%s", err, out)
	case err != nil:
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}

func fullFileSystem(t *testing.T, dir string) {
	const size = 1 << 20
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		t.Skip(err)
	}
	o := Options{Kind: MPMC, Capacity: size}
	_, err := Create(dir, "big", o)
	if !errors.Is(err, ErrNoSpace) {
		t.Fatalf("a topic larger than the file system: %v", err)
	}
	t.Log(err)
	missing := missingBytes(t, err)
	wantEmpty(t, dir)
	// The number is what is missing, and not a page more.
	page := os.Getpagesize()
	for _, c := range []struct {
		room int
		want error
	}{{missing - page, ErrNoSpace}, {missing, nil}} {
		if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_REMOUNT, fmt.Sprintf("size=%d", size+c.room)); err != nil {
			t.Fatal(err)
		}
		r, err := Create(dir, "big", o)
		if !errors.Is(err, c.want) {
			t.Fatalf("with room for %d bytes more: %v, want %v", c.room, err, c.want)
		}
		if err == nil {
			r.Close()
		}
	}
	// Somebody else may take the room between the look and the allocation.
	f, err := os.Create(filepath.Join(dir, "late"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := allocate(int(f.Fd()), size); !errors.Is(err, ErrNoSpace) {
		t.Errorf("allocating in a full file system: %v", err)
	}
}

func wantEmpty(t *testing.T, dir string) {
	t.Helper()
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("a refused topic leaves %v (%v)", left, err)
	}
}

// TestAMemoryLimit puts a child into a control group with a memory limit.
func TestAMemoryLimit(t *testing.T) {
	if dir := os.Getenv(envHeadroomChild); dir != "" {
		memoryLimit(t, dir)
		return
	}
	if testing.Short() {
		t.Skip("starts a process of its own: not with -short")
	}
	const limit = 96 << 20
	group, limitFile := makeCgroup(t, limit)
	dir := busDir(t)
	cmd := headroomChild(t, dir, &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL})
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if err := os.WriteFile(filepath.Join(group, "cgroup.procs"), fmt.Append(nil, cmd.Process.Pid), 0); err != nil {
		in.Close()
		t.Skipf("NOT TESTED: a memory limit: no process may be put into a control group here (%v; %v)", err, cmd.Wait())
	}
	fmt.Fprintln(in, "go")
	var said strings.Builder
	for lines := bufio.NewScanner(out); lines.Scan(); {
		fmt.Fprintln(&said, lines.Text())
		var missing int
		if _, err := fmt.Sscanf(lines.Text(), "missing %d", &missing); err != nil {
			continue
		}
		// As much more as it says, and what the child itself takes meanwhile.
		if err := os.WriteFile(filepath.Join(group, limitFile), fmt.Append(nil, limit+missing+48<<20), 0); err != nil {
			t.Error(err)
		}
		fmt.Fprintln(in, "go")
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, &said)
	}
	t.Logf("in %s:\n%s", group, &said)
}

func memoryLimit(t *testing.T, dir string) {
	in := bufio.NewReader(os.Stdin)
	await := func() {
		if _, err := in.ReadString('\n'); err != nil && err != io.EOF {
			t.Fatal(err)
		}
	}
	await() // until this process is in its group
	o := Options{Kind: MPMC, Capacity: 128 << 20}
	_, err := Create(dir, "big", o)
	if !errors.Is(err, ErrNoSpace) || !strings.Contains(err.Error(), "memory limit") {
		t.Fatalf("a topic larger than the memory limit: %v", err)
	}
	wantEmpty(t, dir)
	small, err := Create(dir, "small", Options{Kind: MPMC, Capacity: 1 << 20})
	if err != nil {
		t.Fatalf("a topic within the memory limit: %v", err)
	}
	defer small.Close()
	_, err = Create(dir, "big", o)
	if !errors.Is(err, ErrNoSpace) {
		t.Fatal(err)
	}
	fmt.Printf("%v\nmissing %d\n", err, missingBytes(t, err))
	await()
	big, err := Create(dir, "big", o)
	if err != nil {
		t.Fatalf("with a limit that was raised: %v", err)
	}
	big.Close()
}

// makeCgroup makes a control group with a memory limit below this process's own, or below the root, where that is allowed.
func makeCgroup(t *testing.T, limit int) (group, limitFile string) {
	t.Helper()
	var why []error
	for _, v := range []struct{ root, limitFile string }{
		{"/sys/fs/cgroup/memory", "memory.limit_in_bytes"}, {"/sys/fs/cgroup", "memory.max"}} {
		for _, below := range []string{ownCgroup(v.limitFile == "memory.max"), "/"} {
			group := filepath.Join(v.root, below, fmt.Sprintf("myc-test-%d", os.Getpid()))
			if err := os.Mkdir(group, 0o755); err != nil {
				why = append(why, err)
				continue
			}
			t.Cleanup(func() { // its process has ended, and the kernel may need a moment to see it
				eventually(t, "the control group can be removed", func() bool { return os.Remove(group) == nil })
			})
			// Without the kernel's own files it is a folder like others, or the controller is somewhere else.
			_, err := os.Stat(filepath.Join(group, v.limitFile))
			if err == nil {
				err = os.WriteFile(filepath.Join(group, v.limitFile), fmt.Append(nil, limit), 0)
			}
			if err == nil {
				return group, v.limitFile
			}
			why = append(why, err)
		}
	}
	t.Skipf("NOT TESTED: a memory limit: no control group for memory can be made here: %v", errors.Join(why...))
	return "", ""
}

// ownCgroup is where this process is in the hierarchy of version 2, or of version 1's memory controller.
func ownCgroup(version2 bool) string {
	b, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "/"
	}
	for line := range strings.Lines(string(b)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) == 3 && (version2 && f[0] == "0" || !version2 && containsField(f[1], "memory")) {
			return f[2]
		}
	}
	return "/"
}
