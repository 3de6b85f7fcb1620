package shmring

import (
	"errors"
	"fmt"
	"time"

	"github.com/mycelium-bus/mycelium/shmring/internal/shm"
)

// A group is a queue: each message goes to one of its members. Its words:
//
//	head      group   position/16 (54 bits) of the next message, slot of the last taker (10 bits; 1023 nobody)
//	state     group   generation, and what the group is (below)
//	orphans   group   raised when a slot was left with messages in it: members look
//	start     group   number of the present start, 1 to 1023, drawn from a counter of the topic; 0 before the first
//	joined    group   generation that the last join left it with
//	from      slot    position/16 where the member's range begins (54 bits), deliveries of that message (10 bits); 0 = NONE
//	end       slot    position where the range ends
//	won       slot    position/16 where the take ended that was won last (54 bits), number of the group's start (10 bits)
//
// The life of a group's state word; each join takes the next generation:
//
//	FREE ──> STARTING ──> ACTIVE     GrantMember or MakeGroup makes it, who joins first starts it
//	            ^            │
//	            └────────────┘       a joiner finds that producers dropped it
//	FREE <── any, ephemeral and without members, when another group needs the room (grouproom.go)
//
// Producers drop a group that has no member and lags more than it may: dropped[consumers + group] = its generation.
type groupKind = slotKind

const (
	groupFree groupKind = iota
	groupStarting
	groupActive
)

// routingQueue is the routing of topics that have [DefaultGroup] from their creation.
const routingQueue = 1

// DefaultGroup is the name of the durable group that a topic with routing queue has from its creation.
const DefaultGroup = "default"

// pack puts a position, a multiple of 16, into 54 bits and a tag into the 10 bits above.
func pack(pos, tag uint64) uint64 { return pos/frameAlign&(1<<54-1) | tag<<54 }

const maxTag = 1<<10 - 1

// packedTag returns what pack put above the position.
func packedTag(w uint64) uint64 { return w >> 54 }

// unpack returns the position in w, which is less than 2^57 bytes away from near, a multiple of 16.
func unpack(w, near uint64) uint64 {
	return near + uint64(int64((w-near/frameAlign)<<10)>>10)*frameAlign
}

// GroupPolicy is how a group behaves; it is in control, written by who grants.
type GroupPolicy struct {
	Durable    bool   // it gates without a live member, up to Keep, from when it is made; else only while it has members or orphans
	Credit     uint64 // bytes that it may lag while it has members; as [Policy.Credit]
	Keep       uint64 // bytes that it may lag without a member: a multiple of 16 up to Capacity; 0 means Credit
	MaxDeliver int    // a message that was delivered so often is parked; 0 for never, at most 1,000
	UID        uint32 // who asked; information only
}

const maxMaxDeliver = 1000 // deliveries are counted in 10 bits

// check returns the policy with its defaults, or an error that names the field and the limit it breaks.
func (p GroupPolicy) check(r *Ring) (GroupPolicy, error) {
	credit, err := r.checkCredit(Policy{Slow: Block, Credit: p.Credit})
	p.Credit = credit
	setDefault(&p.Keep, credit)
	switch {
	case err != nil:
		return p, err
	case p.Keep%frameAlign != 0 || p.Keep > r.capacity:
		return p, fmt.Errorf("keep %d of a group of topic %s is not a multiple of 16 up to %d (the capacity)", p.Keep, r.name, r.capacity)
	case p.MaxDeliver < 0 || p.MaxDeliver > maxMaxDeliver:
		return p, fmt.Errorf("max_deliver %d of a group of topic %s is not 0 to %d", p.MaxDeliver, r.name, maxMaxDeliver)
	}
	return p, nil
}

func (r *Ring) groupEntry(group, off uint64) *shm.Word {
	return r.control.Word(r.offGroupEntries + controlEntrySize*group + off)
}

// groupPolicy reads a group's policy; what no granter writes counts as the widest.
func (r *Ring) groupPolicy(group uint64) GroupPolicy {
	w := func(off uint64) uint64 {
		return r.groupEntry(group, off).Load() // order: acquire, pair [policy] with Ring.writeGroupPolicy.
	}
	return GroupPolicy{Durable: w(eDurable) == 1, Credit: r.creditOf(w(eCredit)), Keep: r.creditOf(w(eKeep)),
		MaxDeliver: int(min(w(eMaxDeliver), maxMaxDeliver)), UID: uint32(w(eUID))}
}

func (r *Ring) writeGroupPolicy(group uint64, p GroupPolicy) {
	durable := uint64(0)
	if p.Durable {
		durable = 1
	}
	for _, f := range []struct{ off, x uint64 }{{eDurable, durable}, {eCredit, p.Credit}, {eKeep, p.Keep},
		{eMaxDeliver, uint64(p.MaxDeliver)}, {eUID, uint64(p.UID)}} {
		// order: release, pair [policy] with Ring.groupPolicy: before the group's word, where the group is new.
		r.groupEntry(group, f.off).StoreRelease(f.x)
	}
}

// initializeGroup makes a durable group in a new ring, whose memory nobody else sees yet.
func (r *Ring) initializeGroup(group uint64, name string) {
	r.writeGroupPolicy(group, GroupPolicy{Durable: true, Credit: r.capacity / 2, Keep: r.capacity / 2})
	writeName(r.groupName(group), name)
	w := func(off uint64) *shm.Word { return r.groupWord(group, off) }
	w(gStart).StoreRelaxed(1)                                       // order: none, nobody has the file yet.
	w(gJoined).StoreRelaxed(1)                                      // order: none, see above
	w(gState).StoreRelaxed(uint64(makeState(1, groupActive, 0, 0))) // order: none, see above
	r.cursors.Word(offGroupStarts).StoreRelaxed(1)                  // order: none, see above
}

func (r *Ring) groupName(group uint64) []byte {
	return r.cursors.Bytes(r.offGroups+groupSize*group+gName, nameSize)
}

// MakeGroup makes a group, or gives the group of that name the policy. A new durable one begins with the next message to be claimed and
// gates from now on. It waits at most 100 ms for whoever makes another one ([ErrInUse]), and returns [ErrLimit] when all groups
// are in use. It needs access [Own].
func (r *Ring) MakeGroup(name string, p GroupPolicy) error {
	p, err := p.check(r)
	if err != nil {
		return err
	}
	return r.makeGroups(func(h int) error {
		group, isNew, err := r.findOrMakeGroup(name, p, h)
		if err != nil {
			return err
		}
		if r.kind.singleGate() {
			err = r.onlyGate(group, h)
		}
		switch {
		case err != nil || isNew:
		case p.Durable && r.isIdle(group):
			return r.makeGroupAt(group, name, p) // as a new one: it gates from now on, and not from when somebody joins
		default:
			r.writeGroupPolicy(group, p)
		}
		if err != nil && isNew {
			r.unmakeGroup(group)
		}
		return err
	})
}

// GrantMember locks a free consumer slot for a member of the named group, which is made with the policy if there is none. A group that is
// there keeps its own. Waits and errors as [Ring.MakeGroup] and [Ring.GrantConsumer]: in the single-gate kinds there is one group or
// one reliable reader, and [ErrInUse] for another. It needs access [Own].
func (r *Ring) GrantMember(name string, p GroupPolicy) (Grant, error) {
	none := Grant{Slot: -1, Lock: -1}
	p, err := p.check(r)
	if err != nil {
		return none, err
	}
	g := none
	err = r.makeGroups(func(h int) error {
		group, isNew, err := r.findOrMakeGroup(name, p, h)
		if err != nil {
			return err
		}
		g, err = r.grant(consumerLocks, r.consumers, r.consumerWord)
		if err == errNoSlot {
			err = fmt.Errorf("%w: all %d consumer slots of topic %s are taken", ErrLimit, r.consumers, r.name)
		}
		if err == nil {
			r.writeMemberEntry(uint64(g.Slot), group)
			if r.kind.singleGate() {
				err = r.onlyGate(group, h)
			}
		}
		if err != nil && isNew {
			r.unmakeGroup(group)
		}
		return err
	})
	if err != nil {
		g.Close()
		return none, err
	}
	return g, nil
}

// writeMemberEntry fills the control entry of a granted slot.
func (r *Ring) writeMemberEntry(slot, group uint64) {
	p := r.groupPolicy(group)
	// order: acquire, pair [state] with whoever freed the slot.
	gen := nextGeneration(state(r.consumerWord(slot, cState).Load()).gen())
	for _, f := range []struct{ off, x uint64 }{{eCredit, p.Credit}, {ePolicy, uint64(Block)}, {ePatienceNs, 0}, {eUID, uint64(p.UID)},
		{eGroup, group + 1}, {eGeneration, uint64(gen)}} {
		// order: release, pair [policy] with Ring.Member and Ring.groupInUse: the generation last.
		r.consumerEntry(slot, f.off).StoreRelease(f.x)
	}
}

// makeGroups runs f while holding the lock under which groups are made, on the description h.
func (r *Ring) makeGroups(f func(h int) error) error {
	if r.access < Own {
		return fmt.Errorf("%w: making groups needs access own, this mapping has %s", ErrPermission, r.access)
	}
	if err := r.hold(); err != nil {
		return err
	}
	defer r.release()
	h, err := r.locks.open(consumerLocks)
	if err != nil {
		return err
	}
	defer r.locks.close(h)
	if ok, err := r.lockSoon(h, makerByte); err != nil || !ok {
		return errors.Join(fmt.Errorf("%w: somebody else is making a group of topic %s", ErrInUse, r.name), err)
	}
	return r.guarded(func() error {
		if r.closing() {
			return ErrClosed
		}
		return f(h)
	})
}

// lockSoon tries for 100 ms to lock a byte of the consumers' lock file: it is held for some instructions, unless its holder was
// stopped.
func (r *Ring) lockSoon(h int, off int64) (bool, error) {
	for try := range groupLockTries {
		if ok, err := r.locks.lock(consumerLocks, h, off); ok || err != nil {
			return ok, err
		}
		if try+1 < groupLockTries {
			time.Sleep(groupLockNap)
		}
	}
	return false, nil
}

const groupLockNap = time.Millisecond

// findOrMakeGroup returns the number of the group with that name. The caller holds the makers' lock on the description h.
func (r *Ring) findOrMakeGroup(name string, p GroupPolicy, h int) (group uint64, isNew bool, err error) {
	if name == "" || len(name) > nameSize || readName([]byte(name)) != name {
		return 0, false, fmt.Errorf("group name %q is not 1 to %d bytes of text", name, nameSize)
	}
	free := r.groups
	for g := range r.groups {
		// order: acquire, pair [group] with Ring.makeGroupAt.
		s := state(r.groupWord(g, gState).Load())
		switch {
		case s.kind() == groupFree:
			free = min(free, g)
		case readName(r.groupName(g)) == name:
			return g, false, nil
		}
	}
	for g := uint64(0); free == r.groups && g < r.groups; g++ {
		if !r.groupInUse(g) {
			free = g
		}
	}
	for g := uint64(0); free == r.groups && g < r.groups; g++ {
		if r.makeWay(g, h) {
			free = g
		}
	}
	if free == r.groups {
		return 0, false, fmt.Errorf("%w: all %d groups of topic %s are in use", ErrLimit, r.groups, r.name)
	}
	return free, true, r.makeGroupAt(free, name, p)
}

// makeGroupAt writes a new group: an ephemeral one is started by who joins it first, a durable one now.
func (r *Ring) makeGroupAt(group uint64, name string, p GroupPolicy) error {
	word := r.groupWord(group, gState)
	// order: acquire, pair [group]: only who holds the makers' lock makes and unmakes groups.
	old := state(word.Load())
	// order: release (these two), pair [group]: before the new word.
	word.StoreRelease(uint64(makeState(old.gen(), groupFree, 0, 0)))
	r.groupWord(group, gStart).StoreRelease(0)
	writeName(r.groupName(group), name)
	r.writeGroupPolicy(group, p)
	gen := nextGeneration(old.gen())
	r.groupEntry(group, eGeneration).StoreRelaxed(uint64(gen)) // order: none, for tools
	if p.Durable {
		return r.startNew(group, gen)
	}
	// order: sequentially consistent, pair [group] with Ring.Member and every scan.
	word.Store(uint64(makeState(gen, groupStarting, 0, 0)))
	return nil
}

// startNew makes a durable group active at the newest position. Nobody was granted a slot in it: no member looks at its words.
func (r *Ring) startNew(group uint64, gen uint32) error {
	w := func(off uint64) *shm.Word { return r.groupWord(group, off) }
	w(gStart).StoreRelease(r.nextStart()) // order: release, pair [start] with joiners.
	for range 1000 {
		tail, err := r.Tail()
		if err != nil {
			return err
		}
		w(gHead).StoreRelease(pack(tail, groupNobody)) // order: release, pair [head] with scans, by way of the group's word.
		w(gJoined).StoreRelease(uint64(gen))           // order: release, pair [start] with joiners.
		// order: sequentially consistent, pair [group] with every scan: before the look at the limit.
		w(gState).Store(uint64(makeState(gen, groupActive, 0, 0)))
		// order: acquire (these two), pairs [join] with Producer.refresh and [dropped] with Producer.dropGroup: a tail that producers
		// went past before they saw the group was dropped, or cannot be kept.
		safe := r.safeFrom(r.limit.Load())
		if dropped := r.droppedWord(r.consumers + group).Load(); !before(tail, safe) && dropped != uint64(gen) {
			return nil
		}
		gen = nextGeneration(gen) // what was decided about that tail is void
	}
	return nil // producers went round within each of these loops; who joins first starts it anew
}

// nextStart draws a number for a group's start that no other group has: the counter comes round.
func (r *Ring) nextStart() uint64 {
	for range maxStart {
		// order: sequentially consistent, pair [groups] with Producer.gateOfGroups: before the group's word and the look at the limit.
		number := r.cursors.Word(offGroupStarts).Add(1)%maxStart + 1
		if !r.numberInUse(number) {
			return number
		}
	}
	return maxStart // there are fewer groups than numbers: somebody scribbles
}

// numberInUse reports whether a group has the number.
func (r *Ring) numberInUse(number uint64) bool {
	for g := range r.groups {
		// order: acquire, pair [start] with Ring.startGroup.
		if r.groupWord(g, gStart).Load() == number {
			return true
		}
	}
	return false
}

// isIdle reports whether a group gates nobody, and nobody has or is about to have anything of it: nobody started it, or producers dropped it.
// The caller holds the makers' lock.
func (r *Ring) isIdle(group uint64) bool {
	// order: acquire (these two, in this order), pairs [dropped] with Ring.dropGroup and [group] with Ring.joinGroup.
	dropped := r.droppedWord(r.consumers + group).Load()
	s := state(r.groupWord(group, gState).Load())
	return (s.kind() == groupStarting || dropped == uint64(s.gen())) && !r.groupInUse(group)
}

// unmakeGroup takes a group back that was made and then refused. Nobody was granted a slot in it.
func (r *Ring) unmakeGroup(group uint64) {
	word := r.groupWord(group, gState)
	// order: sequentially consistent, pair [group] with every scan: under the makers' lock.
	word.Store(uint64(makeState(state(word.Load()).gen(), groupFree, 0, 0)))
}

// groupInUse reports whether a group is durable, or has members, orphans, or somebody who was granted a slot to be a member.
func (r *Ring) groupInUse(group uint64) bool {
	// order: acquire, pair [group] with Ring.makeGroupAt.
	if state(r.groupWord(group, gState).Load()).kind() == groupFree {
		return false
	}
	if r.groupPolicy(group).Durable {
		return true
	}
	worked, left := r.slotsOfGroup(group)
	return worked || left
}

// onlyGate refuses a group (r.groups for a reader) in a topic that admits one gate and has another. Who asks has made itself seen before:
// of two who ask at once, one at least is refused. With the makers' lock on the description h, else -1, a group that nobody works for makes
// way.
func (r *Ring) onlyGate(group uint64, h int) error {
	if held, known := r.locks.held(consumerLocks, gateByte); group < r.groups && known && held {
		return r.gateTaken()
	}
	for g := range r.groups {
		if g != group && r.groupInUse(g) && (h < 0 || !r.makeWay(g, h)) {
			return fmt.Errorf("%w: topic %s is %s and has group %q", ErrInUse, r.name, r.kind, readName(r.groupName(g)))
		}
	}
	return nil
}
