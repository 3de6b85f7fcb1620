package uds_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/mycelium-bus/mycelium/uds"
)

// A server hands an open file to whoever connects.
func Example() {
	dir, err := os.MkdirTemp("", "uds")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)

	l, err := uds.Listen(filepath.Join(dir, "files.sock"), uds.Options{})
	if err != nil {
		panic(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		if int(c.Peer().UID) != os.Geteuid() {
			return
		}
		r, w, err := os.Pipe()
		if err != nil {
			return
		}
		defer r.Close()
		defer w.Close()
		_, _ = w.WriteString("through the pipe")
		_ = c.Send([]byte("a pipe"), int(r.Fd()))
	}()

	c, err := uds.Dial(context.Background(), l.Addr(), uds.Options{})
	if err != nil {
		panic(err)
	}
	defer c.Close()
	msg, fds, err := c.Recv(make([]byte, uds.DefaultMaxMessage))
	if err != nil {
		panic(err)
	}
	f := os.NewFile(uintptr(fds[0]), "received")
	defer f.Close()
	buf := make([]byte, 100)
	n, _ := f.Read(buf)
	fmt.Printf("%s: %s\n", msg, buf[:n])
	// Output: a pipe: through the pipe
}
