package main

import (
	"io/fs"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/mycelium-bus/mycelium/bus/broker"
)

// lookAtFile is how often the configuration's file is looked at. A change is taken when it has stayed the same from one look to the next,
// so that a file is not read while it is being written.
const lookAtFile = time.Second

// reloadOnSignal has a broker reload on SIGHUP, and when its file has changed. What came of it is in the log.
func reloadOnSignal(b *broker.Broker, file string) (unhook func()) {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	done, stop := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		look := time.NewTicker(lookAtFile)
		defer look.Stop()
		var w watch
		w.changed(file)
		for {
			select {
			case <-stop:
				return
			case <-hup:
				b.Reload()
			case <-look.C:
				if file != "" && w.changed(file) {
					b.Reload()
				}
			}
		}
	}()
	return func() { signal.Stop(hup); close(stop); <-done }
}

// watch tells when a file has become another one.
type watch struct {
	taken, last fs.FileInfo // nil where there was none
	looked      bool
}

// changed looks at the file, and reports whether it has changed and stayed so since the look before.
func (w *watch) changed(path string) bool {
	now, err := os.Stat(path)
	if err != nil {
		now = nil // gone, perhaps to be replaced: what it said stays in force
	}
	before := w.last
	w.last = now
	if !w.looked {
		w.looked, w.taken = true, now
		return false
	}
	if now == nil || !same(before, now) || same(w.taken, now) {
		return false
	}
	w.taken = now
	return true
}

func same(a, b fs.FileInfo) bool {
	return a != nil && b != nil && os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}
