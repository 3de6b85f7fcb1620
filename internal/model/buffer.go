package main

// buffer is a processor's store buffer, as on x86 (x86-TSO): a store waits there, the processor's own loads see it, and the stores
// reach memory in their order, at any time. A locked instruction or a fence has to wait until the buffer is empty. A killed
// process's stores still reach memory. Shared words of a model with buffers stand in an array that is called mem here.
type buffer struct {
	n      int8
	stores [4]struct{ word, value int8 }
}

// store puts a store at the end. It returns false when the buffer is full: the processor then has to wait.
func (b *buffer) store(word, value int8) bool {
	if int(b.n) == len(b.stores) {
		return false
	}
	b.stores[b.n].word, b.stores[b.n].value = word, value
	b.n++
	return true
}

// load returns what the buffer's own processor sees of a word.
func (b *buffer) load(mem []int8, word int8) int8 {
	for i := b.n - 1; i >= 0; i-- {
		if b.stores[i].word == word {
			return b.stores[i].value
		}
	}
	return mem[word]
}

// drain lets the oldest store reach memory. It returns false when there is none.
func (b *buffer) drain(mem []int8) bool {
	if b.n == 0 {
		return false
	}
	mem[b.stores[0].word] = b.stores[0].value
	copy(b.stores[:], b.stores[1:b.n])
	b.n--
	b.stores[b.n].word, b.stores[b.n].value = 0, 0
	return true
}

// fence lets everything reach memory, as the barrier does that one processor executes for all (membarrier(2)).
func (b *buffer) fence(mem []int8) {
	for b.drain(mem) {
	}
}
