package shmring

import (
	"fmt"
	"runtime"
)

// The life of a claim:
//
//	reserve ──> fill ──> commit: PAD before the segment's end, frames, PAD of the rest: stamped in the order of positions
//	   │                    └──> abort: PADs alone
//	   └─ ErrBackPressure, ErrTooLarge: nothing was taken
//
// A single producer that commits less than it claimed keeps the rest for its next claim, since nobody else claims behind
// it: no PAD, and an abort leaves no trace.

// Publish copies one message of 1 to MaxFrame bytes into the ring: claim, copy and commit. It neither blocks nor
// allocates. It returns [ErrBackPressure] while the slowest gate leaves no room, [ErrTooLarge] for a wrong length, and
// [ErrClosed] when the topic was deleted or the handle closed. [ErrCorrupt] says that a file was cut short; readers may have the message or
// not, and every later call says so too. Only a mapping with access [Produce] notices that in time: in another one the signal ends the process.
func (p *Producer) Publish(message []byte) error {
	n := uint64(len(message))
	size := (n + frameHeaderSize + 15) &^ 15
	pos := p.pos
	// One comparison finds out everything that is not the common case: bound is the smaller of limit and segment end, and
	// stays behind pos in the kinds with many producers.
	if n-1 >= p.maxFrame || p.open || int64(p.bound-(pos+size)) < 0 {
		return p.publishSlow(message)
	}
	p.data.Copy(pos+frameHeaderSize, message)
	p.pos = pos + size
	p.nMessages++
	p.nBytes += n
	// order: none (these two), only this handle writes the counters.
	p.messages.StoreRelaxed(p.nMessages)
	p.bytes.StoreRelaxed(p.nBytes)
	// order: none, the stamp releases it.
	p.data.Word(pos + 8).StoreRelaxed(p.tag | n)
	// From here the frame belongs to the readers.
	// order: release, pair [commit] with Reader.Next: who sees the stamp sees the whole frame.
	p.data.Word(pos).StoreRelease(pos ^ p.nonce)
	// order: acquire (these two), pair [asleep] with Ring.fallAsleep, [wake] with Producer.wakeReaders: after the stamp, by the
	// sleeper's barrier or this handle's fence.
	if p.fences || int32(p.asleep.Load()-p.wake.Load()) >= 0 || p.shield.Cut() {
		return p.afterCommit()
	}
	runtime.KeepAlive(p)
	return nil
}

// publishSlow is Publish where the frame does not simply go to the next place.
func (p *Producer) publishSlow(message []byte) error {
	if !p.single && !p.open && uint64(len(message))-1 < p.maxFrame && !p.done && p.final == nil {
		if published, err := p.publishShared(message); published {
			return err
		}
	}
	c, err := p.Claim(len(message))
	if err != nil {
		return err
	}
	p.data.Copy(c.pos+frameHeaderSize, message)
	return c.Commit(len(message))
}

// publishShared is Publish among many producers where room is known and the frame fits its segment. It returns false
// when it is not so, or when another producer was faster; nothing was taken then.
func (p *Producer) publishShared(message []byte) (published bool, err error) {
	n := uint64(len(message))
	// order: acquire, pair [tail] with the CAS below.
	t := p.ring.tail.Load()
	end := t + align16(frameHeaderSize+n)
	if before(p.limit, end) || (t^(end-1))&^(p.segment-1) != 0 || t%frameAlign != 0 {
		return false, nil
	}
	// As in reserveShared; the position is NONE already, since no claim is open.
	// order: release (these two, in this order), pair [intent] with Producer.gateOfClaims.
	p.slotSize.StoreRelease(end - t)
	p.slotPosition.StoreRelease(t)
	// order: sequentially consistent, pair [tail] with every load of tail: who sees the tail beyond t sees the intent at t.
	if !p.ring.tail.CompareAndSwap(t, end) {
		// order: release, pair [intent] with Producer.gateOfClaims.
		p.slotPosition.StoreRelease(0)
		return false, nil
	}
	// order: release, pair [won] with a repairer that judges another producer's intent at t.
	p.slotWon.StoreRelease(t)
	p.data.Copy(t+frameHeaderSize, message)
	p.nMessages++
	p.nBytes += n
	// order: none (these three): only this handle writes the counters, and the stamp releases the header word.
	p.messages.StoreRelaxed(p.nMessages)
	p.bytes.StoreRelaxed(p.nBytes)
	p.data.Word(t + 8).StoreRelaxed(p.tag | n)
	// From here the frame belongs to the readers.
	// order: release, pair [commit] with Reader.Next: who sees the stamp sees the whole frame.
	p.data.Word(t).StoreRelease(t ^ p.nonce)
	// order: release, pair [intent] with Producer.gateOfClaims: who sees the intent gone sees the stamp.
	p.slotPosition.StoreRelease(0)
	// order: acquire (these two), pair [asleep] and [wake] with Ring.fallAsleep, as in Publish.
	if p.fences || int32(p.asleep.Load()-p.wake.Load()) >= 0 || p.shield.Cut() {
		return true, p.afterCommit()
	}
	runtime.KeepAlive(p)
	return true, nil
}

// Claim is room for one message in the ring itself. It is a value for the goroutine of its producer, finished by
// Commit or Abort; using it after that panics.
type Claim struct {
	p      *Producer
	serial uint64
	pos    uint64
	length uint64
}

// Claim reserves n bytes of the ring for one message, to be filled in place; n is 1 to MaxFrame. It neither blocks nor
// allocates. Readers see nothing until [Claim.Commit]; [Claim.Abort] gives the room up. In a ring with many producers no
// reader passes an open claim, so commit soon. Errors are those of [Producer.Publish].
func (p *Producer) Claim(n int) (Claim, error) {
	if p.open {
		p.abandonClaim()
	}
	if uint64(n)-1 >= p.maxFrame {
		return Claim{}, ErrTooLarge
	}
	if err := p.reserve(align16(frameHeaderSize + uint64(n))); err != nil {
		return Claim{}, err
	}
	return Claim{p: p, serial: p.serial, pos: p.claim.frame, length: uint64(n)}, nil
}

// Bytes returns the claimed bytes, in the ring. They hold what an earlier message left there. They are the caller's until
// Commit or Abort, and must not be touched afterwards.
func (c Claim) Bytes() []byte { return c.p.data.Bytes(c.pos+frameHeaderSize, c.length) }

// Position returns where in the ring the message goes.
func (c Claim) Position() uint64 { return c.pos }

// Commit publishes the first used bytes of the claim as a message; used is 0 (the same as Abort) to the claimed length.
// It neither blocks, allocates nor fails but by a wrong used ([ErrTooLarge], and the claim is aborted) or a file that was cut short since
// ([ErrCorrupt], as in [Producer.Publish]).
func (c Claim) Commit(used int) error {
	p := c.p
	p.mustBeOpen(c.serial)
	if uint64(used)-1 >= c.length {
		err := p.finish(p.claim.frame)
		if used == 0 || err != nil {
			return err
		}
		return fmt.Errorf("%w: commit of %d bytes of a claim of %d", ErrTooLarge, used, c.length)
	}
	// order: none, the stamp releases it.
	p.data.Word(c.pos + 8).StoreRelaxed(p.tag | uint64(used))
	p.nMessages++
	p.nBytes += uint64(used)
	end := c.pos + align16(frameHeaderSize+uint64(used))
	if !p.single || p.claim.start != c.pos {
		return p.finish(end)
	}
	// A single producer's frame that needs no PAD: as in Publish. bound holds on, since pos stays within its segment.
	p.open = false
	p.pos = end
	// order: none (these three), only this handle writes the counters, and the position is for tools.
	p.messages.StoreRelaxed(p.nMessages)
	p.bytes.StoreRelaxed(p.nBytes)
	p.slotPosition.StoreRelaxed(0)
	// From here the frame belongs to the readers.
	// order: release, pair [commit] with Reader.Next: who sees the stamp sees the whole frame.
	p.data.Word(c.pos).StoreRelease(c.pos ^ p.nonce)
	// order: acquire (these two), pair [asleep] and [wake] with Ring.fallAsleep, as in Publish.
	if p.fences || int32(p.asleep.Load()-p.wake.Load()) >= 0 || p.shield.Cut() {
		return p.afterCommit()
	}
	runtime.KeepAlive(p)
	return nil
}

// Abort gives the claim up; readers never see it.
func (c Claim) Abort() {
	c.p.mustBeOpen(c.serial)
	c.p.finish(c.p.claim.frame)
}

// Batch is room for several messages that become visible together, in one segment. It is a value to be used through a
// pointer, by the goroutine of its producer.
type Batch struct {
	p      *Producer
	serial uint64
	next   uint64 // where the next message's frame goes
	count  uint64
	bytes  uint64
}

// Batch reserves size bytes for the frames of several messages: the sum of their [FrameSize], at most MaxClaim. Otherwise as
// [Producer.Claim].
func (p *Producer) Batch(size int) (Batch, error) {
	if p.open {
		p.abandonClaim()
	}
	if size <= frameHeaderSize || uint64(size) > p.ring.maxClaim {
		return Batch{}, ErrTooLarge
	}
	if err := p.reserve(align16(uint64(size))); err != nil {
		return Batch{}, err
	}
	return Batch{p: p, serial: p.serial, next: p.claim.frame}, nil
}

// Next returns n bytes for the batch's next message, to be filled before Commit; n is 1 to MaxFrame. [ErrTooLarge] when it is
// not, or when the batch has no room for it; the batch stays usable.
func (b *Batch) Next(n int) ([]byte, error) {
	p := b.p
	p.mustBeOpen(b.serial)
	size := align16(frameHeaderSize + uint64(n))
	if uint64(n)-1 >= p.maxFrame || size > p.claim.end-b.next {
		return nil, ErrTooLarge
	}
	pos := b.next
	// order: none, the stamp releases it.
	p.data.Word(pos + 8).StoreRelaxed(p.tag | uint64(n))
	b.next = pos + size
	b.count++
	b.bytes += uint64(n)
	return p.data.Bytes(pos+frameHeaderSize, uint64(n)), nil
}

// Len returns how many messages the batch holds.
func (b *Batch) Len() int { return int(b.count) }

// Commit publishes the batch's messages in the order of their Next calls; none is the same as Abort.
func (b *Batch) Commit() error {
	p := b.p
	p.mustBeOpen(b.serial)
	p.nMessages += b.count
	p.nBytes += b.bytes
	return p.finish(b.next)
}

// Abort gives the batch up; readers never see any of it.
func (b *Batch) Abort() {
	b.p.mustBeOpen(b.serial)
	b.p.finish(b.p.claim.frame)
}

func (p *Producer) mustBeOpen(serial uint64) {
	if !p.open || p.serial != serial {
		panic("shmring: commit or abort of a finished claim")
	}
}

// abandonClaim aborts a claim that its owner forgot.
func (p *Producer) abandonClaim() {
	if p.open {
		p.finish(p.claim.frame)
	}
}

// reserve takes size bytes, a multiple of 16 up to MaxClaim, in one segment, and opens p.claim.
func (p *Producer) reserve(size uint64) error {
	if p.done {
		return ErrClosed // the mapping may be gone, too
	}
	if p.final != nil {
		return p.final
	}
	var err error
	if p.single {
		err = p.reserveSingle(size)
	} else {
		err = p.reserveShared(size)
	}
	if err != nil {
		return err
	}
	p.serial++
	p.open = true
	return nil
}

// place returns where a claim of size bytes goes when the tail is t: behind a PAD, if the segment's rest is too short.
func (p *Producer) place(t, size uint64) reservation {
	end := alignDown(t, p.segment) + p.segment
	if size <= end-t {
		return reservation{t, t, t + size}
	}
	return reservation{t, end, end + size}
}

func (p *Producer) reserveSingle(size uint64) error {
	if pos := p.pos; int64(p.bound-(pos+size)) >= 0 {
		p.claim = reservation{pos, pos, pos + size}
	} else {
		c := p.place(pos, size)
		if before(p.limit, c.end) {
			if err := p.refresh(size); err != nil {
				return err
			}
		}
		p.claim = c
		p.setBound()
	}
	// order: none, for tools that ask what a producer holds up.
	p.slotPosition.StoreRelaxed(p.claim.start)
	return nil
}

func (p *Producer) reserveShared(size uint64) error {
	tail := p.ring.tail
	wrote := false
	for { // ends: each lost attempt means that another producer claimed, and room is limited
		// order: acquire, pair [tail] with the CAS below.
		t := tail.Load()
		if t%frameAlign != 0 {
			return p.ring.corruptTail(t)
		}
		c := p.place(t, size)
		if before(p.limit, c.end) {
			// order: acquire, pair [limit] with Producer.refresh.
			p.limit = p.ring.limit.Load()
		}
		if before(p.limit, c.end) {
			if wrote {
				// The attempt ends: an intent left behind would hold the limit, or be taken for a claim.
				// order: release, pair [intent] with Producer.gateOfClaims.
				p.slotPosition.StoreRelease(0)
				wrote = false
			}
			if err := p.refresh(size); err != nil {
				return err
			}
			continue
		}
		// The intent, before the claim: whatever instruction this process dies at, a repairer can tell what it owns.
		// order: release (these three, in this order), pair [intent] with Producer.gateOfClaims, which reads position, size,
		// position; the CAS that follows makes them visible before the tail moves.
		p.slotPosition.StoreRelease(0)
		p.slotSize.StoreRelease(c.end - c.start)
		p.slotPosition.StoreRelease(t)
		wrote = true
		// order: sequentially consistent, pair [tail] with every load of tail: who sees the tail beyond t sees the intent at t.
		if tail.CompareAndSwap(t, c.end) {
			// order: release, pair [won] with a repairer that judges another producer's intent at t.
			p.slotWon.StoreRelease(t)
			p.claim = c
			return nil
		}
	}
}

// finish stamps the claim's headers in the order of their positions: the PAD before the segment's end, the frames up to
// used, the PAD of the rest. used = claim.frame means that there are none.
func (p *Producer) finish(used uint64) error {
	c := p.claim
	p.open = false
	// order: none (these two), only this handle writes the counters.
	p.messages.StoreRelaxed(p.nMessages)
	p.bytes.StoreRelaxed(p.nBytes)
	if used == c.frame {
		p.aborted.StoreRelaxed(p.aborted.Load() + 1) // order: none, see above
		if p.single {
			// order: none, for tools.
			p.slotPosition.StoreRelaxed(0)
			return p.cut() // the whole claim stays this producer's
		}
	}
	if c.start != c.frame {
		p.pad(c.start, c.frame)
	}
	for f := c.frame; f != used; {
		// order: none, this handle wrote the word itself.
		n := frameLength(p.data.Word(f + 8).Load())
		// From here the frame belongs to the readers.
		// order: release, pair [commit] with Reader.Next: who sees the stamp sees the whole frame.
		p.data.Word(f).StoreRelease(f ^ p.nonce)
		f += align16(frameHeaderSize + n)
		if before(used, f) {
			break // somebody scribbled over the header: never beyond the claim
		}
	}
	if p.single {
		p.pos = used
		p.setBound()
		p.slotPosition.StoreRelaxed(0) // order: none, for tools
		// order: acquire (these two), pair [asleep] and [wake] with Ring.fallAsleep, as in Publish.
		if p.fences || int32(p.asleep.Load()-p.wake.Load()) >= 0 || p.shield.Cut() {
			return p.afterCommit()
		}
		runtime.KeepAlive(p)
		return nil
	}
	if used != c.end {
		p.pad(used, c.end)
	}
	// order: release, pair [intent] with Producer.gateOfClaims: who sees the intent gone sees all stamps.
	p.slotPosition.StoreRelease(0)
	// order: acquire (these two), pair [asleep] and [wake] with Ring.fallAsleep, as in Publish.
	if p.fences || int32(p.asleep.Load()-p.wake.Load()) >= 0 || p.shield.Cut() {
		return p.afterCommit()
	}
	runtime.KeepAlive(p) // or the collector could take a forgotten handle's slot away under the last stores
	return nil
}

// pad makes [from, to), inside one segment, a frame that readers skip.
func (p *Producer) pad(from, to uint64) {
	tag := p.tag&^(0xff<<48) | kindPad<<48
	// order: none, the stamp releases it.
	p.data.Word(from + 8).StoreRelaxed(tag | (to - from - frameHeaderSize))
	// order: release, pair [commit] with Reader.Next.
	p.data.Word(from).StoreRelease(from ^ p.nonce)
}
