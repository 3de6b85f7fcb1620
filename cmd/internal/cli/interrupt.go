package cli

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// sameSignal is how long after the first signal another one is taken for the same: timeout(1) signals the process and then
// its group, and so does a terminal beside a script that passes Ctrl-C on.
const sameSignal = 250 * time.Millisecond

// interruptible returns a context that ends with the first SIGINT or SIGTERM. A later one ends the process.
func interruptible() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go watch(signals, time.Now, cancel, die)
	return ctx
}

// watch calls cancel at the first signal, and last at one that comes later than what may be the same.
func watch(signals <-chan os.Signal, now func() time.Time, cancel func(), last func(os.Signal)) {
	var first time.Time
	for s := range signals {
		switch at := now(); {
		case first.IsZero():
			first = at
			cancel()
		case at.Sub(first) >= sameSignal:
			last(s)
		}
	}
}

// die ends the process by a signal, so that its parent sees which.
func die(s os.Signal) {
	signal.Reset(s)
	_ = syscall.Kill(os.Getpid(), s.(syscall.Signal)) // to oneself it cannot fail
}
