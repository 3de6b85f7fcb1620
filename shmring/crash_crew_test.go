//go:build linux && (amd64 || stepped)

package shmring

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// The account of a group. The child notes what becomes of each message in its hands on a sheet, a file that it shares with the parent and
// that outlives it. In the end each message was handled: by the child, whose acknowledgement counts for good, or by the members that
// live; once, but for what was in the child's hands when it died; or it is recorded as parked or lost.

// crashPolicy says what the group "crew" is.
type crashPolicy struct {
	GroupPolicy
	alone bool // the child is its only member
	empty bool // nobody is a member when the child dies
}

// What the sheet says of a message.
const (
	sheetNothing  = iota
	sheetLent     // in the child's hands: nobody has handled it
	sheetHandled  // the child has, and its acknowledgement may be under way
	sheetDone     // and acknowledged
	sheetRejected // delivered as often as it may be: it is to be parked
)

const sheetSize = 4 * sheetRow

const sheetRow = 2048 // messages of each sender

func sheetPath(topic string) string { return topic + "-sheet" }

func sheetIndex(m message) int { return m.from*sheetRow + m.seq }

// openSheet maps the sheet of a topic.
func openSheet(topic string) ([]byte, error) {
	f, err := os.OpenFile(sheetPath(topic), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := f.Truncate(sheetSize); err != nil {
		return nil, err
	}
	return unix.Mmap(int(f.Fd()), 0, sheetSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
}

// crashCrew are the members that outlive the child.
type crashCrew struct {
	sheet    []byte
	members  []*Member
	handled  map[message]int
	again    map[message]bool // handled as one that may have been delivered before
	started  uint64           // number of the group's start when the child stood at the mark
	restarts bool             // the group may have been started anew since, and be another one's
}

const crewName = "crew"

// found makes the group, with a member that survives unless the child is alone.
func (w *crashWorld) found() (err error) {
	w.handled, w.again = map[message]int{}, map[message]bool{}
	if w.sheet, err = openSheet(w.ring.path); err != nil {
		return err
	}
	if w.op.crew.alone || w.op.crew.empty {
		return w.ring.MakeGroup(crewName, w.op.crew.GroupPolicy)
	}
	return w.hire()
}

// hire makes one more member of the parent's.
func (w *crashWorld) hire() error {
	g, err := w.ring.GrantMember(crewName, w.op.crew.GroupPolicy)
	if err != nil {
		return err
	}
	m, err := w.ring.Member(g, MemberOptions{Name: "survivor", From: Oldest()})
	if err == nil {
		w.members = append(w.members, m)
	}
	return err
}

// dismiss closes what found and hire made.
func (w *crashWorld) dismiss() error {
	for _, m := range w.members {
		m.Close()
	}
	if w.sheet == nil {
		return nil
	}
	return errors.Join(unix.Munmap(w.sheet), os.Remove(sheetPath(w.ring.path)))
}

// crewAtMark notes the group's start.
func (w *crashWorld) crewAtMark() error {
	g, err := w.crewGroup()
	w.started = w.ring.groupWord(g, gStart).Load()
	return err
}

func (w *crashWorld) crewGroup() (group uint64, err error) {
	for g := range w.ring.groups {
		if state(w.ring.groupWord(g, gState).Load()).kind() != groupFree && readName(w.ring.groupName(g)) == crewName {
			return g, nil
		}
	}
	return 0, errors.New("the group is gone")
}

// work lets the living members handle what there is.
func (w *crashWorld) work() error {
	for _, m := range w.members {
		for {
			f, ok := m.Next()
			if !ok {
				break
			}
			got, err := lookAt(f.Payload)
			if err != nil {
				return fmt.Errorf("a member takes at %d: %w", f.Position, err)
			}
			w.handled[got]++
			w.again[got] = w.again[got] || m.Redelivered()
		}
		m.Release()
		if err := m.Err(); err != nil {
			return fmt.Errorf("a member: %w", err)
		}
	}
	return nil
}

// share lets one member take a message, and keep it.
func (w *crashWorld) share() error {
	f, ok := w.members[0].Next()
	if !ok {
		return fmt.Errorf("nothing to take: %w", w.members[0].Err())
	}
	got, err := lookAt(f.Payload)
	w.handled[got]++
	return err
}

// crewLivesOn is what the group's members and its producers do before anybody has repaired: the living go on with what is not in the
// dead one's hands, and producers come round unless something is.
func (w *crashWorld) crewLivesOn() error {
	if err := w.work(); err != nil {
		return err
	}
	if w.other == nil {
		return nil
	}
	if len(w.members) == 0 { // what is published waits for who joins
		if err := w.some(w.other, fromOther, 3); !errors.Is(err, ErrBackPressure) {
			return err
		}
		return nil
	}
	holds := false
	for slot := range w.ring.consumers {
		s := state(w.ring.consumerWord(slot, cState).Load())
		switch {
		case w.crewSlot(slot):
		case s.kind() == slotReader:
			holds = holds || w.reader == nil || slot != w.reader.slot
		case s.kind() == slotMember || s.kind() == slotOrphan:
			holds = holds || w.ring.consumerWord(slot, cFrom).Load() != 0 || len(w.others()) != 0
		}
	}
	err := w.laps(w.other, fromOther, 2)
	if holds && errors.Is(err, ErrBackPressure) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("a dead member with nothing in its hands: %w", err)
	}
	return nil
}

// crewSlot reports whether a slot is that of a member of the parent's.
func (w *crashWorld) crewSlot(slot uint64) bool {
	for _, m := range w.members {
		if m.slot == slot || m.held.slot == slot {
			return true
		}
	}
	return false
}

// others are the names of the groups beside the crew.
func (w *crashWorld) others() (names []string) {
	for g := range w.ring.groups {
		if state(w.ring.groupWord(g, gState).Load()).kind() == groupFree {
			continue
		}
		if name := readName(w.ring.groupName(g)); name != crewName {
			names = append(names, name)
		}
	}
	return names
}

// some publishes n messages.
func (w *crashWorld) some(p *Producer, from, n int) error {
	for range n {
		if err := w.publish(p, from, 70); err != nil {
			return err
		}
	}
	return nil
}

// rejoin has members where there may be none any more.
func (w *crashWorld) rejoin() error {
	if len(w.members) != 0 {
		return nil
	}
	if err := w.hire(); err != nil {
		return err
	}
	g, err := w.crewGroup()
	w.restarts = !w.op.crew.Durable && w.ring.groupWord(g, gStart).Load() != w.started
	return err
}

// crewAccount closes the account of everything that was committed.
func (w *crashWorld) crewAccount() error {
	if err := w.work(); err != nil {
		return err
	}
	losses, _, err := w.ring.Losses()
	if err != nil {
		return err
	}
	parked, _, err := w.ring.Parked()
	if err != nil {
		return err
	}
	lost := func(m message) bool {
		for _, l := range losses {
			if at := w.at[m]; l.Name == crewName && !before(at, l.From) && before(at, l.To) {
				return true
			}
		}
		return false
	}
	given := map[message]int{}
	for _, p := range parked {
		for m, at := range w.at {
			if at == p.Position {
				given[m]++
			}
		}
	}
	for _, m := range w.expect {
		n, mark := w.handled[m], int(w.sheet[sheetIndex(m)])
		if fault := w.wrong(m, n, given[m], mark, lost(m)); fault != "" {
			return fmt.Errorf("%v at %d, of which the dead member's sheet says %d, was handled %d times, parked %d times: %s",
				m, w.at[m], mark, n, given[m], fault)
		}
	}
	return nil
}

// wrong judges what became of one message.
func (w *crashWorld) wrong(m message, n, parked, mark int, lost bool) string {
	switch {
	case lost && n > 0:
		return "and is recorded as lost"
	case lost:
		return ""
	case w.restarts: // begins where its new first member wants, as another group does
		if mark == sheetLent && n == 0 {
			return "it was in the dead member's hands"
		}
		return ""
	case mark == sheetDone && n != 0:
		return "it was acknowledged"
	case mark == sheetHandled && n > 1:
		return "more than once by the living"
	case mark == sheetLent && (n != 1 || !w.again[m]):
		return fmt.Sprintf("it was in the dead member's hands, and comes again once, marked (%v)", w.again[m])
	case mark == sheetNothing && n != 1:
		return "nobody had it in his hands"
	case mark == sheetRejected && (n != 0 || parked < 1 || parked > 2):
		return "it was to be parked"
	case mark != sheetRejected && parked != 0:
		return "it was not to be parked"
	}
	return ""
}

// crewGoesOn has members join each group that there is, and take.
func (w *crashWorld) crewGoesOn(p *Producer, from int) error {
	if err := w.hire(); err != nil {
		return err
	}
	for _, name := range w.others() {
		if err := w.joinOther(name, p, from); err != nil {
			return fmt.Errorf("group %q: %w", name, err)
		}
	}
	if err := w.laps(p, from, 2); err != nil {
		return err
	}
	return w.crewAccount()
}

// joinOther becomes a member of a group that the child was making or joining, and takes.
func (w *crashWorld) joinOther(name string, p *Producer, from int) error {
	g, err := w.ring.GrantMember(name, GroupPolicy{})
	if err != nil {
		return err
	}
	m, err := w.ring.Member(g, MemberOptions{Name: "survivor"})
	if err != nil {
		return err
	}
	defer m.Close()
	if err := w.publish(p, from, 70); err != nil {
		return err
	}
	want, last := w.expect[len(w.expect)-1], message{}
	for f, ok := m.Next(); ok; f, ok = m.Next() {
		if last, err = lookAt(f.Payload); err != nil {
			return err
		}
	}
	if last != want || m.Err() != nil {
		return fmt.Errorf("took %v last (%v), want %v", last, m.Err(), want)
	}
	return nil
}
