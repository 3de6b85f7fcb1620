package storm

import (
	"fmt"
	"strings"
	"time"
)

// Report is what happened in a storm.
type Report struct {
	Seed      uint64
	Duration  time.Duration
	Decisions int
	Roles     [roles]Count
	// DiedInClaim counts producers that were killed with an open claim, or around one, Padded those whose claim was won and
	// not wholly stamped: as far as the conductor saw it before somebody had put it right.
	DiedInClaim, Padded int
	// StoppedInClaim counts stops of producers with an open claim: everybody waits for them, and nobody takes it away.
	// LongestInClaim is the longest of them that ended with SIGCONT.
	StoppedInClaim int
	LongestInClaim time.Duration
	Topics         map[string]*TopicReport
	Fault          error // nil: every message is accounted for
}

// Count is what happened to the processes of a role.
type Count struct{ Started, Killed, KilledStopped, Stopped int }

// TopicReport is the account of a topic.
type TopicReport struct {
	Bytes, Rounds uint64 // of the ring, padding included; rounds of the whole ring
	Unserved      uint64 // bytes of them while no broker ran
	Senders       int    // producers, one after the other or at once
	Certain       uint64 // messages that were committed for certain
	Possible      uint64 // messages more that killed producers may have committed
	Delivered     uint64 // messages that every reliable reader has that was there from the beginning to the end
	Readers       int    // readers, killed ones included
	Lived         int    // readers that lived to the end
	Cells         int    // parts of the ring in which a reader was compared with the witness
	Laps          uint64 // of lossy readers
	MissedBytes   uint64 // by them, as they were told
	Evictions     int    // of readers that lived
	Groups        []GroupReport
}

// GroupReport is the account of a group.
type GroupReport struct {
	Name      string
	Members   int    // killed ones included
	Handled   uint64 // messages, by whoever handled them first
	Again     uint64 // of them, those that came again, because a member had been killed with them in its hands
	Marked    uint64 // deliveries that were marked as such, also where nobody had handled the message before
	Lost      uint64 // messages, while the group had no member
	LostBytes uint64 // of the ring, as the ledger of losses has it
}

func (r *Report) count(of role) *Count { return &r.Roles[of] }

// String is the report for people, some lines, the verdict last.
func (r *Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "storm: seed %d, %v, %d decisions\n", r.Seed, r.Duration, r.Decisions)
	fmt.Fprintf(&b, "  %-16s%8s%8s%18s%8s\n", "role", "started", "killed", "(stopped before)", "stopped")
	kills := 0
	for i, c := range r.Roles {
		fmt.Fprintf(&b, "  %-16s%8d%8d%18d%8d\n", role(i), c.Started, c.Killed, c.KilledStopped, c.Stopped)
		kills += c.Killed
	}
	fmt.Fprintf(&b, "  producers killed around an open claim: %d seen, of which %d padded; stopped in an open claim: %d, the longest for %v\n",
		r.DiedInClaim, r.Padded, r.StoppedInClaim, r.LongestInClaim.Round(time.Millisecond))
	for _, t := range topics() {
		s := r.Topics[t.Name]
		if s == nil {
			continue
		}
		fmt.Fprintf(&b, "  topic %s (%v): %d producers sent %d messages for certain, %d more possibly; %d delivered\n",
			t.Name, t.Kind, s.Senders, s.Certain, s.Possible, s.Delivered)
		fmt.Fprintf(&b, "    %d MB, %d rounds of the ring; %d MB of it while no broker ran\n", s.Bytes/1e6, s.Rounds, s.Unserved/1e6)
		fmt.Fprintf(&b, "    %d readers, %d lived to the end; %d cells compared; who may miss was told of %d laps, %d bytes\n",
			s.Readers, s.Lived, s.Cells, s.Laps, s.MissedBytes)
		if s.Evictions > 0 {
			fmt.Fprintf(&b, "    readers that lived to the end were evicted %d times\n", s.Evictions)
		}
		for _, g := range s.Groups {
			fmt.Fprintf(&b, "    group %s: %d members handled %d messages; %d came again, %d were marked; %d lost (%d bytes of the ring)\n",
				g.Name, g.Members, g.Handled, g.Again, g.Marked, g.Lost, g.LostBytes)
		}
	}
	if r.Fault != nil {
		fmt.Fprintf(&b, "storm: FAULT after %d kills: %v\n", kills, r.Fault)
	} else {
		fmt.Fprintf(&b, "storm: %d kills; every committed message is accounted for\n", kills)
	}
	return b.String()
}
