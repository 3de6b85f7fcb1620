package shmring

import (
	"slices"
	"sync"
	"sync/atomic"
	"weak"

	"github.com/mycelium-bus/mycelium/shmring/internal/shm"
)

// A reader that may be overtaken can be lent the ring's own bytes if it asks afterwards whether they were whole: what it did with them
// until then it must be able to forget.

// Stayed tells whether the frame that is lent was whole until now, or at least until the goroutine of Begin last asked [Frame.Intact] and
// heard yes; a copy, and what a block reader is lent, always is. If it was not, it counts as missed: the reader goes on behind what was
// overwritten, and Err tells.
func (r *Reader) Stayed() bool {
	if !r.inPlace || r.next == r.pos || r.vouched == r.pos {
		return true
	}
	limit, ok := r.intact(r.pos)
	if !ok {
		r.Unread()
		r.lapped(r.pos, limit)
	}
	return ok
}

// lenders are this process's readers that are lent in place what may be overwritten; few, and seldom others. The list does not keep a
// forgotten one from being collected.
var lenders struct {
	mu  sync.Mutex
	all atomic.Pointer[[]lender]
}

type lender struct {
	ring *Ring
	hand weak.Pointer[hand]
}

func (r *Reader) lends() {
	changeLenders(func(all []lender) []lender { return append(all, lender{r.ring, weak.Make(&r.hand)}) })
}

func (r *Reader) lendsNoMore() {
	changeLenders(func(all []lender) []lender {
		return slices.DeleteFunc(all, func(l lender) bool { return l.hand == weak.Make(&r.hand) })
	})
}

// changeLenders lets f change a copy of the list, without those who were collected.
func changeLenders(f func([]lender) []lender) {
	lenders.mu.Lock()
	defer lenders.mu.Unlock()
	var all []lender
	if old := lenders.all.Load(); old != nil {
		all = slices.DeleteFunc(slices.Clone(*old), func(l lender) bool { return l.hand.Value() == nil })
	}
	all = f(all)
	lenders.all.Store(&all)
}

// Intact tells whether a frame is still what it was when it was lent, so that everything that was read of it until now was its own. It is
// for frames that are still lent; of copies it is always true. It costs some ten nanoseconds, and any goroutine may call it: one that does
// not work through the messages, for which it costs some fifty, needs no guard.
func (f Frame) Intact() bool {
	all := lenders.all.Load()
	if all == nil {
		return true
	}
	for _, l := range *all {
		if l.ring.data.Holds(f.Payload) {
			return l.ring.vouch(*all, f.Position)
		}
	}
	return true
}

// vouch looks whether a frame is whole, and notes it with the readers that the calling goroutine works through. The last answer counts.
func (r *Ring) vouch(all []lender, pos uint64) (whole bool) {
	me, guarded := shm.Goroutine(), false
	for _, l := range all {
		h := l.hand.Value()
		// order: none, see hand.begin.
		if l.ring != r || h == nil || me == 0 || h.by.Load() != me {
			continue
		}
		if !guarded {
			guarded = true
			_, whole = r.intact(pos)
		}
		h.reader.vouched = pos
		if !whole {
			h.reader.vouched = 0 // no frame is there
		}
	}
	if !guarded { // in a file that was cut short nothing is whole
		_ = r.Guard(func() { _, whole = r.intact(pos) })
	}
	return whole
}
