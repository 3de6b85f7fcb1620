//go:build stepped

package shmring

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"
)

var stepOptions = Options{Capacity: 2 << 10, MaxClaim: 128, Producers: 4, Consumers: 3, Groups: 1}

func (o Options) kind(k Kind) Options { o.Kind = k; return o }

// deeper adds to the bounds of preemptions: FULL=1 goes one deeper.
func deeper() int { n, _ := strconv.Atoi(os.Getenv("FULL")); return n }

// scenarios are what the stepped runs try. Each body is what a process does; the engine does the rest.
var scenarios = []*scenario{
	{name: "two producers publish, one may die", options: stepOptions.kind(MPMC), preempts: 3, kills: 1, set: func(w *world) []*proc {
		return []*proc{w.publisher("A", 1, 8, 8), w.publisher("B", 2, 24, 8)}
	}},
	{name: "shorter commits and batches, one may die", options: stepOptions.kind(MPMC), preempts: 2, kills: 1, set: func(w *world) []*proc {
		a := w.process("A", true, nil)
		pa := w.producer(a)
		a.body = func() { w.sendShorter(pa, 101, 40, 8); w.sendBatch(pa, 8, 102, 103) }
		return []*proc{a, w.publisher("B", 2, 40, 8)}
	}},
	{name: "claims across a segment's end, one may die", options: stepOptions.kind(MPMC), preempts: 2, kills: 1, set: func(w *world) []*proc {
		a := w.process("A", true, nil)
		pa := w.producer(a)
		w.send(pa, 1, 40)
		w.send(pa, 2, 40)
		w.send(pa, 3, 40)
		w.send(pa, 4, 8) // 32 bytes are left
		a.body = func() { w.sendShorter(pa, 101, 40, 8); w.send(pa, 102, 8) }
		return []*proc{a, w.publisher("B", 2, 24, 8)}
	}},
	{name: "a repairer beside two producers, one of them may die", options: stepOptions.kind(MPMC), preempts: 2, kills: 1, set: func(w *world) []*proc {
		return []*proc{w.publisher("A", 1, 24), w.publisher("B", 2, 8), w.repairer("R")}
	}},
	{name: "repairers die amid their repair", options: stepOptions.kind(MPMC), preempts: 2, kills: 2, set: func(w *world) []*proc {
		a := w.process("A", true, nil)
		pa := w.producer(a)
		for i := range uint64(3) {
			w.send(pa, 1+i, 48)
		}
		w.send(pa, 4, 8) // 32 bytes are left in the segment: the next claim takes them and goes on behind
		a.body = func() { w.sendShorter(pa, 101, 40, 8) }
		return []*proc{a, w.repairer("R"), w.repairer("S")}
	}},
	{name: "a repairer judges batches", options: stepOptions.kind(MPMC), preempts: 2, kills: 1, set: func(w *world) []*proc {
		a := w.process("A", true, nil)
		pa := w.producer(a)
		a.body = func() { w.sendBatch(pa, 8, 101, 102) }
		b := w.process("B", false, nil)
		pb := w.producer(b)
		b.body = func() { w.sendBatch(pb, 8, 201, 202, 203) }
		return []*proc{a, b, w.repairer("R")}
	}},
	{name: "a repairer judges a shorter commit", options: stepOptions.kind(MPMC), preempts: 3, kills: 1, set: func(w *world) []*proc {
		b := w.process("B", false, nil)
		pb := w.producer(b)
		b.body = func() { w.sendShorter(pb, 201, 40, 8) }
		r := w.repairer("R")
		r.mortal = false
		return []*proc{w.publisher("A", 1, 8), b, r}
	}},
	{name: "a loser's intent is laps old", options: stepOptions.kind(MPMC), preempts: 2, kills: 0, set: func(w *world) []*proc {
		// A died with its intent, B wins there, and C goes round while R judges.
		c := w.process("C", false, nil)
		c.steady = true
		pc := w.producer(c)
		c.body = func() {
			for i := range uint64(20) {
				w.sendBatch(pc, 48, 301+2*i, 302+2*i)
			}
		}
		r := w.repairer("R")
		r.mortal = false
		// A died between its intent and its CAS: the words are its, the lock has fallen.
		pa := w.producer(nil)
		pa.slotSize.Store(48)
		pa.slotPosition.Store(w.ring.tail.Load())
		w.locks.drop(pa.lease.grant.Lock)
		return []*proc{w.publisherUnhurt("B", 2, 24, 8), c, r}
	}},
	{name: "a full ring is given back only when it was read", options: stepOptions.kind(SPSC), preempts: 2, kills: 1, set: func(w *world) []*proc {
		a := w.process("A", true, nil)
		pa := w.producer(a)
		c := w.process("C", true, nil)
		rd := w.reader(c, "C", Policy{Slow: Block, Credit: 2 << 10}, Newest())
		id := uint64(1)
		for w.send(pa, id, 40) {
			id++
		}
		a.body = func() {
			for i := range uint64(3) {
				w.send(pa, 101+i, 40)
			}
		}
		c.body = func() { w.poll("C", rd, 1); w.poll("C", rd, 1) }
		return []*proc{a, c}
	}},
	{name: "readers see whole messages in one order", options: stepOptions.kind(MPMC), preempts: 2, kills: 1, set: func(w *world) []*proc {
		return []*proc{w.publisher("A", 1, 24), w.publisher("B", 2, 8), w.follower("C", Policy{Slow: Block}, 2)}
	}},
	{name: "a single producer and its reader", options: stepOptions.kind(SPSC), preempts: 3, kills: 1, set: func(w *world) []*proc {
		return []*proc{w.publisher("A", 1, 24, 8, 40), w.follower("C", Policy{Slow: Block}, 3)}
	}},
	{name: "a successor takes over from a single producer", options: stepOptions.kind(SPMC), preempts: 2, kills: 1, set: func(w *world) []*proc {
		a := w.process("A", true, nil)
		pa := w.producer(a)
		w.send(pa, 1, 40)
		w.send(pa, 2, 40)
		w.send(pa, 3, 40)
		a.body = func() { w.send(pa, 101, 24); w.sendShorter(pa, 102, 40, 8); w.send(pa, 103, 8); pa.Close() }
		b := w.process("B", true, nil)
		rb := w.view()
		b.body = func() {
			g, err := rb.GrantProducer(0)
			if err != nil {
				return // A lives
			}
			pb, err := rb.Producer(g, "")
			if err != nil {
				w.fail("the successor: %v", err)
				return
			}
			w.send(pb, 201, 8)
			w.send(pb, 202, 24)
		}
		return []*proc{a, b}
	}},
	{name: "an open claim is not run over", options: stepOptions.kind(MPMC), preempts: 2, kills: 0, set: func(w *world) []*proc {
		// Nobody gates. A refreshes, B claims, and C goes round until B's claim holds it up.
		a := w.process("A", false, nil)
		pa := w.producer(a)
		for i := range uint64(4) {
			w.send(pa, 1+i, 48)
		}
		a.body = func() { w.sendBatch(pa, 48, 101, 102) }
		c := w.process("C", false, nil)
		c.steady = true
		pc := w.producer(c)
		c.body = func() {
			for i := range uint64(15) {
				w.sendBatch(pc, 48, 301+2*i, 302+2*i)
			}
		}
		return []*proc{a, w.publisherUnhurt("B", 2, 24), c}
	}},
	{name: "a reader joins while producers refresh", options: stepOptions.kind(MPMC), preempts: 2, kills: 0, set: func(w *world) []*proc {
		a := w.process("A", false, nil)
		pa := w.producer(a)
		for i := range uint64(32) { // a lap: the next claim refreshes
			w.send(pa, 1+i, 48)
		}
		a.body = func() {
			for i := range uint64(3) {
				w.sendBatch(pa, 48, 101+2*i, 102+2*i)
			}
		}
		return []*proc{a, w.publisherUnhurt("B", 2, 48), w.joiner("J", Policy{Slow: Block}, Oldest(), 2)}
	}},
	{name: "a reader joins while a single producer refreshes", options: stepOptions.kind(SPMC), preempts: 2, kills: 0, set: func(w *world) []*proc {
		a := w.process("A", false, nil)
		pa := w.producer(a)
		for i := range uint64(32) {
			w.send(pa, 1+i, 48)
		}
		a.body = func() {
			for i := range uint64(6) {
				w.sendBatch(pa, 48, 101+2*i, 102+2*i)
			}
		}
		return []*proc{a, w.joiner("J", Policy{Slow: Block}, Oldest(), 4)}
	}},
	{name: "a lossy reader is overtaken", options: stepOptions.kind(SPMC), preempts: 3, kills: 0, set: func(w *world) []*proc {
		a := w.process("A", false, nil)
		pa := w.producer(a)
		c := w.process("C", false, nil)
		rd := w.reader(c, "C", Policy{Slow: Lossy}, Newest())
		id := uint64(1)
		for range 27 {
			w.send(pa, id, 40)
			id++
		}
		a.body = func() {
			for i := range uint64(12) {
				w.send(pa, 101+i, 24)
			}
		}
		c.body = func() { w.poll("C", rd, 2) }
		return []*proc{a, c}
	}},
	{name: "back pressure leaves no intent", options: stepOptions.kind(MPMC), preempts: 2, kills: 1, set: func(w *world) []*proc {
		a := w.process("A", true, nil)
		pa := w.producer(a)
		c := w.process("C", true, nil)
		rd := w.reader(c, "C", Policy{Slow: Block, Credit: 512}, Newest())
		id := uint64(1)
		for w.send(pa, id, 40) {
			id++
		}
		b := w.process("B", true, nil)
		pb := w.producer(b)
		a.body = func() { w.send(pa, 101, 40); w.send(pa, 102, 40) }
		b.body = func() { w.send(pb, 201, 40); w.send(pb, 202, 8) }
		c.body = func() { w.poll("C", rd, 2) }
		return []*proc{a, b, c}
	}},
	{name: "a slot's next tenant is not taken for the dead one", options: stepOptions.kind(MPMC), preempts: 2, kills: 1, set: func(w *world) []*proc {
		c := w.process("C", true, nil)
		rd := w.reader(c, "C", Policy{Slow: Block}, Newest())
		c.body = func() { rd.Close(); delete(w.readers, "C") }
		j := w.joiner("J", Policy{Slow: Block}, Newest(), 1)
		return []*proc{c, j, w.repairer("R")}
	}},
}

// publisher sends messages of the given lengths, ids n01, n02, ...
func (w *world) publisher(name string, n uint64, lengths ...int) *proc {
	p := w.process(name, true, nil)
	pr := w.producer(p)
	p.body = func() {
		for i, length := range lengths {
			w.send(pr, 100*n+uint64(i)+1, length)
		}
	}
	return p
}

// publisherUnhurt is a publisher that is not killed.
func (w *world) publisherUnhurt(name string, n uint64, lengths ...int) *proc {
	p := w.publisher(name, n, lengths...)
	p.mortal = false
	return p
}

func (w *world) follower(name string, policy Policy, n int) *proc {
	p := w.process(name, true, nil)
	rd := w.reader(p, name, policy, Newest())
	p.body = func() {
		for range n {
			w.poll(name, rd, 2)
		}
	}
	return p
}

func (w *world) joiner(name string, policy Policy, from From, n int) *proc {
	p := w.process(name, false, nil)
	r := w.view()
	p.body = func() {
		g, err := r.GrantConsumer(policy)
		if err != nil {
			w.fail("grant for %s: %v", name, err)
			return
		}
		rd, err := r.Reader(g, ReaderOptions{From: from})
		if err != nil {
			w.fail("join of %s: %v", name, err)
			return
		}
		w.follow(name, rd)
		for range n {
			w.poll(name, rd, 2)
		}
	}
	return p
}

func (w *world) repairer(name string) *proc {
	p := w.process(name, true, nil)
	r := w.view()
	p.body = func() {
		if _, err := r.Repair(false); err != nil && err != ErrRepairing {
			w.fail("repair: %v", err)
		}
	}
	return p
}

// TestStepped runs every scenario in every order of its steps, within its bounds.
func TestStepped(t *testing.T) {
	shard, shards := 0, 1 // MYC_SHARD=1/2 runs the second half: a run uses one core
	fmt.Sscanf(os.Getenv("MYC_SHARD"), "%d/%d", &shard, &shards)
	for i, s := range scenarios {
		if i%shards != shard {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			s := *s
			s.preempts += deeper()
			began := time.Now()
			e := explore(t, &s)
			if e.failure != "" {
				t.Fatalf("%s\nMYC_STEPS='%s' go test -tags stepped -run '%s' replays it", e.failure, e.schedule(), t.Name())
			}
			t.Logf("%d schedules, %d of them cut off at a state seen before, %d preemptions, %d kills, %.1f s",
				e.Runs, e.Pruned, s.preempts, s.kills, time.Since(began).Seconds())
		})
	}
}
