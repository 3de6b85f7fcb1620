package shmring

import "github.com/mycelium-bus/mycelium/shmring/internal/shm"

// Newest is [Reader.Next] for who wants state rather than history: it passes over all messages but the newest one that is there and that
// match accepts (nil: any). It is for lossy readers; from the first call on what the reader passes over, or is overtaken on, is not missed,
// and no [LappedError] tells of it; [Reader.Passed] counts the bytes. match is shown copies, which it must not keep.
//
// It walks over the headers of the messages in the last segment, or since the last call where that is less; where none of them is
// wanted, segment by segment back.
func (r *Reader) Newest(match func(payload []byte) bool) (Frame, bool) {
	r.conflates = true
	for range maxPads { // each time producers came round meanwhile
		to, found := r.newest(r.next, match)
		if before(r.next, to) {
			r.nPassed += to - r.next
			r.next = to
		}
		f, ok := r.nextSlow(r.next)
		switch {
		case ok && (match == nil || match(f.Payload)):
			return f, true
		case ok:
			r.Skip()
		case !found || r.err != nil:
			return Frame{}, false
		}
	}
	return Frame{}, false
}

// newest returns the position of the newest frame from a position on that is wanted, or of the first that is not there.
func (r *Reader) newest(from uint64, match func([]byte) bool) (pos uint64, found bool) {
	// order: acquire (these two), pairs [limit] with Producer.refresh and [tail] with whoever claims: where to look; what is found there
	// is checked by the copy that follows.
	limit, tail := r.ring.limit.Load(), r.ring.tail.Load()
	if int64(limit-from) > int64(r.ring.capacity) {
		from = alignUp(limit-r.ring.capacity/2, r.segment)
	}
	begin := later(from, alignDown(tail, r.segment))
	pos, end, found := r.lastIn(begin, begin+r.ring.capacity, match)
	for range r.ring.capacity / r.segment {
		if found || !before(from, begin) {
			break
		}
		stop := begin
		begin = later(from, begin-r.segment)
		pos, _, found = r.lastIn(begin, stop, match)
	}
	if found {
		return pos, true
	}
	return end, false
}

// lastIn walks from begin, where a frame is or will be, up to stop, and returns the last frame that is wanted, and where the walk ended.
func (r *Reader) lastIn(begin, stop uint64, match func([]byte) bool) (last, end uint64, found bool) {
	end = begin
	for range r.ring.capacity / frameAlign {
		next, w, err := r.ring.frameAt(end)
		if err != nil || next == end || !before(end, stop) {
			break // an error is told when the reader comes there
		}
		if frameKind(w) == kindData {
			n := frameLength(w)
			if match == nil || match(r.buf[:shm.Copy(r.buf[:n], r.data.Bytes(end+frameHeaderSize, n))]) {
				last, found = end, true
			}
		}
		end = next
	}
	return last, end, found
}

// Passed returns how many bytes of the ring [Reader.Newest] passed over, headers and padding included.
func (r *Reader) Passed() uint64 { return r.nPassed }

// Skip consumes the frame that was lent last, and counts it as one that was not read.
func (r *Reader) Skip() {
	if r.next != r.pos {
		r.nMessages--
		r.nBytes -= frameLength(r.word)
		r.pos = r.next
	}
}
