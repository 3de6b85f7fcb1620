//go:build stepped

package shmring

import (
	"errors"
	"time"
)

// Readers and members that sleep until there is something to read, and producers that sleep until there is room.

func init() {
	for _, s := range sleepScenarios {
		s.told = true
	}
	scenarios = append(scenarios, sleepScenarios...)
	faults = append(faults, sleepFaults...)
}

// stirred reports whether there is something for the reader, as far as memory tells: not by the code that is tried.
func (w *world) stirred(rd *Reader) bool {
	return rd.data.Word(rd.next).Load() == rd.next^rd.nonce || w.ring.control.Word(offTopicState).Load() == topicClosing
}

// roomy reports whether the gates leave room for a message of n bytes.
func (w *world) roomy(pr *Producer, n int) bool {
	t := pr.pos
	if !pr.single {
		t = w.ring.tail.Load()
	}
	end := pr.place(t, uint64(FrameSize(n))).end
	var h Holder
	bound := pr.gateOfReaders(alignUp(end, pr.segment), &h)
	for _, v := range pr.ring.viewGroups(nil, false) {
		bound = earlier(bound, v.gate+v.mayLag(w.ring.capacity))
	}
	if !pr.single {
		bound = pr.gateOfClaims(bound, &h)
	}
	return !before(later(bound, w.ring.limit.Load()), end)
}

// readAsleep reads until it has n messages, and sleeps while there is none. It reports whether reading has not ended before.
func (w *world) readAsleep(name string, rd *Reader, n int) bool {
	for len(w.seen[name]) < n {
		if at := rd.Position(); w.poll(name, rd, 2) > 0 || rd.Position() != at {
			continue
		}
		if rd.err != nil {
			return false
		}
		if err := Sleep(time.Hour, nil, rd); err != nil {
			w.fail("sleep of %s: %v", name, err)
		}
	}
	return true
}

// sleeper is a process that reads n messages.
func (w *world) sleeper(name string, policy Policy, n int) *proc {
	p := w.process(name, true, nil)
	rd := w.reader(p, name, policy, Newest())
	p.waits = func() bool { return w.stirred(rd) }
	p.body = func() { w.readAsleep(name, rd, n) }
	return p
}

// sendAsleep waits for room, and publishes. It reports whether the topic is still there.
func (w *world) sendAsleep(pr *Producer, id uint64, n int) bool {
	for {
		w.does("wait for space")
		err := pr.AwaitSpace(n, time.Hour, nil)
		switch {
		case errors.Is(err, ErrClosed):
			return false
		case err != nil && !errors.Is(err, ErrBackPressure):
			w.fail("wait for space: %v", err)
			return false
		}
		if w.send(pr, id, n) {
			return true
		}
	}
}

// waiter is a publisher that sleeps while there is no room.
func (w *world) waiter(name string, n uint64, lengths ...int) *proc {
	p := w.process(name, true, nil)
	pr := w.producer(p)
	p.waits = func() bool { return w.roomy(pr, lengths[0]) } // all are as long
	p.body = func() {
		for i, length := range lengths {
			w.sendAsleep(pr, 100*n+uint64(i)+1, length)
		}
	}
	return p
}

// filled publishes messages of n bytes before the steps begin, until a gate holds them up.
func (w *world) filled(n int) {
	pr := w.producer(nil)
	w.held(pr, n)
	pr.Close()
}

func (o Options) fenced() Options { o.Sleep = SleepFence; return o }

var sleepScenarios = []*scenario{
	{name: "a reader falls asleep while a producer commits", options: stepOptions.kind(SPSC), preempts: 3, kills: 1, sleeps: true, set: func(w *world) []*proc {
		return []*proc{w.publisher("A", 1, 8, 8), w.sleeper("C", Policy{Slow: Block}, 2)}
	}},
	{name: "a reader falls asleep where commits fence", options: stepOptions.kind(SPSC).fenced(), preempts: 3, kills: 1, sleeps: true, set: func(w *world) []*proc {
		return []*proc{w.publisher("A", 1, 8, 8), w.sleeper("C", Policy{Slow: Block}, 2)}
	}},
	{name: "a reader falls asleep while claims are committed", options: stepOptions.kind(MPMC), preempts: 3, kills: 1, sleeps: true, set: func(w *world) []*proc {
		a := w.process("A", true, nil)
		pa := w.producer(a)
		a.body = func() { w.sendShorter(pa, 101, 40, 8); w.sendBatch(pa, 8, 102, 103) }
		return []*proc{a, w.sleeper("C", Policy{Slow: Block}, 3)}
	}},
	{name: "a reader falls asleep while a producer registers for the barrier", options: stepOptions.kind(SPSC), preempts: 3, kills: 0, sleeps: true, set: func(w *world) []*proc {
		a := w.process("A", false, nil)
		pa := w.producer(a)
		a.unregistered, pa.fences = true, true
		a.body = func() {
			for i := range uint64(3) {
				w.send(pa, 101+i, 8)
			}
		}
		return []*proc{a, w.sleeper("C", Policy{Slow: Block}, 3)}
	}},
	{name: "two readers fall asleep, one may die", options: stepOptions.kind(SPMC), preempts: 2, kills: 1, sleeps: true, set: func(w *world) []*proc {
		return []*proc{w.publisher("A", 1, 8), w.sleeper("C", Policy{Slow: Block}, 1), w.sleeper("D", Policy{Slow: Block}, 1)}
	}},
	{name: "two producers and a reader that falls asleep", options: stepOptions.kind(MPMC), preempts: 2, kills: 0, sleeps: true, set: func(w *world) []*proc {
		return []*proc{w.publisherUnhurt("A", 1, 8), w.publisherUnhurt("B", 2, 8), w.sleeper("C", Policy{Slow: Block}, 2)}
	}},
	{name: "a producer dies before it wakes, and repairers before they do", options: stepOptions.kind(MPMC), preempts: 2, kills: 2, sleeps: true, set: func(w *world) []*proc {
		c := w.sleeper("C", Policy{Slow: Block}, 1)
		c.mortal = false
		return []*proc{w.publisher("A", 1, 8), c, w.repairer("R")}
	}},
	{name: "a producer sleeps until a reader frees space", options: stepOptions.kind(SPSC), preempts: 3, kills: 1, sleeps: true, set: func(w *world) []*proc {
		c := w.process("C", true, nil)
		rd := w.reader(c, "C", Policy{Slow: Block, Credit: 512}, Newest())
		w.filled(40)
		c.body = func() { w.poll("C", rd, 1); w.poll("C", rd, 2) }
		return []*proc{w.waiter("A", 1, 40, 40), c}
	}},
	{name: "producers sleep until a reader frees space, which may die", options: stepOptions.kind(MPMC), preempts: 2, kills: 1, sleeps: true, set: func(w *world) []*proc {
		c := w.process("C", true, nil)
		rd := w.reader(c, "C", Policy{Slow: Block, Credit: 512}, Newest())
		w.filled(40)
		c.body = func() { w.lend("C", rd); rd.Release() }
		a, b := w.waiter("A", 1, 8), w.waiter("B", 2, 8)
		a.mortal, b.mortal = false, false
		return []*proc{a, b, c}
	}},
	{name: "a producer sleeps until a reader closes", options: stepOptions.kind(SPSC), preempts: 3, kills: 1, sleeps: true, set: func(w *world) []*proc {
		c := w.process("C", true, nil)
		rd := w.reader(c, "C", Policy{Slow: Block, Credit: 512}, Newest())
		w.filled(40)
		c.body = func() { w.lend("C", rd); w.leave("C", rd) }
		return []*proc{w.waiter("A", 1, 40, 40), c}
	}},
	{name: "a producer sleeps until another one drops the reader", options: stepOptions.kind(MPMC), preempts: 3, kills: 1, sleeps: true, set: func(w *world) []*proc {
		w.reader(nil, "C", dropAtOnce, Newest())
		b := w.process("B", true, nil)
		pb := w.producer(b)
		w.held(pb, 40)
		b.body = func() { w.send(pb, 201, 40) } // it was held up before: patience is over
		return []*proc{w.waiter("A", 1, 40), b}
	}},
	{name: "a producer sleeps while a reader closes that another one evicts", options: stepOptions.kind(MPMC), preempts: 2, kills: 0, sleeps: true, set: func(w *world) []*proc {
		c := w.process("C", true, nil)
		rd := w.reader(c, "C", Policy{Slow: Evict, Credit: 512}, Newest())
		b := w.process("B", true, nil)
		pb := w.producer(b)
		w.held(pb, 40)
		b.body = func() { w.send(pb, 201, 40) }
		c.body = func() { w.poll("C", rd, 1); w.leave("C", rd) }
		a := w.waiter("A", 1, 40)
		a.mortal, a.steady = false, true
		return []*proc{a, b, c}
	}},
	{name: "a producer sleeps while a dropped reader gates again", options: stepOptions.kind(SPMC), preempts: 3, kills: 1, sleeps: true, set: func(w *world) []*proc {
		c := w.process("C", true, nil)
		rd := w.reader(c, "C", dropAtOnce, Newest())
		pr := w.producer(nil)
		w.held(pr, 40)
		w.send(pr, 98, 40) // drops it
		pr.Close()
		c.body = func() { w.poll("C", rd, 20); w.poll("C", rd, 2) }
		return []*proc{w.waiter("A", 1, 40, 40), c}
	}},
	{name: "a producer sleeps while a reader gates again that has read all", options: stepOptions.kind(SPMC), preempts: 3, kills: 1, sleeps: true, set: func(w *world) []*proc {
		c := w.process("C", true, nil)
		rd := w.reader(c, "C", dropAtOnce, Newest())
		pr := w.producer(nil)
		for id := uint64(1); w.send(pr, id, 40) && pr.pos != w.ring.limit.Load(); id++ {
			w.poll("C", rd, 1)
		}
		w.poll("C", rd, 1)
		pr.Close()
		// Whoever dropped it had looked at its cursor before it read all that, and swapped afterwards.
		rd.dropped.Store(uint64(rd.lease.state.gen()))
		c.body = func() { w.poll("C", rd, 1); w.poll("C", rd, 2) } // its stand-in is a gate at the limit, where the next claim is
		return []*proc{w.waiter("A", 1, 40, 40), c}
	}},
	{name: "a producer sleeps while a reader joins", options: stepOptions.kind(SPMC), preempts: 3, kills: 0, sleeps: true, set: func(w *world) []*proc {
		pr := w.producer(nil)
		for i := range uint64(32) { // a lap: the next claim refreshes
			w.send(pr, 1+i, 48)
		}
		pr.Close()
		return []*proc{w.waiter("A", 1, 40, 40), w.joiner("J", Policy{Slow: Block}, Newest(), 1)}
	}},
	{name: "a topic is deleted while a reader falls asleep", options: stepOptions.kind(SPSC), preempts: 3, kills: 1, sleeps: true, set: func(w *world) []*proc {
		d, _ := w.deleter()
		pr := w.producer(nil)
		c := w.process("C", true, nil)
		rd := w.reader(c, "C", Policy{Slow: Block}, Newest())
		w.send(pr, 1, 8)
		c.waits = func() bool { return w.stirred(rd) }
		c.body = func() { w.readToEnd("C", rd) }
		return []*proc{c, d}
	}},
	{name: "a topic is deleted while a producer commits", options: stepOptions.kind(SPSC), preempts: 3, kills: 1, sleeps: true, set: func(w *world) []*proc {
		d, deleted := w.deleter()
		a := w.process("A", true, nil)
		pr := w.producer(a)
		a.body = func() {
			late := 0
			for i := range uint64(4) {
				after := *deleted
				if w.send(pr, 101+i, 8) && after {
					late++
				}
			}
			if late > 1 {
				w.fail("%d messages were committed after the topic was deleted", late)
			}
		}
		return []*proc{a, d}
	}},
	{name: "a producer sleeps for space while its topic is deleted", options: stepOptions.kind(SPSC), preempts: 3, kills: 0, sleeps: true, set: func(w *world) []*proc {
		w.reader(nil, "C", Policy{Slow: Block, Credit: 512}, Newest())
		w.filled(40)
		d, _ := w.deleter()
		a := w.process("A", false, nil)
		pa := w.producer(a)
		a.waits = w.ring.closing
		a.body = func() {
			if w.sendAsleep(pa, 101, 40) {
				w.fail("room where nobody read")
			}
		}
		return []*proc{a, d}
	}},
	{name: "a member falls asleep while a producer commits", options: groupOptions, preempts: 3, kills: 1, sleeps: true, beyond: true, set: func(w *world) []*proc {
		c := newCrew(w)
		groupCrew = c
		c.hire(w.process("B", false, nil), "g", GroupPolicy{}, MemberOptions{}) // if A dies there is another member
		return []*proc{w.publisher("P", 1, 8, 8), c.sleeper("A", "g", 2)}
	}, check: func(w *world) { groupCrew.once("g", []uint64{101, 102}, "A") }},
	{name: "a member sleeps while another one dies with a message", options: groupOptions, preempts: 3, kills: 1, sleeps: true, beyond: true, set: func(w *world) []*proc {
		c := newCrew(w)
		groupCrew = c
		a, b := c.sleeper("A", "g", 1), c.worker("B", "g", true, 1)
		a.mortal = false
		w.prepared(1)
		return []*proc{b, a}
	}, check: func(w *world) { groupCrew.once("g", upTo(1), "A", "B") }},
	{name: "a member falls asleep while a dead one is repaired", options: groupOptions, preempts: 2, kills: 1, sleeps: true, beyond: true, set: func(w *world) []*proc {
		c := newCrew(w)
		groupCrew = c
		dead := c.hire(nil, "g", GroupPolicy{}, MemberOptions{})
		a := c.sleeper("A", "g", 1)
		a.mortal = false
		w.prepared(1)
		if _, ok := dead.Next(); !ok {
			panic("no message")
		}
		w.locks.drop(dead.grant.Lock)
		return []*proc{a, w.repairer("R")}
	}, check: func(w *world) { groupCrew.once("g", upTo(1), "A") }},
	{name: "a member sleeps while another one gives back", options: groupOptions, preempts: 3, kills: 1, sleeps: true, beyond: true, set: func(w *world) []*proc {
		c := newCrew(w)
		groupCrew = c
		a := c.sleeper("A", "g", 1)
		b := w.process("B", true, nil)
		m := c.hire(b, "g", GroupPolicy{}, MemberOptions{})
		w.prepared(1)
		if _, ok := m.Next(); !ok {
			panic("no message")
		}
		b.body = func() { m.Close() }
		return []*proc{b, a}
	}, check: func(w *world) { groupCrew.once("g", upTo(1), "A", "B") }},
	{name: "a producer sleeps until a member acknowledges", options: groupOptions, preempts: 3, kills: 1, sleeps: true, beyond: true, set: func(w *world) []*proc {
		c := newCrew(w)
		groupCrew = c
		a := w.process("A", true, nil)
		m := c.hire(a, "g", GroupPolicy{Credit: 256}, MemberOptions{})
		c.hire(w.process("B", false, nil), "g", GroupPolicy{}, MemberOptions{})
		w.filled(40)
		p := w.process("P", true, nil)
		pr := w.producer(p)
		p.waits = func() bool { return w.roomy(pr, 40) }
		a.body = func() { c.work("A", m, 1) }
		p.body = func() { w.sendAsleep(pr, 101, 40) }
		return []*proc{p, a}
	}, check: func(w *world) { groupCrew.once("g", append(upTo(60), 101), "A") }},
}

// deleter is a process that deletes the topic, and tells when it has.
func (w *world) deleter() (p *proc, deleted *bool) {
	r := w.view()
	deleted = new(bool)
	return w.process("D", false, func(*proc) {
		w.does("delete")
		if err := r.MarkClosing(); err != nil {
			w.fail("delete: %v", err)
		}
		*deleted = true
		w.tell("deleted", "")
	}), deleted
}

// readToEnd reads until the topic is deleted.
func (w *world) readToEnd(name string, rd *Reader) {
	for {
		f, ok := rd.Next()
		switch {
		case ok:
			w.saw(name, f)
		case errors.Is(rd.Err(), ErrClosed):
			return
		case rd.err != nil:
			w.fail("reader %s: %v", name, rd.err)
			return
		default:
			if err := Sleep(time.Hour, nil, rd); err != nil {
				w.fail("sleep of %s: %v", name, err)
			}
		}
	}
}

// sleeper is a member that works through n messages, and sleeps while there is none.
func (c *crew) sleeper(name, group string, n int) *proc {
	p := c.w.process(name, true, nil)
	m := c.hire(p, group, GroupPolicy{}, MemberOptions{})
	p.waits = func() bool { // not by the code that is tried
		h := m.position(m.head.Load())
		return m.data.Word(h).Load() == h^m.nonce || len(m.ring.orphansOf(m.group, h)) > 0
	}
	p.body = func() {
		for inVain := 0; len(c.got[name]) < n && m.Err() == nil; inVain++ {
			had, slept := len(c.got[name]), p.slept
			if c.work(name, m, 1); len(c.got[name]) > had {
				inVain = 0
				continue
			}
			if err := Sleep(time.Hour, nil, m); err != nil {
				c.w.fail("sleep of %s: %v", name, err)
			}
			switch {
			case p.slept > slept:
				inVain = 0
			case inVain > 2: // what it is awake for is in another one's hands just now
				c.w.yield()
			}
		}
	}
	return p
}

// sleepFaults are seeded with the others. A wake that is left out after a CAS of wake or space that failed is none of them: whoever
// succeeded wakes, or dies and is repaired.
var sleepFaults = []fault{
	{"no barrier", "sleep.go", "	if shm.Barrier() != nil {\n", "	if r == nil {\n", "a reader falls asleep while a producer commits"},
	{"fenced stored before the barrier", "sleep.go",
		"	if shm.Barrier() != nil {\n", "	r.cursors.Word32(offFenced).Store(w)\n	if shm.Barrier() != nil {\n", "two readers fall asleep"},
	{"no last look", "sleep.go", "			there = s.stirs()\n", "			s.stirs()\n", "a reader falls asleep while a producer commits"},
	{"no fence where commits fence", "sleep.go",
		"		// order: full fence, pair [commit]: the stamp before the look at asleep.\n		shm.FenceFull()\n", "", "a reader falls asleep where commits fence"},
	{"no fence before the barrier reaches the producer", "sleep.go",
		"p.ring.sleep == SleepAuto && shm.BarrierReady()", "p.ring.sleep == SleepAuto", "a reader falls asleep while a producer registers"},
	{"a repair that wakes nobody", "repair.go", "owes || len(done) > 0 {", "owes && dry {", "a producer dies before it wakes"},
	{"a repair that does not look whether the last one ended", "repair.go",
		"owes || len(done) > 0 {", "owes && dry || len(done) > 0 {", "a producer dies before it wakes"},
	{"space freed by plain stores", "reader.go",
		"	r.cursor.Store(r.pos)\n	r.cursorAt = r.pos\n", "	r.cursor.StoreRelaxed(r.pos)\n	r.cursorAt = r.pos\n", "a producer sleeps until a reader frees space"},
	{"blocked raised after the refresh", "sleep.go",
		"		r.ring.Word32(offBlocked).RaiseTo(s)\n		err = p.refresh(align16(frameHeaderSize + uint64(n)))\n",
		"		err = p.refresh(align16(frameHeaderSize + uint64(n)))\n		r.ring.Word32(offBlocked).RaiseTo(s)\n", "a producer sleeps until a reader frees space"},
	{"a gate taken away without a wake", "slots.go", "			l.ring.freed() // after the gate went\n", "", "a producer sleeps until a reader closes"},
	{"a reader dropped without a wake", "slow.go", "	if dropped {\n		r.wakeAll()\n	}\n", "", "a producer sleeps until another one drops"},
	{"a message acknowledged without a wake", "member.go", "	h.fromAs = from\n	m.ring.freed()\n", "	h.fromAs = from\n", "a producer sleeps until a member acknowledges"},
	{"a return to the gates that wakes nobody", "slow.go", "	ring.freed() // the gate moved up from the stand-in\n", "", "a producer sleeps while a reader gates again that has read all"},
	{"a joiner that wakes nobody when its gate has moved", "join.go", "			r.freed() // the gate moved up\n", "", "a producer sleeps while a reader joins"},
	{"a deletion that wakes nobody", "ring.go", "		r.wakeAll()\n", "", "a topic is deleted while a reader falls asleep"},
	{"a deletion that announces nobody", "ring.go", "		r.fallAsleep()\n", "", "a topic is deleted while a producer commits"},
	{"an orphan that nobody tells of", "adopt.go", "	r.groupWord(group, gOrphans).Add(1)\n", "", "a member falls asleep while a dead one is repaired"},
	{"an orphan that wakes nobody", "adopt.go", "	shm.FutexWake(r.orphansHalf(group))\n", "", "a member sleeps while another one gives back"},
	{"a repair that tells of no orphans", "repair.go", "	r.announceOrphans()\n", "", "a member sleeps while another one gives back"},
	{"orphans loaded after the look at them", "sleep.go",
		"return m.ring.orphansHalf(m.group), uint32(m.orphansSeen)", "return m.ring.orphansHalf(m.group), m.ring.orphansHalf(m.group).Load()",
		"a member sleeps while another one gives back"},
}
