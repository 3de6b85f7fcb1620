//go:build linux && amd64 && !stepped

package shmring

import "bytes"

// remains are the bytes that outlive a process, and what they were. Its locks outlive it as little as its descriptors do, and are
// taken in system calls.
type remains struct{ now, then [3][]byte }

func (w *crashWorld) remains() *remains {
	r := w.ring
	m := &remains{now: [3][]byte{r.ring.Bytes(0, r.ringSize), r.cursors.Bytes(0, r.cursorsSize), r.control.Bytes(0, r.controlSize)}}
	for i, b := range m.now {
		m.then[i] = bytes.Clone(b)
	}
	return m
}

// changed reports whether they changed since the last call.
func (m *remains) changed() (any bool) {
	for i, b := range m.now {
		if !bytes.Equal(b, m.then[i]) {
			copy(m.then[i], b)
			any = true
		}
	}
	return any
}
