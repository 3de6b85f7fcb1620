package uds

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// MaxPath is the longest path of a socket in bytes: what a socket address holds (107, unix(7)), less the suffix under
// which Listen makes the socket.
const MaxPath = 107 - len(newSuffix)

// newSuffix marks a socket file between bind and rename.
const newSuffix = ".new"

// backlog is how many connections wait to be accepted; the kernel cuts it to net.core.somaxconn.
const backlog = 4096

// dirLockPatience bounds the wait for other processes that start or stop listening in the same directory.
const dirLockPatience = 2 * time.Second

// Listener accepts connections at a path. All methods may be called by several goroutines at once.
type Listener interface {
	// Accept waits for the next connection. It returns [ErrClosed] once the listener is closed, also to who waits.
	// Any other error is about one connection, or passes (as syscall.EMFILE does when descriptors are freed): a server
	// pauses and goes on.
	Accept() (Conn, error)

	// Addr returns the path as it was given to Listen.
	Addr() string

	// Close stops listening and removes the socket file, unless something else stands at the path by now. Accepted
	// connections live on. Closing again returns nil.
	Close() error
}

// Listen listens at path, in a directory that exists.
//
// The socket file has its mode and group before anyone can connect, and appears at the path in one step. A socket file
// that a dead process left is replaced. A live listener there is [ErrInUse], unless Options.Replace is set; what is
// not a socket is never touched. Starters in one directory wait for each other under flock(2) on that directory, for
// 2 seconds at most, so of several exactly one gets the path. Errors are an [*Error] with a hint, or those of
// [Options.Validate].
func Listen(path string, o Options) (Listener, error) {
	o, err := o.resolve()
	if err != nil {
		return nil, fmt.Errorf("listen %s: %w", path, err)
	}
	if err := checkPath("listen", path); err != nil {
		return nil, err
	}
	gid, err := lookupGroup(path, o.Group)
	if err != nil {
		return nil, err
	}
	unlock, err := lockDir(path, dirLockPatience)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := checkVacant(path, o); err != nil {
		return nil, err
	}
	return listenLocked(path, gid, o)
}

// listenLocked makes the socket beside path and renames it there. The lock is the directory's.
func listenLocked(path string, gid int, o Options) (_ Listener, err error) {
	fd, err := unix.Socket(unix.AF_UNIX, o.Framing.sockType()|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, &Error{Op: "listen", Path: path, Err: err}
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close() // net.FileListener has a duplicate

	fresh := path + newSuffix
	if err := removeSocket(fresh); err != nil { // of a starter that died at this point
		return nil, listenError(path, err)
	}
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: fresh}); err != nil {
		return nil, listenError(path, err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(fresh)
		}
	}()
	// A socket that is bound but does not listen refuses everyone, so the file's umask mode harms nobody.
	if err := os.Lchown(fresh, -1, gid); err != nil {
		return nil, groupError(path, o.Group, err)
	}
	if err := os.Chmod(fresh, o.Mode); err != nil {
		return nil, listenError(path, err)
	}
	id, err := identify(fresh)
	if err != nil {
		return nil, listenError(path, err)
	}
	if err := unix.Listen(fd, backlog); err != nil {
		return nil, listenError(path, err)
	}
	nl, err := net.FileListener(f)
	if err != nil {
		return nil, listenError(path, err)
	}
	if err := os.Rename(fresh, path); err != nil {
		_ = nl.Close()
		return nil, listenError(path, err)
	}
	ul := nl.(*net.UnixListener)
	ul.SetUnlinkOnClose(false) // it would remove whatever stands at the name it was bound to
	return &listener{ul: ul, path: path, id: id, options: o}, nil
}

type listener struct {
	ul      *net.UnixListener
	path    string
	id      fileID
	options Options
	closing sync.Once
}

func (l *listener) Accept() (Conn, error) {
	uc, err := l.ul.AcceptUnix()
	if err != nil {
		if errors.Is(err, net.ErrClosed) {
			return nil, ErrClosed
		}
		return nil, fmt.Errorf("accept at %s: %w", l.path, err)
	}
	return newConn(uc, l.options)
}

func (l *listener) Addr() string { return l.path }

func (l *listener) Close() (err error) {
	l.closing.Do(func() { err = errors.Join(l.remove(), l.ul.Close()) })
	return err
}

// remove takes the socket file away while the socket is still open: as long as it is, no other file can have its inode
// number. Under the directory's lock no successor can come between the look and the removal; without it the file
// stays, which the next Listen takes for what it is.
func (l *listener) remove() error {
	unlock, err := lockDir(l.path, dirLockPatience)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	defer unlock()
	id, err := identify(l.path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && id != l.id {
		return nil
	}
	if err != nil {
		return err
	}
	return os.Remove(l.path)
}

// fileID tells files apart as long as they exist.
type fileID struct{ dev, ino uint64 }

func identify(path string) (fileID, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return fileID{}, &os.PathError{Op: "lstat", Path: path, Err: err}
	}
	return fileID{uint64(st.Dev), st.Ino}, nil
}

// checkVacant returns nil if nothing stands at path, or a socket that nobody listens on, or one that may be replaced.
func checkVacant(path string, o Options) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return listenError(path, err)
	case info.Mode()&fs.ModeSocket == 0:
		return &Error{"listen", path, fmt.Errorf("%w: %s stands there, not a socket", ErrPath, describe(info)),
			"choose another path, or move that out of the way"}
	case o.Replace:
		return nil
	}
	err = probe(path, o.Framing)
	switch {
	case errors.Is(err, unix.ECONNREFUSED), errors.Is(err, unix.ENOENT):
		return nil // whoever bound it is dead, or gone this moment
	case err == nil, errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EPROTOTYPE):
		// Accepted, or a full queue of connections, or a socket of the other kind: all of them somebody's.
		return &Error{"listen", path, ErrInUse,
			"is it running already? stop it or choose another path (ss -xlp | grep " + filepath.Base(path) + " names it)"}
	}
	return &Error{"listen", path, fmt.Errorf("cannot tell whether a live process listens there: %w", err),
		"another user's socket stands there: choose another path, or start as that user"}
}

// probe connects and hangs up. The socket does not block.
func probe(path string, framing Framing) error {
	fd, err := unix.Socket(unix.AF_UNIX, framing.sockType()|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Connect(fd, &unix.SockaddrUnix{Name: path})
}

// removeSocket removes a socket file if there is one, and nothing else.
func removeSocket(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode()&fs.ModeSocket == 0 {
		return fmt.Errorf("%w: %s stands at %s, which has to be free", ErrPath, describe(info), path)
	}
	return os.Remove(path)
}

func describe(info fs.FileInfo) string {
	switch {
	case info.IsDir():
		return "a directory"
	case info.Mode()&fs.ModeSymlink != 0:
		return "a symbolic link"
	case info.Mode().IsRegular():
		return "a file"
	}
	return "a special file"
}

// lockDir locks the directory of path against other starters. The kernel drops the lock with its holder.
func lockDir(path string, patience time.Duration) (unlock func(), err error) {
	dir := filepath.Dir(path)
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, dirError(path, dir, err)
	}
	end := time.Now().Add(patience)
	for {
		err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { _ = unix.Close(fd) }, nil
		}
		if err != unix.EWOULDBLOCK && err != unix.EINTR || time.Now().After(end) {
			_ = unix.Close(fd)
			return nil, &Error{"listen", path, fmt.Errorf("lock directory %s: %w", dir, err),
				"another process holds flock(2) on that directory (lslocks names it): try again, or choose another directory"}
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// lookupGroup returns the number of a group, -1 for "".
func lookupGroup(path, name string) (int, error) {
	if name == "" {
		return -1, nil
	}
	id := name
	if g, err := user.LookupGroup(name); err == nil {
		id = g.Gid
	}
	n, err := strconv.ParseUint(id, 10, 31)
	if err != nil {
		return 0, &Error{"listen", path, fmt.Errorf("no group %q on this host", name), "getent group lists them"}
	}
	return int(n), nil
}

// checkPath refuses what the kernel would misunderstand or cut.
func checkPath(op, path string) error {
	problem, hint := "", ""
	switch {
	case path == "":
		problem, hint = "the path is empty", "name a file"
	case len(path) > MaxPath:
		problem = fmt.Sprintf("%d bytes, at most %d", len(path), MaxPath)
		hint = "a socket address holds no more: choose a shorter directory"
	case path[0] == '@':
		problem, hint = "a leading @ means an abstract socket, which has no permissions", "write ./"+path
	case strings.ContainsRune(path, 0):
		problem = "it contains a zero byte"
	case strings.HasSuffix(path, "/"):
		problem, hint = "it names a directory", "add a file name"
	default:
		return nil
	}
	return &Error{op, path, fmt.Errorf("%w: %s", ErrPath, problem), hint}
}

func dirError(path, dir string, err error) error {
	hint := ""
	switch {
	case errors.Is(err, unix.ENOENT):
		hint = "create it (mkdir -p " + dir + "), or choose another path"
	case errors.Is(err, unix.ENOTDIR):
		hint = "choose a path whose parent is a directory"
	case errors.Is(err, unix.EACCES):
		hint = fmt.Sprintf("user %d may not read it: change its owner or mode, or choose another path", os.Geteuid())
	}
	return &Error{"listen", path, fmt.Errorf("directory %s: %w", dir, err), hint}
}

func listenError(path string, err error) error {
	hint := ""
	switch {
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		hint = fmt.Sprintf("user %d may not write in %s: change its owner or mode, or choose another path",
			os.Geteuid(), filepath.Dir(path))
	case errors.Is(err, unix.EROFS):
		hint = filepath.Dir(path) + " is read-only: choose another path"
	case errors.Is(err, unix.ENOSPC):
		hint = "the file system of " + filepath.Dir(path) + " is full"
	}
	return &Error{"listen", path, err, hint}
}

func groupError(path, group string, err error) error {
	hint := ""
	if errors.Is(err, unix.EPERM) {
		hint = fmt.Sprintf("only root or a member of the group may do that: add user %d to group %s", os.Geteuid(), group)
	}
	return &Error{"listen", path, fmt.Errorf("give the socket to group %q: %w", group, err), hint}
}

func dialError(path string, err error) error {
	hint := ""
	switch {
	case errors.Is(err, unix.ENOENT):
		hint = "no socket is there: is the server running, and is this its path?"
	case errors.Is(err, unix.ECONNREFUSED):
		hint = "the server that made this socket is gone: start it again"
	case errors.Is(err, unix.EACCES):
		hint = fmt.Sprintf("user %d may not use this socket: be a member of the group that owns it", os.Geteuid())
	case errors.Is(err, unix.EPROTOTYPE):
		hint = "the server speaks the other framing: is this the right path?"
	case errors.Is(err, unix.EAGAIN):
		hint = "the server accepts no connections: is it stopped or overloaded?"
	}
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err // the rest says "dial unix PATH" once more
	}
	return &Error{"dial", path, err, hint}
}
