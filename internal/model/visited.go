package main

import "sync"

// visited is a set of hashes, each with the hash of the state from which it was first reached. It takes 16 bytes for a place, of
// which between three eighths and three quarters are used.
type visited struct{ shards [256]shard }

type shard struct {
	mu    sync.Mutex
	n     uint64
	table []entry // open addressing; a power of two
	_     [64]byte
}

type entry struct{ hash, from uint64 }

func newVisited() *visited {
	v := &visited{}
	for i := range v.shards {
		v.shards[i].table = make([]entry, 16)
	}
	return v
}

// add returns false if the hash, which is not 0, is there already.
func (v *visited) add(hash, from uint64) bool {
	s := &v.shards[hash>>56]
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.find(hash)
	if e.hash != 0 {
		return false
	}
	*e = entry{hash, from}
	if s.n++; s.n*4 > uint64(len(s.table))*3 {
		s.grow()
	}
	return true
}

// from returns from where a hash that is in the set was first reached.
func (v *visited) from(hash uint64) uint64 { return v.shards[hash>>56].find(hash).from }

func (v *visited) len() (n uint64) {
	for i := range v.shards {
		n += v.shards[i].n
	}
	return n
}

// find returns the place of a hash, or the free one where it goes.
func (s *shard) find(hash uint64) *entry {
	mask := uint64(len(s.table) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		if e := &s.table[i]; e.hash == hash || e.hash == 0 {
			return e
		}
	}
}

func (s *shard) grow() {
	old := s.table
	s.table = make([]entry, 2*len(old))
	for _, e := range old {
		if e.hash != 0 {
			*s.find(e.hash) = e
		}
	}
}
