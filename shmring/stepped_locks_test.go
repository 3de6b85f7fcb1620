//go:build stepped

package shmring

// steppedLocks makes each look at a lock a step, and lets a killed process's locks fall.
type steppedLocks struct {
	*heapLocks
	e     *engine
	hash  uint64
	owner map[int]*proc // of handles
}

func (l *steppedLocks) step(what string) {
	if l.e.stepping() {
		l.e.cur.history = mix(l.e.cur.history, 2)
		l.e.point(what, nil)
	}
}

func (l *steppedLocks) open(f lockFile) (int, error) {
	h, err := l.heapLocks.open(f)
	if l.owner == nil {
		l.owner = map[int]*proc{}
	}
	l.owner[h] = l.e.cur
	return h, err
}

// give makes a handle that was opened while the world was set up a process's own.
func (l *steppedLocks) give(h int, p *proc) { l.owner[h] = p }

func (l *steppedLocks) changed(f lockFile, off int64) {
	l.hash ^= mix(uint64(f)<<40|uint64(off), 77)
}

func (l *steppedLocks) lock(f lockFile, h int, off int64) (bool, error) {
	l.step("lock")
	_, taken := l.of[heapLock{f, off}]
	ok, err := l.heapLocks.lock(f, h, off)
	if ok && !taken {
		l.changed(f, off)
	}
	if l.e.stepping() {
		l.e.cur.history = mix(l.e.cur.history, uint64(b2i(ok)))
	}
	return ok, err
}

func (l *steppedLocks) unlock(f lockFile, h int, off int64) error {
	l.step("unlock")
	if l.of[heapLock{f, off}] == h {
		l.changed(f, off)
	}
	return l.heapLocks.unlock(f, h, off)
}

func (l *steppedLocks) held(f lockFile, off int64) (held, known bool) {
	l.step("look at a lock")
	held, known = l.heapLocks.held(f, off)
	if l.e.stepping() {
		l.e.cur.history = mix(l.e.cur.history, uint64(b2i(held)))
		l.e.note("%s looks at lock %d of %d: held %v", l.e.cur.name, off, f, held)
	}
	return held, known
}

func (l *steppedLocks) close(h int) {
	l.step("close a lock")
	l.drop(h)
}

func (l *steppedLocks) drop(h int) {
	for k, owner := range l.of {
		if owner == h {
			l.changed(k.file, k.off)
		}
	}
	l.heapLocks.close(h)
}

func (l *steppedLocks) died(p *proc) {
	for h, owner := range l.owner {
		if owner == p {
			l.drop(h)
		}
	}
}
