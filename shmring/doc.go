// Package shmring answers: how do processes pass messages through shared memory, so that none is lost and none is torn?
//
// A [Ring] is one topic's files, mapped. A [Producer] claims room in it, writes and commits; a [Reader] polls the place where
// the next frame will be. No process serves another: what one needs to know of the others stands in words of the files.
//
// # One frame
//
//	 0        8        12   14   15  16
//	+--------+--------+----+----+---+----------------+
//	| stamp  | length |slot|kind|flg| payload        |   next frame: position + align16(16 + length)
//	+--------+--------+----+----+---+----------------+
//
// Positions are 64-bit byte offsets that only grow; the byte at position p sits at p & (capacity - 1). The stamp is the
// frame's position XOR the ring's random nonce, and it is stored last: a reader at position h polls the word at h until it
// equals h ^ nonce. What an earlier lap left behind cannot match, so memory is never cleared. The data area is cut into eight
// segments; no frame crosses the end of one (a PAD fills the rest), so every segment begins with a frame.
//
// # The words
//
//	tail      ring     producers   where the next claim begins (single producer: a hint, stored at each refresh)
//	limit     ring     producers   no claim may end beyond; only grows; all from limit - capacity on is intact history
//	dropped   ring     producers   generation of the reader in this slot that no longer gates
//	intent    ring     its slot    position, size: the claim that a producer is about to win, or holds
//	won       ring     its slot    the claim that it won last
//	state     both     its tenant  what the slot is; see layout.go
//	cursor    cursors  its slot    everything before it may be overwritten
//	head      cursors  members     of a group: the next message to be taken, and who took last
//	from      cursors  its slot    from, end, won: the range that a group's member is about to take, or holds
//	policy    control  the broker  credit, slow policy, patience of the slot's tenant
//
// # Sizes
//
// With capacity C and segment S = C/8: a frame (header and MaxFrame, aligned) is at most S/4; a claim (one frame or a batch)
// at most S/2, so that with the PAD before it, it moves the tail by at most S; a credit is a multiple of 16 from two largest
// claims to C.
//
// # Ordering pairs
//
// Who stores on the left, who loads on the right. `git grep '\[commit\]'` finds both ends.
//
//	[commit]     Producer.Publish, finish, pad: the stamp     Reader.Next, Reader.nextCopy, Ring.frameAt
//	[intent]     Producer.reserveShared, finish               Producer.gateOfClaims, Ring.Inspect
//	[tail]       Producer.reserveShared, refresh, Close       Producer.reserveShared, refresh, Ring.walkTail
//	[won]        Producer.reserveShared, Member.confirm       Ring.Inspect; a repairer
//	[limit]      Producer.refresh                             joiners, Ring.intact, Reader.checkGate, producers
//	[overwrite]  Producer.refresh: fence after the limit      Reader.nextCopy, Ring.intact: fence before the limit
//	[cursor]     Reader.publish, join, regate                 Producer.gateOfReaders, ungate
//	[join]       Producer.refresh: tail before the scan       Reader.join, regate: state word before the limit
//	[state]      Ring.activate, lease.end, Reader.checkGate,  every scan, Ring.grant
//	             regate
//	[used]       Ring.activate                                every scan
//	[policy]     Ring.GrantConsumer, writeGroupPolicy         Producer.gateOfReaders, Ring.newReader, Ring.groupPolicy
//	[dropped]    Producer.ungate, Ring.dropGroup              Producer.gateOfReaders, Reader.checkGate, outOfReach,
//	                                                          Ring.joinGroup
//	[group]      Ring.joinGroup, startGroup, makeGroupAt      Ring.viewGroups, Ring.dropGroup
//	[groups]     Ring.nextStart                               Producer.gateOfGroups
//	[start]      Ring.startGroup                              Ring.viewGroups, Ring.joinGroup, Ring.owns
//	[head]       Member.take, Ring.startGroup                 Member.take, Ring.viewGroups, Ring.owns
//	[from]       Member.take, acknowledge                     Ring.rangeOf, Ring.owns, Member.adoptSlot
//	[orphans]    Ring.leftOrphan                              Member.adopt, Member.Ready
//	[closing]    Ring.MarkClosing                             Ring.Closing
//	[wake]       Producer.wakeReaders                         Ring.fallAsleep, every commit
//	[asleep]     Ring.fallAsleep                              every commit
//	[fenced]     Ring.fallAsleep                              Ring.fallAsleep of another sleeper
//	[space]      Ring.freed                                   Producer.AwaitSpace
//	[blocked]    Producer.AwaitSpace                          Ring.freed
//	[alarm]      Alarm.Ring                                   Sleep
//	[config]     Ring.SetConfig                               Ring.Config
//	[list]       list.append                                  list.all
//	[floor]      Lines.Send                                   Lines.Await
//	[bell]       Lines.Rouse                                  Lines.Doze
//	[repairer]   Ring.repairUnder                             Ring.Repairer
//	[magic]      Ring.initialize                              decodeHeader
//
// # Invariants
//
//	R1  A stamp at p means that the whole frame at p is written.
//	R2  tail <= limit, and limit <= tail + 2 S.
//	R3  limit <= cursor + C of every gating reader, and <= claim + C of every open claim.
//	R4  Every segment boundary from limit - C to the tail begins with a frame.
//	R5  A reader's cursor moves only forward, and only over frames that it has left.
//	R6  Between a boundary and the tail, what is not a stamped frame belongs to an open claim.
//	R7  A word of a slot is written by its tenant alone, but for the state word of the dead.
//
// # Read in this order
//
// layout.go, claim.go, limit.go, reader.go, lossy.go, inplace.go, newest.go, join.go, slow.go, sleep.go; then group.go, member.go,
// groupgate.go, groupjoin.go, adopt.go (queues); slots.go (who holds what), create.go and ring.go (files), inspect.go and verify.go (tools).
package shmring
