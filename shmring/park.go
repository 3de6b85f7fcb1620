package shmring

import "time"

// Parked is a message that a group gave up on: it was delivered as often as the group's max_deliver allows, and not acknowledged.
type Parked struct {
	Number     uint64 // in the list, from 1 on
	Group      int
	GroupName  string
	Position   uint64
	Bytes      int // of its payload
	Deliveries int
	At         time.Time
}

const _ uint = 8*(7-3) - nameSize // a parked group's whole name has room in its entry: a retry goes by it

func (r *Ring) parked() list { return list{r.cursors, offParkedNext, r.offParked, parkedEntries} }

// park gives a message up: the owner's OnPark first, then the list. A member that dies before it has acknowledged the message lets the
// next one do both again.
func (m *Member) park(f Frame) error {
	if m.onPark != nil {
		if err := m.onPark(f, m.known); err != nil {
			return err
		}
	}
	e := listEntry{m.group | uint64(m.known)<<16 | uint64(len(f.Payload))<<32, f.Position, uint64(now().UnixNano())}
	packName(e[3:7], readName(m.ring.groupName(m.group)))
	m.ring.parked().append(e)
	return nil
}

// Parked returns the parked messages that the list still holds (the newest 1,024), oldest first, and how many there were since the topic
// was made. A message is listed twice if a member died while it parked it. Its bytes are in the ring as long as they were not
// overwritten: from the limit - capacity on.
func (r *Ring) Parked() (all []Parked, total uint64, err error) {
	if err := r.holdCursors(); err != nil {
		return nil, 0, err
	}
	defer r.release()
	err = r.Guard(func() {
		var entries []numbered
		entries, total = r.parked().all()
		for _, n := range entries {
			e := n.listEntry
			all = append(all, Parked{Number: n.number, Group: int(uint16(e[0])), GroupName: unpackName(e[3:7]), Position: e[1],
				Bytes: int(e[0] >> 32), Deliveries: int(uint16(e[0] >> 16)), At: time.Unix(0, int64(e[2]))})
		}
	})
	return all, total, err
}
