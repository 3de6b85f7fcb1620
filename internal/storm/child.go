package storm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"time"

	"github.com/mycelium-bus/mycelium/bus"
)

// childVariable is the variable of the environment that makes a process a child, and says which.
const childVariable = "MYC_STORM_CHILD"

// part is what a child is told.
type part struct {
	paths
	Role    role
	Topic   string
	Number  uint64 // of this process over the whole storm, from 1 on
	Name    string // how it attaches: the place and the number
	Seed    uint64 // of its own decisions
	Group   string // of a member
	Witness bool
	Quota   uint64 // a producer's bytes of the ring, after which it ends; 0: it goes on until it is told
}

// Child plays its part if this process was started as a child of a storm: a program that runs storms calls it first, and
// exits with code where is is true.
func Child() (code int, is bool) {
	text := os.Getenv(childVariable)
	if text == "" {
		return 0, false
	}
	var p part
	err := json.Unmarshal([]byte(text), &p)
	if err == nil {
		err = p.play()
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", p.Name, err)
		return 1, true
	}
	return 0, true
}

// play ends when standard input does: the conductor closes it, also by its own death.
func (p part) play() error {
	ctx, end := context.WithCancel(context.Background())
	defer end()
	go func() {
		io.Copy(io.Discard, os.Stdin)
		end()
	}()
	rng := rand.New(rand.NewPCG(p.Seed, p.Number))
	switch p.Role {
	case producer:
		return p.produce(ctx, rng)
	case brokerRole:
		return p.serve(ctx)
	case repairer:
		return p.repair(ctx, rng)
	case member:
		return p.handle(ctx, rng)
	}
	return p.read(ctx, rng)
}

// attach opens a handle: by the broker or by the directory, as the process's number has it. While the broker is dead, or
// the dead predecessor's slot is not free yet, it tries again.
func attach[H any](ctx context.Context, p part, open func(*bus.Conn) (H, error)) (handle H, conn *bus.Conn, err error) {
	options := bus.Options{Name: p.Name, Socket: p.Socket}
	idle := bus.Backoff{Max: 5 * time.Millisecond}
	for {
		if p.Number%2 == 0 {
			conn, err = bus.OpenDir(p.Bus, options)
		} else {
			conn, err = bus.Dial(ctx, options)
		}
		if err == nil {
			if handle, err = open(conn); err == nil {
				return handle, conn, nil
			}
			conn.Close()
		} else if ctx.Err() != nil {
			return handle, nil, ctx.Err() // told to end while nobody answered
		}
		later := errors.Is(err, bus.ErrNoBroker) || errors.Is(err, bus.ErrInUse) || errors.Is(err, bus.ErrLimit)
		if !later || ctx.Err() != nil {
			return handle, nil, err
		}
		idle.Idle()
	}
}

// dawdle takes its time, as a program does that has something to work out.
func dawdle(d time.Duration) {
	for begin := time.Now(); time.Since(begin) < d; {
	}
}
