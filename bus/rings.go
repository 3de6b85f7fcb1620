package bus

import (
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/mycelium-bus/mycelium/shmring"
	"golang.org/x/sys/unix"
)

// rings are a connection's mappings: one for each topic and access. A mapping stays until the connection is closed or the
// topic's files are others: a topic that is opened again costs nothing.
type rings struct {
	mu      sync.Mutex
	open    map[ringKey]*mapping
	closed  bool
	stop    chan struct{} // ends the repairs; nil where there are none
	repairs sync.WaitGroup
}

type ringKey struct {
	topic  string
	access shmring.Access
}

type mapping struct {
	ring *shmring.Ring
	file fileID
	endings

	mu    sync.Mutex
	lock  int       // for repairing: a descriptor of the producers' lock file, on a description of this mapping's own; -1 without
	files []watched // nil for mappings without handles
}

// get returns the mapping of a topic whose ring file is the given one, and has attach make it where there is none: all but its file.
func (r *rings) get(key ringKey, file fileID, attach func() (*mapping, error)) (*mapping, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, ErrClosed
	}
	old := r.open[key]
	if old != nil && old.file == file {
		return old, nil
	}
	m, err := attach()
	if err != nil {
		return nil, err
	}
	m.file = file
	if old != nil {
		old.close() // the topic was deleted and made again; handles keep the old mapping
	}
	if r.open == nil {
		r.open = map[ringKey]*mapping{}
	}
	r.open[key] = m
	return m, nil
}

// sweep gives up the mappings of topics that were deleted: their handles end, and their memory goes back when the last one is closed.
func (r *rings) sweep() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, m := range r.open {
		if m.ring.Closing() {
			m.close()
			delete(r.open, key)
		}
	}
}

func (r *rings) close() error {
	r.mu.Lock()
	r.closed = true
	stop := r.stop
	r.stop = nil
	r.mu.Unlock()
	if stop != nil {
		close(stop)
	}
	r.repairs.Wait()

	r.mu.Lock()
	defer r.mu.Unlock()
	var errs []error
	for _, m := range r.open {
		errs = append(errs, m.close())
	}
	r.open = nil
	return errors.Join(errs...)
}

// roundPause lies between two rounds: of who opened a directory and repairs what it uses, as a broker does as often, and of everybody who
// looks whether the files are still there. Who is held up by something looks by himself, and sooner. A round costs a process that idles
// a dozen switches of threads, so four a second were most of what a sleeping subscription took of a core.
const roundPause = time.Second

// keepRepaired looks at the topics that are open and repairs them, round after round, until close.
func (r *rings) keepRepaired() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || r.stop != nil {
		return
	}
	stop := make(chan struct{})
	r.stop = stop
	r.repairs.Go(func() {
		tick := time.NewTicker(roundPause)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				r.look()
				r.repair()
			}
		}
	})
}

// look tells the handles of topics that were deleted, or whose files were removed or cut short.
func (r *rings) look() {
	for _, m := range r.mappings() {
		m.look()
	}
}

// stir has all calls that sleep look again: while there is no broker, nobody may be there to repair, and to wake those whom somebody who
// died owed a wake.
func (r *rings) stir() {
	for _, m := range r.mappings() {
		m.stir()
	}
}

func (r *rings) mappings() []*mapping {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Values(r.open))
}

// repair closes what dead processes left in the topics that this connection may repair, so that a hole that holds up nobody who
// publishes is closed too: subscribers wait before it.
func (r *rings) repair() {
	for _, m := range r.mappings() {
		m.repair()
	}
}

// repair is a round for one topic. What fails, or what somebody else is at, is looked at again in the next one.
func (m *mapping) repair() {
	m.mu.Lock() // so that the lock's descriptor is not closed meanwhile, and nobody else of this process repairs through it
	defer m.mu.Unlock()
	_ = m.ring.Guard(func() {
		if m.lock >= 0 {
			_, _ = m.ring.RepairThrough(m.lock, false)
		} else if m.ring.Access() == shmring.Own {
			_, _ = m.ring.Repair(false)
		}
	})
}

func (m *mapping) close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lookLocked() // nobody does any more: what it finds now is what handles that are still open are told
	unwatch(m.files)
	m.files = nil
	if m.lock >= 0 {
		unix.Close(m.lock)
		m.lock = -1
	}
	return m.ring.Close()
}
