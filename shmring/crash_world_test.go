//go:build linux && (amd64 || stepped)

package shmring

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
)

// crashWorld is a topic and those who outlive the child: what they read is held against an account that is taken from the raw
// bytes of the ring, by another way than a reader's.
type crashWorld struct {
	op     crashOperation
	ring   *Ring
	start  uint64    // the position that the survivor joined at
	reader *Reader   // reliable, attached before the child; nil where the child's is the only gate
	other  *Producer // live, attached before the child; nil where the child is the only producer
	claim  Claim     // the other's open claim
	opened message   // what it will hold

	expect []message // what the survivor has to read, in this order
	got    []message
	at     map[message]uint64 // positions
	missed []LappedError      // what the survivor was told that it missed
	sent   [ghostly]int       // how many messages of each producer

	crashCrew
	waiter crashWaiter
}

type message struct{ from, seq int }

func (m message) String() string {
	return fmt.Sprintf("%s %d", [...]string{"child's", "other's", "later", "ghost"}[m.from], m.seq)
}

// lookAt reads a message and checks every byte of it.
func lookAt(b []byte) (message, error) {
	if len(b) < 24 {
		return message{}, fmt.Errorf("a message of %d bytes, which nobody sent", len(b))
	}
	from, seq := binary.LittleEndian.Uint64(b), int(binary.LittleEndian.Uint64(b[8:]))
	if from > ghostly || binary.LittleEndian.Uint64(b[16:]) != uint64(len(b)) ||
		!slices.Equal(b, crashMessage(int(from), seq, len(b))) {
		return message{}, fmt.Errorf("a message of %d bytes is torn: %x", len(b), b[:24])
	}
	if from == ghostly {
		return message{}, errors.New("a message that was never committed")
	}
	return message{int(from), seq}, nil
}

func newCrashWorld(busDir string, op crashOperation, kind Kind) (w *crashWorld, err error) {
	w = &crashWorld{op: op, at: map[message]uint64{}}
	if w.ring, err = Create(busDir, "crash", Options{Kind: kind, Capacity: 64 << 10, Producers: 4, Consumers: 8, Groups: 8}); err != nil {
		return nil, err
	}
	if op.crew != nil {
		if err := w.found(); err != nil {
			return nil, err
		}
	}
	if !op.reads || !kind.singleGate() {
		if w.reader, err = w.join(op.policy(w.ring), Oldest()); err != nil {
			return nil, err
		}
		w.start = w.reader.Position()
	}
	if op.reads || !kind.singleProducer() {
		if w.other, err = w.attach(); err != nil {
			return nil, err
		}
	}
	if op.held {
		w.opened = message{fromOther, w.sent[fromOther]}
		m := crashMessage(fromOther, w.opened.seq, 100)
		if w.claim, err = w.other.Claim(len(m)); err != nil {
			return nil, err
		}
		copy(w.claim.Bytes(), m)
		w.sent[fromOther]++
	}
	if op.reads {
		for range 48 {
			if err := w.publish(w.other, fromOther, 500); err != nil {
				return nil, err
			}
		}
	}
	return w, nil
}

// policy is that of the reader that survives: unless it may be dropped its credit is the whole ring.
func (op *crashOperation) policy(r *Ring) Policy {
	if op.slow != 0 {
		return Policy{Slow: op.slow, Patience: crashPatience}
	}
	return Policy{Slow: Block, Credit: r.capacity}
}

// join and attach make handles on the parent's own mapping.
func (w *crashWorld) join(p Policy, from From) (*Reader, error) {
	g, err := w.ring.GrantConsumer(p)
	if err != nil {
		return nil, err
	}
	return w.ring.Reader(g, ReaderOptions{Name: "survivor", From: from})
}

func (w *crashWorld) attach() (*Producer, error) {
	g, err := w.ring.GrantProducer(0)
	if err != nil {
		return nil, err
	}
	return w.ring.Producer(g, "survivor")
}

// close leaves nothing of the topic.
func (w *crashWorld) close() error {
	if w.reader != nil {
		w.reader.Close()
	}
	if w.other != nil {
		w.other.Close()
	}
	if w.waiter.reader != nil {
		w.waiter.reader.Close()
	}
	return errors.Join(w.dismiss(), w.ring.Close(), os.RemoveAll(w.ring.path))
}

func (w *crashWorld) publish(p *Producer, from, length int) error {
	m := message{from, w.sent[from]}
	if err := p.Publish(crashMessage(m.from, m.seq, length)); err != nil {
		return err
	}
	end := p.pos
	if !p.single {
		end = w.ring.tail.Load()
	}
	w.at[m] = end - uint64(FrameSize(length))
	w.expect = append(w.expect, m)
	w.sent[from]++
	return nil
}

// read lets the survivor read what is there, each message the next one that is expected.
func (w *crashWorld) read() error {
	if w.reader == nil {
		return nil
	}
	for {
		f, ok := w.reader.Next()
		if !ok {
			err := w.reader.Err()
			if lap, ok := errors.AsType[*LappedError](err); ok && w.op.slow == Drop {
				w.missed = append(w.missed, *lap)
				continue
			}
			if w.op.slow == Evict && errors.Is(err, ErrEvicted) {
				return w.succeed()
			}
			if err == nil {
				w.reader.Release()
			}
			return err
		}
		m, err := lookAt(f.Payload)
		if err != nil {
			return fmt.Errorf("the survivor reads at %d: %w", f.Position, err)
		}
		w.got = append(w.got, m)
	}
}

// committed takes the account from the raw bytes: every stamped frame since the survivor joined, wherever it lies.
func (w *crashWorld) committed() (all []message, err error) {
	r := w.ring
	for pos := w.start; pos < w.start+r.capacity; pos += frameAlign {
		if !r.stampedAt(pos) {
			continue
		}
		word := r.data.Word(pos + 8).Load()
		if frameKind(word) != kindData {
			continue
		}
		m, err := lookAt(r.data.Bytes(pos+frameHeaderSize, frameLength(word)))
		if err != nil {
			return nil, fmt.Errorf("stamped at %d: %w", pos, err)
		}
		w.at[m] = pos
		all = append(all, m)
	}
	return all, nil
}

// countChild checks that the child's messages follow each other from the first on, and returns how many there are.
func countChild(all []message) (n int, err error) {
	for _, m := range all {
		if m.from != fromChild {
			continue
		}
		if m.seq != n {
			return 0, fmt.Errorf("the child's message %d stands where its message %d should", m.seq, n)
		}
		n++
	}
	return n, nil
}

// atMark looks at the topic while the child stands still before its operation.
func (w *crashWorld) atMark() error {
	if !w.op.reads {
		all, err := w.committed()
		if err == nil {
			w.sent[fromChild], err = countChild(all)
		}
		if err == nil && !w.op.lags {
			err = w.read()
		}
		if err != nil {
			return err
		}
	}
	if w.op.atMark != nil {
		if err := w.op.atMark(w); err != nil {
			return err
		}
	}
	if w.op.crew != nil {
		if err := w.crewAtMark(); err != nil {
			return err
		}
	}
	return w.fallAsleep()
}

// account takes from the raw bytes what the child has committed by its death; ended tells that it had come to its end.
func (w *crashWorld) account(ended bool) error {
	if w.op.reads {
		return nil // expected is what the other one published
	}
	all, err := w.committed()
	if err != nil {
		return err
	}
	n, err := countChild(all)
	if err != nil {
		return err
	}
	done := n - w.sent[fromChild]
	if done < 0 || done > w.op.commits || ended && done != w.op.commits {
		return fmt.Errorf("%d messages were committed in the operation (at its end: %v), want %d", done, ended, w.op.commits)
	}
	w.expect = all
	if w.op.held {
		w.expect = append([]message{w.opened}, all...)
	}
	return nil
}

// judge goes through what has to hold after the child's death, and lets the topic go on for more than a lap.
func (w *crashWorld) judge(ended bool) error {
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"account", func() error { return w.account(ended) }},
		{"wake by the operation", func() error {
			if !ended {
				return nil
			}
			return w.awaken()
		}},
		{"before the repair", w.liveOn},
		{"repair", w.repair},
		{"verify", w.verify},
		{"wake", w.awaken},
		{"read", w.settle},
		{"after the repair", w.goOn},
		{"join", w.joinLate},
		{"verify at the end", w.verify},
	} {
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return nil
}

// liveOn is what the survivors do before anybody has repaired.
func (w *crashWorld) liveOn() error {
	if w.op.waits != nobodyWaits {
		return nil // it is for the repair to wake who sleeps
	}
	if w.op.slow != 0 {
		if err := w.passBy(); err != nil {
			return err
		}
	}
	if err := w.read(); err != nil {
		return err
	}
	if w.op.held {
		if err := w.claim.Commit(100); err != nil {
			return err
		}
	}
	if w.op.crew != nil {
		return w.crewLivesOn()
	}
	if w.op.reads {
		return w.meetTheGate()
	}
	if w.other != nil {
		for range 3 {
			if err := w.publish(w.other, fromOther, 70); err != nil && !errors.Is(err, ErrBackPressure) {
				return err
			}
		}
	}
	return w.read()
}

// meetTheGate publishes two laps: a dead reader stops them until it is repaired, one that was not yet there, or not any
// more, does not.
func (w *crashWorld) meetTheGate() error {
	gates := false
	for slot := range w.ring.consumers {
		s := state(w.ring.consumerWord(slot, cState).Load())
		dropped := w.ring.droppedWord(slot).Load() == uint64(s.gen())
		gates = gates || s.kind() == slotReader && !dropped && (w.reader == nil || slot != w.reader.slot)
	}
	err := w.laps(w.other, fromOther, 2)
	if gates && !errors.Is(err, ErrBackPressure) {
		return fmt.Errorf("two laps past a dead reader's cursor: %w", err)
	}
	if !gates && err != nil {
		return fmt.Errorf("no reader is there: %w", err)
	}
	return nil
}

// laps publishes so many laps while the survivor reads along.
func (w *crashWorld) laps(p *Producer, from, laps int) error {
	const length = 1000
	for range laps * int(w.ring.capacity) / length {
		if err := w.publish(p, from, length); err != nil {
			return err
		}
		if err := errors.Join(w.read(), w.work()); err != nil {
			return err
		}
	}
	return nil
}

// repair repairs twice. The second time there is nothing left to do, and nobody dead.
func (w *crashWorld) repair() error {
	if _, err := w.ring.Repair(false); err != nil {
		return err
	}
	again, err := w.ring.Repair(false)
	if err != nil || len(again) > 0 {
		return fmt.Errorf("the second repair found %v (%w)", again, err)
	}
	info, err := w.ring.Inspect()
	if err != nil {
		return err
	}
	for _, p := range info.Producers {
		if !p.Alive || p.OpenClaim != 0 {
			return fmt.Errorf("producer %+v is left", p)
		}
	}
	for _, c := range info.Consumers {
		if !c.Alive && c.Mode != slotOrphan.String() {
			return fmt.Errorf("consumer %+v is left", c)
		}
	}
	return nil
}

func (w *crashWorld) verify() error {
	_, err := w.ring.Verify()
	return err
}

// settle reads on and closes the account.
func (w *crashWorld) settle() error {
	if w.op.crew != nil {
		if err := w.rejoin(); err != nil {
			return err
		}
		if err := w.crewAccount(); err != nil {
			return err
		}
	}
	if err := w.read(); err != nil || w.reader == nil {
		return err
	}
	return errors.Join(w.compare(true), w.lossesAreKept())
}

// compare holds what the survivor read against what was committed; what it was told that it missed must be what it lacks.
func (w *crashWorld) compare(whole bool) error {
	i := 0
	for _, m := range w.expect {
		if w.wasMissed(m) {
			continue
		}
		if i == len(w.got) {
			if !whole {
				return nil
			}
			return fmt.Errorf("the survivor read %d messages, missed %v, and stands at %d; %v at %d was committed and not read",
				i, w.missed, w.reader.Position(), m, w.at[m])
		}
		if w.got[i] != m {
			return fmt.Errorf("the survivor's message %d is %v, want %v", i, w.got[i], m)
		}
		i++
	}
	if len(w.got) > i {
		return fmt.Errorf("the survivor read %d messages too many: %v", len(w.got)-i, w.got[i:])
	}
	return nil
}

func (w *crashWorld) wasMissed(m message) bool {
	for _, lap := range w.missed {
		if at := w.at[m]; !before(at, lap.From) && before(at, lap.To) {
			return true
		}
	}
	return false
}

// goOn publishes more than a lap through the repaired topic, by a newcomer where there is room for one.
func (w *crashWorld) goOn() error {
	p, from := w.other, fromOther
	if p == nil || !w.ring.kind.singleProducer() {
		from = fromLater
		var err error
		if p, err = w.attach(); err != nil {
			return err
		}
		defer p.Close()
	}
	if w.op.crew != nil {
		if err := w.crewGoesOn(p, from); err != nil {
			return err
		}
	}
	if err := errors.Join(w.laps(p, from, 2), w.wakeUp(p, from)); err != nil {
		return err
	}
	return w.settle()
}

// joinLate lets a reader join at the oldest, where a gate is free, and read up to the newest.
func (w *crashWorld) joinLate() error {
	if w.ring.kind.singleGate() && (w.reader != nil || w.op.crew != nil) {
		return nil
	}
	rd, err := w.join(Policy{Slow: Block, Credit: w.ring.capacity}, Oldest())
	if err != nil {
		return err
	}
	defer rd.Close()
	var got []message
	for f, ok := rd.Next(); ok; f, ok = rd.Next() {
		m, err := lookAt(f.Payload)
		if err != nil {
			return err
		}
		got = append(got, m)
	}
	if n := len(w.expect) - len(got); len(got) == 0 || n < 0 || !slices.Equal(got, w.expect[n:]) {
		return fmt.Errorf("a late reader (%v) read %d messages that are not the last ones published: %v", rd.Err(), len(got), got)
	}
	return nil
}
