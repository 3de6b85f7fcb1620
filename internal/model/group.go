package main

// A group's takes: a member died around its take; does it own the range?
//
// The code for groups comes with delivery. The group's head is one word: a position, and the slot of its last taker. A member loads the
// head, confirms the last taker (CAS-max of that member's `won` to the head's position), stores from = NONE, the end, from, and
// CASes the head to (end, self); then it stores its own `won`, and acknowledges by from = NONE. A dead member owns [from, end) if and
// only if the head is (end, its slot) or its `won` has come to the end. All members but the first may be killed at any step; they
// take one message or two. Without the confirmation the same memory has two truths.

const nobody = -1

// groupHead is the group's head word.
type groupHead struct{ pos, by int8 }

// groupMember is a member's slot, and what the member keeps to itself. groupLost has the same members.
type groupMember struct {
	from, end, won int8 // from is a position + 1; 0: NONE
	dead           bool
	pc             int8
	head           groupHead // as it loaded it
	owns           bool      // the truth: [from, end) was taken and not acknowledged
}

// take is a member's next access; size is how many messages it takes, and counts where the end is stored. It changes head and,
// in confirming, another member.
func take(members []groupMember, slot int, head *groupHead, size, last int8, confirm bool) string {
	m := &members[slot]
	if m.dead || size != 1 && m.pc != 3 {
		return ""
	}
	switch m.pc {
	case 0:
		if head.pos >= last {
			return ""
		}
		m.head, m.pc = *head, 1
		return "loads the head"
	case 1:
		if m.pc = 2; m.head.by != nobody && (confirm || m.head.by == int8(slot)) {
			taker := &members[m.head.by]
			taker.won = max(taker.won, m.head.pos)
		}
		return "confirms the head's taker"
	case 2:
		m.from, m.pc = 0, 3
		return "stores from = NONE"
	case 3:
		m.end, m.pc = m.head.pos+size, 4
		return "stores the end"
	case 4:
		m.from, m.pc = m.head.pos+1, 5
		return "stores from"
	case 5:
		if *head != m.head {
			m.head, m.pc = groupHead{}, 0
			return "loses the CAS of the head"
		}
		*head = groupHead{m.end, int8(slot)}
		m.head, m.owns, m.pc = groupHead{}, true, 6
		return "wins the CAS of the head"
	case 6:
		m.won, m.pc = m.end, 7
		return "stores won"
	}
	m.from, m.owns, m.pc = 0, false, 0
	return "acknowledges"
}

type groupState struct {
	head groupHead
	m    [3]groupMember
}

func groupSystem(members int, last int8, confirm bool) system[groupState] {
	sys := system[groupState]{
		start: []groupState{{head: groupHead{0, nobody}}},
		fault: func(s *groupState) string {
			for i, m := range s.m {
				says := m.won >= m.end || s.head == groupHead{m.end, int8(i)}
				if m.dead && m.from != 0 && m.owns != says {
					return "a dead member's words do not tell what it owns"
				}
			}
			return ""
		},
	}
	for i := range members {
		name := "member " + "012"[i:i+1]
		for size := int8(1); size <= 2; size++ {
			sys.procs = append(sys.procs, process[groupState]{name, func(s *groupState) string {
				return take(s.m[:], i, &s.head, size, last, confirm)
			}})
		}
		if i > 0 {
			sys.procs = append(sys.procs, process[groupState]{name, func(s *groupState) string {
				m := &s.m[i]
				if m.dead {
					return ""
				}
				m.dead, m.head, m.pc = true, groupHead{}, 0
				return "is killed"
			}})
		}
	}
	return sys
}

var group = model{
	name:     "group",
	question: "a member of a group died around its take: does it own the range?",
	variants: []variant{
		{name: "two members, the head's taker is confirmed", run: func(bounds) result { return explore(groupSystem(2, 4, true)) }},
		{name: "three members", run: func(b bounds) result { return explore(groupSystem(3, b.pick(2, 3), true)) }},
		{name: "no confirmation", wrong: true, run: func(bounds) result { return explore(groupSystem(2, 3, false)) }},
	},
}
