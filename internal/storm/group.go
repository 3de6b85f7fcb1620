package storm

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// hand is what a member handled.
type hand struct {
	name, group string
	killed      bool
	handled     []delivery
}

// fate is what became of a message in a group.
type fate struct {
	times, unmarked uint8 // how often it was handled, and how often without being marked as delivered before
	inHands         uint8 // how many members were killed that had written it down last: they may not have acknowledged it
}

// groups holds what the members handled against what the witness saw: each message once, or more often as it was in the hands of
// members that were killed, and marked then; or it is recorded as lost, which no group with a member is.
func (a *account) groups() error {
	var errs []error
	for _, name := range a.groupNames() {
		if err := a.group(name); err != nil {
			errs = append(errs, fmt.Errorf("group %s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

func (a *account) groupNames() (names []string) {
	for _, h := range a.members {
		if !slices.Contains(names, h.group) {
			names = append(names, h.group)
		}
	}
	return names
}

func (a *account) group(name string) error {
	report := GroupReport{Name: name}
	fates := map[uint64][]fate{}
	for sender, positions := range a.seen {
		fates[sender] = make([]fate, len(positions))
	}
	for _, h := range a.members {
		if h.group != name {
			continue
		}
		report.Members++
		for i, d := range h.handled {
			if d.number >= uint64(len(a.seen[d.sender])) || a.seen[d.sender][d.number] != d.position {
				return fmt.Errorf("%s handled message %d of process %d at %d: never sent", h.name, d.number, d.sender, d.position)
			}
			f := &fates[d.sender][d.number]
			f.times++
			if d.marked {
				report.Marked++
			} else {
				f.unmarked++
			}
			if h.killed && i == len(h.handled)-1 {
				f.inHands++
			}
		}
	}
	lost := a.lostBy(name)
	for _, l := range lost {
		report.LostBytes += l[1] - l[0]
	}
	if name == pool && len(lost) > 0 {
		return fmt.Errorf("it had a member all the time, and lost %v", lost)
	}
	err := a.judge(fates, lost, &report)
	a.report.Groups = append(a.report.Groups, report)
	return err
}

// lostBy returns the parts of the ring that a group lost, in order and without overlaps: who starts a group anew and is killed amid that
// may have recorded what the next one records again.
func (a *account) lostBy(name string) (parts [][2]uint64) {
	var all [][2]uint64
	for _, l := range a.losses {
		if l.Name == name {
			all = append(all, [2]uint64{l.From, l.To})
		}
	}
	slices.SortFunc(all, func(a, b [2]uint64) int { return cmp.Compare(a[0], b[0]) })
	for _, l := range all {
		if last := len(parts) - 1; last >= 0 && l[0] <= parts[last][1] {
			parts[last][1] = max(parts[last][1], l[1])
		} else {
			parts = append(parts, l)
		}
	}
	return parts
}

// within reports whether a position lies in one of the parts.
func within(parts [][2]uint64, at uint64) bool {
	i, found := slices.BinarySearchFunc(parts, at, func(p [2]uint64, at uint64) int { return cmp.Compare(p[0], at) })
	return found || i > 0 && at < parts[i-1][1]
}

// judge goes through all messages. It returns the first faults.
func (a *account) judge(fates map[uint64][]fate, lost [][2]uint64, report *GroupReport) error {
	var errs []error
	for sender, all := range fates {
		for n, f := range all {
			at := a.seen[sender][n]
			isLost := within(lost, at)
			fault := ""
			switch {
			case f.times == 0 && !isLost:
				fault = "was not handled: lost"
			case f.times > 1+f.inHands:
				fault = "was handled too often"
			case f.unmarked > 1:
				fault = "came again unmarked"
			case isLost && f.times > f.inHands:
				fault = "was handled, and is recorded as lost"
			}
			if fault != "" && len(errs) < 10 {
				errs = append(errs, fmt.Errorf("message %d of process %d at %d %s: %+v", n, sender, at, fault, f))
			}
			switch {
			case f.times > 1:
				report.Again++
				fallthrough
			case f.times == 1:
				report.Handled++
			default:
				report.Lost++
			}
		}
	}
	return errors.Join(errs...)
}
